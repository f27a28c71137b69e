# SPDX-License-Identifier: ISC
"""smtpd_proxy_filter: the filter's answer is the client's."""

import pytest

from harness import Sink, free_port, wait_for
from test_smtpd import BOB, inbox, open_mx


@pytest.fixture
def filtered(postern):
    sinks = []

    def make(replies=None, ehlo=("PIPELINING", "8BITMIME", "XFORWARD NAME "
                                 "ADDR PROTO HELO")):
        sink = Sink("127.0.0.5", 0, replies=replies, ehlo=ehlo)
        sinks.append(sink)
        p = postern("pf", users={BOB: "b", "eve@example.test": "e"}, options={
            "smtpd_proxy_filter": f"inet:127.0.0.5:{sink.port}",
            "smtpd_proxy_timeout": "5s"}).start()
        p.sink = sink
        return p
    yield make
    for sink in sinks:
        sink.stop()


def submit(p, rcpts=(BOB,), text=b"Subject: s\r\n\r\n..dot\r\nx\r\n"):
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for r in rcpts:
        s.expect(f"RCPT TO:<{r}>", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    reply = s.reply()
    # The session goes on, whatever became of the mail.
    s.expect("RCPT TO:<x@y.example>", 503)
    s.close()
    return reply


def test_the_message_goes_through_the_filter(filtered):
    p = filtered(replies={".": "250 2.6.0 from the filter"})
    code, text = submit(p, (BOB, "eve@example.test"))
    assert (code, text) == (250, "250 2.6.0 from the filter\r\n")
    mail, = p.sink.mails
    assert mail["rcpts"] == [BOB, "eve@example.test"]
    assert mail["from"].startswith("MAIL FROM:<a@b.example>")
    assert mail["data"].endswith(b"\r\n\r\n..dot\r\nx\r\n")
    assert b"Received: from client.example" in mail["data"]
    said, = [c for c in p.sink.commands if c.startswith("XFORWARD")]
    assert said == ("XFORWARD NAME=localhost ADDR=127.0.0.1 PROTO=ESMTP "
                    "HELO=client.example")
    # Ours is nothing: the filter hands it on.
    assert inbox(p) == [] and p.queue() == []


@pytest.mark.parametrize("stage, reply, code", [
    (".", "550 5.7.1 spam", 550), (".", "451 4.3.0 later", 451),
    ("MAIL", "554 5.1.8 no", 554), ("DATA", "452 4.3.1 full", 452),
    ("RCPT eve@example.test", "550 5.1.1 not her", 550),
    ("GREETING", b"", 451), (".", b"nonsense\r\n", 451)])
def test_the_filter_refuses(filtered, stage, reply, code):
    p = filtered(replies={stage: reply})
    got, text = submit(p, (BOB, "eve@example.test"))
    assert got == code
    if isinstance(reply, str):
        assert text == reply + "\r\n"
    # One recipient refused is all refused: nobody gets a part of it.
    assert p.sink.mails == [] and inbox(p) == []


def test_what_a_filter_would_lose_is_not_promised(postern, tmp_path):
    """Times, priority and REQUIRETLS end at the filter: they are not offered;
    HOLD is not ours to do, and that is told."""
    table = tmp_path / "hold"
    table.write_text("a@b.example HOLD\n")
    sink = Sink("127.0.0.5", 0)
    p = postern("np", users={BOB: "b"}, options={
        "smtpd_proxy_filter": f"127.0.0.5:{sink.port}",
        "mynetworks": "127.0.0.0/8",
        "smtpd_sender_restrictions": f"check_sender_access hash:{table}",
    }).start()
    s = open_mx(p)
    for param in ("MT-PRIORITY=3", "BY=60;R", "HOLDFOR=60", "REQUIRETLS"):
        s.expect(f"MAIL FROM:<a@b.example> {param}", 555)
    s.close()
    assert submit(p)[0] == 250
    assert len(sink.mails) == 1
    assert "HOLD, REDIRECT and FILTER are skipped" in p.log()
    sink.stop()


def test_a_dead_filter_is_a_temporary_failure(postern):
    p = postern("dead", users={BOB: "b"}, options={
        "smtpd_proxy_filter": f"127.0.0.1:{free_port()}"}).start()
    assert submit(p)[0] == 451
    assert inbox(p) == [] and p.queue() == []


def test_through_the_filter_and_back(postern):
    """Two lines of one server: the filter hands on to the second."""
    back = free_port()
    got = []

    class Filter(Sink):
        def _answer(self, conn, verb, default):
            if verb == ".":
                import smtplib
                with smtplib.SMTP("127.0.0.1", back, timeout=10) as c:
                    c.sendmail("a@b.example", [BOB], b"X-Filtered: yes\r\n"
                               b"Subject: s\r\n\r\nx\r\n")
                got.append(verb)
            return super()._answer(conn, verb, default)
    sink = Filter("127.0.0.5", 0)
    p = postern("back", users={BOB: "b"}, options={
        "smtpd_proxy_filter": f"127.0.0.5:{sink.port}"}, master_extra=(
            f"127.0.0.1:{back} inet n - n - - smtpd "
            "-o smtpd_proxy_filter=\n")).start()
    assert submit(p)[0] == 250
    mail, = wait_for("the mail", lambda: inbox(p))
    assert b"X-Filtered: yes" in mail
    sink.stop()
