"""The SMTP servers that are not ours do what the worker's tests rely on."""

import smtplib

from support.smtp.aiosmtpd import Aiosmtpd
from support.smtp.postfix import PostfixSink

CONTENT = "Subject: Hello\r\n\r\nAda\r\n.\r\n"


def deliver(host: str, port: int) -> None:
    with smtplib.SMTP(host, port, timeout=10) as client:
        assert client.sendmail("shop@example.com", ["ada@example.com"], CONTENT) == {}


def test_smtp_sink_accepts_a_mail(postfix: PostfixSink) -> None:
    deliver(postfix.host, postfix.port)
    (mail,) = postfix.mails()
    assert "X-Mail-Args: <shop@example.com>" in mail
    assert "X-Rcpt-Args: <ada@example.com>" in mail
    assert "Subject: Hello\n\nAda\n.\n" in mail


def test_smtp_sink_can_refuse() -> None:
    with PostfixSink("-r", "RCPT") as server, smtplib.SMTP(server.host, server.port, timeout=10) as client:
        client.ehlo()
        assert client.mail("shop@example.com")[0] == 250
        assert client.rcpt("ada@example.com")[0] == 450


def test_aiosmtpd_accepts_a_mail(aiosmtpd: Aiosmtpd) -> None:
    deliver(aiosmtpd.host, aiosmtpd.port)
    (envelope,) = aiosmtpd.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("shop@example.com", ["ada@example.com"])
    assert envelope.content == CONTENT.encode()
