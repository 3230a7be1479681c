"""What an application may register, and what it may hand over."""

import functools
from typing import Any

import pytest

from kafka_email.worker import Attachment, Context, EmailEvent, Mail, Retry, Worker

PNG = b"\x89PNG"


class Callable:
    """An object that is a handler."""

    async def __call__(self, event: EmailEvent, context: Context) -> None: ...


def test_what_can_be_a_handler() -> None:
    worker = Worker()
    handle = Callable()
    assert worker.handler("object")(handle) is handle
    worker.handler("partial")(functools.partial(lambda extra, event, context: None, 1))
    with pytest.raises(ValueError, match="'object' has a handler already"):
        worker.handler("object")(handle)
    with pytest.raises(TypeError, match="'one' has to take two arguments"):
        worker.handler("one")(lambda event: None)  # type: ignore[arg-type,misc]
    with pytest.raises(TypeError, match=r"'none' cannot be called: .* NoneType"):
        worker.handler("none")(None)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="the type of an event is text"):
        worker.handler(Callable())(handle)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'object' has a handler already"):
        worker.template("object", html="a.html", subject="Hi")
    with pytest.raises(ValueError, match="neither html nor text"):
        worker.template("bare", subject="Hi")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Mail("Hi"), ValueError),
        (lambda: Mail("Hi", text=b"bytes"), TypeError),  # type: ignore[arg-type]
        (lambda: Mail("Hi", text="", attachments=[b"bytes"]), TypeError),  # type: ignore[list-item]
        (lambda: Mail("Hi", text="", inline=[Attachment("a.png", PNG, "image/png")]), ValueError),
        (lambda: Mail("Hi", text="", headers={"a": 1}), TypeError),  # type: ignore[dict-item]
        (lambda: Mail("Hi", text="", attachments=(file for file in [])), TypeError),  # type: ignore[arg-type]
        (lambda: Attachment("a.txt", "text", "text/plain"), TypeError),  # type: ignore[arg-type]
        (lambda: Retry(-1), ValueError),
    ],
)
def test_what_cannot_be_a_mail(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
