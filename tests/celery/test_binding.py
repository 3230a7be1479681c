"""Arguments are bound or refused as a real Celery task does it."""

import itertools
from typing import Any

from celery import Celery
from doubles import FakePublishers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kafka_email.celery import email_task

APP = Celery("tests", broker="memory://", set_as_current=False)
APP.conf.update(task_always_eager=True, task_eager_propagates=True)
NUMBERS = itertools.count()
FIELDS = {"email": "to", "username": "name", "link": "link"}
NAMES = ["to", "name", "link", "plan", "days", "self", "args"]


@st.composite
def signatures(draw: st.DrawFn) -> str:
    """Signatures with a recipient, and any kinds of parameters."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    if "to" not in names:
        names.append("to")
    first, second = sorted(draw(st.tuples(*[st.integers(0, len(names))] * 2)))
    required = draw(st.integers(0, second))  # of the positional ones: no required parameter follows a default
    texts = [name if index < required else f"{name}='d{index}'" for index, name in enumerate(names[:second])]
    if first:
        texts.insert(first, "/")
    if second < len(names):
        texts.append("*")
        texts += [f"{name}='k'" if draw(st.booleans()) else name for name in names[second:]]
    return ", ".join([*texts, "**more"] if draw(st.booleans()) else texts)


CALLS = st.tuples(
    st.lists(st.integers(0, 9), max_size=7), st.dictionaries(st.sampled_from([*NAMES, "stray"]), st.integers(0, 9))
)


@given(signature=signatures(), call=CALLS, with_options=st.booleans())
@example(signature="to, /, plan, **more", call=([1, 2], {"to": 3}), with_options=True)
@example(signature="to='d', /, plan='p', **more", call=([], {"to": 1}), with_options=True)
@example(signature="to, plan='p', /, **more", call=([1], {"plan": 2}), with_options=False)
@example(signature="to, plan", call=([1], {}), with_options=False)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arguments_are_bound_as_by_celery(
    publishers: FakePublishers, signature: str, call: tuple[list[int], dict[str, int]], with_options: bool
) -> None:
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(f"def f({signature}): return locals()\ndef g({signature}): ...", namespace)
    theirs = APP.task(name=f"task-{next(NUMBERS)}")(namespace["f"])
    ours = email_task("x")(namespace["g"])
    publishers.published.clear()
    assert outcome(ours, call, with_options, publishers) == outcome(theirs, call, with_options, None)


def outcome(
    task: Any, call: tuple[list[int], dict[str, int]], with_options: bool, publishers: FakePublishers | None
) -> Any:
    args, kwargs = call
    try:
        result = task.apply_async(args, kwargs) if with_options else task.delay(*args, **kwargs)
    except TypeError:
        return "refused"
    if publishers is None:
        bound = result.get()
        more = bound.pop("more", {})
        return [bound.pop(name, "") for name in FIELDS.values()], bound | more
    (published,) = publishers.published
    return [published.fields[field] for field in FIELDS], published.fields["metadata"]


def test_args_and_kwargs_have_the_types_that_celery_asks_for(publishers: FakePublishers) -> None:
    @email_task("x")
    def f(to, plan): ...

    f.apply_async(("a",), {"plan": 1})
    f.apply_async(kwargs={"to": "a", "plan": 1})
    f.apply_async(["a", 1], None)
    for args, kwargs in (("ab", None), ({"to": 1, "plan": 2}, None), (None, [("to", 1), ("plan", 2)]), (5, None)):
        try:
            f.apply_async(args, kwargs)
        except TypeError:
            continue
        raise AssertionError((args, kwargs))
    assert len(publishers.published) == 3
