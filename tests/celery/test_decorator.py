"""Which functions become tasks, and how their parameters become fields."""

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from doubles import FakePublishers

import kafka_email.celery as tasks
from kafka_email import EmailEventType
from kafka_email.celery import EmailFields, email_task

if TYPE_CHECKING:
    from app.models import User

RETURNS = {
    "the class": EmailFields,
    "text": "EmailFields",
    "text in text": "'EmailFields'",
    "of a module": "tasks.EmailFields",
}


def defined(signature: str, body: str = "...", **options: Any) -> Any:
    """A task of a function with this signature and body."""
    namespace: dict[str, Any] = {"__name__": "app.tasks", "EmailFields": EmailFields}
    exec(f"def f({signature}):\n    {body}", namespace)
    return email_task("x", **options)(namespace["f"])


def fields_of(task: Any, *args: Any, **kwargs: Any) -> Any:
    return task.fields(args, kwargs)


@pytest.mark.parametrize("name", ["recipient", "email", "to", "to_email", "user_email"])
def test_recipients(name: str) -> None:
    assert fields_of(defined(name), "a") == {"email": "a", "username": "", "link": "", "metadata": {}}


@pytest.mark.parametrize("name", ["username", "name", "user_name"])
def test_user_names(name: str) -> None:
    assert fields_of(defined(f"{name}, to"), "n", "a") == {"email": "a", "username": "n", "link": "", "metadata": {}}


@pytest.mark.parametrize("name", ["link", "url", "reset_link", "verify_url"])
def test_links(name: str) -> None:
    assert fields_of(defined(f"{name}, to"), "/l", "a") == {"email": "a", "username": "", "link": "/l", "metadata": {}}


def test_all_others_are_metadata() -> None:
    task = defined("to, plan, /, days=7, *, vip=False, **more")
    assert fields_of(task, "a", "free")["metadata"] == {"plan": "free", "days": 7, "vip": False}
    assert fields_of(task, "a", "free", vip=True, link="/l")["metadata"] == {
        "plan": "free",
        "days": 7,
        "vip": True,
        "link": "/l",
    }


def test_defaults_of_fields() -> None:
    assert fields_of(defined("to, name='friend', *, link='/home'"), "a") == {
        "email": "a",
        "username": "friend",
        "link": "/home",
        "metadata": {},
    }


def test_parameters_that_are_named() -> None:
    task = defined("email, mail, href, name, nick", recipient="mail", link="href", username="nick")
    assert fields_of(task, "e", "m", "h", "n", "k") == {
        "email": "m",
        "username": "k",
        "link": "h",
        "metadata": {"email": "e", "name": "n"},
    }
    # The name of a parameter says nothing once it is named for another field.
    assert fields_of(defined("to, name, username", link="name"), "a", "/l", "u") == {
        "email": "a",
        "username": "u",
        "link": "/l",
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("signature", "options", "message"),
    [
        ("link, username", {}, "no recipient"),
        ("", {}, "no recipient"),
        ("to, email", {}, "'to' and 'email'"),
        ("to, link, reset_url", {}, "'link' and 'reset_url'"),
        ("to, name, username", {}, "'name' and 'username'"),
        ("to, *args", {}, "args"),
        ("to", {"link": "href"}, "no parameter 'href'"),
        ("to, x", {"link": "x", "username": "x"}, "two fields"),
        ("to, **more", {"link": "more"}, "no parameter 'more'"),
    ],
)
def test_signatures_that_are_refused(signature: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        defined(signature, **options)


@pytest.mark.parametrize(
    "body",
    ["...", "pass", "'Doc.'", "'Doc.'\n    pass", "'''Doc.\n\n    More.\n    '''\n    ...", "...\n    pass\n    ..."],
)
def test_bodies_that_do_nothing(body: str) -> None:
    assert fields_of(defined("to, days=7", body), "a")["metadata"] == {"days": 7}


@pytest.mark.parametrize(
    "body",
    [
        *("return 1", "print(to)", "raise NotImplementedError", "to = 1", "'Doc.'\n    send(to)", "yield", "import os"),
        *("to", "return {'email': to}", "lambda: to", "def inner(): ...", "if to: ..."),
    ],
)
def test_other_bodies_would_run_in_the_caller(body: str) -> None:
    with pytest.raises(TypeError):
        defined("to", body)


def test_the_source_is_not_needed_and_docstrings_may_be_gone() -> None:
    script = "from kafka_email.celery import email_task\n@email_task('x')\ndef f(to):\n    'Doc.'\nprint(f.name)"
    for options in ([], ["-O"], ["-OO"]):
        done = subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("__main__.f\n", "")


@pytest.mark.parametrize("annotation", RETURNS.values(), ids=RETURNS.keys())
def test_a_body_may_compute_the_fields(annotation: Any, publishers: FakePublishers) -> None:
    def welcome(user_id: int, *extra: str) -> Any:
        return {"email": f"{user_id}@example.com", "metadata": {"extra": extra}}

    welcome.__annotations__["return"] = annotation
    email_task("welcome")(welcome).delay(7, "a")
    expected = {"email": "7@example.com", "username": "", "link": "", "metadata": {"extra": ("a",)}}
    assert publishers.published[0].fields == expected


def test_other_annotations_may_be_unknown() -> None:
    @email_task("x")
    def computed(user: "User") -> "tasks.EmailFields":
        return {"email": user.email}

    @email_task("x")
    def empty(to: "User") -> "User": ...

    assert empty.name.endswith(".empty")
    with pytest.raises(AttributeError):
        computed.delay(None)


@pytest.mark.parametrize("returned", [None, "a@example.com", {}, {"email": "a", "subject": "s"}])
def test_fields_that_are_none(returned: Any, publishers: FakePublishers) -> None:
    @email_task("x")
    def computed() -> EmailFields:
        return returned

    with pytest.raises(TypeError, match="EmailFields"):
        computed.delay()
    assert publishers.published == []


def test_functions_that_cannot_be_tasks() -> None:
    async def later(to: str) -> None: ...

    async def fields_later() -> EmailFields:
        return {"email": "a"}

    def generator() -> EmailFields:
        yield {"email": "a"}

    for function in (later, fields_later, generator, len, "f", type("C", (), {})):
        with pytest.raises(TypeError):
            email_task("x")(function)
    with pytest.raises(TypeError, match="computes"):
        email_task("x", recipient="to")(lambda_of_fields)


def lambda_of_fields(to: str) -> EmailFields:
    return {"email": to}


def parameters_only(to: str) -> None: ...


@pytest.mark.parametrize("email_type", ["", "Welcome", "1st", "with-hyphen", "x" * 65, "x\n"])
def test_types_of_emails(email_type: str) -> None:
    with pytest.raises(ValueError, match="e-mail type matches"):
        email_task(email_type)


def test_the_type_is_needed() -> None:
    for wrong in (lambda to: None, None, 7):
        with pytest.raises(TypeError, match=r"needs the type|an e-mail type is str"):
            email_task(wrong)
    assert email_task(EmailEventType.WELCOME)(parameters_only).event({"email": "a"}).email_type == "welcome"


OF_CELERY = (
    *("ignore_result", "acks_late", "max_retries", "autoretry_for", "retry_backoff", "retry_backoff_max"),
    *("retry_jitter", "retry_kwargs", "default_retry_delay", "rate_limit", "time_limit", "soft_time_limit"),
)


@pytest.mark.parametrize("option", OF_CELERY)
def test_options_without_effect(option: str) -> None:
    assert fields_of(defined("to", **{option: 3}), "a")["metadata"] == {}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("bind", "no bind"),
        ("base", "no base"),
        ("max_retrys", "did you mean 'max_retries'"),
        ("receiver", "no option 'receiver'"),
    ],
)
def test_options_that_are_refused(option: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        email_task("x", **{option: True})


def test_an_expiry_is_checked_at_import() -> None:
    with pytest.raises(TypeError, match="expires must be"):
        email_task("x", expires="60")


def test_queues_are_checked_at_import() -> None:
    with pytest.raises(ValueError, match="'slow'"):
        email_task("x", queue="slow", queues={"bulk": "email-bulk"})
    with pytest.raises(ValueError, match="topic name"):
        email_task("x", queues={"bulk": "not a topic"})
