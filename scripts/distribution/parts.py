"""What is inside the native module: crates, and the C libraries that some of them bring along."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEE_TEXT = "see its text"
LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|UNLICENSE)([.-].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A crate or a C library, and the files with its licence texts."""

    name: str
    version: str | None
    licence: str
    texts: tuple[Path, ...]
    is_crate: bool = True


def parts(source: Path) -> list[Part]:
    """All of them, by name; crates that only run while compiling are left out."""
    packages = _linked_packages(source)
    directories = {package["name"]: Path(package["manifest_path"]).parent for package in packages}
    crates = [_crate(package, directories) for package in packages if package["source"] and not _is_source(package)]
    everything = [*crates, *_c_libraries(directories)]
    return sorted(everything, key=lambda part: (not part.is_crate, part.name, part.version or ""))


def _linked_packages(source: Path) -> list[dict[str, Any]]:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", _host()]
    metadata = json.loads(subprocess.check_output(command, cwd=source, stderr=subprocess.DEVNULL))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached, ahead = dict[str, dict[str, Any]](), [metadata["resolve"]["root"]]
    while ahead:
        name = ahead.pop()
        if name in reached:
            continue
        reached[name] = packages[name]
        if not _is_source(packages[name]):
            ahead += [dependency["pkg"] for dependency in nodes[name]["deps"] if _is_linked(dependency, packages)]
    return list(reached.values())


def _is_linked(dependency: dict[str, Any], packages: dict[str, dict[str, Any]]) -> bool:
    is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
    return is_normal or _is_source(packages[dependency["pkg"]])


def _is_source(package: dict[str, Any]) -> bool:
    """Whether it is a crate that only carries C sources for the build of another."""
    return package["name"] == "openssl-src"


def _host() -> str:
    told = subprocess.check_output(["rustc", "-vV"], text=True)
    return next(line.removeprefix("host: ") for line in told.splitlines() if line.startswith("host: "))


def _crate(package: dict[str, Any], directories: dict[str, Path]) -> Part:
    # rdkafka-sys comes from the repository of rdkafka, whose licence file is in that crate alone.
    is_sys = package["name"] == "rdkafka-sys"
    directory = directories["rdkafka"] if is_sys else Path(package["manifest_path"]).parent
    return Part(package["name"], package["version"], package["license"], _texts(directory))


def _texts(directory: Path) -> tuple[Path, ...]:
    return tuple(sorted(file for file in directory.iterdir() if LICENCE_FILE.fullmatch(file.name)))


def _c_libraries(directories: dict[str, Path]) -> Iterator[Part]:
    librdkafka = directories["rdkafka-sys"] / "librdkafka"
    openssl = directories["openssl-src"] / "openssl"
    zstd, zlib = directories["zstd-sys"] / "zstd", directories["libz-sys"] / "src" / "zlib"
    yield Part("librdkafka", _after_plus(directories["rdkafka-sys"]), "BSD-2-Clause", (librdkafka / "LICENSE",), False)
    for text in sorted(librdkafka.glob("LICENSE.*")):
        name = text.suffix[1:]
        yield Part(name, _bundled_version(name, librdkafka / "src"), SEE_TEXT, (text,), False)
    yield Part("OpenSSL", _after_plus(directories["openssl-src"]), "Apache-2.0", (openssl / "LICENSE.txt",), False)
    yield Part("zstd", _defined(zstd / "lib" / "zstd.h", "ZSTD_VERSION_{}"), "BSD-3-Clause", (zstd / "LICENSE",), False)
    yield Part("zlib", _quoted(zlib / "zlib.h", "ZLIB_VERSION"), "Zlib", (zlib / "LICENSE",), False)


def _after_plus(crate: Path) -> str:
    return crate.name.rpartition("+")[2]


def _bundled_version(name: str, sources: Path) -> str | None:
    """Of what librdkafka carries, two tell their version."""
    if name == "lz4":
        return _defined(sources / "lz4.h", "LZ4_VERSION_{}")
    return _defined(sources / "cJSON.h", "CJSON_VERSION_{}") if name == "cjson" else None


def _defined(header: Path, pattern: str) -> str:
    text = header.read_text()
    names = ("MAJOR", "MINOR", "RELEASE" if "ZSTD" in pattern or "LZ4" in pattern else "PATCH")
    found = [re.search(rf"#define\s+{pattern.format(name)}\s+(\d+)", text) for name in names]
    return ".".join(match[1] for match in found if match)


def _quoted(header: Path, name: str) -> str:
    match = re.search(rf'#define\s+{name}\s+"([^"]+)"', header.read_text())
    assert match
    return match[1]
