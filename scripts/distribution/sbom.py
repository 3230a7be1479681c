"""The C libraries inside the wheel as a CycloneDX bill of materials; maturin writes the one of the crates."""

import json
from pathlib import Path
from typing import Any

from scripts.distribution.parts import SEE_TEXT, Part, parts

NAME = "c-libraries.cyclonedx.json"

# Where a name is one by which scanners know vulnerabilities (https://github.com/package-url/purl-spec).
_PURLS = {
    "librdkafka": "pkg:github/confluentinc/librdkafka@v{}",
    "OpenSSL": "pkg:github/openssl/openssl@openssl-{}",
    "zstd": "pkg:github/facebook/zstd@v{}",
    "zlib": "pkg:github/madler/zlib@v{}",
    "lz4": "pkg:github/lz4/lz4@v{}",
    "cjson": "pkg:github/DaveGamble/cJSON@v{}",
}


def write(source: Path, directory: Path) -> Path:
    """Write the bill of materials of what a source compiles."""
    libraries = [_component(part) for part in parts(source) if not part.is_crate]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": libraries}
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / NAME
    file.write_text(json.dumps(bill, indent=2) + "\n")
    return file


def _component(part: Part) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "library", "bom-ref": part.name, "name": part.name}
    if part.version:
        component["version"] = part.version
    if part.version and part.name in _PURLS:
        component["purl"] = _PURLS[part.name].format(part.version)
    is_known = part.licence != SEE_TEXT
    licence = {"id": part.licence} if is_known else {"name": f"see {part.name} in licenses/THIRD-PARTY.txt"}
    return component | {"licenses": [{"license": licence}]}
