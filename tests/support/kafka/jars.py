"""Apache Kafka's jars: fetched by Maven once, then kept in the user's cache directory."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from support.cache import kept
from support.missing import MissingError

POM = Path(__file__).with_name("pom.xml")


def kafka_jars() -> Path:
    """Directory of the jars that pom.xml names, fetched first if this machine has none yet.

    Raises:
        MissingError: Maven is not installed, or could not fetch them.
    """
    return kept(f"kafka-{kafka_version()}", _fetch)


def kafka_version() -> str:
    """The Kafka version that the pom asks for."""
    version = ElementTree.parse(POM).findtext(".//kafka.version")
    assert version, f"{POM} has no property kafka.version"
    return version


def _fetch(jars: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise MissingError("no mvn in the search path: install Maven, which fetches Kafka for the tests")
    copy = [mvn, "-q", "-B", f"--file={POM}", "dependency:copy-dependencies"]
    copy += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    done = subprocess.run(copy, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cause = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise MissingError(f"Maven could not fetch Kafka for the tests, see its settings.xml: {cause}")
