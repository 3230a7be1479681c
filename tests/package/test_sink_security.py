"""Users, passwords and TLS of the SMTP sink."""

import smtplib
import socket
import ssl
from pathlib import Path
from typing import Any, cast

import pytest

from kafka_email.testing import SmtpSink
from support.kafka.certificates import Certificates
from support.package.mails import SENDER, connected, mail

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
        for command in (
            "AUTH CRAM-MD5",
            "AUTH PLAIN AA=A",
            "AUTH PLAIN !!!!",
            "AUTH PLAIN YQ==",
            "AUTH PLAIN AG1haWxlcgA",
            "AUTH XOAUTH2 YQ==",
        ):
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
