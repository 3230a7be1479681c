"""The move of an application: each call goes to one of two tasks."""

import asyncio
import pickle
from typing import Any

import pytest
from celery import Celery
from doubles import FakePublishers, OldTask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kafka_email import KafkaError, KafkaTimeoutError, ProducerClosedError, QueueFullError
from kafka_email.celery import EmailFields, EmailResult, email_task, moving
from kafka_email.testing import capture_events


@email_task("welcome")
def welcome(recipient: str, plan: str = "free") -> None:
    """Welcome a user."""


@email_task("welcome", wait=False)
def without_waiting(recipient: str, plan: str = "free") -> None: ...


PEOPLE = [f"user{number}@gmail.com" for number in range(400)]
NOT_STORED = KafkaError("refused", code="POLICY_VIOLATION")
MAYBE_STORED = KafkaTimeoutError("late", code="REQUEST_TIMED_OUT", maybe_delivered=True)


def moved(task: Any, publishers: FakePublishers, old: OldTask) -> set[str]:
    """Whom the new task serves; asserts that the old one serves all others."""
    publishers.published.clear()
    old.calls.clear()
    for recipient in PEOPLE:
        task.delay(recipient)
    new = {publication.fields["email"] for publication in publishers.published}
    assert [args[0] for _, args, _ in old.calls] == [recipient for recipient in PEOPLE if recipient not in new]
    assert len(publishers.published) == len(new)
    return new


def test_a_share_only_grows(publishers: FakePublishers, old: OldTask) -> None:
    before: set[str] = set()
    for share in (0, 0.05, 0.3, 0.31, 0.8, 1):
        now = moved(moving(old=old, new=welcome, share=share), publishers, old)
        assert before <= now
        assert len(now) == pytest.approx(share * len(PEOPLE), abs=60)
        before = now
    assert before == set(PEOPLE)
    assert moved(moving(old=old, new=welcome), publishers, old) == set()


def test_a_recipient_stays_whatever_the_call_looks_like(publishers: FakePublishers, old: OldTask) -> None:
    half = moving(old=old, new=welcome, share=0.5)
    for recipient in PEOPLE[:50]:
        old.calls.clear()
        publishers.published.clear()
        half.delay(recipient, "paid")
        half.delay(plan="paid", recipient=recipient)
        half.delay(recipient.upper())
        half.apply_async([recipient], {"plan": "paid"}, expires=60)
        half.apply((recipient,))
        half(recipient)
        asyncio.run(half.adelay(recipient))
        assert sorted([len(old.calls), len(publishers.published)]) == [0, 7]


def test_the_share_is_read_at_each_call(
    publishers: FakePublishers, old: OldTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0, 1, 0])
    called = moving(old=old, new=welcome, share=lambda: next(shares))
    for _ in range(3):
        called.delay("ann@gmail.com")
    assert (len(publishers.published), len(old.calls)) == (1, 2)

    from_variable = moving(old=old, new=welcome, share="WELCOME_SHARE")
    from_variable.delay("ann@gmail.com")
    assert len(old.calls) == 3
    for text, expected in (("1", 400), ("0", 0), ("0.0", 0), ("1.0", 400), (" 1 ", 400)):
        monkeypatch.setenv("WELCOME_SHARE", text)
        assert len(moved(from_variable, publishers, old)) == expected


@pytest.mark.parametrize("text", ["", "all", "2", "-0.1", "nan", "5%"])
def test_a_variable_that_is_no_share(
    publishers: FakePublishers, old: OldTask, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WELCOME_SHARE", text)
    with pytest.raises(ValueError, match="WELCOME_SHARE must be a number from 0 to 1"):
        moving(old=old, new=welcome, share="WELCOME_SHARE").delay("ann@gmail.com")
    assert (publishers.published, old.calls) == ([], [])


@pytest.mark.parametrize("options", [{"share": 1.1}, {"share": -1}, {"share": float("nan")}, {"shadow": "not a topic"}])
def test_mistakes_are_found_at_import(old: OldTask, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 1|topic name"):
        moving(old=old, new=welcome, **options)


def test_the_new_task_is_one_of_ours(old: OldTask) -> None:
    with pytest.raises(TypeError, match="email_task"):
        moving(old=welcome, new=old)


def test_a_share_of_nothing_leaves_every_call_alone(publishers: FakePublishers, old: OldTask) -> None:
    nothing = moving(old=old, new=welcome)
    nothing.delay("no", "such", signature=True)
    nothing.apply_async(("a",), {"plan": 1}, countdown=60, link="x")
    nothing.apply_async(["a"], task_id="id-1")
    assert old.calls == [
        ("delay", ("no", "such"), {"signature": True}),
        ("apply_async", (("a",), {"plan": 1}), {"countdown": 60, "link": "x"}),
        ("apply_async", (["a"], None), {"task_id": "id-1"}),
    ]


def test_results_are_those_of_the_task_that_was_called(publishers: FakePublishers, old: OldTask) -> None:
    everything = moving(old=old, new=welcome, share=1)
    assert everything.apply_async(["a"], task_id="id-1").id == "id-1"
    assert everything.apply(["a"], task_id="id-2").get().event_id == "id-2"
    assert everything("a").offset == 3
    assert (old.calls, len(publishers.published)) == ([], 3)
    assert moving(old=old, new=welcome).delay("a") == "old result"


def test_a_real_celery_task(publishers: FakePublishers) -> None:
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=True, task_eager_propagates=True)

    @app.task
    def celery_task(recipient: str, plan: str = "free") -> str:
        return f"{recipient}: {plan}"

    before = moving(old=celery_task, new=welcome, fall_back=True)
    assert before.delay("a", plan="paid").get() == "a: paid"
    assert before.apply_async(["a"], {"plan": "paid"}, priority=3).get() == "a: paid"
    assert before("a") == "a: free"
    publishers.fail_with(NOT_STORED)
    after = moving(old=celery_task, new=welcome, fall_back=True, share=1)
    assert after.apply_async(["a"], task_id="id-1").id == "id-1"
    assert after.delay("a").get() == "a: free"


def test_names_and_pickling(publishers: FakePublishers, old: OldTask) -> None:
    task = moving(old=old, new=welcome, share=1, shadow="email-shadow")
    assert (task.name, task.__name__, task.__doc__) == (welcome.name, "welcome", "Welcome a user.")
    assert task.__signature__ == welcome.__signature__
    pickle.loads(pickle.dumps(task)).delay("ann@gmail.com")
    assert len(publishers.published) == 1
    with pytest.raises(NotImplementedError):
        task.s("ann@gmail.com")


@pytest.mark.parametrize("way", ["delay", "apply_async", "apply", "call", "adelay"])
def test_falling_back(publishers: FakePublishers, old: OldTask, way: str) -> None:
    publishers.fail_with(NOT_STORED)
    with pytest.raises(KafkaError):
        call(moving(old=old, new=welcome, share=1), way)
    assert old.calls == []
    assert call(moving(old=old, new=welcome, share=1, fall_back=True), way) == "old result"
    assert len(old.calls) == 1
    publishers.fail_with(MAYBE_STORED)
    with pytest.raises(KafkaTimeoutError):
        call(moving(old=old, new=welcome, share=1, fall_back=True), way)
    assert len(old.calls) == 1


def call(task: Any, way: str, recipient: str = "ann@gmail.com") -> Any:
    match way:
        case "delay":
            return task.delay(recipient)
        case "adelay":
            return asyncio.run(task.adelay(recipient))
        case "call":
            return task(recipient)
    return getattr(task, way)([recipient])


def test_falling_back_when_nobody_waits(
    publishers: FakePublishers, old: OldTask, caplog: pytest.LogCaptureFixture
) -> None:
    task = moving(old=old, new=without_waiting, share=1, fall_back=True)
    publishers.hold()
    result = task.delay("ann@gmail.com", plan="paid")
    assert (result.state, old.calls) == ("PENDING", [])
    publishers.fail_with(NOT_STORED)
    publishers.settle()
    assert old.calls == [("delay", ("ann@gmail.com",), {"plan": "paid"})]

    publishers.handles.clear()
    old.error = RuntimeError("ann@gmail.com")
    task.delay("ann@gmail.com")
    publishers.settle()
    (line,) = caplog.records
    assert (line.kafka_email_event, line.levelname) == ("fall_back_failed", "ERROR")
    assert "ann" not in line.getMessage()

    publishers.refuse_with(QueueFullError("full"))
    old.error = None
    assert task.delay("ann@gmail.com") == "old result"


def test_mistakes_are_raised_and_not_passed_on(old: OldTask) -> None:
    task = moving(old=old, new=welcome, share=1, fall_back=True)
    with capture_events() as captured:
        with pytest.raises(ValidationError):
            task.delay("no address")
        with pytest.raises(TypeError):
            task.delay("ann@gmail.com", tier="paid")
        with pytest.raises(TypeError):
            task.apply_async(["ann@gmail.com"], coutdown=5)
        with pytest.raises(NotImplementedError):
            task.apply_async(["ann@gmail.com"], countdown=5)
    assert (captured.events, old.calls) == ([], [])


@given(
    share=st.sampled_from([0, 0.3, 0.5, 1]),
    fall_back=st.booleans(),
    task=st.sampled_from([welcome, without_waiting]),
    faults=st.lists(st.sampled_from(["", "refused", "failed", "maybe", "stored, maybe"]), min_size=1, max_size=20),
    ways=st.lists(st.sampled_from(["delay", "apply_async", "apply", "call", "adelay"]), min_size=20, max_size=20),
)
@example(share=1, fall_back=True, task=without_waiting, faults=["failed"], ways=["delay"] * 20)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_call_is_in_exactly_one_place_unless_maybe_delivered(
    publishers: FakePublishers, share: float, fall_back: bool, task: Any, faults: list[str], ways: list[str]
) -> None:
    old = OldTask()
    both = moving(old=old, new=task, share=share, fall_back=fall_back)
    for number, (fault, way) in enumerate(zip(faults, ways, strict=False)):
        publishers.published.clear()
        old.calls.clear()
        publishers.refusal = ProducerClosedError("stopped") if fault == "refused" else None
        publishers.error = {"failed": NOT_STORED, "maybe": MAYBE_STORED, "stored, maybe": MAYBE_STORED}.get(fault)
        told = tells_of_failure(both, way, PEOPLE[number])
        # An error without `maybe_delivered` says that the event is not stored. Of the others some are.
        stored = len(publishers.published) if fault in {"", "stored, maybe"} else 0
        places = len(old.calls) + stored
        assert places == 1 or (places == 0 and told and (fault == "maybe" or not fall_back))


def tells_of_failure(task: Any, way: str, recipient: str) -> bool:
    try:
        result = call(task, way, recipient)
    except KafkaError:
        return True
    return isinstance(result, EmailResult) and result.failed()


def test_a_shadow(publishers: FakePublishers, old: OldTask) -> None:
    shadowed = moving(old=old, new=welcome, shadow="email-shadow")
    shadowed.delay("ann@gmail.com", plan="paid")
    shadowed.apply_async(["ann@gmail.com"], task_id="id-1", headers={"tenant": "a"})
    shadowed.apply(["ann@gmail.com"])
    shadowed("ann@gmail.com")
    asyncio.run(shadowed.adelay("ann@gmail.com"))
    assert [method for method, _, _ in old.calls] == ["delay", "apply_async", "apply", "call", "delay"]
    assert {(each.way, each.topic, each.email_type) for each in publishers.published} == {
        ("queues", "email-shadow", "welcome")
    }
    assert publishers.published[0].fields["metadata"] == {"plan": "paid"}
    options = publishers.published[1].options
    assert (options["event_id"], options["headers"]) == ("id-1", {"tenant": "a"})


def test_a_share_and_a_shadow(publishers: FakePublishers, old: OldTask) -> None:
    both = moving(old=old, new=welcome, share=0.5, shadow="email-shadow")
    for recipient in PEOPLE:
        both.delay(recipient)
    shadows = [each.fields["email"] for each in publishers.published if each.topic == "email-shadow"]
    assert shadows == [args[0] for _, args, _ in old.calls]
    assert len(publishers.published) == len(PEOPLE)
    assert 0 < len(shadows) < len(PEOPLE)


@pytest.mark.parametrize(
    "error", [QueueFullError("full"), ValueError("ann@gmail.com"), TypeError("ann@gmail.com"), RuntimeError("ann")]
)
def test_a_shadow_that_fails_changes_nothing(
    publishers: FakePublishers, old: OldTask, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    publishers.refuse_with(error)
    assert moving(old=old, new=welcome, shadow="email-shadow").delay("ann@gmail.com") == "old result"
    assert len(old.calls) == 1
    (line,) = caplog.records
    assert (line.kafka_email_event, line.levelname) == ("shadow_failed", "WARNING")
    assert "email-shadow" in line.getMessage()
    assert "ann" not in line.getMessage()


def test_a_shadow_that_fails_later_or_has_other_arguments(publishers: FakePublishers, old: OldTask) -> None:
    shadowed = moving(old=old, new=welcome, shadow="email-shadow", fall_back=True)
    publishers.fail_with(NOT_STORED)
    assert shadowed.delay("ann@gmail.com") == "old result"
    assert shadowed.delay("no", "such", signature=True) == "old result"
    assert shadowed.apply_async(["ann@gmail.com"], countdown=5) == "old result"
    assert len(old.calls) == 3
    assert len(publishers.published) == 1


def test_what_the_old_task_raises_has_no_shadow(publishers: FakePublishers, old: OldTask) -> None:
    old.error = OSError("no Redis")
    with pytest.raises(OSError, match="no Redis"):
        moving(old=old, new=welcome, shadow="email-shadow").delay("ann@gmail.com")
    assert publishers.published == []


def test_fields_are_computed_once(publishers: FakePublishers, old: OldTask) -> None:
    computed = []

    @email_task("x")
    def by_id(user: int) -> EmailFields:
        computed.append(user)
        return {"email": f"{user}@gmail.com"}

    both = moving(old=old, new=by_id, share=0.5, shadow="email-shadow")
    for user in range(20):
        both.delay(user)
    assert computed == list(range(20))
    assert len(publishers.published) == 20
