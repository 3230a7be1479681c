"""Which Rust file imports which, read from the sources.

A file is named by its path in `src/` without `.rs`: `producer/gate`, `kafka/mod`. Names are followed to the file that
defines them, so that what `mod.rs` hands on with `pub use` does not make `mod.rs` a part of every circle.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOP = "lib"
"""The file that declares the rooms."""

Sources = Mapping[str, str]
"""Texts by file."""
RustPath = tuple[str, ...]
"""The segments of a path in Rust. That of a module begins at the root of the crate."""


def room_of(file: str) -> str:
    """The folder of a file; empty for `TOP`, which is in no room."""
    return file.rpartition("/")[0]


def read_sources(folder: Path) -> dict[str, str]:
    """The Rust files of a folder."""
    found = sorted(folder.rglob("*.rs"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path.read_text() for path in found}


_TEXT = re.compile(
    r"""//[^\n]*|(?P<comment>/\*)
    |\b[bc]?r(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"
    |'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^\\'\n])'""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK_END = re.compile(r"/\*|\*/")


def without_text(source: str) -> str:
    """The source without comments, strings and characters."""
    kept, place = [], 0
    while found := _TEXT.search(source, place):
        kept.append(source[place : found.start()])
        place = _end_of_comment(source, found.end()) if found["comment"] else found.end()
    return " ".join([*kept, source[place:]])


def _end_of_comment(source: str, place: int) -> int:
    """Block comments nest."""
    depth = 1
    while depth and (found := _BLOCK_END.search(source, place)):
        depth += 1 if found[0] == "/*" else -1
        place = found.end()
    return place if not depth else len(source)


_ATTRIBUTE = r"#\s*\[[^\]]*\]\s*"
_ONLY_TESTS = re.compile(
    rf"#\s*\[\s*cfg\s*\(\s*(?:test|all\s*\(\s*test\b[^\]]*)\s*\)\s*\]\s*(?:{_ATTRIBUTE})*"
    r"(?:pub\s*(?:\([^)]*\)\s*)?)?(?:mod\s+(?P<module>\w+)|use|fn|impl|const|static|struct|enum|trait|type)\b"
)


def without_tests(code: str) -> tuple[str, frozenset[str]]:
    """The code without what is compiled for tests only, and the names of the modules in files that are."""
    modules = set()
    while found := _ONLY_TESTS.search(code):
        end = _end_of_item(code, found.end())
        if found["module"] and code[end - 1] == ";":
            modules.add(found["module"])
        code = code[: found.start()] + code[end:]
    return code, frozenset(modules)


def _end_of_item(code: str, place: int) -> int:
    """Behind the first semicolon, or behind the block that begins before it."""
    found = re.compile(r"[;{]").search(code, place)
    if found is None:
        return len(code)
    return found.end() if found[0] == ";" else _end_of_block(code, found.start())


def _end_of_block(code: str, begin: int) -> int:
    depth = 0
    for found in re.compile(r"[{}]").finditer(code, begin):
        depth += 1 if found[0] == "{" else -1
        if not depth:
            return found.end()
    return len(code)


@dataclass
class Scope:
    """What one module says: a file, or a module inside a file."""

    path: RustPath
    file: str
    names: dict[str, RustPath] = field(default_factory=dict)
    """What `use` declarations bring in, by the name that it has here."""
    exported: set[str] = field(default_factory=set)
    """The names among them that others may import from here."""
    everything_of: list[RustPath] = field(default_factory=list)
    """The modules that `use module::*` takes everything from."""
    defined: set[str] = field(default_factory=set)
    children: set[str] = field(default_factory=set)
    mentioned: set[RustPath] = field(default_factory=set)
    """Paths in the code itself, as they are written."""
    words: frozenset[str] = frozenset()


_MODULE = re.compile(r"\bmod\s+(\w+)\s*([;{])")
_USE = re.compile(r"(?P<public>\bpub\s*(?:\([^)]*\)\s*)?)?\buse\s+(?P<tree>[^;]+);")
_DEFINED = re.compile(
    r"\b(?:struct|enum|union|trait|type|const|static|fn|mod|macro_rules!)\s+(?:mut\s+)?(?:r#)?(\w+)", re.ASCII
)
_MENTIONED = re.compile(r"(?<![\w:])\$?[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)+")


def scopes(file: str, code: str) -> Iterator[Scope]:
    """The modules of a file, the inner ones too; `code` has no text and no tests any more."""
    yield from _scopes(_module_path(file), file, re.sub(r"\bpub\s*\(\s*in\b[^)]*\)", "pub(crate)", code))


def _module_path(file: str) -> RustPath:
    parts = tuple(file.split("/"))
    return () if file == TOP else parts[:-1] if parts[-1] == "mod" else parts


def _scopes(path: RustPath, file: str, code: str) -> Iterator[Scope]:
    scope, place = Scope(path, file), 0
    while found := _MODULE.search(code, place):
        scope.children.add(found[1])
        place = found.end()
        if found[2] == "{":
            end = _end_of_block(code, found.end() - 1)
            yield from _scopes((*path, found[1]), file, code[found.end() : end - 1])
            code = code[: found.end()] + code[end - 1 :]
    scope.defined = set(_DEFINED.findall(code))
    for found in _USE.finditer(code):
        for name, imported in _leaves(found["tree"]):
            if name == "*":
                scope.everything_of.append(imported)
            else:
                scope.names[name] = imported
                if found["public"]:
                    scope.exported.add(name)
    body = _USE.sub("", code)
    scope.mentioned = {tuple(re.split(r"\s*::\s*", path.lstrip("$"))) for path in _MENTIONED.findall(body)}
    scope.words = frozenset(re.findall(r"\w+", body))
    yield scope


def _leaves(tree: str) -> Iterator[tuple[str, RustPath]]:
    """Name and path of everything in a `use` tree: `a::{b, c as d}` gives b with (a, b) and d with (a, c)."""
    head, brace, rest = tree.partition("{")
    prefix = tuple(part for part in re.split(r"\s*::\s*", head.strip()) if part)
    if brace:
        for branch in _branches(rest.rpartition("}")[0]):
            for name, path in _leaves(branch):
                yield (prefix[-1], prefix) if path == ("self",) else (name, (*prefix, *path))
        return
    *before, last = prefix
    last, _, renamed = (part.strip() for part in last.partition(" as "))
    if last == "*":
        yield "*", tuple(before)
    elif last == "self" and before:
        yield renamed or before[-1], tuple(before)
    else:
        yield renamed or last, (*before, last)


def _branches(inner: str) -> Iterator[str]:
    """The parts between the commas that stand in no inner braces."""
    depth, begin = 0, 0
    for place, character in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            yield inner[begin:place].strip()
            begin = place + 1
    if inner[begin:].strip():
        yield inner[begin:].strip()


class Crate:
    """All modules of the sources, and where their paths lead."""

    def __init__(self, sources: Sources) -> None:
        """Takes the texts of the files; those that only tests need are left out."""
        codes: dict[str, str] = {}
        skipped: set[RustPath] = set()
        for file, source in sources.items():
            codes[file], tests = without_tests(without_text(source))
            skipped |= {(*_module_path(file), name) for name in tests}
        self.files = [file for file in codes if not _is_below(_module_path(file), skipped)]
        self.modules = {scope.path: scope for file in self.files for scope in scopes(file, codes[file])}

    def imports(self) -> dict[str, frozenset[str]]:
        """The files that each file needs, itself aside."""
        needed: dict[str, set[str]] = {file: set() for file in self.files}
        for scope in self.modules.values():
            needed[scope.file] |= self._needed(scope)
        return {file: frozenset(others - {file}) for file, others in needed.items()}

    def _needed(self, scope: Scope) -> set[str]:
        """Without the names that are only handed on within a room: `pub use gate::Gate` in `mod.rs` is an address."""
        found = set[str]()
        for name, path in scope.names.items():
            file = self._file_of(scope, path)
            is_handed_on = name in scope.exported and name not in scope.words
            if file and not (is_handed_on and room_of(file) == room_of(scope.file)):
                found.add(file)
        for path in scope.mentioned:
            file = self._file_of(scope, path)
            if file:
                found.add(file)
        for path in scope.everything_of:
            found |= self._files_of_everything(scope, path)
        return found

    def _files_of_everything(self, scope: Scope, path: RustPath) -> set[str]:
        module = self._absolute(scope, path)
        if module not in self.modules:
            file = self._file_of(scope, path)
            return {file} if file else set()
        source = self.modules[module]
        names = (source.defined | source.exported | source.children) & scope.words
        return {file for name in names if (file := self._resolved((*module, name)))}

    def _file_of(self, scope: Scope, path: RustPath) -> str | None:
        absolute = self._absolute(scope, path)
        return None if absolute is None else self._resolved(absolute)

    def _absolute(self, scope: Scope, path: RustPath, depth: int = 0) -> RustPath | None:
        """The path from the root of the crate; None for another crate, and for what is no module's."""
        first, rest = path[0], path[1:]
        if first == "crate":
            return rest
        if first == "self":
            return (*scope.path, *rest)
        if first == "super":
            base = scope.path[:-1]
            while rest[:1] == ("super",):
                base, rest = base[:-1], rest[1:]
            return (*base, *rest)
        if first in scope.children:
            return (*scope.path, first, *rest)
        if first in scope.names and scope.names[first] != path and depth < _DEEPEST:
            start = self._absolute(scope, scope.names[first], depth + 1)
            return None if start is None else (*start, *rest)
        return None

    def _resolved(self, path: RustPath, depth: int = 0) -> str | None:
        """The file that defines what a path names; names that a module imports itself are followed."""
        length = next(length for length in range(len(path), -1, -1) if path[:length] in self.modules)
        module, rest = self.modules[path[:length]], path[length:]
        if rest and depth < _DEEPEST and rest[0] not in module.defined:
            followed = module.names.get(rest[0])
            start = followed and self._absolute(module, followed)
            if start is not None:
                return self._resolved((*start, *rest[1:]), depth + 1)
            for everything in module.everything_of:
                inner = self._absolute(module, everything)
                if inner in self.modules and rest[0] in self.modules[inner].defined:
                    return self._resolved((*inner, *rest), depth + 1)
        # A folder by its own name is no import yet: what is used of it follows.
        is_folder = not rest and module.file == "/".join((*path, "mod"))
        return None if is_folder else module.file


_DEEPEST = 8
"""Names of names; more of them go round in a circle."""


def _is_below(path: RustPath, tops: set[RustPath]) -> bool:
    return any(path[: len(top)] == top for top in tops)
