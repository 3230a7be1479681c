"""The code blocks of the documents."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is where its code begins."""

    document: Path
    line: int
    language: str
    code: str


def blocks(document: Path, language: str | None = None) -> list[Block]:
    """All blocks of a document, or those in one language."""
    text = document.read_text()
    found = [
        Block(document, text.count("\n", 0, match.start()) + 2, match[1], match[2]) for match in _FENCE.finditer(text)
    ]
    assert text.count("```") == 2 * len(found), f"{document.name}: a code fence is not closed, or not at a line's start"
    return [block for block in found if language in (None, block.language)]


def table(document: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without the table's head."""
    _, _, below = document.read_text().partition(f"\n## {heading}\n")
    rows = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
