"""Secrets in plain text, for the native half."""

from collections.abc import Iterable

from pydantic import SecretStr


def revealed(secret: SecretStr | None) -> str | None:
    """Return the secret in plain text."""
    return None if secret is None else secret.get_secret_value()


def longest_first(secrets: Iterable[SecretStr | None]) -> list[str]:
    """Return the secrets in the order in which they are removed from a text.

    A secret that contains another one is removed first: otherwise its rest would stay.
    """
    plain = {secret.get_secret_value() for secret in secrets if secret}
    return sorted(plain - {""}, key=lambda secret: (-len(secret), secret))
