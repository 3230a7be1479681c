"""The SMTP sink, seen by clients that are not ours."""

import asyncio
import os
import signal
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import pytest

from kafka_email.testing import SmtpSink
from kafka_email.testing.sink import Stage
from support.kafka.certificates import Certificates
from support.package.process import assert_clean, run_script

SENDER = "shop@example.com"
ADA = "ada@example.com"


def mail(event_id: str = "0190-ada", text: str = "Hello Ada") -> EmailMessage:
    """A mail as the worker builds it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, ADA, "Grüße"
    message["Message-ID"] = f"<{event_id}@example.com>"
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    return message


@contextmanager
def connected(sink: SmtpSink, **options: Any) -> Iterator[smtplib.SMTP]:
    """A session that is not greeted yet; however it ends, its socket is closed."""
    client = smtplib.SMTP(sink.host, sink.port, timeout=10, **options)
    try:
        yield client
    finally:
        client.close()


def send(sink: SmtpSink, message: EmailMessage | None = None) -> None:
    with connected(sink) as client:
        client.send_message(message or mail())


def raw_session(sink: SmtpSink, *parts: bytes) -> bytes:
    """Sends parts in one write each, and returns everything that the sink sends until it closes."""
    with socket.create_connection((sink.host, sink.port), 10) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        while read := connection.recv(65536):
            received += read
        return received


def codes(replies: bytes) -> list[int]:
    """The codes of replies, multiline ones once."""
    return [int(line[:3]) for line in replies.decode().splitlines() if line[3:4] == " "]


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


def test_a_mail_arrives(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.send_message(mail(), SENDER, [ADA, "bob@example.com"])
        # It is there as soon as the client knows.
        (received,) = sink.mails
    assert (received.sender, received.recipients) == (SENDER, (ADA, "bob@example.com"))
    assert (received.subject, received.event_id) == ("Grüße", "0190-ada")
    assert received.text == "Hello Ada\n"
    assert received.html == "<p>Hello Ada</p>\n"
    assert received.raw.startswith(b"From: shop@example.com\r\nTo: ada@example.com\r\nSubject: =?utf-8?")
    assert received.message["To"] == ADA
    assert received.message is received.message


def test_what_a_mail_does_not_have(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.sendmail("", [ADA], b"\r\nonly text\r\n")
        client.sendmail("", [ADA], b"Content-Type: text/html\r\n\r\n<p>only HTML</p>\r\n")
    plain, html = sink.mails
    assert (plain.sender, plain.subject, plain.event_id) == ("", "", None)
    assert (plain.text, plain.html) == ("only text\n", None)
    assert (html.text, html.html) == (None, "<p>only HTML</p>\n")


@pytest.mark.parametrize(
    ("header", "event_id"),
    [
        (b"Message-ID: <a1@b.example>", "a1"),
        (b"message-id:<a1@b.example>", "a1"),
        (b"Message-ID:\r\n <a1@b.example>", "a1"),
        (b"Subject: none\r\n\r\nMessage-ID: <a1@b.example>", None),
        (b"Message-ID: a1", None),
    ],
)
def test_event_ids(sink: SmtpSink, header: bytes, event_id: str | None) -> None:
    with connected(sink) as client:
        client.sendmail(SENDER, [ADA], b"X-First: 1\r\n" + header + b"\r\n\r\ntext\r\n")
    assert [received.event_id for received in sink.mails] == [event_id]


@pytest.mark.parametrize(
    "content", [".\r\n", "..\r\n.\r\n", "a\r\n.b\r\n..c\r\n", "\r\n.\r\n\r\n", "x\r\n" * 5 + ".\r\n"]
)
def test_dots_at_the_start_of_a_line(sink: SmtpSink, content: str) -> None:
    with connected(sink) as client:
        client.sendmail(SENDER, [ADA], content)
    assert [received.raw for received in sink.mails] == [content.encode()]


def test_a_dot_behind_any_split(sink: SmtpSink) -> None:
    wire = b"a\r\n..\r\n.b\r\n..c\r\n.\r\n"
    with connected(sink) as client:
        client.ehlo()
        for at in range(1, len(wire)):
            client.mail(SENDER)
            client.rcpt(ADA)
            assert client.docmd("DATA")[0] == 354
            sock = cast("socket.socket", client.sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(wire[:at])
            sock.sendall(wire[at:])
            assert client.getreply()[0] == 250
    assert {received.raw for received in sink.mails} == {b"a\r\n.\r\nb\r\n.c\r\n"}


def test_large_mails() -> None:
    text = "0123456789" * 7 + "\r\n"
    with SmtpSink(size=0) as sink, connected(sink) as client:
        large = text * 300_000
        client.sendmail(SENDER, [ADA], large)
        assert sink.mails[0].raw == large.encode()


def test_a_mail_above_size_is_refused_when_it_is_announced_and_when_it_arrives() -> None:
    with SmtpSink(size=1000) as sink, connected(sink) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "1000"
        assert client.mail(SENDER, ["SIZE=1001"])[0] == 552
        client.mail(SENDER, ["SIZE=1000"])
        client.rcpt(ADA)
        assert client.data("x" * 70_000)[0] == 552
        client.sendmail(SENDER, [ADA], "x" * 900)
        assert len(sink.mails) == 1


def test_pipelining(sink: SmtpSink) -> None:
    envelope = b"MAIL FROM:<shop@example.com> BODY=8BITMIME\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
    content = b"Subject: x\r\n\r\ntext\r\n.\r\n"
    # Everything at once: each reply stands for its command, and none is lost.
    replies = raw_session(sink, b"EHLO me\r\n" + envelope + content + envelope + content + b"NOOP\r\nQUIT\r\n")
    assert codes(replies) == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 250, 221]
    sink.fail_next(550, stage="rcpt")
    assert codes(raw_session(sink, b"EHLO me\r\n" + envelope + b"RSET\r\nQUIT\r\n")) == [
        220,
        250,
        250,
        550,
        503,
        250,
        221,
    ]
    assert len(sink.mails) == 2


def test_a_server_that_says_354_after_it_refused_the_recipient(sink: SmtpSink) -> None:
    sink.fail_next(550, stage="rcpt")
    sink.fail_next(354, stage="data")
    envelope = b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
    assert codes(raw_session(sink, b"EHLO me\r\n" + envelope + b".\r\nQUIT\r\n")) == [220, 250, 250, 550, 354, 554, 221]
    assert sink.mails == []


def test_extensions_can_be_left_out() -> None:
    with SmtpSink(size=None, pipelining=False, eight_bit_mime=False, smtputf8=False) as sink, connected(sink) as client:
        assert client.ehlo() == (250, b"localhost\nHELP")
        for parameter in ("SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL"):
            assert client.docmd("MAIL", f"FROM:<{SENDER}> {parameter}")[0] == 555
        client.command_encoding = "utf-8"
        assert client.mail("grüße@example.com")[0] == 550
    with SmtpSink() as sink, connected(sink) as client:
        client.ehlo()
        assert set(client.esmtp_features) == {"pipelining", "8bitmime", "smtputf8", "size", "help"}


def test_addresses_that_are_not_ascii(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.sendmail("grüße@example.com", ["jürgen@example.com"], b"\r\ntext\r\n", mail_options=["SMTPUTF8"])
        client.command_encoding = "utf-8"
        client.mail(SENDER)
        assert client.rcpt("jürgen@example.com")[0] == 553
    assert (sink.mails[0].sender, sink.mails[0].recipients) == ("grüße@example.com", ("jürgen@example.com",))


@pytest.mark.parametrize("address", ['"a>b"@example.com', '"a\\"b>"@example.com'])
def test_quoted_addresses(sink: SmtpSink, address: str) -> None:
    with connected(sink) as client:
        client.ehlo()
        client.mail(f"<{address}>")
        assert client.docmd("RCPT", f"to: <{address}>")[0] == 250
        assert client.data(b"text")[0] == 250
    assert sink.mails[0].recipients == (address,)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"MAIL FROM:<a@b.c>"], [503]),
        ([b"EHLO x", b"RCPT TO:<a@b.c>", b"DATA"], [250, 503, 503]),
        ([b"HELO x", b"MAIL FROM:<a@b.c>", b"MAIL FROM:<a@b.c>", b"DATA"], [250, 250, 503, 503]),
        ([b"EHLO x", b"MAIL FROM:a@b.c", b"MAIL FROM:<a@b.c", b"MAIL"], [250, 501, 501, 501]),
        ([b"EHLO x", b"MAIL FROM:<a@b.c>", b"RCPT TO:<>", b"RCPT TO:<a@b.c> NOTIFY=NEVER"], [250, 250, 501, 555]),
        ([b"EHLO x", b"MAIL FROM:<a@b.c>", b"RCPT TO:<a@b.c>", b"EHLO x", b"DATA"], [250, 250, 250, 250, 503]),
        ([b"STARTTLS", b"AUTH PLAIN", b"VRFY x", b"BDAT 1 LAST", b"\xff"], [503, 503, 252, 500, 500]),
    ],
)
def test_commands_out_of_place(sink: SmtpSink, lines: list[bytes], expected: list[int]) -> None:
    assert codes(raw_session(sink, b"\r\n".join([*lines, b"QUIT", b""]))) == [220, *expected, 221]


def test_a_line_without_an_end(sink: SmtpSink) -> None:
    assert codes(raw_session(sink, b"x" * (64 * 1024 + 1))) == [220, 500]


STAGES: dict[Stage, type[Exception] | int] = {
    "connect": smtplib.SMTPConnectError,
    "ehlo": smtplib.SMTPHeloError,
    "mail": smtplib.SMTPSenderRefused,
    "rcpt": smtplib.SMTPRecipientsRefused,
    "data": smtplib.SMTPDataError,
    "dot": smtplib.SMTPDataError,
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_at_each_stage(sink: SmtpSink, stage: Stage) -> None:
    # smtplib tries HELO where EHLO failed.
    sink.fail_next(451, 2 if stage == "ehlo" else 1, stage)
    with pytest.raises(STAGES[stage]) as caught:  # type: ignore[arg-type]
        send(sink)
    assert "451" in str(caught.value)
    assert sink.mails == []
    send(sink)
    assert sink.count == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_lost_at_each_stage(sink: SmtpSink, stage: Stage) -> None:
    sink.drop_next(stage)
    message = mail(text="x" * 60 + "\n")
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        send(sink, message)
    # Only the reply to the dot is lost, not the mail.
    assert sink.count == (1 if stage == "dot" else 0)
    send(sink)
    assert [received.event_id for received in sink.mails] == ["0190-ada"] * sink.count
    assert sink.count == (2 if stage == "dot" else 1)


def test_a_connection_lost_within_a_mail_comes_after_354(sink: SmtpSink) -> None:
    sink.drop_next("data")
    with connected(sink) as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ADA)
        assert client.docmd("DATA")[0] == 354
        client.send("Subject: x\r\n")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.getreply()


def test_faults_strike_in_order_and_so_many_times(sink: SmtpSink) -> None:
    sink.fail_next(450, 2)
    sink.fail_next(550)
    sink.fail_next(251)
    sink.fail_next(452, 0)
    with connected(sink) as client:
        client.ehlo()
        client.mail(SENDER)
        assert [client.rcpt(ADA)[0] for _ in range(5)] == [450, 450, 550, 251, 250]
        client.data(b"text")
    assert sink.mails[0].recipients == (ADA, ADA)


def test_421_closes_the_connection(sink: SmtpSink) -> None:
    sink.fail_next(421, stage="mail")
    with connected(sink) as client:
        client.ehlo()
        assert client.mail(SENDER)[0] == 421
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.getreply()


def test_faults_that_do_not_exist(sink: SmtpSink) -> None:
    with pytest.raises(ValueError, match=r"unknown stage \"quit\": one of connect, ehlo, .*dot"):
        sink.drop_next(cast("Stage", "quit"))
    with pytest.raises(ValueError, match="unknown stage"):
        sink.fail_next(450, stage=cast("Stage", "quit"))
    with pytest.raises(ValueError, match="42 is no reply code"):
        sink.fail_next(42)


def test_clear_drops_mails_and_faults(sink: SmtpSink) -> None:
    send(sink)
    sink.fail_next(550)
    sink.clear()
    assert (sink.count, sink.mails) == (0, [])
    send(sink)
    assert sink.count == 1


def test_replies_can_be_delayed_while_it_runs(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.ehlo()
        sink.delay_ms = 150
        began = time.monotonic()
        client.noop()
        assert time.monotonic() - began >= 0.15
        assert sink.delay_ms == 150
        sink.delay_ms = 0
        client.noop()
    with SmtpSink(delay_ms=100) as slow:
        began = time.monotonic()
        # Replies to commands that come together are delayed together, as by the way to a distant server.
        assert codes(raw_session(slow, b"EHLO x\r\n" + b"NOOP\r\n" * 50 + b"QUIT\r\n"))[-1] == 221
        assert 0.2 <= time.monotonic() - began < 5


def test_the_dot_is_stored_before_its_delayed_reply(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ADA)
        assert client.docmd("DATA")[0] == 354
        sink.delay_ms = 60_000
        client.send("text\r\n.\r\n")
        assert len(sink.wait_for(1)) == 1


USERS = {"mailer": "a secret / + ="}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_authentication(mechanism: str) -> None:
    with SmtpSink(users=USERS) as sink, connected(sink) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN", "XOAUTH2"]
        assert client.mail(SENDER)[0] == 530
        client.esmtp_features["auth"] = mechanism
        for user, password in (("mailer", "wrong"), ("nobody", USERS["mailer"])):
            with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                client.login(user, password)
        assert client.login("mailer", USERS["mailer"], initial_response_ok=False)[0] == 235
        client.send_message(mail())
        assert sink.count == 1


def test_xoauth2() -> None:
    def answer(token: str) -> Any:
        return lambda challenge=None: "" if challenge else f"user=mailer\x01auth=Bearer {token}\x01\x01"

    with SmtpSink(users={"mailer": "ya29.token"}) as sink, connected(sink) as client:
        client.ehlo()
        # The refusal is a challenge first, which the client answers with an empty line.
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.auth("XOAUTH2", answer("expired"))
        assert client.auth("XOAUTH2", answer("ya29.token"))[0] == 235


def test_authentication_that_makes_no_sense() -> None:
    with SmtpSink(users=USERS) as sink, connected(sink) as client:
        client.ehlo()
        for command in ("AUTH CRAM-MD5", "AUTH PLAIN AA=A", "AUTH PLAIN !!!!", "AUTH PLAIN YQ==", "AUTH XOAUTH2 YQ=="):
            assert client.docmd(command)[0] in {501, 504}, command
        assert client.docmd("AUTH LOGIN") == (334, b"VXNlcm5hbWU6")
        assert client.docmd("*")[0] == 501
        # smtplib tries another mechanism where one failed.
        sink.fail_next(454, 2, stage="auth")
        with pytest.raises(smtplib.SMTPAuthenticationError, match="454"):
            client.login("mailer", USERS["mailer"])
        sink.drop_next("auth")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.login("mailer", USERS["mailer"])


def test_starttls(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca_file)
    with SmtpSink(certfile=certificates.server_file, users=USERS) as sink, connected(sink) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        sink.fail_next(454, stage="starttls")
        with pytest.raises(smtplib.SMTPResponseException, match="454"):
            client.starttls(context=context)
        client.starttls(context=context)
        client.ehlo()
        assert "starttls" not in client.esmtp_features
        client.login("mailer", USERS["mailer"])
        client.send_message(mail())
        assert [received.subject for received in sink.mails] == ["Grüße"]
        with connected(sink) as other:
            other.ehlo()
            sink.drop_next("starttls")
            with pytest.raises(smtplib.SMTPServerDisconnected):
                other.starttls(context=context)


def test_starttls_forgets_what_came_before(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca_file)
    with SmtpSink(certfile=certificates.server_file) as sink, connected(sink) as client:
        client.ehlo()
        # An attacker's command behind STARTTLS is not executed as if it had come encrypted.
        client.send("STARTTLS\r\nNOOP\r\n")
        assert client.getreply()[0] == 220
        secure = context.wrap_socket(cast("socket.socket", client.sock), server_hostname="127.0.0.1")
        client.sock, client.file = secure, None
        assert client.mail(SENDER)[0] == 503
        client.ehlo()
        assert client.mail(SENDER)[0] == 250


def test_tls_from_the_start(certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca_file)
    with SmtpSink(certfile=certificates.server_file, security="tls") as sink:
        client = smtplib.SMTP_SSL("127.0.0.1", sink.port, context=context, timeout=10)
        try:
            client.send_message(mail())
            assert not client.has_extn("starttls")
        finally:
            client.close()
        assert sink.count == 1


def test_certificates_that_cannot_be_used(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot speak TLS: cannot read .*nowhere\.pem"):
        SmtpSink(certfile=tmp_path / "nowhere.pem")
    with pytest.raises(ValueError, match="cannot speak TLS"):
        SmtpSink(certfile=certificates.server_file, keyfile=certificates.client_key_file)


async def test_many_connections_at_once(sink: SmtpSink) -> None:
    async def deliver(number: int) -> None:
        async with aiosmtplib.SMTP(hostname=sink.host, port=sink.port, timeout=30) as client:
            for turn in range(5):
                await client.sendmail(SENDER, [ADA], f"Message-ID: <{number}-{turn}@x>\r\n\r\ntext\r\n")

    await asyncio.gather(*(deliver(number) for number in range(200)))
    mails = await asyncio.to_thread(sink.wait_for, 1000)
    assert {received.event_id for received in mails} == {f"{n}-{turn}" for n in range(200) for turn in range(5)}


async def test_waiting_in_a_coroutine() -> None:
    async with SmtpSink() as sink:
        waiting = asyncio.create_task(asyncio.to_thread(sink.wait_for, 1))
        await aiosmtplib.send(mail(), hostname=sink.host, port=sink.port)
        assert [received.subject for received in await waiting] == ["Grüße"]


def test_waiting_in_vain(sink: SmtpSink) -> None:
    assert sink.wait_for(0, timeout=0) == []
    send(sink)
    with pytest.raises(TimeoutError, match=r"has accepted 1 mails after 0.1 s, not 2"):
        sink.wait_for(2, timeout=0.1)
    with pytest.raises(TimeoutError):
        sink.wait_for(2, timeout=-1)


def test_a_wait_can_be_interrupted(sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("from the handler")

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(InterruptedError, match="from the handler"):
            sink.wait_for(1, timeout=30)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_ledger(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text("cut")
    with SmtpSink(ledger=ledger, keep=False) as sink:
        with connected(sink) as client:
            client.send_message(mail("one"), SENDER, [ADA, "bob@example.com"])
            # On disk before the client knows.
            assert ledger.read_text() == "cut\none ada@example.com\none bob@example.com\n"
            sink.fail_next(451, stage="dot")
            with pytest.raises(smtplib.SMTPDataError):
                client.send_message(mail("refused"))
        sink.drop_next("dot")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(sink, mail("unknown"))
        sink.stop()
        sink.start()
        with connected(sink) as client:
            client.sendmail(SENDER, [ADA], b"\r\nno id\r\n")
        assert (sink.count, sink.mails) == (3, [])
    lines = ["one ada@example.com", "one bob@example.com", "unknown ada@example.com", "- ada@example.com"]
    assert ledger.read_text().splitlines() == ["cut", *lines]
    with pytest.raises(OSError, match="cannot write its ledger"):
        SmtpSink(ledger=tmp_path / "nowhere" / "ledger").start()


async def test_a_ledger_of_many_connections(tmp_path: Path) -> None:
    async def deliver(sink: SmtpSink, number: int) -> None:
        async with aiosmtplib.SMTP(hostname=sink.host, port=sink.port, timeout=30) as client:
            for turn in range(10):
                await client.sendmail(SENDER, [ADA], f"Message-ID: <{number}-{turn}@x>\r\n\r\ntext\r\n")

    ledger = tmp_path / "ledger"
    async with SmtpSink(ledger=ledger) as sink:
        await asyncio.gather(*(deliver(sink, number) for number in range(20)))
        written = [line.split()[0] for line in ledger.read_text().splitlines()]
        assert sorted(written) == sorted(cast("str", received.event_id) for received in sink.mails)
        assert len(written) == 200


def test_a_restart_with_open_connections() -> None:
    sink = SmtpSink().start()
    port = sink.port
    with connected(sink) as client, connected(sink) as other:
        client.send_message(mail())
        other.ehlo()
        other.mail(SENDER)
        sink.stop()
        for left in (client, other):
            with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
                left.noop()
    with pytest.raises(ConnectionRefusedError):
        send(sink)
    sink.stop()
    sink.start().start()
    assert sink.port == port
    send(sink)
    assert len(sink.mails) == 2
    sink.stop()
    assert len(sink.mails) == 2


def test_a_port_of_ones_own(sink: SmtpSink) -> None:
    with pytest.raises(OSError, match=f"cannot listen on port {sink.port}"):
        SmtpSink(port=sink.port).start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = SmtpSink().port
    sink.stop()
    with SmtpSink(port=sink.port) as other:
        assert other.port == sink.port


def test_no_personal_data_is_shown(certificates: Certificates) -> None:
    with SmtpSink(users=USERS) as sink, connected(sink) as client:
        client.login("mailer", USERS["mailer"])
        client.send_message(mail())
        (received,) = sink.mails
        assert repr(received) == f"<ReceivedMail 0190-ada: 1 recipients, {len(received.raw)} bytes>"
        assert repr(sink) == f"<SmtpSink on port {sink.port}>"


def test_a_forked_child_leaves_its_parents_sink_alone() -> None:
    script = """
import os, smtplib, sys, warnings
from kafka_email.testing import SmtpSink

warnings.filterwarnings("ignore", r"This process \\(pid=\\d+\\) is multi-threaded", DeprecationWarning)

def send(sink):
    with smtplib.SMTP(sink.host, sink.port) as client:
        client.sendmail("a@b.c", ["d@e.f"], "text")

sink = SmtpSink().start()
send(sink)
pid = os.fork()
if pid == 0:
    for use in (lambda: sink.mails, lambda: sink.wait_for(1), lambda: sink.start(), lambda: sink.fail_next(550)):
        try:
            use()
        except RuntimeError as error:
            assert "forked" in str(error), error
        else:
            sys.exit("no error")
    sink.stop()
    send(sink)
    with SmtpSink() as own:
        send(own)
        assert own.count == 1
    del sink, own
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print(len(sink.wait_for(2)))
"""
    assert assert_clean(run_script(script)) == "2\n"


def test_a_process_may_end_with_a_running_sink() -> None:
    script = """
import smtplib
from kafka_email.testing import SmtpSink
sink = SmtpSink().start()
client = smtplib.SMTP(sink.host, sink.port)
client.ehlo()
client.sock.detach()
client.file = None
print("end")
"""
    finished = run_script(script)
    assert (finished.code, finished.out) == (0, "end\n")
