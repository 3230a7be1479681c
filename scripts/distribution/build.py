"""Builds the wheel that is published, from the source distribution and in a directory that is always the same.

The directory's name would otherwise be inside (OpenSSL keeps where it would look for engines), and two builds would
differ.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from scripts.distribution import EPOCH, licences, sbom

PLACE = Path(tempfile.gettempdir()).resolve() / "kafka-email-wheel"
NOWHERE = "/nonexistent"
# The oldest glibc that Rust itself still supports.
PLATFORM = "manylinux2014"


def source_distribution(root: Path, target: Path) -> Path:
    """Make the source distribution."""
    _maturin(["sdist", "--out", str(target)], root, dict(os.environ))
    return max(target.glob("*.tar.gz"), key=lambda file: file.stat().st_mtime)


def wheel(sdist: Path, target: Path) -> Path:
    """Build the wheel from scratch."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    try:
        with tarfile.open(sdist) as archive:
            archive.extractall(PLACE, filter="data")
        (source,) = (directory for directory in PLACE.iterdir() if directory.is_dir())
        licences.write(source)
        bill = sbom.write(source, PLACE / "sboms")
        options = ["--release", "--locked", "--zig", "--compatibility", PLATFORM, "--interpreter", sys.executable]
        options += ["--sbom-include", str(bill), "--out", str(PLACE / "out")]
        _maturin(["build", *options], source, _environment(source))
        (built,) = (PLACE / "out").glob("*.whl")
        target.mkdir(parents=True, exist_ok=True)
        return _without_build_paths(built, target)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)


def _maturin(arguments: list[str], directory: Path, environment: dict[str, str]) -> None:
    # By its path: it is looked up in PATH otherwise, where another may be.
    command = [str(Path(sys.executable).with_name("maturin")), *arguments]
    subprocess.run(command, cwd=directory, env=environment, check=True)


def _environment(source: Path) -> dict[str, str]:
    cargo_home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    names = {str(source): "kafka-email", str(cargo_home): "cargo", str(PLACE): "build"}
    remapped = " ".join(f"--remap-path-prefix={path}=/{name}" for path, name in names.items())
    return os.environ | {
        # maturin looks for zig in the Python that it finds there.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CARGO_TARGET_DIR": str(PLACE / "target"),
        # OpenSSL writes down by what it was compiled: a script there.
        "CARGO_ZIGBUILD_CACHE_DIR": str(PLACE / "zig"),
        "RUSTFLAGS": remapped,
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "ZERO_AR_DATE": "1",
        "PYO3_PYTHON": sys.executable,
    }


def _without_build_paths(built: Path, target: Path) -> Path:
    """Write a wheel anew; where a file names a directory of the build, it names one that does not exist."""
    _wheel("unpack", "--dest", str(PLACE / "unpacked"), str(built))
    (directory,) = (PLACE / "unpacked").iterdir()
    for file in directory.rglob("*"):
        if file.suffix in {".so", ".json"}:
            file.write_bytes(_neutral(file.read_bytes()))
    packed = PLACE / "packed"
    packed.mkdir()
    _wheel("pack", "--dest-dir", str(packed), str(directory))
    (file,) = packed.iterdir()
    return Path(shutil.copy(file, target))


def _wheel(*arguments: str) -> None:
    # It gives all files the time of SOURCE_DATE_EPOCH, sorts them, and writes RECORD.
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)}
    subprocess.run([sys.executable, "-m", "wheel", *arguments], env=environment, check=True)


def _neutral(content: bytes) -> bytes:
    # Of the same length, so that nothing moves in the native module.
    path = str(PLACE).encode()
    return content.replace(path, NOWHERE.encode().ljust(len(path), b"/"))
