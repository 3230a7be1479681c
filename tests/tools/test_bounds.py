"""What the benchmark makes of its measurements: medians, spreads, bounds and tables."""

import json
from typing import Any

import pytest
from benches import bounds, plan, report
from benches.bounds import Bound
from benches.summary import Results, Spread

OURS, RIVAL, OTHER = "throughput/ours/best/1000", "throughput/original/best/1000", "throughput/celery_redis/best/1000"


def results(**runs: list[dict[str, Any]]) -> Results:
    named = {"ours": OURS, "rival": RIVAL, "other": OTHER}
    return Results({}, {}, is_quick=False, rounds=3, runs={named[name]: each for name, each in runs.items()})


def rates(*values: float) -> list[dict[str, Any]]:
    return [{"per_second": value} for value in values]


def bound(**limits: Any) -> Bound:
    return Bound.parse({"name": "a bound", "measure": f"{OURS} per_second", **limits})


def test_the_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds():
    measured = results(ours=rates(100, 300, 200), rival=rates(10, 20, 40))
    verdict = bounds.judged(bound(against=f"{RIVAL} per_second", at_least=10), measured)
    assert verdict.ratio == Spread(10, 5, 15)
    assert str(verdict) == "met     a bound: 10 (5 to 15), at least 10"


def test_the_best_of_several_rivals_counts():
    measured = results(ours=rates(100), rival=rates(10), other=rates(25))
    against = [f"{RIVAL} per_second", f"{OTHER} per_second"]
    assert bounds.judged(bound(against=against, at_least=5), measured).word == "missed"
    assert bounds.judged(bound(against=against, at_most=9), measured).word == "missed"


def test_a_number_can_be_what_is_compared_with():
    verdict = bounds.judged(bound(against=50, at_most=2), results(ours=rates(80, 100, 120)))
    assert (verdict.word, verdict.ratio) == ("met", Spread(2, 1.6, 2.4))


def test_a_measure_may_be_so_much_more_than_another_in_its_unit():
    measured = results(ours=rates(12, 10, 14), rival=rates(10, 11, 10))
    verdict = bounds.judged(bound(against=f"{RIVAL} per_second", at_most_above=2.5), measured)
    assert verdict.ratio == Spread(2, -1, 4)
    assert str(verdict) == "met     a bound: 2 (-1 to 4), at most + 2.5"
    assert bounds.judged(bound(against=f"{RIVAL} per_second", at_most_above=1.5), measured).word == "missed"


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert (
        bounds.judged(bound(against=f"{RIVAL} per_second", at_least=1), results(ours=rates(1))).word == "not measured"
    )


def test_percentiles_are_those_of_the_samples_of_all_rounds():
    measured = results(ours=[{"latencies_ms": [1.0] * 99 + [9.0]}, {"latencies_ms": [1.0] * 100}])
    assert measured.spread(OURS, "p99_ms") == Spread(1.0, 1.0, 9.0)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"failed": "no route"}, "failed: no route"),
        ({"failures": 2, "first_error": "full", "successes": 1, "stored": 1}, "2 publishes failed: full"),
        ({"successes": 5, "stored": 4}, "the broker has 4 records of 5 acknowledged"),
        ({"successes": 5, "stored": 5}, None),
    ],
)
def test_trouble_is_told_below_the_table(run: dict[str, Any], told: str | None):
    measured = results(ours=[run])
    assert measured.trouble(OURS) == told
    assert (f"- {OURS}: {told}" in report.tables(measured)) == (told is not None)


def test_a_table_has_a_row_for_each_client_and_a_failed_one_stays():
    lines = report.tables(results(ours=rates(1000, 3000, 2000), rival=[{"failed": "no route"}]))
    assert "| kafka-email | best | 2,000 (1,000 to 3,000) |" in lines
    assert "| original (Pydantic, aiokafka) | best | failed |" in lines


def test_a_table_leaves_out_what_does_not_have_its_field():
    lines = report.tables(results(ours=rates(1000), rival=[{"cpu_per_100k": 2.0}]))
    assert [line for line in lines if "best" in line] == [
        "| kafka-email | best | 1,000 |",
        "| original (Pydantic, aiokafka) | best | 2 |",
    ]
    assert not any("peak memory" in line for line in lines)


def test_what_stands_around_the_generated_part_stays(tmp_path, monkeypatch):
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    report.write(results(ours=rates(1, 2, 3)))
    text = page.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "| kafka-email | best |" in text
    assert "old\n" not in text


def test_every_bound_names_cases_that_are_planned():
    planned = {case.name for case in (*plan.full(None).cases, *plan.quick(None).cases)}
    entries = [Bound.parse(entry) for entry in json.loads(bounds.FILE.read_text())]
    measures = [measure for each in entries for measure in (each.measure, *each.against) if isinstance(measure, str)]
    assert {measure.rpartition(" ")[0] for measure in measures} <= planned


def test_no_two_cases_share_a_name():
    for cases in (plan.full(None).cases, plan.quick(None).cases):
        assert len({case.name for case in cases}) == len(cases)
