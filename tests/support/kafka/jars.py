"""Apache Kafka's jars: fetched by Maven once, then kept in the user's cache directory."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from support.kafka.java import java_command
from support.missing import MissingError

POM = Path(__file__).with_name("pom.xml")


def kafka_jars() -> Path:
    """Directory of the jars that pom.xml names, fetched first if this machine has none yet.

    Raises:
        MissingError: Maven is not installed, or could not fetch them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kafka-email"
    jars = cache / f"kafka-{kafka_version()}"
    if not jars.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if not jars.is_dir():  # another run may have fetched them while this one waited
                _fetch(jars)
    return jars


def kafka_version() -> str:
    """The Kafka version that the pom asks for."""
    version = ElementTree.parse(POM).findtext(".//kafka.version")
    assert version, f"{POM} has no property kafka.version"
    return version


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: Path) -> None:
    """Fetches into a directory of another name, so that an interrupted download is never taken for a whole one."""
    mvn = shutil.which("mvn")
    if mvn is None:
        raise MissingError("no mvn in the search path: install Maven, which fetches Kafka for the tests")
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as scratch:
        copy = [mvn, "-q", "-B", f"--file={POM}", "dependency:copy-dependencies"]
        copy += ["-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"]
        done = subprocess.run(copy, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            cause = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason given")
            raise MissingError(f"Maven could not fetch Kafka for the tests, see its settings.xml: {cause}")
        Path(scratch, "jars").rename(jars)


def main() -> None:
    """Makes sure that Kafka can be started here; `make` asks before it starts what takes minutes."""
    try:
        java_command()
        kafka_jars()
    except MissingError as missing:
        sys.exit(f"missing for the tests: {missing}")


if __name__ == "__main__":
    main()
