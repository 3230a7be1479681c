"""The `java` command that runs Kafka."""

import functools
import os
import re
import shutil
import subprocess

from support.missing import MissingError

OLDEST_JAVA = 17
"""Kafka 4 brokers need it: https://kafka.apache.org/documentation/#java"""


@functools.cache
def java_command() -> str:
    """Path of `java`, from JAVA_HOME or else the search path.

    Raises:
        MissingError: there is none, or it is older than `OLDEST_JAVA`.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        place = f"JAVA_HOME={home}" if home else "the search path"
        raise MissingError(f"no java in {place}: install Java {OLDEST_JAVA} or newer (openjdk-17-jre-headless)")
    version = java_version(java)
    if version < OLDEST_JAVA:
        raise MissingError(f"{java} is Java {version}: install Java {OLDEST_JAVA} or newer, or point JAVA_HOME at one")
    return java


def java_version(java: str) -> int:
    """Feature number of a `java` command: 17 for "17.0.15", 1 for the old "1.8.0"; 0 when it does not say."""
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', shown.stderr)
    return int(found.group(1)) if found else 0
