"""The types of the fields of a configuration: what a single value may be.

Every check raises a ``ValueError`` without the value in it, except for paths: any text may be a secret in the wrong
field.
"""

import ipaddress
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from kafka_email.topics import topic_name

_HOST = re.compile(r"[a-zA-Z0-9._-]+")
_DEFAULT_PORT = "9092"  # as librdkafka and aiokafka have it


def is_sendable(text: str) -> bool:
    """Return whether the text can be passed to C: UTF-8 can hold it, and it contains no NUL."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def one_line(text: str) -> str:
    """Return the text.

    Raises:
        ValueError: It is empty, or contains control characters.
    """
    if not text.strip() or not is_sendable(text) or any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text):
        raise ValueError("must be text, not empty, without control characters")
    return text


def _sendable_secret(secret: SecretStr) -> SecretStr:
    if not is_sendable(secret.get_secret_value()):
        raise ValueError("must be text that UTF-8 can hold, without NUL")
    return secret


def split_list(items: object) -> object:
    """Return a list from a list, a JSON list or names separated by commas; anything else as it is."""
    if isinstance(items, str) and items.lstrip().startswith("["):  # a JSON list, or an IPv6 address comes first
        with suppress(ValueError):
            items = json.loads(items)
    if isinstance(items, str):
        items = [items]
    if not isinstance(items, (list, tuple)):
        return items
    # An item may be a comma-separated string, which other clients accept, as they do a comma at its end.
    return [part for item in items for part in (_parts(item) if isinstance(item, str) else [item])]


def _parts(items: str) -> list[str]:
    parts = [part.strip() for part in items.split(",")]
    return parts[:-1] if len(parts) > 1 and not parts[-1] else parts


def unquoted(text: str) -> str:
    """Return the text without spaces around it.

    Raises:
        ValueError: It begins or ends with a quote.
    """
    text = text.strip()
    if text[:1] in {'"', "'"} or text[-1:] in {'"', "'"}:
        raise ValueError("must be without quotes: `docker run --env-file` and systemd pass them on as they are")
    return text


def _server(text: str) -> str:
    text = unquoted(text)
    host, colon, port = text.rpartition(":")
    if not colon or is_host(text):
        host, port = text, _DEFAULT_PORT
    if not is_host(host):
        raise ValueError("must be host:port, IPv6 as [address]:port, without a scheme")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError("must end in a port from 1 to 65535")
    return f"{host}:{port}"


def is_host(text: str) -> bool:
    """Return whether the text is the name of a host, an IPv4 address or an IPv6 address in brackets."""
    if not (text.startswith("[") and text.endswith("]")):
        return _HOST.fullmatch(text) is not None
    with suppress(ValueError):
        return ipaddress.IPv6Address(text[1:-1]).version == 6
    return False


def _acks(acks: object) -> object:
    text = str(acks) if isinstance(acks, int) else acks
    return "all" if text == "-1" else text


def _none_is_word(compression: object) -> object:
    return "none" if compression is None else compression


def blank_is_none(value: object) -> object:
    """Return None for an empty text: an environment variable that is set to nothing means that nothing is given."""
    return None if value == "" else value


def _upper(name: object) -> object:
    return name.upper() if isinstance(name, str) else name


def _mechanism(name: object) -> object:
    if name not in (None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"):
        raise ValueError(
            "this build contains PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; "
            "it does not contain GSSAPI (Kerberos) or any other mechanism"
        )
    return name


def path_text(path: object) -> object:
    """Return the text of a path; anything else as it is."""
    return os.fspath(path) if isinstance(path, os.PathLike) else path


def _readable(path: str) -> str:
    if "-----BEGIN" in path or "\n" in path:
        raise ValueError("must be the path of a PEM file, not its content")
    if not os.access(one_line(path), os.R_OK):
        raise ValueError(f"{path!r} does not exist or cannot be read")
    return path


def _readable_file(path: str) -> str:
    if Path(_readable(path)).is_dir():
        raise ValueError(f"{path!r} is a directory, not a file")
    return path


Line: TypeAlias = Annotated[str, AfterValidator(one_line)]
TopicName: TypeAlias = Annotated[str, AfterValidator(topic_name)]
Server: TypeAlias = Annotated[str, AfterValidator(_server)]
Servers: TypeAlias = Annotated[list[Server], NoDecode, BeforeValidator(split_list), Field(min_length=1)]
Acks: TypeAlias = Annotated[Literal["all", "1", "0"], BeforeValidator(_acks)]
Compression: TypeAlias = Annotated[Literal["none", "gzip", "snappy", "lz4", "zstd"], BeforeValidator(_none_is_word)]
Mechanism: TypeAlias = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
    BeforeValidator(_mechanism),
    BeforeValidator(_upper),
    BeforeValidator(blank_is_none),  # Pydantic calls the last one first
]
Protocol: TypeAlias = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)]
OptionalLine: TypeAlias = Annotated[Line | None, BeforeValidator(blank_is_none)]
OptionalSecret: TypeAlias = Annotated[
    Annotated[SecretStr, AfterValidator(_sendable_secret)] | None, BeforeValidator(blank_is_none)
]
# librdkafka accepts a folder of certificates here as well.
OptionalPath: TypeAlias = Annotated[
    Annotated[str, BeforeValidator(path_text), AfterValidator(_readable)] | None, BeforeValidator(blank_is_none)
]
OptionalFile: TypeAlias = Annotated[
    Annotated[str, BeforeValidator(path_text), AfterValidator(_readable_file)] | None, BeforeValidator(blank_is_none)
]
