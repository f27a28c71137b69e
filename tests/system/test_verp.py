# SPDX-License-Identifier: ISC
"""VERP: a sender address for each recipient, so that who reads a bounce knows
whom it is about (VERP_README; XVERP, sendmail -XV)."""
import subprocess

import pytest
from harness import Sink, Smtp, relaying, wait_for
from test_smtpd import inbox

OWNER = "owner@lists.test"
BOB = "bob@example.test"


@pytest.fixture
def sink():
    s = Sink("127.0.0.5", 0, ehlo=("PIPELINING", "DSN"))
    yield s
    s.stop()


def start(postern, sink, **options):
    return postern("p", users={BOB: "b", "carol@example.test": "c"},
                   options=relaying(sink, **options)).start()


def send(p, *rcpts, param=" XVERP"):
    Smtp(p.host, p.port["smtp"]).mail(OWNER, rcpts, param=param)


def senders(sink, n):
    """Who sent to whom, of n mails."""
    wait_for(f"{n} mails", lambda: len(sink.mails) >= n)
    return {m["rcpts"][0]: m["from"].split("<")[1].split(">")[0]
            for m in sink.mails if len(m["rcpts"]) == 1}


def test_each_recipient_has_a_sender(postern, sink):
    p = start(postern, sink)
    send(p, "a@far.test", "b@far.test", '"c d"@far.test', BOB)
    assert senders(sink, 3) == {
        "a@far.test": "owner+a=far.test@lists.test",
        "b@far.test": "owner+b=far.test@lists.test",
        '"c d"@far.test': '"owner+c d=far.test"@lists.test'}
    assert b"Return-Path: <owner+bob=example.test@lists.test>" in inbox(p)[0]


def test_straight_into_mailboxes(postern, sink):
    p = start(postern, sink)
    send(p, BOB, "carol@example.test", param=" XVERP=-=")
    assert b"Return-Path: <owner-bob=example.test@lists.test>" in inbox(p)[0]
    carol = inbox(p, "carol@example.test")[0]
    assert b"Return-Path: <owner-carol=example.test@lists.test>" in carol


def test_the_address_that_was_asked_for(postern, sink):
    """The list knows that one, not what our aliases make of it."""
    p = start(postern, sink, virtual_alias_maps="inline:{"
              "{x@old.test = new@far.test}}", virtual_alias_domains="old.test")
    send(p, "x@old.test")
    assert senders(sink, 1) == {"new@far.test": "owner+x=old.test@lists.test"}


@pytest.mark.parametrize("disabled", ["no", "yes"])
def test_a_bounce_for_each(postern, sink, disabled):
    for rcpt in "ab":
        sink.replies[f"RCPT {rcpt}@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink, disable_verp_bounces=disabled,
              transport_maps="inline:{{gone.test = error:5.1.2 gone},"
              "{away.test = error:5.1.2 away}}")
    send(p, "a@far.test", "b@far.test", "x@gone.test", "y@away.test")
    want = {OWNER} if disabled == "yes" else {
        f"owner+{u}={d}@lists.test" for u, d in
        [("a", "far.test"), ("b", "far.test"), ("x", "gone.test"),
         ("y", "away.test")]}
    told = {}

    def all_told():
        for m in sink.mails:
            for u in ("a@far", "b@far", "x@gone", "y@away"):
                if f"Final-Recipient: rfc822; {u}.test".encode() in m["data"]:
                    told.setdefault(m["rcpts"][0], set()).add(u)
        return sum(map(len, told.values())) == 4

    wait_for("reports", all_told)
    assert set(told) == want
    assert disabled == "yes" or all(len(v) == 1 for v in told.values())


def test_over_a_restart(postern, sink):
    sink.replies["RCPT a@far.test"] = "450 4.2.0 later"
    p = start(postern, sink)
    send(p, "a@far.test")
    wait_for("a try", lambda: "status=deferred" in p.log())
    p.stop()
    del sink.replies["RCPT a@far.test"]
    p.start(add_users=False)
    assert senders(sink, 1)["a@far.test"] == "owner+a=far.test@lists.test"


def test_who_may_and_what(postern, sink):
    p = start(postern, sink, smtpd_authorized_verp_clients="127.0.0.9")
    s = Smtp(p.host, p.port["smtp"])
    assert "XVERP" not in str(s.expect("EHLO client.test", 250))
    s.expect(f"MAIL FROM:<{OWNER}> XVERP", 555)
    s.expect(f"MAIL FROM:<{OWNER}>", 250)
    s.close()
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.9")
    assert "XVERP" in str(s.expect("EHLO client.test", 250))
    for bad, code in (("<> XVERP", 503), (f"<{OWNER}> XVERP=++-", 501),
                      (f"<{OWNER}> XVERP=a=", 501), (f"<{OWNER}> XVERP=", 501)):
        s.expect(f"MAIL FROM:{bad}", code)
    # Nothing of a refused one is left.
    s.expect(f"MAIL FROM:<{OWNER}>", 250)
    s.expect("RCPT TO:<a@far.test>", 250)
    s.expect("DATA", 354)
    s.expect(b"\r\nhello\r\n.", 250)
    s.close()
    assert senders(sink, 1) == {"a@far.test": OWNER}


@pytest.mark.parametrize("option, sender", [
    ("-XV", "owner+a=far.test@lists.test"),
    ("-XV-=", "owner-a=far.test@lists.test"), ("-oi", OWNER)])
def test_sendmail(postern, sink, tmp_path, option, sender):
    p = start(postern, sink)
    link = tmp_path / "sendmail"
    link.symlink_to(p.binary)
    subprocess.run([link, "-C", p.dir, "-f", OWNER, option, "a@far.test"],
                   input=b"Subject: s\n\nhello\n", check=True)
    assert senders(sink, 1) == {"a@far.test": sender}


def test_a_report_follows_the_aliases_of_the_sender(postern, sink):
    """A list's owner is an alias more often than not."""
    sink.replies["RCPT a@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink, virtual_alias_domains="lists.test",
              recipient_delimiter="+",
              virtual_alias_maps=f"inline:{{{{{OWNER} = {BOB}}}}}")
    send(p, "a@far.test", param="")
    report, = wait_for("the report", lambda: inbox(p))
    assert b"a@far.test" in report
    send(p, "a@far.test")
    wait_for("the other", lambda: len(inbox(p)) == 2)
    assert b"To: owner+a=far.test@lists.test" in inbox(p)[1]
