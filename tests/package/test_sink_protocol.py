"""What the SMTP sink accepts and refuses, byte by byte."""

import socket
from typing import cast

import pytest

from kafka_email.testing import SmtpSink
from support.package.mails import ADA, SENDER, codes, connected, raw_session


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
