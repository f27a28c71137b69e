# SPDX-License-Identifier: ISC
"""postern why: refusals and deliveries, told afterwards."""

import json

import pytest

from harness import Sink, Smtp, wait_for
from test_smtpd import BOB, logged_in, open_mx

ALICE = "alice@example.test"


def why(p, *args, code=0):
    r = p.run("why", *args, check=False)
    assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
    return r.stdout if code == 0 else r.stderr


def test_refusal_names_the_line_that_decided(postern, tmp_path):
    table = tmp_path / "senders"
    table.write_text("evil.example REJECT not from you\n")
    p = postern("w", users={BOB: "b"}, options={
        "smtpd_sender_restrictions": f"check_sender_access hash:{table}",
    }).start()
    s = open_mx(p)
    s.expect("MAIL FROM:<x@evil.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 554)
    s.expect("RSET", 250)
    s.expect("MAIL FROM:<y@b.example>", 250)
    s.expect("RCPT TO:<z@far.example>", 454)
    s.expect("RCPT TO:<nobody@example.test>", 550)
    s.expect("BREW coffee", 500)
    s.close()
    text = wait_for("the end", lambda: (lambda t: t if "disconnect" in t
                                        else None)(why(p, "x@evil.example")))
    lines = [i for i, t in enumerate(
        (p.dir / "main.cf").read_text().splitlines(), 1)
        if t.startswith("smtpd_sender_restrictions")]
    reject, = [t for t in text.splitlines() if "x@evil.example" in t and
               " reject " in t]
    assert "list=smtpd_sender_restrictions" in reject
    assert f"rule=check_sender_access hash:{table}" in reject
    assert f"main.cf:{lines[0]}" in reject and "not from you" in reject
    # The session around it, from connect to disconnect, and no message.
    assert text.startswith("session ") and "connect" in text
    assert "command=BREW coffee" in text
    assert "set_in=its default" in why(p, "z@far.example")
    assert "reject_unlisted_recipient" in why(p, "NOBODY@example.test")
    assert "nobody" in why(p, "127.0.0.1")  # by client
    assert "nothing is known" in why(p, "unseen@far.example", code=65)


def test_credentials_are_not_kept(one):
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    s.expect("EHLO c.example", 250)
    s.expect("AUTH PLAIN c2VjcmV0LXRva2Vu", 501)
    s.expect("AUTH NONE c2VjcmV0LXRva2Vu", 504)
    s.close()
    text = wait_for("the lines", lambda: (
        lambda t: t if "AUTH NONE" in t else None)(why(one, "127.0.0.1")))
    assert "AUTH PLAIN" in text
    kept = b"".join(f.read_bytes()
                    for f in (one.dir / "spool/trail").iterdir())
    assert b"c2VjcmV0" not in kept


def test_the_way_of_a_relayed_message(postern, tmp_path):
    aliases = tmp_path / "virtual"
    aliases.write_text("team@example.test x@far.example, y@far.example\n")
    sink = Sink("127.0.0.5", 0, replies={
        "RCPT y@far.example": "450 4.2.1 greylisted"})
    p = postern("r", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "virtual_alias_maps": f"hash:{aliases}",
        "virtual_alias_domains": "",
        "minimal_backoff_time": "1000s",
        "maximal_backoff_time": "1000s"}).start()
    s = logged_in(p, ALICE)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect("RCPT TO:<team@example.test>", 250)
    s.expect("DATA", 354)
    s.send("Message-ID: <m1@client>\r\nSubject: s\r\n\r\nx\r\n.\r\n")
    code, text = s.reply()
    assert code == 250
    queue_id = text.split()[-1]
    s.close()
    wait_for("a deferral", lambda: [
        r for m in p.queue() for r in m["recipients"] if r["attempts"]])
    text = wait_for("the lines", lambda: (
        lambda t: t if "status=deferred" in t else None)(why(p, queue_id)))
    for word in ("connect", "login=" + ALICE, "method=PLAIN",
                 "from=team@example.test  to=x@far.example", "accepted",
                 "message_id=<m1@client>",
                 f"via=smtp:[127.0.0.5]:{sink.port}", "status=sent",
                 "taken", "greylisted", "next_try=",
                 f"now: {queue_id} is in the queue"):
        assert word in text, (word, text)
    assert text.index("accepted") < text.index("status=sent")
    for query in ("m1@client", "<m1@client>", "y@far.example", ALICE):
        assert f"message {queue_id}" in why(p, query)
    rows = [json.loads(t) for t in why(p, queue_id, "--json").splitlines()]
    assert {"connect", "accepted", "delivery"} <= {r["event"] for r in rows}
    s = logged_in(p, ALICE)  # and nothing more
    s.close()
    wait_for("both", lambda: why(p, ALICE).count("\nsession ") == 1)
    text = why(p, ALICE, "--limit", "1")
    assert text.startswith("2 messages and sessions") and \
        "message " + queue_id not in text
    sink.stop()
    # It is told after a restart, too, and with nobody running.
    p.stop()
    assert "greylisted" in why(p, queue_id)


def test_report_follows_its_message(postern):
    sink = Sink("127.0.0.5", 0, replies={"RCPT": "550 5.1.1 unknown"})
    p = postern("b", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}"}).start()
    p.send(ALICE, ["gone@far.example"])
    text = wait_for("the report", lambda: (
        lambda t: t if "stored" in t else None)(
            why(p, "gone@far.example") if p.queue() == [] else ""))
    assert "status=bounced" in text and "about=failure" in text
    assert text.count("message ") == 2
    sink.stop()


def test_trail_is_bounded(postern):
    limit = 300_000
    p = postern("t", users={BOB: "b"}, options={
        "trail_size_limit": str(limit), "smtpd_hard_error_limit": "100000",
        "smtpd_soft_error_limit": "100000",
        "smtpd_junk_command_limit": "100000"}).start()
    s = open_mx(p)
    for i in range(4000):
        s.expect(f"BREW {i} " + "x" * 150, 500)
    s.expect("QUIT", 221)
    s.close()
    # So many a second gather for a moment.
    wait_for("the last line", lambda: "BREW 3999" in why(p, "127.0.0.1"))
    files = list((p.dir / "spool/trail").iterdir())
    assert sum(f.stat().st_size for f in files) <= limit + 65536 + 4096 * 8
    assert "BREW 1 " not in why(p, "127.0.0.1")


def test_a_swept_file_is_followed_by_a_new_one(postern):
    """Somebody else's sweep took our file, as it does with that of who was
    quiet: what comes is not lost with it. Looked at once a second."""
    p = postern("sw", users={BOB: "b"}).start()
    s = open_mx(p)
    s.expect("BREW first", 500)
    for f in (p.dir / "spool/trail").iterdir():
        f.unlink()
    s.close()

    def found():
        s = open_mx(p)
        s.expect("BREW second", 500)
        s.close()
        return "BREW second" in p.run("why", "127.0.0.1", check=False).stdout
    wait_for("a new file", found)


def test_no_trail(postern):
    p = postern("n", users={BOB: "b"},
                options={"trail_size_limit": "0"}).start()
    s = open_mx(p)
    s.expect("BREW", 500)
    s.close()
    assert list((p.dir / "spool/trail").iterdir()) == []
    assert "trail_size_limit" in why(p, "127.0.0.1", code=65)


@pytest.mark.parametrize("args", [[], ["a", "b"], ["--limit", "x", "a"],
                                  ["--foo"]])
def test_usage(one, args):
    assert one.run("why", *args, check=False).returncode == 64


def test_why_says_what_decided_the_route(postern):
    """The parameter, and what its table said, at each delivery."""
    sinks = [Sink("127.0.0.5", 0) for _ in range(3)]
    hops = [f"[127.0.0.5]:{s.port}" for s in sinks]
    p = postern("routes", users={ALICE: "pw"}, options={
        "relayhost": hops[0],
        "transport_maps": "inline:{one.test=smtp:%s}" % hops[1],
        "sender_dependent_relayhost_maps":
        "inline:{bob@example.test=%s}" % hops[2]}).start()
    p.users["bob@example.test"] = "pw"
    p.run("user", "add", "bob@example.test", "--password-stdin", input="pw\n")
    for sender, rcpt, by in (
            (ALICE, "x@far.test", "route=relayhost "),
            (ALICE, "x@one.test", f"route=transport_maps smtp:{hops[1]} "),
            ("bob@example.test", "y@far.test",
             f"route=sender_dependent_relayhost_maps {hops[2]} ")):
        p.send(sender, [rcpt])
        wait_for(by, lambda: by in p.run("why", rcpt, check=False).stdout)
    wait_for("an empty queue", lambda: p.queue() == [])
    for s in sinks:
        s.stop()
