"""What is inside the native module: crates, and the C libraries that some of them bring along."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    """All of them, by name. Crates that only build scripts use are left out; those of procedural macros are not."""
    directories = _directories(source)
    by_name = {name: directory for (name, _), directory in directories.items()}
    # rdkafka-sys comes from the repository of rdkafka, whose licence file is in that crate alone.
    elsewhere = {"rdkafka-sys": by_name["rdkafka"]}
    crates = [
        Part(name, version, licence, _texts(elsewhere.get(name, directories[name, version])))
        for name, version, licence in _linked_crates(source)
    ]
    everything = [*crates, *_c_libraries(by_name)]
    return sorted(everything, key=lambda part: (not part.is_crate, part.name, part.version or ""))


def _linked_crates(source: Path) -> set[tuple[str, str, str]]:
    """Name, version and licence of what the package depends on."""
    tree = _cargo(source, "tree", "--target", _host(), "--edges", "normal", "--prefix", "none", "--format", "{l}|{p}")
    # The first line is the package itself. After the version, cargo marks macros, and lines that repeat another.
    lines = (line.partition("|") for line in tree.splitlines()[1:])
    return {(*_name_and_version(package), licence) for licence, _, package in lines}


def _name_and_version(package: str) -> tuple[str, str]:
    name, version, *_ = package.split()
    return name, version.removeprefix("v")


def _directories(source: Path) -> dict[tuple[str, str], Path]:
    """Where the sources of each crate are, of those too that are not linked."""
    metadata = json.loads(_cargo(source, "metadata", "--format-version", "1", "--filter-platform", _host()))
    return {(one["name"], one["version"]): Path(one["manifest_path"]).parent for one in metadata["packages"]}


def _cargo(source: Path, *arguments: str) -> str:
    return subprocess.check_output(["cargo", "--quiet", "--locked", *arguments], cwd=source, text=True)


def _host() -> str:
    return subprocess.check_output(["rustc", "--print", "host-tuple"], text=True).strip()


def _texts(directory: Path) -> tuple[Path, ...]:
    # Some have a folder for them (https://reuse.software/).
    beside = [file for file in directory.iterdir() if LICENCE_FILE.fullmatch(file.name) and file.is_file()]
    return tuple(sorted([*beside, *directory.glob("LICENSES/*.txt")]))


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
