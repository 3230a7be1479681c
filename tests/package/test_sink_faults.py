"""The SMTP sink fails where, when and how a test says."""

import smtplib
import socket
import time
from typing import cast

import pytest

from kafka_email.testing import SmtpSink
from kafka_email.testing.sink import Stage
from support.package.mails import ADA, SENDER, codes, connected, mail, raw_session, send


def test_a_server_that_says_354_after_it_refused_the_recipient(sink: SmtpSink) -> None:
    sink.fail_next(550, stage="rcpt")
    sink.fail_next(354, stage="data")
    envelope = b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
    assert codes(raw_session(sink, b"EHLO me\r\n" + envelope + b".\r\nQUIT\r\n")) == [220, 250, 250, 550, 354, 554, 221]
    assert sink.mails == []


STAGES: dict[Stage, type[smtplib.SMTPException]] = {
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
    with pytest.raises(STAGES[stage]) as caught:
        send(sink)
    assert "451" in str(caught.value)
    assert sink.mails == []
    send(sink)
    assert sink.count == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_lost_at_each_stage(sink: SmtpSink, stage: Stage) -> None:
    sink.drop_next(stage)
    message = mail(text="x" * 60 + "\n")
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)) as caught:
        send(sink, message)
    assert "timed out" not in str(caught.value)
    # Only the reply to the dot is lost, not the mail.
    assert sink.count == (1 if stage == "dot" else 0)
    send(sink)
    assert [received.event_id for received in sink.mails] == ["0190-ada"] * sink.count
    assert sink.count == (2 if stage == "dot" else 1)


def test_a_connection_lost_within_a_mail_comes_after_354(sink: SmtpSink) -> None:
    sink.drop_next("data")
    envelope = b"EHLO me\r\nMAIL FROM:<shop@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
    with socket.create_connection((sink.host, sink.port), 10) as connection:
        connection.sendall(envelope)
        replies = connection.makefile("rb")
        while not replies.readline().startswith(b"354"):
            pass
        connection.sendall(b"Subject: x\r\n")
        assert replies.read() == b""
    sink.drop_next("data")
    # A client that does not wait for 354 gets it nevertheless.
    assert codes(raw_session(sink, envelope + b"Subject: x\r\n")) == [220, 250, 250, 250, 354]
    assert sink.mails == []


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
    assert codes(raw_session(sink, b"EHLO me\r\nMAIL FROM:<shop@example.com>\r\n")) == [220, 250, 421]


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
        assert codes(raw_session(slow, b"EHLO x\r\n" + b"NOOP\r\n" * 500 + b"QUIT\r\n"))[-1] == 221
        assert 0.2 <= time.monotonic() - began < 25


def test_the_dot_is_stored_before_its_delayed_reply(sink: SmtpSink) -> None:
    with connected(sink) as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ADA)
        assert client.docmd("DATA")[0] == 354
        sink.delay_ms = 60_000
        client.send("text\r\n.\r\n")
        assert len(sink.wait_for(1)) == 1
