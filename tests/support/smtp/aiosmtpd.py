"""aiosmtpd in a thread."""

import ssl
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from support.ports import HOST, free_port


class Aiosmtpd:
    """A running aiosmtpd: `with Aiosmtpd() as server:`."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int | None = None, **options: Any) -> None:
        """Starts nothing yet.

        Args:
            context: the server's certificate, for STARTTLS.
            port: where it listens, such as that of one that ended; a free one when left out.
            options: as aiosmtpd's class `SMTP` takes them, such as `authenticator` or `data_size_limit`.
        """
        self.envelopes: list[Envelope] = []
        """Of the accepted mails."""
        self._options = {"tls_context": context, **options}
        self.host = HOST
        self.port = port or free_port()

    def __enter__(self) -> "Aiosmtpd":
        """Starts it, and waits until it listens."""
        self._controller = Controller(self, self.host, self.port, **self._options)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd for each mail."""
        self.envelopes.append(envelope)
        return "250 OK"
