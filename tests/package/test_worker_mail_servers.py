"""The worker and mail servers that are not ours: Postfix's smtp-sink and aiosmtpd, with STARTTLS and AUTH there."""

import logging
import ssl
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from kafka_email import ConfigurationError
from kafka_email.worker import SmtpConfig, Worker
from support.kafka.certificates import Certificates, make_certificates
from support.package.embedded import eventually
from support.package.working import DEAD_LETTERS, SENDER, Shop, notify, shop, worker_config
from support.smtp.aiosmtpd import Aiosmtpd
from support.smtp.postfix import PostfixSink

ANN = "ann@example.org"
USER, PASSWORD = "shop", "correct horse"
SECONDS = 15.0


def worker_of(running: Shop, server: PostfixSink | Aiosmtpd, **settings: object) -> Worker:
    smtp = SmtpConfig(**{"host": server.host, "port": server.port, "security": "none", **settings})
    return Worker(worker_config(retry_for_s=0.2), kafka=running.kafka, smtp=smtp)


def context_of(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server_file)
    return context


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, credentials: LoginPassword
) -> AuthResult:
    is_right = (credentials.login, credentials.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


def guarded(certificates: Certificates, port: int | None = None) -> Aiosmtpd:
    """A server that takes mails from its user alone, and the password by TLS alone."""
    options = {"auth_required": True, "auth_require_tls": True, "authenticator": authenticate}
    return Aiosmtpd(context_of(certificates), port, **options)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The messages of an event that were logged so far."""
    caplog.set_level(logging.INFO, "kafka_email.worker")

    def of(name: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if getattr(record, "kafka_email_event", "") == name]

    return of


async def test_postfix_gets_each_mail_once(postfix: PostfixSink) -> None:
    async with shop() as running, worker_of(running, postfix) as worker:
        stored = [await notify(f"reader{number}@example.org") for number in range(5)]
        await eventually(lambda: dict(worker.snapshot().attempts) == {"delivered": 5}, SECONDS)
    mails = postfix.mails()
    assert len(mails) == 5
    for number, event in enumerate(stored):
        (mail,) = [mail for mail in mails if f"X-Rcpt-Args: <reader{number}@example.org>" in mail]
        assert f"X-Mail-Args: <{SENDER}>" in mail
        assert f"Message-ID: <{event.event_id}@example.com>" in mail


async def test_postfix_without_pipelining() -> None:
    async with shop() as running:
        with PostfixSink("-p") as postfix:
            async with worker_of(running, postfix):
                for _ in range(3):
                    await notify(ANN, "Grüße")
                await eventually(lambda: len(postfix.mails()) == 3, SECONDS)


async def test_what_postfix_refuses_is_a_dead_letter() -> None:
    async with shop() as running:
        with PostfixSink("-f", "RCPT") as postfix:
            async with worker_of(running, postfix):
                stored = await notify(ANN)
                (letter,) = await running.dead_letters(1)
        headers = letter.headers
        assert (headers["ce_id"], headers["dlt-reason"], headers["dlt-stage"]) == (stored.event_id, "permanent", "rcpt")
        assert headers["dlt-code"] == "500"


async def test_aiosmtpd_gets_the_mail_as_it_was_built(aiosmtpd: Aiosmtpd) -> None:
    async with shop() as running, worker_of(running, aiosmtpd):
        stored = await notify(ANN, "Grüße")
        await eventually(lambda: len(aiosmtpd.envelopes) == 1, SECONDS)
    (envelope,) = aiosmtpd.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, [ANN])
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content)
    assert (mail["To"], mail["Message-ID"]) == (f"<{ANN}>", f"<{stored.event_id}@example.com>")
    assert "Grüße".encode() in b"".join(part.get_payload(decode=True) or b"" for part in mail.walk())  # type: ignore[misc]


async def test_an_address_that_postfix_cannot_take_is_named_in_words(
    postfix: PostfixSink, lines: Callable[[str], list[str]]
) -> None:
    async with shop() as running, worker_of(running, postfix):
        await notify("grüße@example.org")
        await eventually(lambda: lines("dead_lettered") != [], SECONDS)
    (line,) = lines("dead_lettered")
    assert "no SMTPUTF8 offered" in line


@pytest.mark.parametrize("trust", ["file", "folder"])
async def test_aiosmtpd_with_starttls_and_a_user(certificates: Certificates, tmp_path: Path, trust: str) -> None:
    tmp_path.joinpath("README").write_text("Authorities that we trust.\n")
    tmp_path.joinpath("old").mkdir()
    tmp_path.joinpath("ours.pem").write_bytes(certificates.ca_file.read_bytes())
    cafile = certificates.ca_file if trust == "file" else tmp_path
    async with shop() as running:
        with guarded(certificates) as server:
            settings = {"security": "starttls", "username": USER, "password": PASSWORD, "cafile": cafile}
            async with worker_of(running, server, **settings):
                await notify(ANN)
                await eventually(lambda: len(server.envelopes) == 1, SECONDS)


async def test_a_certificate_that_is_not_trusted_at_the_start_is_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    foreign = make_certificates(tmp_path)
    async with shop() as running:
        with guarded(certificates) as server:
            stored = await notify(ANN)
            settings = {"security": "starttls", "username": USER, "password": PASSWORD}
            with pytest.raises(ConfigurationError, match=r"UnknownIssuer.*SMTP_CAFILE"):
                await worker_of(running, server, **settings, cafile=foreign.ca_file).start()
            assert running.broker.records(DEAD_LETTERS) == []
            async with worker_of(running, server, **settings, cafile=certificates.ca_file):
                await eventually(lambda: len(server.envelopes) == 1, SECONDS)
        assert stored.event_id.encode() in server.envelopes[0].content  # type: ignore[operator]


async def test_a_certificate_that_is_not_trusted_any_more_buries_nothing(
    certificates: Certificates, tmp_path: Path, lines: Callable[[str], list[str]]
) -> None:
    foreign = make_certificates(tmp_path)
    async with shop() as running:
        with guarded(certificates) as trusted:
            settings = {"security": "starttls", "username": USER, "password": PASSWORD, "cafile": certificates.ca_file}
            worker = worker_of(running, trusted, **settings)
            await worker.start()
        with guarded(foreign, trusted.port):
            await notify(ANN)
            await eventually(lambda: lines("smtp_unavailable") != [], SECONDS)
            attempts = dict(worker.snapshot().attempts)
            # Longer than `retry_for_s`, which does not count a failure of the server.
            await eventually(lambda: dict(worker.snapshot().attempts) != attempts, SECONDS)
        assert not await worker.health()
        (line,) = lines("smtp_unavailable")
        assert "a certificate that is not trusted" in line
        assert "at stage tls" in line
        with guarded(certificates, trusted.port) as again:
            await eventually(lambda: len(again.envelopes) == 1, SECONDS)
            await worker.stop()
        assert lines("smtp_recovered") != []
        assert lines("dead_lettered") == []
        assert running.broker.records(DEAD_LETTERS) == []
