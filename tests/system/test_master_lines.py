# SPDX-License-Identifier: ISC
"""What lines of Postfix's own daemons in master.cf mean here: -o of cleanup and
pickup, a content filter's way there and back."""

import re
import subprocess

import pytest

from harness import Sink, Smtp, free_port, wait_for
from test_sender import ALICE
from test_smtpd import BOB, inbox

TEXT = b"From: alice@example.test\r\nX-Mailer: secret\r\nSubject: s\r\n\r\nx\r\n"


def give(s, sender=ALICE, rcpt=BOB, text=TEXT):
    s.expect(f"MAIL FROM:<{sender}>", 250)
    s.expect(f"RCPT TO:<{rcpt}>", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    assert s.reply()[0] == 250
    s.close()


def plain(p, number=None):
    s = Smtp(p.host, number or p.port["smtp"])
    s.expect("EHLO client.example", 250)
    return s


def sendmail(p, text):
    """By argv[0], as scripts know it."""
    subprocess.run(["sendmail", "-C", p.dir, "-f", ALICE, BOB], input=text,
                   executable=p.binary, text=True, check=True)


@pytest.fixture
def strip(tmp_path):
    path = tmp_path / "strip"
    path.write_text("/^X-Mailer:/ IGNORE\n/^Received:/ IGNORE\n")
    return f"regexp:{path}"


def test_cleanup_service_name(postern, strip):
    """The usual way to hide what a user's client says of itself: header_checks
    on a cleanup line of its own, which the submission line names."""
    port = free_port(("127.0.0.1",))
    p = postern("p", users={ALICE: "pw", BOB: "b"}, master_extra=(
        "cleanup unix n - y - 0 cleanup\n"
        "subcleanup unix n - - - 0 cleanup\n"
        f"  -o header_checks={strip}\n"
        f"127.0.0.1:{port} inet n - y - - smtpd\n"
        "  -o cleanup_service_name=subcleanup\n"))
    r = p.run("check", check=False)
    assert "master.cf" not in r.stderr, r.stderr
    p.start()
    give(plain(p))
    give(plain(p, port))
    other, own = inbox(p)
    assert b"X-Mailer" in other and b"\r\nReceived:" in other
    assert b"X-Mailer" not in own and b"\r\nReceived:" not in own


def test_the_cleanup_line_that_all_use(postern, strip):
    """main.cf names it, or it is called cleanup; -o of the line itself comes
    before it."""
    port = free_port(("127.0.0.1",))
    p = postern("p", users={ALICE: "pw", BOB: "b"}, master_extra=(
        f"cleanup unix n - y - 0 cleanup -o header_checks={strip}\n"
        f"127.0.0.1:{port} inet n - y - - smtpd -o header_checks=\n"
        "pickup unix n - y 60 1 pickup -o header_checks=\n")).start()
    give(plain(p))
    give(plain(p, port))
    sendmail(p, TEXT.decode().replace("\r\n", "\n"))
    mails = wait_for("all", lambda: len(inbox(p)) == 3 and inbox(p))
    assert [b"X-Mailer" in m for m in mails] == [False, True, True]


def test_a_cleanup_line_that_is_not_there(postern):
    p = postern("p", options={"cleanup_service_name": "mycleanup"})
    r = p.run("check", check=False)
    assert r.returncode == 78
    assert re.search(r"master\.cf:\d+: error: .*no cleanup line mycleanup",
                     r.stderr)


def test_what_is_wrong_on_a_cleanup_line_is_told_there(postern):
    p = postern("p", master_extra=(
        "sub unix n - y - 0 cleanup -o header_checks=regexp:/no/such\n"
        "  -o not_a_setting\n"
        f"127.0.0.1:{free_port(('127.0.0.1',))} inet n - y - - smtpd "
        "-o cleanup_service_name=sub\n"))
    r = p.run("check", check=False)
    assert r.returncode == 78
    line = 1 + [i for i, text in enumerate(
        (p.dir / "master.cf").read_text().splitlines())
        if text.startswith("sub ")][0]
    for what in ("/no/such", "no name=value"):
        assert re.search(rf"master\.cf:{line}: .*{what}", r.stderr), r.stderr


XFORWARD = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"


def filtered(postern, sink, **options):
    back = free_port(("127.0.0.1",))
    return postern("p", users={ALICE: "pw", BOB: "b"}, options={
        "content_filter": f"scan:[127.0.0.5]:{sink.port}", **options},
        master_extra="scan unix - - n - 2 smtp -o max_use=20\n"
        "  -o smtp_send_xforward_command=yes -o disable_dns_lookups=yes\n"
        f"127.0.0.1:{back} inet n - n - - smtpd -o content_filter=\n").start()


def test_the_filter_hears_who_the_client_was(postern):
    sink = Sink("127.0.0.5", 0, ehlo=("PIPELINING", XFORWARD))
    p = filtered(postern, sink)
    s = plain(p)
    port = s.sock.getsockname()[1]
    give(s, sender="a@b.example")
    wait_for("the mail", lambda: sink.mails)
    line, = [c for c in sink.commands if c.startswith("XFORWARD")]
    said = dict(word.split("=", 1) for word in line.split()[1:])
    assert said["ADDR"] == "127.0.0.1" and said["PORT"] == str(port)
    assert said["HELO"] == "client.example" and said["PROTO"] == "ESMTP"
    assert said["SOURCE"] == "REMOTE" and len(said["IDENT"]) > 8
    assert said["IDENT"] in p.log()
    # Each mail of one session, and mail that began here.
    at = [i for i, c in enumerate(sink.commands) if c.startswith("XFORWARD")]
    assert sink.commands[at[0] + 1].startswith("MAIL FROM")
    sendmail(p, "Subject: s\n\nx\n")
    wait_for("the next", lambda: len(sink.mails) == 2)
    line = [c for c in sink.commands if c.startswith("XFORWARD")][1]
    assert "SOURCE=LOCAL" in line and "ADDR=[UNAVAILABLE]" in line
    sink.stop()


def test_who_does_not_offer_it_does_not_hear_it(postern):
    sink = Sink("127.0.0.5", 0, ehlo=("XFORWARD NAME ADDR",))
    p = filtered(postern, sink)
    give(plain(p), sender="a@b.example")
    wait_for("the mail", lambda: sink.mails)
    line, = [c for c in sink.commands if c.startswith("XFORWARD")]
    assert re.fullmatch(r"XFORWARD NAME=\S+ ADDR=127\.0\.0\.1", line)
    sink.stop()
    plain_sink = Sink("127.0.0.5", 0)
    q = filtered(lambda name, **kw: postern("q", **kw), plain_sink)
    give(plain(q), sender="a@b.example")
    wait_for("the mail", lambda: plain_sink.mails)
    assert not [c for c in plain_sink.commands if c.startswith("XFORWARD")]
    plain_sink.stop()
