"""`make mutants` could run: each fault fits the sources and names a test that exists. It takes too long to run here."""

import re
from pathlib import Path

import pytest
from scripts import mutants

ROOT = Path(__file__).parents[2]
ALL = mutants.mutants()
HARMLESS = """Nothing changes.

Killed by: {test}

--- a/python/kafka_email/topics.py
+++ b/python/kafka_email/topics.py
@@ -1 +1 @@
-{before}
+{before} The end.
"""
FIRST_LINE = (ROOT / "python" / "kafka_email" / "topics.py").read_text().splitlines()[0]
QUICK = "tests/package/test_surface.py::test_there_is_one_manager"


def test_there_are_some_of_each_kind() -> None:
    assert {mutant.is_rust for mutant in ALL} == {True, False}


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_fault_fits_the_sources(mutant: mutants.Mutant) -> None:
    mutants.apply(mutant, ROOT, dry=True)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_fault_names_a_test_that_exists(mutant: mutants.Mutant) -> None:
    if mutant.is_rust:
        module = mutant.test.removeprefix(mutants.RUST).replace("::", "/")
        sources = [*ROOT.glob(f"src/{module}.rs"), *ROOT.glob(f"src/{module}/**/*.rs")]
        assert any("#[test]" in source.read_text() for source in sources), module
    else:
        file, _, name = mutant.test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), mutant.test


@pytest.fixture
def patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mutants, "PATCHES", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "told"),
    [(FIRST_LINE, f"harmless: SURVIVES {QUICK}"), ("no such line", "harmless.patch does not apply any more")],
)
def test_a_fault_that_nothing_notices_is_told(
    before: str, told: str, patches: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (patches / "harmless.patch").write_text(HARMLESS.format(test=QUICK, before=before))
    assert mutants.main([]) == 1
    assert told in capsys.readouterr().out


def test_a_test_that_does_not_exist_is_told(patches: Path) -> None:
    (patches / "harmless.patch").write_text(HARMLESS.format(test=f"{QUICK}_or_two", before=FIRST_LINE))
    with pytest.raises(RuntimeError, match="was not run"):
        mutants.main([])


def test_a_fault_without_words_is_refused(patches: Path) -> None:
    (patches / "wordless.patch").write_text(HARMLESS.format(test=QUICK, before=FIRST_LINE).partition("\n\n")[2])
    with pytest.raises(ValueError, match=r"wordless\.patch"):
        mutants.main([])
