"""The directions between the rooms of `src/` that ARCHITECTURE.md allows, and what breaks them.

A room is a folder of `src/`. `python -m support.rooms`, in the folder `tests`, shows the arrows between the rooms of
today's sources and everything that is wrong with them.
"""

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from support.rust import TOP, Crate, Sources, read_sources, room_of, without_text

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 400

Graph = Mapping[str, frozenset[str]]
Directions = Mapping[str, Sequence[str]]
"""The names that may stand behind `use`, by room or file."""


def directions(document: str) -> dict[str, tuple[str, ...]]:
    """The lines `room -> room, room` of the first fenced block below the heading `## Rooms`."""
    below = document.partition("\n## Rooms\n")[2].partition("\n## ")[0]
    block = re.search(r"^```text\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
    lines = block[1].splitlines() if block else []
    allowed = {}
    for line in filter(str.strip, lines):
        room, arrow, others = (part.strip() for part in line.partition("->"))
        if not arrow or room in allowed:
            raise ValueError(f"no direction, or a second one of the same room: {line}")
        allowed[room] = tuple(other.strip() for other in others.split(",") if other.strip() != "nothing")
    return allowed


def rooms(files: Sequence[str]) -> set[str]:
    """The folders that have files."""
    return {room_of(file) for file in files} - {""}


def room_graph(imports: Graph) -> dict[str, frozenset[str]]:
    """The rooms that each room imports from."""
    return {
        room: frozenset(
            room_of(other) for file in imports if room_of(file) == room for other in imports[file] if other != TOP
        )
        - {room}
        for room in sorted(rooms(list(imports)))
    }


def wrong_directions(imports: Graph, allowed: Directions) -> list[str]:
    """The imports between rooms that no line allows. A file's own line counts in place of its room's."""
    wrong = []
    for file in sorted(imports):
        names = allowed.get(file, allowed.get(room_of(file), ()))
        for other in sorted(imports[file]):
            is_allowed = "everything" in names or room_of(other) in names or other in names
            if room_of(file) and room_of(file) != room_of(other) and not (is_allowed and other != TOP):
                wrong.append(f"{file} -> {other}")
    return wrong


def wrong_names(files: Sequence[str], allowed: Directions) -> list[str]:
    """The rooms without a line, and the names that are neither a room nor a file."""
    known = rooms(files)
    named = {name for room, others in allowed.items() for name in (room, *others)} - {"everything"}
    return [
        *(f"{room} has no line" for room in sorted(known - set(allowed))),
        *(f"{name} is no room" for name in sorted(named - known - set(files))),
    ]


def circles(graph: Graph) -> list[list[str]]:
    """Ways that end where they begin; without the first arrow of each there is none any more."""
    left = {node: set(others) for node, others in graph.items()}
    found = []
    while way := _circle(left):
        found.append(way)
        left[way[0]].remove(way[1])
    return found


def _circle(graph: Mapping[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        way: list[str] = error.args[1][::-1]
        return way
    return None


def files_with(sources: Sources, word: str) -> set[str]:
    """The files whose code has a word; comments and strings are no code, tests are."""
    return {file for file, source in sources.items() if re.search(rf"\b{word}\b", without_text(source))}


def too_long(folders: Sequence[Path]) -> list[str]:
    """The Rust and Python files of more than `LONGEST` lines. A stub is as long as its module's interface."""
    files = [file for folder in folders for suffix in ("rs", "py") for file in sorted(folder.rglob(f"*.{suffix}"))]
    lines = {file: len(file.read_text().splitlines()) for file in files}
    return [f"{file.relative_to(ROOT)} has {count} lines" for file, count in lines.items() if count > LONGEST]


def main() -> None:
    """Prints the arrows between rooms, and what is wrong."""
    sources = read_sources(ROOT / "src")
    imports = Crate(sources).imports()
    allowed = directions((ROOT / "ARCHITECTURE.md").read_text())
    for room, others in room_graph(imports).items():
        print(f"{room} -> {', '.join(sorted(others)) or 'nothing'}")
    wrong = {
        "imports that no line allows": wrong_directions(imports, allowed),
        "names in ARCHITECTURE.md": wrong_names(list(imports), allowed),
        "circles of rooms": [" -> ".join(circle) for circle in circles(room_graph(imports))],
        "circles of files": [" -> ".join(circle) for circle in circles(imports)],
        "pyo3": sorted(files_with(sources, "pyo3")),
        "unsafe": sorted(files_with(sources, "unsafe")),
        "too long": too_long([ROOT / "src", ROOT / "python"]),
    }
    for title, lines in wrong.items():
        print(f"\n{title}:", *(lines or ["none"]), sep="\n  ")


if __name__ == "__main__":
    main()
