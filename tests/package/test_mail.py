"""Mails are rendered as Jinja2 renders them, and Python's `email` reads back what was put into them."""

import email
import json
from datetime import datetime, timezone
from email.message import EmailMessage
from email import policy
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import example, given
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
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert content.replace(b"\r\n", b"").translate(None, b"\r\n") == content.replace(b"\r\n", b"")
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
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cn", "Co"), exclude_characters="\0"), max_size=12)
MARKUP = st.sampled_from(["<b>&amp;</b>", "it's", '"quoted" it\'s', "a/b?c=1&d=2", "", " pad ", "\\n", "Zoë 😀", "ab cd ef gh"])
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
        "word", "username", "link", "metadata.word", "metadata['word']", "'<i>'", "'a' ~ word", "word ~ count", "word + '<'",
        "word|upper", "word.upper()", "word|lower", "word|e", "word|escape|upper", "word|safe", "word|trim", "word.strip()",
        "word|replace('a', '<b>')", "word.replace('e', 'E')", "word|default('none')", "nothing|default('none', true)",
        "missing|default('none')", "words|join(', ')", "words|join('<br>')", "words|map('upper')|join", "word|length",
        "rows|map(attribute='name')|join('/')", "word|truncate(5)", "word|truncate(5, true, '…', 0)", "word|string",
        "'{} and {}'.format(word, count)", "word if flag else '<none>'", "word if flag", "word.startswith('a')", "word[0:2]",
        "(word|e) ~ '<'", "word|safe ~ word", "words|first|default('-')", "words|last|default('-')", "word|forceescape",
        "'%s<'|format(word)", "word|center(20)", "word.split(',')", "word|urlencode", "'a' in word", "word == username",
    ]
)  # fmt: skip
OTHERS = st.sampled_from(
    [
        "any", "metadata", "table", "rows", "words", "flag", "nothing", "count", "price", "count + 1", "count * price",
        "count / 4", "count // 4", "count % 7", "2 ** 5", "-count", "count > 3 and flag", "not flag", "count|abs", "any|tojson",
        "rows|tojson", "[1, word, none, true]", "(1, word)", "{'b': word, 'a': count}", "table.items()|list", "table|dictsort",
        "table.get('x')", "table.get('x', word)", "rows|sum(attribute='n')", "rows|length", "words|sort", "words|reverse|list",
        "words|unique|list", "rows|selectattr('n', 'gt', 4)|list", "words|batch(2)|list", "price|int", "count|float",
        "range(count)|list", "words|list", "any is string", "any is mapping", "any is none", "count is divisibleby 3",
        "loop is defined", "count|string", "price|string", "count in [1, 2]", "words[:2]", "words == []", "year", "datetime",
        "rows|groupby('n')|length", "count|filesizeformat", "words|select|list", "words|reject|list", "price|round|int",
    ]
)  # fmt: skip
PRINTED = (STRINGS | OTHERS).map(lambda expression: "{{ %s }}" % expression)
PLAIN = st.sampled_from(["<p>", "\n", "  \n  ", "text & more\r\n", "{# {{ comment }} #}", "{% raw %}{{ raw }}{% endraw %}", "ü"])


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
            "{% autoescape false %}@{% endautoescape %}",
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
EXTENDING = '{% extends "base_email.html" %}{% block head %}[{{ super() }}]{% endblock %}{% block main %}@{% endblock %}'


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
