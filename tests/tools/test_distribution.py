"""What is inside the wheel, as far as it can be told without building it; `make wheel` checks the wheel itself."""

import csv
import json
import os
import re
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from io import StringIO
from pathlib import Path

import pytest
from scripts.distribution import build, licences, sbom
from scripts.distribution.parts import Part, parts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inside() -> list[Part]:
    return parts(ROOT)


def test_every_part_has_its_licence_text(inside: list[Part]) -> None:
    assert [part.name for part in inside if not part.texts] == []
    names = {part.name for part in inside}
    assert {"librdkafka", "OpenSSL", "zstd", "zlib", "lz4", "snappy", "tokio", "rdkafka-sys", "pyo3"} <= names
    assert names.isdisjoint({"cc", "criterion", "openssl-src", "kafka-email"})


def test_licences_are_among_those_that_are_allowed(inside: list[Part]) -> None:
    allowed = set(re.findall(r'"([^"]+)"', re.search(r"^allow = \[.*$", (ROOT / "deny.toml").read_text(), re.M)[0]))
    # Older crates write a slash for OR.
    for crate in (part for part in inside if part.is_crate):
        needed = [one.strip("() ") for one in re.split(r" AND ", crate.licence)]
        assert all(any(choice.strip("() ") in allowed for choice in re.split(" OR |/", one)) for one in needed), crate


def test_there_is_one_pyo3(inside: list[Part]) -> None:
    assert len([part for part in inside if part.name == "pyo3"]) == 1


def test_the_licences_are_one_file_with_each_text_once(tmp_path: Path, inside: list[Part], monkeypatch) -> None:
    monkeypatch.setattr(licences, "parts", lambda _: inside)
    text = licences.write(tmp_path).read_text()
    for part in inside:
        assert f"  {licences.named(part)}: {part.licence}\n" in text
        assert all(file.read_text(errors="replace").strip() in text for file in part.texts)
    assert len(text) < sum(file.stat().st_size for part in inside for file in part.texts) / 2
    monkeypatch.setattr(licences, "parts", lambda _: [Part("nameless", "1", "MIT", ())])
    with pytest.raises(RuntimeError, match="nameless"):
        licences.write(tmp_path)


def test_the_bill_of_materials_names_the_c_libraries(tmp_path: Path, inside: list[Part], monkeypatch) -> None:

    monkeypatch.setattr(sbom, "parts", lambda _: inside)
    text = sbom.write(ROOT, tmp_path).read_text()
    bill = json.loads(text)
    versions = {component["name"]: component.get("version") for component in bill["components"]}
    lock = (ROOT / "Cargo.lock").read_text()
    for name, crate in (("librdkafka", "rdkafka-sys"), ("OpenSSL", "openssl-src"), ("zstd", "zstd-sys")):
        assert re.search(rf'name = "{crate}"\nversion = "[^"]*\+(zstd\.)?{re.escape(versions[name])}"', lock)
    assert re.fullmatch(r"\d+\.\d+(\.\d+)*", versions["zlib"])
    assert len(versions) == len(bill["components"])
    uses = {one["ref"]: set(one.get("dependsOn", ())) for one in bill["dependencies"]}
    assert uses.pop("librdkafka") == versions.keys() - {"librdkafka"}
    assert not any(uses.values())
    assert sbom.write(ROOT, tmp_path).read_text() == text


def test_a_wheel_written_anew_hides_the_build_and_is_the_same_each_time(tmp_path: Path, monkeypatch) -> None:

    place = tmp_path / "a-directory-of-the-build"
    monkeypatch.setattr(build, "PLACE", place)
    written = []
    for name, time, order in (("first", (1999, 1, 1, 0, 0, 0), 1), ("second", (2026, 2, 3, 4, 5, 6), -1)):
        place.mkdir()
        built = _wheel(tmp_path / name, {"p/m.so": f"\0{place}/lib\0", "p/m.py": "x = 1\n"}, time, order)
        target = tmp_path / f"{name}-target"
        target.mkdir()
        written.append(build._without_build_paths(built, target))
        place.rename(tmp_path / f"{name}-place")
    assert written[0].read_bytes() == written[1].read_bytes()
    with zipfile.ZipFile(written[0]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
    assert files["p/m.so"] == b"\0" + build.NOWHERE.encode().ljust(len(os.fsencode(place)), b"/") + b"/lib\0"
    assert files["p/m.py"] == b"x = 1\n"
    record = {
        name: (digest, size) for name, digest, size in csv.reader(StringIO(files["p-1.dist-info/RECORD"].decode()))
    }
    assert record.pop("p-1.dist-info/RECORD") == ("", "")
    assert record == _record({name: content for name, content in files.items() if not name.endswith("RECORD")})


def _wheel(directory: Path, files: dict[str, str], time: tuple[int, ...], order: int) -> Path:
    contents = {name: text.encode() for name, text in files.items()}
    contents["p-1.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-abi3-linux_x86_64\n"
    rows = [f"{name},{digest},{size}\n" for name, (digest, size) in _record(contents).items()]
    contents["p-1.dist-info/RECORD"] = "".join([*rows, "p-1.dist-info/RECORD,,\n"]).encode()
    directory.mkdir()
    wheel = directory / "p-1-cp310-abi3-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in list(contents)[::order]:
            entry = zipfile.ZipInfo(name, time)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, contents[name])
    return wheel


def _record(contents: dict[str, bytes]) -> dict[str, tuple[str, str]]:
    digests = {name: urlsafe_b64encode(sha256(content).digest()) for name, content in contents.items()}
    return {name: (f"sha256={digests[name].decode().rstrip('=')}", str(len(contents[name]))) for name in contents}
