"""The licence texts of everything inside the wheel, in one file: `python -m scripts.distribution.licences`."""

import sys
from collections import defaultdict
from pathlib import Path

from scripts.distribution.parts import Part, parts

FILE = Path("licenses/THIRD-PARTY.txt")
"""Where it is made, seen from the source; `license-files` of pyproject.toml takes it into the wheel."""
_RULE = "=" * 100


def write(source: Path) -> Path:
    """Write the file, each text once, below the names of all that have it.

    Raises:
        RuntimeError: A part has no licence text.
    """
    inside = parts(source)
    without = [part.name for part in inside if not part.texts]
    if without:
        raise RuntimeError(f"no licence text found for {', '.join(without)}: look at its repository")
    file = source / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([_contents(inside), *_texts(inside)]), encoding="utf-8")
    return file


def named(part: Part) -> str:
    """How a part is named in the file."""
    return f"{part.name} {part.version}" if part.version else part.name


def _contents(inside: list[Part]) -> str:
    lines = [f"  {named(part)}: {part.licence}" for part in inside]
    return "\n".join(["kafka-email contains, compiled into its native module:", "", *lines, ""])


def _texts(inside: list[Part]) -> list[str]:
    owners = defaultdict[str, list[str]](list)
    for part in inside:
        for text in part.texts:
            owners[text.read_text(encoding="utf-8", errors="replace").strip()].append(named(part))
    return [f"{_RULE}\n{', '.join(names)}\n{_RULE}\n\n{text}\n" for text, names in owners.items()]


if __name__ == "__main__":
    print(write(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
