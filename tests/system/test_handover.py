# SPDX-License-Identifier: ISC
"""Between the end of the data and 250 a session waits for another role, without
a thread: others go on, and whatever happens meanwhile the answer is true."""

import imaplib
import os
import signal
from contextlib import contextmanager

import pytest

from harness import Postern, Smtp, wait_for

USER = "u@example.test"


@pytest.fixture
def p(tmp_path):
    # One thread for all sessions: who holds it holds up all the others.
    one = Postern(tmp_path, users={USER: "secret"}, options={
        "smtpd_processes": "1", "smtpd_threads": "1"}).start()
    yield one
    one.stop()


def pid_of(p, role):
    return next(r["pid"] for r in p.status()["roles"] if r["role"] == role)


@contextmanager
def stopped(p, role):
    """It takes what it is given, and does not answer."""
    pid = pid_of(p, role)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def begin(p, behind=b""):
    """A mail whose end has been said."""
    c = Smtp(p.host, p.port["smtp"])
    c.expect("EHLO client.test", 250)
    c.expect("MAIL FROM:<a@b.example>", 250)
    c.expect(f"RCPT TO:<{USER}>", 250)
    c.expect("DATA", 354)
    c.send(b"Subject: waits\r\n\r\nhello\r\n.\r\n" + behind)
    return c


def stored(p):
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(USER, "secret")
    n = int(m.select("INBOX", readonly=True)[1][0])
    m.logout()
    return n


def is_awaited(p):
    """The session has done all before the answer: others are served."""
    with_others = Smtp(p.host, p.port["smtp"])
    with_others.expect("NOOP", 250)
    with_others.close()


def test_who_waits_holds_no_thread(p):
    with stopped(p, "mailbox"):
        waiting = [begin(p) for _ in range(20)]
        is_awaited(p)
    for c in waiting:
        assert c.reply()[0] == 250
        c.expect("NOOP", 250)
        c.close()
    wait_for("all mails", lambda: stored(p) == 20)


def test_what_follows_is_answered_behind_it(p):
    with stopped(p, "mailbox"):
        c = begin(p, b"MAIL FROM:<c@b.example>\r\nRCPT TO:<%s>\r\nRSET\r\n"
                  b"QUIT\r\n" % USER.encode())
        is_awaited(p)
    replies = [c.reply() for _ in range(5)]
    assert [code for code, _ in replies] == [250, 250, 250, 250, 221]
    assert "queued as" in replies[0][1]
    assert "queued as" not in "".join(text for _, text in replies[1:])
    c.close()


def test_the_client_goes(p):
    with stopped(p, "mailbox"):
        begin(p).close()
        is_awaited(p)
    wait_for("the mail", lambda: stored(p) == 1)
    is_awaited(p)


def test_the_other_role_dies(p):
    with stopped(p, "mailbox") as pid:
        c = begin(p)
        is_awaited(p)
        os.kill(pid, signal.SIGKILL)
        assert c.reply()[0] == 250  # the queue has it
    wait_for("the mail", lambda: stored(p) == 1)
    c.expect("NOOP", 250)
    c.close()


def test_both_others_die(p):
    with stopped(p, "mailbox") as mailbox, stopped(p, "queue") as queue:
        c = begin(p)
        is_awaited(p)
        os.kill(mailbox, signal.SIGKILL)
        is_awaited(p)
        os.kill(queue, signal.SIGKILL)
        code, text = c.reply()
        # What comes back first may still take it.
        assert code in (250, 451), text
    if code == 451:
        c.expect("MAIL FROM:<a@b.example>", 250)
        c.expect(f"RCPT TO:<{USER}>", 250)
    c.close()
    if code == 250:
        wait_for("the mail", lambda: stored(p) == 1)


def listens(p):
    """Master keeps the socket: connections wait there for the successor."""
    c = Smtp(p.host, p.port["smtp"], greet=False)
    c.sock.settimeout(0.3)
    try:
        return bool(c.sock.recv(1))
    except TimeoutError:
        return False
    finally:
        c.close()


def test_a_reload_comes_between(p):
    with stopped(p, "mailbox"):
        c = begin(p)
        is_awaited(p)
        os.kill(pid_of(p, "smtpd"), signal.SIGTERM)
        wait_for("no more connections", lambda: not listens(p))
    assert c.reply()[0] == 250
    assert c.reply()[0] == 421
    c.close()
    wait_for("the mail", lambda: stored(p) == 1)
