"""What is inside the wheel, as far as it can be told without building it; `make wheel` checks the wheel itself."""

import json
import re
from pathlib import Path

import pytest
from scripts.distribution import licences, sbom
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
    for crate in (part for part in inside if part.is_crate):
        needed = [one.strip("() ") for one in re.split(r" AND ", crate.licence)]
        assert all(any(choice.strip("() ") in allowed for choice in one.split(" OR ")) for one in needed), crate


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
    bill = json.loads(sbom.write(ROOT, tmp_path).read_text())
    versions = {component["name"]: component.get("version") for component in bill["components"]}
    lock = (ROOT / "Cargo.lock").read_text()
    for name, crate in (("librdkafka", "rdkafka-sys"), ("OpenSSL", "openssl-src"), ("zstd", "zstd-sys")):
        assert re.search(rf'name = "{crate}"\nversion = "[^"]*\+(zstd\.)?{re.escape(versions[name])}"', lock)
    assert re.fullmatch(r"\d+\.\d+(\.\d+)*", versions["zlib"])
    assert len(versions) == len(bill["components"])
