# SPDX-License-Identifier: ISC
"""What broke other servers: after each the same processes live, their memory
is back, and the next session works."""

import base64
import os
import socket
import ssl
from pathlib import Path

import pytest

from harness import Sink, Smtp, wait_for
from test_smtpd import BOB, inbox, logged_in, open_mx

ALICE = "alice@example.test"


@pytest.fixture
def target(one):
    before = {r["pid"] for r in one.status()["roles"]}
    yield one
    s = open_mx(one)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send("Subject: afterwards\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    roles = one.status()["roles"]
    assert {r["pid"] for r in roles} == before
    assert all(r["restarts"] == 0 for r in roles)


def quiet(p):
    """All sessions but this one's are gone."""
    wait_for("the sessions' end", lambda: sum(
        r["sessions"] for r in p.status()["roles"]
        if r["role"] == "smtpd") == 0)


BAD_PARAMS = [
    "AUTH=", 'AUTH="', "AUTH=<", "AUTH=+", "AUTH=+4", "ENVID=" + "a" * 65536,
    "ENVID=a+0A", "ENVID=a+0D", "ENVID=a+00", "ENVID=a+7F", "ENVID=a\tb",
    " ".join(f"X{i}=1" for i in range(200)), "SIZE=1 SIZE=2", "SIZE=010x",
    "BODY=", "=", "=x", "RET", "RET=FULL RET=HDRS"]


@pytest.mark.parametrize("param", BAD_PARAMS)
def test_16_parameters_of_mail(target, param):
    s = open_mx(target)
    code, text = s.cmd(f"MAIL FROM:<a@b.example> {param}")
    assert code in (500, 501, 555), text
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.close()


@pytest.mark.parametrize("param", [
    "ORCPT=rfc822;a+0D+0Ab", "ORCPT=rfc822;", "ORCPT=;a", "ORCPT=a",
    "ORCPT=rfc822;" + "a" * 65536, "NOTIFY=", "NOTIFY=NEVER,SUCCESS",
    "NOTIFY=SUCCESS,,X", "ORCPT=rfc822;a ORCPT=rfc822;b", "FOO=1"])
def test_16_parameters_of_rcpt(target, param):
    s = open_mx(target)
    s.expect("MAIL FROM:<a@b.example>", 250)
    code, text = s.cmd(f"RCPT TO:<{BOB}> {param}")
    assert code in (500, 501, 555), text
    s.expect("DATA", 554)
    s.close()


def test_17_envelope_words_cannot_forge_a_report(postern):
    """What ENVID and ORCPT say stands in the report as it was said."""
    sink = Sink("127.0.0.5", 0, replies={"RCPT": "550 5.1.1 no"})
    p = postern("dsn", users={ALICE: "a"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}"}).start()
    s = logged_in(p, ALICE)
    s.expect(f"MAIL FROM:<{ALICE}> ENVID=x+2B+3D+3EAction:+3Ddelivered", 250)
    s.expect("RCPT TO:<x@far.example> ORCPT=rfc822;y+3E+2BStatus:2.0.0@z", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    report = wait_for("the report", lambda: inbox(p, ALICE))[0]
    assert b"Original-Envelope-Id: x+=>Action:=delivered\r\n" in report
    assert b"Original-Recipient: rfc822;y>+Status:2.0.0@z\r\n" in report
    assert report.count(b"\r\nAction: ") == 1
    assert report.count(b"\r\nStatus: ") == 1
    sink.stop()


DIALOG = (b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<" +
          BOB.encode() + b">\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n")


def test_20_the_end_at_each_byte(target):
    end = DIALOG.index(b"\r\n.\r\n") + 5
    for n in range(len(DIALOG)):
        s = Smtp(target.host, target.port["smtp"])
        lines = DIALOG[:n].split(b"\r\n")
        # Each group waits for its reply, as the protocol wants it.
        for line in lines[:-1][:4]:
            s.send(line + b"\r\n")
            s.reply()
        s.send(b"\r\n".join(lines[4:]) if len(lines) > 4 else lines[-1])
        s.sock.shutdown(socket.SHUT_WR)
        s.file.read()
        s.close()
    quiet(target)
    # Only with all of the text, its end included, was there a mail.
    assert len(inbox(target)) == len(DIALOG) - end


SHELL = ["${run{/bin/touch /tmp/x}}", "$(touch x)", "`touch x`", "|touch x",
         ";touch x;", "../../etc/passwd", "/dev/null", "%n%s%n", "-oQ/tmp",
         "-C/etc/passwd", "a\\", "!touch x", "*", "~root", ":include:/etc/x"]


@pytest.mark.parametrize("text", SHELL)
def test_21_22_23_addresses_are_not_run(target, text):
    s = open_mx(target)
    for form in (f"<{text}>", f"<{text}@>", f"<{text}@example.test>",
                 f'<"{text}"@example.test>', f"<;{text};>"):
        code, _ = s.cmd(f"MAIL FROM:{form}")
        assert code in (250, 501, 553), form
        s.expect("RSET", 250)
        s.expect("MAIL FROM:<a@b.example>", 250)
        code, _ = s.cmd(f"RCPT TO:{form}")
        assert code in (501, 550, 553, 454), form
        s.expect("RSET", 250)
    s.close()


def test_25_27_odd_local_parts(target):
    s = open_mx(target)
    s.expect("MAIL FROM:<a@b.example> SMTPUTF8", 250)
    for local in (b'""', b'"\\"', b'"\\', b'"a', b"\xc3", b"\xe2\x82",
                  b"\xf0\x9f\x92", b"\xff", b"a\x00b", b"\xed\xa0\x80"):
        s.send(b"RCPT TO:<" + local + b"@example.test>\r\n")
        assert s.reply()[0] in (500, 501, 550, 553), local
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


def test_32_garbage_into_every_socket(postern):
    """As somebody who may connect at all: only pickup lets others in."""
    p = postern("g", users={BOB: "b"}).start()
    before = {r["pid"] for r in p.status()["roles"]}
    for path in sorted(p.dir.rglob("*")):
        if not path.is_socket():
            continue
        for junk in (b"", b"\0" * 8, b"\xff" * 4096, os.urandom(5000),
                     b"\x00\x00\x00\x04\x00\x00\x00\x28AAAA",
                     b"\x08\x00\x00\x00\xff\xff\xff\xff"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(path))
                try:
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
    assert {r["pid"] for r in p.status()["roles"]} == before
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


def test_36_identities_do_not_mix(one):
    """Two users whose passwords begin alike, many logins in turn."""
    one.run("user", "add", "a2@example.test", "--password-stdin",
            input="wonderland-12\n")
    for i in range(30):
        for user, password, good in (
                (ALICE, "wonderland-1", True),
                ("a2@example.test", "wonderland-12", True),
                ("a2@example.test", "wonderland-1", False)):
            s = Smtp(one.host, one.port["submission"])
            s.expect("EHLO c.example", 250)
            s.starttls(one.tls(), one.name)
            s.expect("EHLO c.example", 250)
            token = base64.b64encode(
                f"\0{user}\0{password}".encode()).decode()
            s.expect(f"AUTH PLAIN {token}", 235 if good else 535)
            if good:
                s.expect(f"MAIL FROM:<{user}>", 250)
            s.close()


def test_44_a_ticket_is_of_one_service(one):
    """A session of port 25 is not taken up on the IMAP port."""
    context = one.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    s = Smtp(one.host, one.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.starttls(context, one.name)
    session = s.sock.session
    s.close()
    raw = socket.create_connection((one.host, one.port["imaps"]), 10)
    tls = context.wrap_socket(raw, server_hostname=one.name, session=session)
    assert not tls.session_reused
    tls.close()
    s = Smtp(one.host, one.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("STARTTLS", 220)
    tls = context.wrap_socket(s.sock, server_hostname=one.name,
                              session=session)
    assert tls.session_reused
    tls.close()


def nested(depth):
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n"
                    b"--b%d\r\n" % (i, i) for i in range(depth))
    return head + b"\r\nx\r\n"


BOMBS = {
    "45 nested": nested(10000),
    "45 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
                b"--b\r\n\r\nx\r\n" * 100000 + b"--b--\r\n",
    "46 addresses": b"To: " + b", ".join(
        [b"u@example.test\r\n "] * 200000) + b"x@y\r\n\r\nx\r\n",
    "47 many fields": b"X: y\r\n" * 300000 + b"\r\nx\r\n",
    "47 one long field": b"X: " + b"y\r\n " * 1000000 + b"\r\n\r\nx\r\n",
    "48 parameters": b"Content-Type: text/plain" + b"".join(
        b";\r\n name*%d*=a" % i for i in range(100000)) + b"\r\n\r\nx\r\n",
    "26 comment": b"From: a (comment \\\r\nTo: (((((((\r\n\r\nx\r\n"}


@pytest.mark.parametrize("name", BOMBS)
def test_45_to_48_texts_that_cost(target, name):
    s = open_mx(target)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(BOMBS[name] + b".\r\n")
    code, text = s.reply()
    assert code in (250, 552, 554), text
    s.close()
    quiet(target)
    # The mailbox reads what was taken.
    taken = inbox(target)
    assert len(taken) == (code == 250)


def test_60_many_half_open_sessions(postern):
    p = postern("slow", users={BOB: "b"}, options={
        "smtpd_client_connection_count_limit": "0"}).start()
    held = [Smtp(p.host, p.port["smtp"]) for _ in range(800)]
    for s in held:
        s.send("EHL")
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()
    for s in held:
        s.close()
    quiet(p)


def test_no_word_about_who_exists(one):
    """VRFY says nothing, AUTH says the same of all."""
    s = open_mx(one)
    assert s.cmd(f"VRFY {BOB}") == s.cmd("VRFY nobody@example.test")
    s.expect("EXPN staff", 500)
    s.close()
    said = set()
    for user in (ALICE, "nobody@example.test"):
        s = Smtp(one.host, one.port["submission"])
        s.expect("EHLO c.example", 250)
        s.starttls(one.tls(), one.name)
        s.expect("EHLO c.example", 250)
        token = base64.b64encode(f"\0{user}\0wrong".encode()).decode()
        said.add(s.cmd(f"AUTH PLAIN {token}"))
        s.close()
    assert len(said) == 1


@pytest.mark.parametrize("how", ["line", "DATA", "BDAT"])
def test_60_who_is_slow_holds_no_thread(postern, how):
    """Many more slow senders than threads, each in the middle of something."""
    p = postern("slow", users={BOB: "b"}, options={
        "smtpd_processes": "1", "smtpd_threads": "2"}).start()
    held = []
    for _ in range(30):
        s = open_mx(p)
        held.append(s)
        if how == "line":
            s.send("MAIL FR")
            continue
        s.expect("MAIL FROM:<a@b.example>", 250)
        s.expect(f"RCPT TO:<{BOB}>", 250)
        if how == "DATA":
            s.expect("DATA", 354)
            s.send("Subject: slow\r\n\r\nfirst ha")
        else:
            s.send("BDAT 30\r\nSubject: slow\r\n\r\nfirst ha")
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send("Subject: quick\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    # And each of them can go on where it was.
    for s in held:
        if how == "line":
            s.send("OM:<a@b.example>\r\n")
        elif how == "DATA":
            s.send("lf\r\n.\r\n")
        else:
            s.send("lf 1\r\n")
        assert s.reply()[0] == 250
        s.close()
    assert len(inbox(p)) == 1 + (30 if how == "DATA" else 0)


def test_18_recipients_beyond_the_limit(postern):
    p = postern("many", users={BOB: "b"}, options={
        "smtpd_recipient_limit": "10", "smtpd_hard_error_limit": "5",
        "smtpd_recipient_overshoot_limit": "50",
        "virtual_alias_domains": "a.test",
        "virtual_alias_maps": f"static:{BOB}"}).start()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for i in range(60):
        s.expect(f"RCPT TO:<u{i}@a.test>", 250 if i < 10 else 452)
    # Beyond that it is no mistake any more.
    codes = [s.cmd(f"RCPT TO:<v{i}@a.test>")[0] for i in range(4)]
    assert codes == [452] * 4
    code, text = s.cmd("RCPT TO:<w@a.test>")
    assert code == 452 and s.reply()[0] == 421
    s.close()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for i in range(12):
        s.cmd(f"RCPT TO:<u{i}@a.test>")
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 1
