# SPDX-License-Identifier: ISC
"""pipe(8): programs that lines of master.cf name, with their account."""

import pytest

from harness import Smtp, wait_for
from test_local import USER, deliver, home, public, script, settled  # noqa: F401


@pytest.fixture
def piped(postern, public, home):  # noqa: F811
    """A server whose domain pipe.test goes to the transport said."""
    def make(line, transport="prog:", **options):
        p = postern("pipe", options={
            "virtual_mailbox_domains": "pipe.test, other.test",
            "virtual_mailbox_maps": "static:all",
            "virtual_transport": transport, "recipient_delimiter": "+",
            "minimal_backoff_time": "300s", **options},
            master_extra=f"prog unix - n n - - pipe\n  {line}\n")
        return p.start()
    return make


def echo(public):  # noqa: F811
    """Writes its words, its rights and the message."""
    return script(public / "prog", f"""
for w in "$@"; do printf '[%s]\\n' "$w"; done > {public}/words.$$
id -un > {public}/who
cat > {public}/text
mv {public}/words.$$ {public}/words
""")


def words(public):  # noqa: F811
    path = public / "words"
    text = wait_for("the words", lambda: path.exists() and path.read_text())
    path.unlink()
    return text.splitlines()


def test_macros_and_rights(piped, public):  # noqa: F811
    prog = echo(public)
    p = piped(f"flags=hu user={USER} argv={prog} -f ${{sender}} -d ${{user}} "
              "$extension ${domain} $(nexthop) ${size} $$1 "
              "--to=${recipient}")
    deliver(p, "Bob+Lists@PIPE.test", sender="ann@b.example")
    got = words(public)
    assert got[:6] == ["[-f]", "[ann@b.example]", "[-d]", "[bob]", "[lists]",
                       "[pipe.test]"]
    assert got[8] == "[$1]" and got[9] == "[--to=bob+lists@pipe.test]"
    assert (public / "who").read_text().strip() == USER
    text = (public / "text").read_bytes()
    assert b"\r" not in text and text.endswith(b"\nFrom me\n")
    assert not text.startswith(b"From ")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert "status=sent" in p.log() and "prog service" in p.log()


def test_several_recipients_of_one_run(piped, public):  # noqa: F811
    prog = echo(public)
    p = piped(f"user={USER} argv={prog} x ${{recipient}}")
    deliver(p, "a@pipe.test", "b@pipe.test")
    assert words(public) == ["[x]", "[a@pipe.test]", "[b@pipe.test]"]


def test_header_lines_of_the_flags(piped, public):  # noqa: F811
    prog = echo(public)
    p = piped(f"flags=BDFORX user={USER} null_sender= argv={prog} ${{sender}}",
              prog_destination_recipient_limit="1")
    deliver(p, "a@pipe.test", sender="")
    assert words(public) == ["[]"]
    lines = (public / "text").read_text().splitlines()
    assert lines[0].startswith("From ")
    assert lines[1:4] == ["Return-Path: <>", "X-Original-To: a@pipe.test",
                          "Delivered-To: a@pipe.test"]
    assert lines[-1] == "" and lines[-2] == "From me"


@pytest.mark.parametrize("flags, want", [
    ("h", "From me\n.x\n"), (">", ">From me\n.x\n"),
    (".", "From me\n..x\n"), (".>", ">From me\n..x\n")])
def test_what_is_quoted(piped, public, flags, want):  # noqa: F811
    prog = echo(public)
    p = piped(f"flags={flags} user={USER} argv={prog} x")
    # The client doubles the dot: the mail has one.
    deliver(p, "a@pipe.test", text="Subject: s\r\n\r\nFrom me\r\n..x\r\n")
    words(public)
    assert (public / "text").read_text().split("\n\n", 1)[1] == want


@pytest.mark.parametrize("flags, action", [
    ("X", "delivered"), ("h", "relayed")])
def test_a_success_report_says_whether_it_was_the_end(
        piped, public, flags, action):  # noqa: F811
    prog = echo(public)
    p = piped(f"flags={flags} user={USER} argv={prog}",
              default_transport="retry:4.4.1 not now")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<ann@far.example>", 250)
    s.expect("RCPT TO:<a@pipe.test> NOTIFY=SUCCESS", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    report, = wait_for("the report", lambda: [
        m for m in p.queue() if m["sender"] == ""])
    assert f"Action: {action}" in p.run("queue", "show", report["id"]).stdout


def test_check_reads_the_settings_of_a_transport(postern):
    for name, word in (("prog_time_limit", "not a time"),
                       ("prog_destination_recipient_limit", "not a number")):
        p = postern("bad", options={name: "soon"})
        r = p.run("check", check=False)
        assert r.returncode == 78 and word in r.stderr
    p = postern("good", options={"prog_time_limit": "1h"})
    assert "prog_time_limit" not in p.run("check").stderr


def test_an_address_is_no_option(piped, public):  # noqa: F811
    """Attack 23."""
    prog = echo(public)
    p = piped(f"user={USER} argv={prog} ${{recipient}}")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    if s.cmd("RCPT TO:<-oX@pipe.test>")[0] == 250:
        s.expect("DATA", 354)
        s.send("Subject: s\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
        wait_for("a bounce", lambda: "status=bounced" in p.log())
    s.close()
    assert not (public / "words").exists()


@pytest.mark.parametrize("status, log", [
    (75, "status=deferred"), (67, "status=bounced"), (77, "status=bounced"),
    (0, "status=sent")])
def test_exit_codes(piped, public, status, log):  # noqa: F811
    prog = script(public / "prog", f"cat > /dev/null; echo oops; exit {status}")
    p = piped(f"user={USER} argv={prog}")
    deliver(p, "a@pipe.test")
    wait_for(log, lambda: log in p.log())
    if status:
        assert "oops" in p.log()


def test_a_program_that_does_not_end(piped, public):  # noqa: F811
    prog = script(public / "prog", "exec sleep 1000")
    p = piped(f"user={USER} argv={prog}", prog_time_limit="1s")
    deliver(p, "a@pipe.test")
    wait_for("its end", lambda: "time limit exceeded" in p.log())


def test_our_mistakes_defer(piped, public):  # noqa: F811
    p = piped(f"user={USER} argv=/nonexistent/prog x")
    deliver(p, "a@pipe.test")
    left = settled(p)
    assert "cannot run" in left[0]["reason"]


def test_two_recipients_with_delivered_to_wait(piped, public):  # noqa: F811
    prog = echo(public)
    p = piped(f"flags=D user={USER} argv={prog}")
    deliver(p, "a@pipe.test", "b@pipe.test")
    left = settled(p)
    assert "prog_destination_recipient_limit" in left[0]["reason"]


def test_size(piped, public):  # noqa: F811
    prog = echo(public)
    p = piped(f"user={USER} size=100 argv={prog}")
    deliver(p, "a@pipe.test", text="Subject: s\r\n\r\n" + "x" * 200 + "\r\n")
    wait_for("a bounce", lambda: "5.3.4" in p.log())


@pytest.mark.parametrize("line, word", [
    ("argv=/bin/cat", "user= is missing"), ("user=nobody", "argv= is missing"),
    ("user=nobody flags=Z argv=/bin/cat", "none of BDFORXhuq"),
    ("user=nobody foo=1 argv=/bin/cat", "none of flags="),
    ("user=nobody size=big argv=/bin/cat", "not a number")])
def test_check(postern, line, word):
    p = postern("bad", master_extra=f"prog unix - n n - - pipe {line}\n")
    r = p.run("check", check=False)
    assert r.returncode == 78 and word in r.stderr


def test_stock_master_cf(postern):
    """The lines that Debian's master.cf has, and Dovecot's."""
    p = postern("stock", master_extra="""
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
uucp      unix  -       n       n       -       -       pipe
  flags=Fqhu user=uucp argv=uux -r -n -z -a$sender - $nexthop!rmail ($recipient)
mailman   unix  -       n       n       -       -       pipe
  flags=FRX user=list argv=/usr/lib/mailman/bin/postfix-to-mailman.py ${nexthop} ${user}
dovecot   unix  -       n       n       -       -       pipe
  flags=DRhu user=vmail:vmail argv=/usr/lib/dovecot/deliver -f ${sender} -d ${recipient}
""")
    assert "pipe" not in p.run("check").stderr


def hand_in(p, helo, sender):
    """One mail; the port it came from."""
    s = Smtp(p.host, p.port["smtp"])
    port = s.sock.getsockname()[1]
    for line, code in ((f"EHLO {helo}", 250), (f"MAIL FROM:<{sender}>", 250),
                       ("RCPT TO:<bob@pipe.test>", 250), ("DATA", 354)):
        s.expect(line, code)
    s.send(b"Subject: s\r\n\r\nx\r\n")
    s.expect(".", 250)
    s.close()
    return port


def test_macros_about_the_client(piped, public):  # noqa: F811
    """Over the queue's file too: the envelope keeps them."""
    prog = echo(public)
    p = piped(f"user={USER} argv={prog} ${{client_address}} ${{client_port}} "
              "$client_protocol $client_helo x$sasl_method x$sasl_sender "
              "x$sasl_username", default_destination_rate_delay="0")
    port = hand_in(p, "me.test", "a@b.example")
    assert words(public) == ["[127.0.0.1]", f"[{port}]", "[ESMTP]",
                             "[me.test]", "[x]", "[x]", "[x]"]
    wait_for("an empty queue", lambda: p.queue() == [])


def test_a_greeting_is_no_option(piped, public):  # noqa: F811
    p = piped(f"user={USER} argv={echo(public)} $client_helo",
              smtpd_helo_required="no")
    hand_in(p, "-rf", "")
    wait_for("the refusal", lambda: "status=bounced" in p.log())
    assert not (public / "words").exists()
    wait_for("an empty queue", lambda: p.queue() == [])
