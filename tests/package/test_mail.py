"""Mails are rendered as Jinja2 renders them, and Python's `email` reads back what was put into them."""

import email
import json
from datetime import datetime, timezone
from email import policy
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kafka_email
from kafka_email._core import Mailer
from kafka_email.exceptions import ConfigurationError

BUILTIN = Path(kafka_email.__file__).with_name("templates")
TYPES = ("verification", "password_reset", "welcome", "notification")
TIMESTAMP_MS = 1_795_451_893_123


def mailer(folder: Path | None = None, **settings: Any) -> Mailer:
    defaults = {
        "folder": folder and str(folder),
        "builtin": str(BUILTIN),
        "named": [],
        "default_language": "en",
        "from_address": "app@example.org",
        "from_name": None,
        "reply_to": None,
    }
    return Mailer({**defaults, **settings})


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def message(mails: Mailer, email_type: str, metadata: Any = None, **fields: Any) -> EmailMessage:
    event = {"recipient": "anna@example.org", "username": "Anna", "link": "https://example.org/?a=1&b=2"}
    event |= {"event_id": "0198-a", "timestamp_ms": TIMESTAMP_MS} | fields
    content = mails.render(email_type, metadata_json=json.dumps(metadata or {}), **event)
    return parsed_message(content)


def parsed_message(content: bytes) -> EmailMessage:
    """The message as Python reads it. Its lines are short and end as they must."""
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert not set(b"\r\n\0") & set(content.replace(b"\r\n", b""))
    assert content.endswith(b"\r\n")
    parsed = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def body(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


# The same as Jinja2.

# Letters that this Python knows: a newer one may call others printable.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cn", "Co"), exclude_characters="\0"), max_size=12
)
MARKUP = st.sampled_from(
    ["<b>&amp;</b>", "it's", '"quoted" it\'s', "a/b?c=1&d=2", "", " pad ", "\\n", "Zoë 😀", "ab cd ef gh"]
)
WORDS = MARKUP | TEXTS
NUMBERS = st.integers(-(10**6), 10**6) | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
METADATA = st.fixed_dictionaries(
    {
        "word": WORDS,
        "words": st.lists(WORDS, max_size=4),
        "count": st.integers(0, 30),
        "price": st.floats(-1e6, 1e6),
        "table": st.dictionaries(WORDS, st.integers(-99, 99) | WORDS, max_size=4),
        "rows": st.lists(st.fixed_dictionaries({"name": WORDS, "n": st.integers(0, 9)}), max_size=3),
        "flag": st.booleans(),
        "nothing": st.none(),
        "any": VALUES,
    }
)

STRINGS = st.sampled_from(
    [
        "word",
        "username",
        "link",
        "metadata.word",
        "metadata['word']",
        "'<i>'",
        "'a' ~ word",
        "word ~ count",
        "word + '<'",
        "word|upper",
        "word.upper()",
        "word|lower",
        "word|e",
        "word|escape|upper",
        "word|safe",
        "word|trim",
        "word.strip()",
        "word|replace('a', '<b>')",
        "word.replace('e', 'E')",
        "word|default('none')",
        "nothing|default('none', true)",
        "missing|default('none')",
        "words|join(', ')",
        "words|join('<br>')",
        "words|map('upper')|join",
        "word|length",
        "rows|map(attribute='name')|join('/')",
        "word|truncate(5)",
        "word|truncate(5, true, '…', 0)",
        "word|string",
        "'{} and {}'.format(word, count)",
        "word if flag else '<none>'",
        "word if flag",
        "word.startswith('a')",
        "word[0:2]",
        "(word|e) ~ '<'",
        "word|safe ~ word",
        "words|first|default('-')",
        "words|last|default('-')",
        "word|forceescape",
        "'%s<'|format(word)",
        "word|center(20)",
        "word.split(',')",
        "word|urlencode",
        "'a' in word",
        "word == username",
    ]
)
OTHERS = st.sampled_from(
    [
        "any",
        "metadata",
        "table",
        "rows",
        "words",
        "flag",
        "nothing",
        "count",
        "price",
        "count + 1",
        "count * price",
        "count / 4",
        "count // 4",
        "count % 7",
        "2 ** 5",
        "-count",
        "count > 3 and flag",
        "not flag",
        "count|abs",
        "any|tojson",
        "rows|tojson",
        "[1, word, none, true]",
        "(1, word)",
        "{'b': word, 'a': count}",
        "table.items()|list",
        "table|dictsort",
        "table.get('x')",
        "table.get('x', word)",
        "rows|sum(attribute='n')",
        "rows|length",
        "words|sort",
        "words|reverse|list",
        "words|unique|list",
        "rows|selectattr('n', 'gt', 4)|list",
        "words|batch(2)|list",
        "price|int",
        "count|float",
        "range(count)|list",
        "words|list",
        "any is string",
        "any is mapping",
        "any is none",
        "count is divisibleby 3",
        "loop is defined",
        "count|string",
        "price|string",
        "count in [1, 2]",
        "words[:2]",
        "words == []",
        "year",
        "datetime",
        "rows|groupby('n')|length",
        "count|filesizeformat",
        "words|select|list",
        "words|reject|list",
        "price|round|int",
    ]
)
PRINTED = (STRINGS | OTHERS).map(lambda expression: "{{ " + expression + " }}")
PLAIN = st.sampled_from(
    [
        "<p>",
        "\n",
        "  \n  ",
        "text & more\r\n",
        "{# {{ comment }} #}",
        "{% raw %}{{ raw }}{% endraw %}",
        "{% autoescape false %}{{ word }}{% endautoescape %}",
        "ü",
    ]
)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    frames = st.sampled_from(
        [
            "{% if flag %}@{% elif count > 5 %}x{% else %}y{% endif %}",
            "{%- if nothing is none -%}\n @ \n{%- endif %}",
            "{% if missing %}a{% endif %}@",
            "{% for row in rows %}{{ loop.index }}{{ row.name }}{{ ', ' if not loop.last }}@{% else %}-{% endfor %}",
            "{% for key, value in table.items() %}{{ key }}={{ value }};@{% endfor %}",
            "{% for word in words if word %}@{{ loop.first }}{% endfor %}",
            "{% set word = '<s>' %}@",
            "{% set part %}@{% endset %}{{ part }}{{ part|upper }}",
            "{% with count = 3, word = username %}@{% endwith %}",
            "{% filter upper %}@{% endfilter %}",
            "{% macro bold(x, y='<y>') %}<b>{{ x }}{{ y }}{{ caller() if caller else '' }}</b>{% endmacro %}"
            "{{ bold(word) }}{{ bold(word, y=1) }}{% call bold(count) %}@{% endcall %}",
            "{% set ns = namespace(n=0) %}{% for w in words %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}@",
            "{% include 'part.html' %}@",
            "{% include 'nowhere.html' ignore missing %}@",
            "{% import 'macros.html' as m %}{{ m.link(link) }}@",
            "{% from 'macros.html' import link as a with context %}{{ a(link, word) }}@",
        ]
    )
    return st.builds(lambda frame, text: frame.replace("@", text), frames, inner) | st.lists(
        inner, min_size=1, max_size=4
    ).map("".join)


TEMPLATES = st.recursive(PRINTED | PLAIN, nested, max_leaves=8)

FRAME = {
    "part.html": "<i>{{ word }}</i>\n",
    "macros.html": "{% macro link(url, text='go') %}<a href=\"{{ url }}\">{{ text }}</a>{% endmacro %}",
    "base_email.html": "<body>{% block head %}{{ username }}{% endblock %}{% block main %}{% endblock %}</body>\n",
}
EXTENDING = (
    '{% extends "base_email.html" %}{% block head %}[{{ super() }}]{% endblock %}{% block main %}@{% endblock %}'
)


def rendered_by_jinja(files: dict[str, str], metadata: dict[str, Any], username: str) -> str | None:
    """What Jinja2 prints; None where it fails."""
    moment = datetime.fromtimestamp(TIMESTAMP_MS // 1000, timezone.utc)
    link = "https://example.org/?a=1&b=2"
    names = metadata | {"recipient": "anna@example.org", "username": username, "link": link, "metadata": metadata}
    names |= {"year": moment.year, "datetime": moment.strftime("%Y-%m-%d %H:%M:%S")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(files),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=Undefined,
    )
    try:
        return environment.get_template("a.html").render(names)
    except Exception:  # whatever Python says about these types
        return None


class Undefined(jinja2.StrictUndefined):
    """May be tested, not printed."""

    def __bool__(self) -> bool:
        return False


@given(template=TEMPLATES, extends=st.booleans(), metadata=METADATA, username=WORDS.filter(str.isprintable))
def test_html_is_that_of_jinja2(
    template: str, extends: bool, metadata: dict[str, Any], username: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = FRAME | {"a.html": EXTENDING.replace("@", template) if extends else template, "a.subject.txt": "s"}
    expected = rendered_by_jinja(files, json.loads(json.dumps(metadata)), username)
    if expected is None:
        return
    folder = write(tmp_path_factory.mktemp("templates"), files)
    html = body(message(mailer(folder), "a", metadata, username=username), "html")
    assert html.rstrip("\n") == expected.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


@pytest.mark.parametrize("email_type", TYPES)
def test_templates_of_the_wheel_are_those_of_jinja2(email_type: str) -> None:
    files = {path.name: path.read_text() for path in BUILTIN.glob("*.html")}
    files["a.html"] = files[f"{email_type}.html"]
    metadata = {"title": "A <title>", "message": 'It\'s & "more"'}
    expected = rendered_by_jinja(files, metadata, "Zoë <Z>")
    assert expected is not None
    parsed = message(mailer(), email_type, metadata, username="Zoë <Z>")
    assert body(parsed, "html").rstrip("\n") == expected.rstrip("\n")
    assert "https://example.org/?a=1&b=2" in body(parsed, "plain")


# What Python reads.

LINES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1, max_size=60)
BODIES = st.lists(LINES | st.just("x" * 2000) | st.just("."), min_size=1, max_size=5).map("\n".join)
NAMES = LINES.filter(lambda name: name == " ".join(name.split()))
# Python before 3.13 keeps the space between the encoded words of a long name.
SHORT_NAMES = NAMES.filter(lambda name: len(name.encode()) < 30)
FILES = st.builds(
    SimpleNamespace,
    filename=NAMES,
    content=st.binary(max_size=200),
    content_type=st.sampled_from(["application/pdf", "text/csv; charset=utf-8", "image/png", "text/plain"]),
    cid=st.none() | st.sampled_from(["logo", "a.b@c"]),
)


def mail(**parts: Any) -> SimpleNamespace:
    """As a handler returns it."""
    nothing = {"subject": "s", "text": None, "html": None, "attachments": [], "inline": []}
    return SimpleNamespace(**nothing | {"reply_to": None, "from_name": None, "headers": {}} | parts)


def built(made: SimpleNamespace, recipient: str = "anna@example.org", unsubscribe: str | None = None) -> EmailMessage:
    return parsed_message(mailer().build(made, recipient, "0198-a", TIMESTAMP_MS, unsubscribe))


@given(
    subject=NAMES,
    name=SHORT_NAMES,
    text=BODIES,
    html=BODIES,
    has=st.sampled_from([(True, True), (True, False), (False, True)]),
    attachments=st.lists(FILES, max_size=2),
    inline=st.lists(FILES, max_size=2),
)
def test_python_reads_what_was_put_in(
    subject: str,
    name: str,
    text: str,
    html: str,
    has: tuple[bool, bool],
    attachments: list[SimpleNamespace],
    inline: list[SimpleNamespace],
) -> None:
    bodies = {"text": text if has[0] else None, "html": html if has[1] else None}
    parsed = built(mail(subject=subject, from_name=name, attachments=attachments, inline=inline, **bodies))
    assert parsed["subject"] == subject
    assert parsed["from"].addresses[0].display_name == name
    assert parsed["from"].addresses[0].addr_spec == "app@example.org"
    assert [address.addr_spec for address in parsed["to"].addresses] == ["anna@example.org"]
    if has[0]:
        assert body(parsed, "plain").rstrip("\n") == text.rstrip("\n")
    if has[1]:
        assert body(parsed, "html").rstrip("\n") == html.rstrip("\n")
    read = [part for part in parsed.walk() if part.get_content_disposition()]
    sent = [*inline, *attachments] if has[1] else [*attachments, *inline]
    assert [part.get_payload(decode=True) for part in read] == [file.content for file in sent]
    assert [part.get_filename() for part in read] == [file.filename for file in sent]
    assert [part.get_content_type() for part in read] == [file.content_type.split(";")[0] for file in sent]
    assert [part["content-id"] for part in read] == [file.cid and f"<{file.cid}>" for file in sent]


def test_headers_of_a_mail(tmp_path: Path) -> None:
    write(tmp_path, {"a.subject.txt": "Grüße an {{ username }}\n", "a.txt": "x"})
    mails = mailer(tmp_path, from_address="app@bücher.example", from_name="Zoë Ü", reply_to="help@example.org")
    parsed = message(mails, "a", {"list_unsubscribe": "https://example.org/leave?t=1"}, username="Ann <b>")
    assert parsed["subject"] == "Grüße an Ann <b>"
    assert parsed["from"].addresses[0].addr_spec == "app@xn--bcher-kva.example"
    assert parsed["reply-to"] == "help@example.org"
    assert parsed["message-id"] == "<0198-a@xn--bcher-kva.example>"
    assert parsed["date"].datetime == datetime.fromtimestamp(TIMESTAMP_MS // 1000, timezone.utc)
    assert parsed["auto-submitted"] == "auto-generated"
    assert parsed["list-unsubscribe"] == "<https://example.org/leave?t=1>"
    assert parsed["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert parsed["mime-version"] == "1.0"


def test_a_second_message_has_the_same_bytes() -> None:
    event = ("welcome", "anna@example.org", "Anna", "", "{}", "0198-a", TIMESTAMP_MS)
    assert mailer().render(*event) == mailer().render(*event)


@pytest.mark.parametrize("bad", ["a\r\nBcc: eve@example.org", "a\nb", "a\0b", "a\x85b"])
def test_control_characters_end_no_header(bad: str, tmp_path: Path) -> None:
    for made in (mail(text="x", subject=bad), mail(text="x", from_name=bad), mail(text="x", headers={"X-A": bad})):
        with pytest.raises(ConfigurationError, match="has a control character") as caught:
            built(made)
        assert "eve" not in str(caught.value)
    mails = mailer(write(tmp_path, {"a.subject.txt": "{{ title }}", "a.txt": "x"}))
    with pytest.raises(ConfigurationError, match="the subject has a control character"):
        message(mails, "a", {"title": bad})


# Folders.


@pytest.mark.parametrize(
    ("language", "subject"),
    [("uk-UA", "uk-UA"), ("uk-PL", "uk"), ("uk", "uk"), ("de-AT", "de"), ("fr", "none"), (None, "none"), (7, "none")],
)
def test_languages(language: Any, subject: str, tmp_path: Path) -> None:
    names = {"none": "a.subject.txt", **{name: f"a.{name}.subject.txt" for name in ("uk-UA", "uk", "de")}}
    mails = mailer(write(tmp_path, {"a.txt": "x"} | {file: name for name, file in names.items()}))
    assert message(mails, "a", {} if language is None else {"language": language})["subject"] == subject
    default = mailer(tmp_path, default_language="de")
    assert message(default, "a", {"language": "fr"})["subject"] == "de"


def test_a_folder_made_for_fastapi_mail(tmp_path: Path) -> None:
    files = FRAME | {"verify.html": EXTENDING.replace("@", "{% include 'part.html' %}{{ metadata.word }}")}
    write(tmp_path, files)
    named = {"email_type": "verification", "html": "verify.html", "text": None, "subject": "Hi {{ username }}"}
    mails = mailer(tmp_path, named=[named])
    parsed = message(mails, "verification", {"word": "<w>"})
    assert parsed["subject"] == "Hi Anna"
    assert body(parsed, "html").strip() == "<body>[Anna]<i>&lt;w&gt;</i>&lt;w&gt;</body>"
    assert parsed.get_body(("plain",)) is None
    assert mails.check() == []


def test_missing_values_are_named_and_others_are_not_shown(tmp_path: Path) -> None:
    mails = mailer(write(tmp_path, {"a.subject.txt": "s", "a.html": "x\n{{ order.code }}"}))
    with pytest.raises(ConfigurationError) as caught:
        message(mails, "a", {"order": {"secret": "hunter2"}})
    assert str(caught.value) == "undefined value `order.code` in a.html:2"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("{{ _('x') }}", "`_()`"),
        ("{{ url_for('x') }}", "`url_for()`"),
        ("{{ '%s' % username }}", "`'…' % …`"),
        ("{{ username|urlize }}", "the filter `urlize`"),
    ],
)
def test_unsupported_uses_have_a_place(use: str, message: str, tmp_path: Path) -> None:
    mails = mailer(write(tmp_path, {"a.subject.txt": "s", "a.html": "\n\n{% if false %}" + use + "{% endif %}"}))
    (mistake,) = mails.check()
    assert (mistake.file, mistake.line) == ("a.html", 3)
    assert mistake.message.startswith(f"{message} is not supported")


def test_what_cannot_be_compiled_is_told_at_the_start(tmp_path: Path) -> None:
    write(tmp_path, {"a.subject.txt": "s", "a.html": "\n{% trans %}x{% endtrans %}"})
    with pytest.raises(ConfigurationError, match=r"^a\.html:2: `\{% trans %\}` is not supported"):
        mailer(tmp_path)
