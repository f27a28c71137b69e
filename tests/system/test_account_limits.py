# SPDX-License-Identifier: ISC
"""What an account may send in a day: held beyond it, told once, nothing lost.
"""

import sqlite3

import pytest

from harness import Sink, wait_for
from test_smtpd import BOB, inbox, logged_in

ALICE = "alice@example.test"


@pytest.fixture
def limited(postern):
    made = []

    def make(**options):
        sink = Sink("127.0.0.5", 0)
        p = postern("lim", users={ALICE: "a", BOB: "b"}, options={
            "relayhost": f"[127.0.0.5]:{sink.port}", **options}).start()
        p.sink = sink
        made.append(sink)
        return p
    yield make
    for sink in made:
        sink.stop()


def mail(s, *rcpts):
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    for r in rcpts:
        s.expect(f"RCPT TO:<{r}>", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    code, text = s.reply()
    assert code == 250
    return text.split()[-1]


def held(p):
    return sorted(m["id"] for m in p.queue() if m["state"] == "hold")


def arrived(p, n):
    """Mails of users; the postmaster's copy of a notice goes out, too."""
    def mails():
        return [m for m in p.sink.mails if "FROM:<>" not in m["from"]]
    wait_for(f"{n} mails", lambda: len(mails()) >= n)
    assert len(mails()) == n


def test_messages_beyond_the_limit_are_held_and_the_owner_told(limited):
    p = limited(smtpd_account_message_limit="2")
    s = logged_in(p, ALICE)
    for i in range(2):
        mail(s, f"x{i}@far.example")
    third, fourth = mail(s, "y@far.example"), mail(s, "z@far.example")
    mail(s, BOB)  # stays here: not counted, not held
    assert len(inbox(p)) == 1
    arrived(p, 2)
    assert held(p) == sorted([third, fourth])
    notice, = wait_for("the notice", lambda: inbox(p, ALICE))
    assert third.encode() in notice and b"3 messages" in notice
    assert b"127.0.0.1" in notice and b"smtpd_account_message_limit" in notice
    assert b"Auto-Submitted: auto-generated" in notice
    assert "limit exceeded: held" in p.run("why", third).stdout
    wait_for("the postmaster's", lambda: [
        m for m in p.sink.mails
        if m["rcpts"] == ["postmaster@mail.example.test"]])
    # An administrator lets it go; a restart has not forgotten the count.
    p.run("queue", "release", third)
    arrived(p, 3)
    s.close()
    p.stop()
    p.start(add_users=False)
    s = logged_in(p, ALICE)
    fifth = mail(s, "v@far.example")
    s.close()
    assert held(p) == sorted([fourth, fifth])
    assert len(inbox(p, ALICE)) == 1


def test_recipients(limited):
    p = limited(smtpd_account_recipient_limit="3")
    s = logged_in(p, ALICE)
    mail(s, "a@far.example", "b@far.example", BOB)
    one = mail(s, "c@far.example", "d@far.example")
    s.close()
    assert held(p) == [one]


def test_new_recipients_are_learnt(limited):
    p = limited(smtpd_account_new_recipient_limit="2")
    s = logged_in(p, ALICE)
    mail(s, "a@far.example", "B@far.example")
    mail(s, "A@FAR.example", "b@far.example")  # nobody is new
    one = mail(s, "c@far.example")
    assert held(p) == [one]
    # What was held taught nothing.
    two = mail(s, "c@far.example")
    s.close()
    assert held(p) == sorted([one, two])
    assert b"never wrote to before" in \
        wait_for("the notice", lambda: inbox(p, ALICE))[0]


def test_another_day_another_account_and_exceptions(limited):
    p = limited(smtpd_account_message_limit="1",
                smtpd_account_limit_exceptions=BOB)
    s = logged_in(p, ALICE)
    mail(s, "a@far.example")
    mail(s, "a@far.example")
    assert len(held(p)) == 1
    # Yesterday's counts, as they will be tomorrow.
    db = sqlite3.connect(p.dir / "data/accounts/usage.db", timeout=10)
    db.execute("UPDATE days SET day = day - 1")
    db.commit()
    db.close()
    mail(s, "a@far.example")
    s.close()
    arrived(p, 2)
    p.send(BOB, ["a@far.example"])
    p.send(BOB, ["a@far.example"])
    arrived(p, 4)
    assert len(held(p)) == 1


def test_no_limits(limited):
    p = limited(smtpd_account_message_limit="0",
                smtpd_account_recipient_limit="0",
                smtpd_account_new_recipient_limit="0")
    p.send(ALICE, [f"{i}@far.example" for i in range(20)])
    arrived(p, 1)
    db = sqlite3.connect(p.dir / "data/accounts/usage.db", timeout=10)
    assert db.execute("SELECT count(*) FROM days").fetchone() == (0,)
    db.close()
