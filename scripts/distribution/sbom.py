"""The C libraries inside the wheel as a CycloneDX bill of materials; maturin writes the one of the crates."""

from datetime import datetime, timezone
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL
from scripts.distribution import EPOCH
from scripts.distribution.parts import SEE_TEXT, Part, parts

NAME = "c-libraries.cyclonedx.json"

# Where a name is one by which scanners know vulnerabilities (https://github.com/package-url/purl-spec).
_PURLS = {
    "librdkafka": "pkg:github/confluentinc/librdkafka@v{}",
    "OpenSSL": "pkg:github/openssl/openssl@openssl-{}",
    "zstd": "pkg:github/facebook/zstd@v{}",
    "zlib": "pkg:github/madler/zlib@v{}",
    "lz4": "pkg:github/lz4/lz4@v{}",
    "cjson": "pkg:github/davegamble/cjson@v{}",
}


def write(source: Path, directory: Path) -> Path:
    """Write the bill of materials of what a source compiles."""
    libraries = {part.name: _component(part) for part in parts(source) if not part.is_crate}
    # A bill has a number and a time of its own. Here equal contents have equal ones, for the wheel to be reproducible.
    bill = Bom(
        serial_number=uuid5(NAMESPACE_URL, "\n".join(f"{one.name} {one.version}" for one in libraries.values())),
        metadata=BomMetaData(timestamp=datetime.fromtimestamp(EPOCH, timezone.utc)),
        components=libraries.values(),
    )
    # All others are inside because librdkafka uses them. Unless told, the bill says that nothing uses anything.
    bill.register_dependency(libraries.pop("librdkafka"), libraries.values())
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / NAME
    file.write_text(JsonV1Dot5(bill).output_as_string(indent=2) + "\n")
    return file


def _component(part: Part) -> Component:
    elsewhere = f"see {part.name} in licenses/THIRD-PARTY.txt"
    is_known = part.licence != SEE_TEXT
    licence = DisjunctiveLicense(id=part.licence) if is_known else DisjunctiveLicense(name=elsewhere)
    has_purl = part.version and part.name in _PURLS
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=part.name,
        name=part.name,
        version=part.version,
        purl=PackageURL.from_string(_PURLS[part.name].format(part.version)) if has_purl else None,
        licenses=[licence],
    )
