"""What is claimed of the wheel, each claim checked on the file itself."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.elffile import ELFFile
from scripts.distribution import licences, sbom
from scripts.distribution.build import PLACE
from scripts.distribution.parts import parts

LARGEST_MB = 6.5
SYSTEM_LIBRARIES = re.compile(r"(lib(c|m|dl|rt|pthread|gcc_s)\.so\.\d+|ld-linux.*\.so\.\d+)")
MODULE = "kafka_email/_core.abi3.so"


class ClaimError(Exception):
    """A claim does not hold; the text says which, and what was found."""


def check(wheel: Path, root: Path) -> None:
    """Check all claims, and print each with what was found.

    Raises:
        ClaimError: One does not hold.
    """
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    claims: dict[str, Callable[[], str]] = {
        f"at most {LARGEST_MB:g} MB": lambda: _size(wheel),
        "the stable ABI, for CPython 3.10 and newer": lambda: _stable_abi(wheel),
        "nothing but libraries of every Linux": lambda: _dependencies(files),
        "an old glibc will do": lambda: _platform(wheel),
        "no symbols that nobody needs": lambda: _stripped(files),
        "no path of the machine that built it": lambda: _paths(files, root),
        "the licence texts of everything inside": lambda: _licences(files, root),
        "a bill of materials, C libraries included": lambda: _bills(files),
    }
    for claim, verify in claims.items():
        print(f"  {claim}: {verify()}")


def _run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", tool, *arguments], capture_output=True, text=True, check=False)


def _hold(holds: object, found: str) -> str:
    if not holds:
        raise ClaimError(found)
    return found


def _size(wheel: Path) -> str:
    size = wheel.stat().st_size / 1e6
    return _hold(size <= LARGEST_MB, f"{size:.2f} MB")


def _stable_abi(wheel: Path) -> str:
    done = _run("abi3audit", "--strict", str(wheel))
    return _hold(done.returncode == 0 and "cp310-abi3" in wheel.name, done.stderr.strip() or "abi3audit is content")


def _dependencies(files: dict[str, bytes]) -> str:
    dynamic = _module(files).get_section_by_name(".dynamic")
    needed = sorted(tag.needed for tag in dynamic.iter_tags("DT_NEEDED"))
    return _hold(all(SYSTEM_LIBRARIES.fullmatch(name) for name in needed), ", ".join(needed))


def _platform(wheel: Path) -> str:
    done = _run("auditwheel", "show", str(wheel))
    found = re.search(r'platform tag:\s+"(manylinux_\d+_\d+)_', done.stdout)
    claimed = re.findall(r"manylinux_\d+_\d+", wheel.name)
    return _hold(found and found[1] in claimed, f"{found[1] if found else done.stderr}, in the name {claimed}")


def _stripped(files: dict[str, bytes]) -> str:
    kept = [section.name for section in _module(files).iter_sections() if section.name in (".symtab", ".debug_info")]
    return _hold(not kept, f"{len(files[MODULE]) / 1e6:.1f} MB unpacked" if not kept else f"{kept} are there")


def _module(files: dict[str, bytes]) -> ELFFile:
    return ELFFile(BytesIO(files[MODULE]))


def _paths(files: dict[str, bytes], root: Path) -> str:
    places = {str(PLACE), str(root.resolve()), str(Path.home()), str(Path(sys.prefix).resolve())} - {"/"}
    found = [(name, place) for name, content in files.items() for place in places if place.encode() in content]
    return _hold(not found, "none" if not found else f"{found}")


def _licences(files: dict[str, bytes], root: Path) -> str:
    text = next(content for name, content in files.items() if name.endswith(licences.FILE.name)).decode()
    inside = parts(root)
    missing = [part.name for part in inside if f"  {licences.named(part)}: " not in text]
    return _hold(not missing, f"{len(inside)} parts" if not missing else f"missing: {missing}")


def _bills(files: dict[str, bytes]) -> str:
    bills = {name.rpartition("/")[2]: content.decode() for name, content in files.items() if "/sboms/" in name}
    for name, bill in bills.items():
        error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(bill)
        _hold(error is None, f"{name} is no CycloneDX: {error}")
    found = ", ".join(f"{name} with {len(json.loads(bill)['components'])} components" for name, bill in bills.items())
    return _hold(len(bills) == 2 and sbom.NAME in bills, found)
