"""Tokens for OAUTHBEARER."""

import base64
import json
import time


def unsigned_token(subject: str, lifetime_s: float) -> str:
    """A token as Kafka takes it without further configuration (RFC 7519, section 6)."""
    claims = {"sub": subject, "iat": time.time(), "exp": time.time() + lifetime_s}
    parts = ({"alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join(encoded) + "."
