"""TLS certificates for a Kafka of the tests, made anew by each run."""

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "for-tests-only"
SERVER_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """PEM files of one certificate authority, one server and one client."""

    ca_file: Path
    server_file: Path
    """The server's key and chain in one file, which Kafka takes as a keystore of type PEM."""
    client_cert_file: Path
    client_key_file: Path
    client_locked_key_file: Path
    """The client's key again, locked with `KEY_PASSWORD`."""


def make_certificates(directory: Path, *server_names: str) -> Certificates:
    """Writes a new authority and what it signs into a directory.

    Args:
        directory: an existing directory, best one of its own.
        server_names: host names and IP addresses in the server's certificate; those of the tests' Kafka when left out.
    """
    made = Certificates(
        *(directory / f"{name}.pem" for name in ("ca", "server", "client", "client-key", "client-locked-key"))
    )
    authority = trustme.CA()
    server = authority.issue_cert(*(server_names or SERVER_NAMES))
    client = authority.issue_cert("client@tests.example")
    authority.cert_pem.write_to_path(str(made.ca_file))
    made.server_file.write_bytes(_key(server) + _chain(server))
    made.client_cert_file.write_bytes(_chain(client))
    made.client_key_file.write_bytes(_key(client))
    made.client_locked_key_file.write_bytes(_key(client, BestAvailableEncryption(KEY_PASSWORD.encode())))
    return made


def _chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def _key(leaf: trustme.LeafCert, encryption: KeySerializationEncryption | None = None) -> bytes:
    """The private key as PKCS#8, the one form that Kafka reads."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
