"""The rooms of `src/` import each other in the directions that ARCHITECTURE.md draws, and nothing makes a circle."""

from itertools import pairwise
from pathlib import Path

import pytest

from support.rooms import ROOT, circles, directions, files_with, room_graph, too_long, wrong_directions, wrong_names
from support.rust import Crate, read_sources, room_of, without_text

# The sources.

SOURCES = read_sources(ROOT / "src")
IMPORTS = Crate(SOURCES).imports()


@pytest.fixture
def allowed() -> dict[str, tuple[str, ...]]:
    return directions((ROOT / "ARCHITECTURE.md").read_text())


def test_every_import_between_rooms_is_allowed(allowed: dict[str, tuple[str, ...]]) -> None:
    assert wrong_directions(IMPORTS, allowed) == []


def test_every_room_has_a_line_and_every_line_a_room(allowed: dict[str, tuple[str, ...]]) -> None:
    assert wrong_names(list(IMPORTS), allowed) == []


def test_rooms_make_no_circle() -> None:
    assert circles(room_graph(IMPORTS)) == []


def test_files_make_no_circle() -> None:
    assert circles(IMPORTS) == []


def test_only_the_border_knows_python() -> None:
    assert {file for file in files_with(SOURCES, "pyo3") if room_of(file) != "python"} <= {"lib"}


def test_only_librdkafka_is_unsafe() -> None:
    assert {room_of(file) for file in files_with(SOURCES, "unsafe")} == {"kafka/librdkafka"}


def test_no_file_is_too_long() -> None:
    assert too_long([ROOT / "src", ROOT / "python"]) == []


# What the checks find, in sources made up for it.

HOUSE = {
    "lib": "pub mod kafka;\npub mod producer;\npub mod python;\npub use python::_core;",
    "kafka/mod": "pub(crate) mod failure;\npub mod librdkafka;\npub(crate) use failure::{Failure, Kind};",
    "kafka/failure": "use super::librdkafka::Code;\npub(crate) struct Failure(Kind);\npub(crate) enum Kind {}",
    "kafka/librdkafka/mod": "mod client;\npub use rdkafka::Code;\npub use client::Client;",
    "kafka/librdkafka/client": "use super::Code;\npub struct Client;\nfn call() { unsafe { sys::call() } }",
    "producer/mod": "mod gate;\nmod handle;\npub(crate) use handle::Handle;",
    "producer/gate": "use std::{cell::Cell, sync::Arc};\npub(super) struct Gate;",
    "producer/handle": "use super::gate::{self, Gate};\nuse crate::kafka::{librdkafka::Client, Failure as Broken};\n"
    "pub(crate) struct Handle(Gate);",
    "python/mod": "#[pyo3::pymodule]\npub mod _core {\n    use crate::producer::Handle;\n}",
}
DOCUMENT = """
## Rooms

```text
kafka -> kafka/librdkafka
kafka/librdkafka -> nothing
producer -> kafka, kafka/librdkafka
python -> everything
```

## Threads
"""


def imports(**changes: str) -> dict[str, frozenset[str]]:
    """What the files of the house import when something is added to them; `__` stands for `/`."""
    added = {name.replace("__", "/"): text for name, text in changes.items()}
    return Crate({name: HOUSE.get(name, "") + "\n" + added.get(name, "") for name in {**HOUSE, **added}}).imports()


def test_imports_are_followed_to_the_file_that_defines_a_name() -> None:
    assert imports() == {
        "lib": {"python/mod"},
        "kafka/mod": set(),
        "kafka/failure": {"kafka/librdkafka/mod"},
        "kafka/librdkafka/mod": set(),
        "kafka/librdkafka/client": {"kafka/librdkafka/mod"},
        "producer/mod": set(),
        "producer/gate": set(),
        "producer/handle": {"producer/gate", "kafka/librdkafka/client", "kafka/failure"},
        "python/mod": {"producer/handle"},
    }


@pytest.mark.parametrize(
    "code",
    [
        "use super::gate::Gate;",
        "use crate::producer::gate;",
        "use crate::{kafka::Failure, producer::{gate::{self, Gate as Way}}};",
        "pub(in crate::producer) use super::gate::Gate;\nfn f() -> Gate {}",
        "fn f() { super::gate::open() }",
        "fn f() { use crate::producer::gate::open; }",
        "mod inner { use super::super::gate::Gate; }",
        "mod inner { fn f() -> super::super::gate::Gate {} }",
        "use crate::producer;\nfn f() -> producer::gate::Gate {}",
        "use super::gate::*;\nfn f() -> Gate {}",
        "macro_rules! open { () => { $crate::producer::gate::open() } }",
        "fn f<'a>(c: char) -> &'a str { if c == '\"' { super::gate::open() } else { \"\" } }",
        "/* a /* nested */ comment */ use super::gate::Gate;",
        "#[cfg(unix)] use super::gate::Gate;",
        "#[cfg(not(test))] mod inner { use super::super::gate::Gate; }",
    ],
)
def test_an_import_in_any_form_is_found(code: str) -> None:
    assert imports(producer__new=code)["producer/new"] >= {"producer/gate"}


@pytest.mark.parametrize(
    "code",
    [
        "// use super::gate::Gate;",
        "/* a /* nested */ use super::gate::Gate; */",
        'fn f() -> &str { "use super::gate::Gate; \\" super::gate::open()" }',
        'fn f() -> &str { r#"a " quote; use super::gate::Gate;"# }',
        "#[cfg(test)]\nmod tests {\n    fn f() { if true {} super::super::gate::open() }\n}",
        "#[cfg(test)] mod tests { use super::super::gate::Gate; }",
        "#[cfg(test)]\n#[allow(dead_code)]\npub(crate) fn f() { super::gate::open() }",
        "#[cfg(all(test, loom))]\nuse super::gate::Gate;",
        "pub(in crate::producer::gate) struct New;",
        "use gate::Gate;",
        "fn f() { std::mem::drop(gate::open()) }",
        "use super::gate::*;",
    ],
)
def test_what_is_no_import_is_not_found(code: str) -> None:
    assert imports(producer__new=code)["producer/new"] == set()


def test_files_that_only_tests_have_are_left_out() -> None:
    found = imports(producer__gate="#[cfg(test)]\nmod tests;", producer__gate__tests="use crate::python::_core;")
    assert found == imports()


def test_a_name_that_is_handed_on_is_an_import_if_it_is_used_or_comes_from_another_room() -> None:
    assert imports(kafka__mod="fn f() -> Kind {}")["kafka/mod"] == {"kafka/failure"}
    assert imports(producer__mod="pub use crate::kafka::Kind;")["producer/mod"] == {"kafka/failure"}


def test_an_arrow_that_the_document_does_not_have() -> None:
    allowed = directions(DOCUMENT)
    assert wrong_directions(imports(), allowed) == []
    assert wrong_directions(imports(kafka__failure="use crate::producer::Handle;"), allowed) == [
        "kafka/failure -> producer/handle"
    ]
    assert wrong_directions(imports(producer__gate="use crate::_core;"), allowed) == ["producer/gate -> python/mod"]
    assert wrong_directions(imports(lib="pub struct Top;", python__new="use crate::Top;"), allowed) == [
        "python/new -> lib"
    ]


def test_a_line_of_a_file_and_a_file_on_a_line() -> None:
    found = imports(producer__gate="use crate::kafka::Kind;")
    only_files = {
        "producer": ["kafka/librdkafka/client", "kafka/failure"],
        "python": ["producer"],
        "kafka": ["everything"],
    }
    assert wrong_directions(found, only_files) == []
    assert wrong_directions(found, {**only_files, "producer/gate": []}) == ["producer/gate -> kafka/failure"]


def test_a_room_without_a_line_and_a_line_without_a_room() -> None:
    files = list(imports(worker__page=""))
    assert wrong_names(list(imports()), directions(DOCUMENT)) == []
    assert wrong_names(files, directions(DOCUMENT)) == ["worker has no line"]
    assert wrong_names(files, {**directions(DOCUMENT), "worker": ("smtp", "kafka/failure")}) == ["smtp is no room"]


def test_a_document_without_rooms_allows_nothing() -> None:
    assert directions("# Architecture\n") == {}
    assert wrong_directions(imports(), {}) != []


@pytest.mark.parametrize("line", ["kafka -> nothing", "kafka"])
def test_a_line_that_says_nothing_or_says_it_again(line: str) -> None:
    with pytest.raises(ValueError, match="kafka"):
        directions(DOCUMENT.replace("python -> everything", line))


def test_a_circle_of_files_within_a_room() -> None:
    assert circles(imports()) == []
    (circle,) = circles(imports(producer__gate="use super::Handle;"))
    assert sorted(circle[1:]) == ["producer/gate", "producer/handle"]
    assert circle[0] == circle[-1]


def test_a_circle_of_rooms_whose_files_make_none() -> None:
    found = imports(kafka__health="use crate::producer::gate::Gate;")
    assert circles(found) == []
    assert [sorted(circle[1:]) for circle in circles(room_graph(found))] == [["kafka", "producer"]]


def test_every_circle_is_found_one_way_only() -> None:
    graph = {"a": {"b", "c"}, "b": {"a"}, "c": {"d"}, "d": {"c", "e"}, "e": set()}
    found = circles({node: frozenset(others) for node, others in graph.items()})
    assert sorted(tuple(sorted(set(circle))) for circle in found) == [("a", "b"), ("c", "d")]
    assert all(later in graph[earlier] for circle in found for earlier, later in pairwise(circle))


def test_words_count_in_code_only() -> None:
    sources = {"a": "use pyo3::Python;", "b": "// no pyo3\n", "c": 'panic!("pyo3")', "d": "#![deny(unsafe_code)]"}
    assert files_with(sources, "pyo3") == {"a"}
    assert files_with({**sources, "e": "#[cfg(test)] mod tests { fn f() { unsafe {} } }"}, "unsafe") == {"e"}


def test_characters_are_no_strings_and_lifetimes_no_characters() -> None:
    code = """fn f<'a, 'b>(x: &'a str) { g('"', '\\'', b'"', '\\u{22}', "'") } // '"'"""
    assert " ".join(without_text(code).split()) == "fn f<'a, 'b>(x: &'a str) { g( , , b , , ) }"


def test_a_file_of_more_lines_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.rooms.ROOT", tmp_path)
    for name, lines in {"short.rs": 400, "long.rs": 401, "long.py": 401, "long.pyi": 401, "long.md": 401}.items():
        (tmp_path / name).write_text("\n" * lines)
    assert too_long([tmp_path]) == ["long.rs has 401 lines", "long.py has 401 lines"]
