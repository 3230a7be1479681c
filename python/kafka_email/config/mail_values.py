"""The types of the fields that concern mails: addresses, hosts, rates, folders.

As in `values`, no message shows the value, except for paths.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import email_validator
from pydantic import AfterValidator, BeforeValidator, Field

from kafka_email.config.values import blank_is_none, is_host, one_line, path_text, unquoted

_ADDRESS_LITERAL = re.compile(r"\[(IPv6:)?[0-9a-fA-F.:]+\]")
_LANGUAGE = re.compile(r"[a-zA-Z]{2,8}([_-][a-zA-Z0-9]{1,8})*")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) */ *([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _address(text: str) -> str:
    text = unquoted(one_line(text))
    # email-validator refuses names that are reserved, such as shop.local. Hosts of a private network have such names.
    for suffix in ("", ".example.com"):
        try:
            valid = email_validator.validate_email(
                text + suffix, check_deliverability=False, globally_deliverable=False, test_environment=True
            )
        except email_validator.EmailNotValidError:
            continue
        address = valid.normalized.removesuffix(suffix)
        if not address.rpartition(".")[2].isdigit():
            return address
    raise ValueError("must be one e-mail address, name@domain; the display name goes into a field of its own")


def _host(text: str) -> str:
    host = unquoted(text)
    bracketed = host if host.startswith("[") else f"[{host}]"
    if is_host(bracketed):
        return bracketed[1:-1]
    if not is_host(host):
        raise ValueError(
            "must be the name or the address of a host, without scheme; the port goes into a field of its own"
        )
    return host


def _own_port(port: object) -> object:
    if isinstance(port, str) and port.startswith("tcp://"):
        raise ValueError(
            "must be a number: Kubernetes sets this variable for a service named smtp; rename the service, or switch "
            "enableServiceLinks off"
        )
    return port


def _helo_name(text: str) -> str:
    name = unquoted(text)
    if not is_host(name) and not _ADDRESS_LITERAL.fullmatch(name):
        raise ValueError("must be the name of this host, or its address in brackets")
    return name


def _rate(text: str) -> str:
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError("must be a number above zero and /s, /m or /h: 14/s")
    return f"{match[1]}/{match[2]}"


def rate_per_second(rate: str) -> float:
    """Return how many mails a second a valid rate allows."""
    number, _, unit = rate.partition("/")
    return float(number) / _SECONDS[unit]


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise ValueError("must be the name of a language, such as en or uk-UA")
    return text


def _existing_folder(path: str) -> str:
    if not Path(one_line(path)).is_dir():
        raise ValueError(f"{path!r} is not a folder")
    return path


def _folder(path: str) -> str:
    if Path(one_line(path)).exists():
        return _existing_folder(path)
    return path


def _lower(name: object) -> object:
    return name.lower() if isinstance(name, str) else name


Address: TypeAlias = Annotated[str, AfterValidator(_address)]
OptionalAddress: TypeAlias = Annotated[Address | None, BeforeValidator(blank_is_none)]
Host: TypeAlias = Annotated[str, AfterValidator(_host)]
Port: TypeAlias = Annotated[int, BeforeValidator(_own_port), Field(ge=1, le=65535)]
OptionalHeloName: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_helo_name)] | None, BeforeValidator(blank_is_none)
]
OptionalRate: TypeAlias = Annotated[Annotated[str, AfterValidator(_rate)] | None, BeforeValidator(blank_is_none)]
Security: TypeAlias = Annotated[Literal["tls", "starttls", "none"], BeforeValidator(_lower)]
OnUnknown: TypeAlias = Annotated[Literal["resend", "dead_letter"], BeforeValidator(_lower)]
Language: TypeAlias = Annotated[str, AfterValidator(_language)]
OptionalExistingFolder: TypeAlias = Annotated[
    Annotated[str, BeforeValidator(path_text), AfterValidator(_existing_folder)] | None, BeforeValidator(blank_is_none)
]
# It is made when the first mail is written.
OptionalFolder: TypeAlias = Annotated[
    Annotated[str, BeforeValidator(path_text), AfterValidator(_folder)] | None, BeforeValidator(blank_is_none)
]
