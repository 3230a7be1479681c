"""Debian packages for the tests: unpacked into the user's cache directory, never installed, so root is not needed."""

import shutil
import subprocess
from pathlib import Path

from support.cache import kept
from support.missing import MissingError


def unpacked(package: str) -> Path:
    """Folder with the files of a Debian package and of those that it needs and this machine lacks.

    Raises:
        MissingError: there is no apt-get, or it could not fetch them.
    """
    return kept(package, lambda folder: _fetch(package, folder))


def _fetch(package: str, folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingError(f"no apt-get in the search path: install {package} yourself")
    archives, lists = folder / "archives", folder / "lists"
    for needed in (archives, lists):
        needed.joinpath("partial").mkdir(parents=True)
    # Otherwise apt-get has nothing to do where the package is installed.
    download = ["install", "-y", "--no-install-recommends", "--download-only", "--reinstall", package]
    own_archives = f"Dir::Cache::archives={archives}"
    if _apt_get(download, own_archives) is not None:
        # Images without package lists are common.
        own_lists = f"Dir::State::lists={lists}"
        failure = _apt_get(["update"], own_lists) or _apt_get(download, own_archives, own_lists)
        if failure:
            raise MissingError(f"apt-get could not fetch {package} for the tests: {failure}")
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    shutil.rmtree(archives)
    shutil.rmtree(lists)


def _apt_get(command: list[str], *options: str) -> str | None:
    """Runs apt-get beside whoever else runs it; returns its error, None when there is none."""
    settings = [part for option in ("Debug::NoLocking=1", *options) for part in ("-o", option)]
    done = subprocess.run(["apt-get", "-q", *settings, *command], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return None if done.returncode == 0 else "; ".join(errors) or "no reason given"
