"""The SMTP sink, seen by clients that are not ours."""

import asyncio
import os
import signal
import smtplib
import threading

import aiosmtplib
import pytest

from kafka_email.testing import SmtpSink
from support.package.mails import ADA, SENDER, connected, mail, send
from support.package.process import assert_clean, run_script


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


def test_no_personal_data_is_shown() -> None:
    with SmtpSink(users={"mailer": "a secret"}) as sink, connected(sink) as client:
        client.login("mailer", "a secret")
        client.send_message(mail())
        (received,) = sink.mails
        assert repr(received) == f"<ReceivedMail event_id='0190-ada' recipients=1 bytes={len(received.raw)}>"
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
