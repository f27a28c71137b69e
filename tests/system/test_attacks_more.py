# SPDX-License-Identifier: ISC
"""More of what broke other servers: false alarms, malformed addresses, links,
local injection, look-up keys, broken SASL, guessing, patterns."""

import base64
import imaplib
import json
import os
import poplib
import random
import re
import resource
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import POSTERN, Smtp, wait_for
from test_attacks import ALICE, target  # noqa: F401
from test_local import deliver, home, local, public, settled  # noqa: F401
from test_smtpd import BOB, inbox, open_mx


def send(s, text, rcpt=BOB):
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{rcpt}>", 250)
    s.expect("DATA", 354)
    s.send(text)
    return s.reply()[0]


@pytest.mark.parametrize("mode, code", [
    ("reject", 550), ("normalize", 250), ("no", 250)])
def test_5_a_bare_cr_in_front_of_the_end(postern, mode, code):
    """Some programs write CR CR LF: refused as said, or mended, never two."""
    p = postern("five", users={BOB: "b"},
                options={"smtpd_forbid_bare_newline": mode}).start()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\r\n.\r\n")
    got, text = s.reply()
    assert got == code, text
    if code == 550:
        assert "5.5.2" in text
    s.expect("NOOP", 250)
    s.close()
    assert len(inbox(p)) == (code == 250)


PIECES = ["a", "@", "<", ">", "(", ")", "\\", '"', ",", ";", ":", " ", "\t",
          "=?utf-8?q?", "?=", "\x7f", "\xff", ".", "..", "[", "]", "group:",
          "\r\n ", "é", "\\\"", "(((", ")))", "<<", ">>", "@@", ",,,"]


def test_24_malformed_addresses_in_headers(postern):
    """Rewriting reads each From and To there may be."""
    p = postern("fix", users={ALICE: "a", BOB: "b"}, options={
        "local_header_rewrite_clients": "static:all",
        "canonical_maps": "regexp:{{/^(.*)@old\\.test$$/ $${1}@new.test}}",
        "smtpd_client_message_rate_limit": "0"}).start()
    rng = random.Random(24)
    s = open_mx(p)
    taken = 0
    for _ in range(60):
        fields = []
        for _ in range(60):
            name = rng.choice(["From", "To", "Cc", "Sender", "Reply-To",
                               "Resent-To", "Bcc"])
            words = "".join(rng.choice(PIECES)
                            for _ in range(rng.randrange(0, 30)))
            fields.append(f"{name}: {words.strip()}x@old.test")
        text = "\r\n".join(fields).encode("utf-8", "surrogateescape")
        code = send(s, text + b"\r\n\r\nbody\r\n.\r\n")
        assert code == 250
        taken += 1
    s.close()
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(BOB, "b")
    assert int(m.select("INBOX")[1][0]) == taken
    assert m.fetch("1:*", "(ENVELOPE BODYSTRUCTURE)")[0] == "OK"
    # imaplib joins what a literal cuts: the texts came whole.
    assert all(b"body" in m.fetch(str(i), "(BODY.PEEK[TEXT])")[1][0][1]
               for i in (1, taken))
    m.logout()
    log = p.log()
    assert "AddressSanitizer" not in log and "bug:" not in log


def test_30_links_in_a_users_folders(local, public, home):
    """What a user links elsewhere is not written through, read or owned."""
    import pwd
    me = pwd.getpwnam("postern-test")
    secret = public / "secret"
    secret.write_text("top\n")
    secret.chmod(0o600)
    os.chown(secret, 0, 0)
    (home / "mbox").symlink_to(secret)
    (home / ".forward").symlink_to(secret)
    os.lchown(home / "mbox", me.pw_uid, me.pw_gid)
    p = local("postmaster: root@far.example\n")
    deliver(p, "postern-test@mail.example.test")
    left = settled(p)
    assert secret.read_text() == "top\n"
    assert secret.stat().st_uid == 0
    assert left and "top" not in str(left)
    # A Maildir whose tmp leads elsewhere.
    (home / "mbox").unlink()
    (home / ".forward").unlink()
    target = public / "outside"
    target.mkdir(mode=0o700)
    p.stop()
    maildir = home / "Maildir"
    maildir.mkdir()
    (maildir / "tmp").symlink_to(target)
    (maildir / "new").symlink_to(target)
    for path in (maildir, maildir / "tmp", maildir / "new"):
        os.lchown(path, me.pw_uid, me.pw_gid)
    p.options["home_mailbox"] = "Maildir/"
    p.write_config()
    p.start()
    deliver(p, "postern-test@mail.example.test")
    settled(p)
    assert list(target.iterdir()) == []


def test_30_no_stranger_owns_our_folders(one):
    """Nothing of ours can be written by another account, and a child has no
    descriptor that it does not need."""
    for top in ("spool", "data"):
        for path in [one.dir / top, *(one.dir / top).rglob("*")]:
            mode = path.lstat().st_mode
            if path.name == "public" or path.parent.name == "public":
                continue
            assert mode & 0o002 == 0 or path.is_symlink(), path


@pytest.fixture
def sendmail(tmp_path):
    path = tmp_path / "sendmail"
    path.symlink_to(POSTERN)

    def call(p, *args, input=b"Subject: s\n\nx\n", **kw):
        return subprocess.run(
            [str(path), *args], input=input, capture_output=True, timeout=120,
            env={**os.environ, "MAIL_CONFIG": str(p.dir)}, **kw)
    return call


@pytest.mark.parametrize("args", [
    ("-f", "a@b.example\nRCPT TO:<eve@evil.test>", BOB),
    ("-f", "a@b.example\r\nDATA", BOB), (BOB + "\r\nRCPT TO:<x@evil.test>",),
    ("-f", "<>\n", BOB), (BOB, "x\ny@example.test"),
    ("-F", "Eve\nBcc: x@evil.test", BOB), ("-f", "a" * 100000, BOB),
    ("-N", "never\r\nDATA", BOB), ("-V", "id\nx", BOB)])
def test_31_nothing_slips_into_the_envelope(one, sendmail, args):
    r = sendmail(one, *args)
    log = one.log()
    assert "evil.test" not in "".join(
        line for line in log.splitlines() if "event=accepted" in line
        or " accepted " in line and " to=" in line)
    if r.returncode == 0:
        mail = inbox(one)[-1].decode()
        assert "\nBcc:" not in mail and "\nDATA" not in mail
        head = mail.split("\r\n\r\n")[0]
        assert all(line.startswith((" ", "\t")) or ":" in line
                   for line in head.split("\r\n"))


def test_31_nul_in_the_text(one, sendmail):
    assert sendmail(one, BOB, input=b"Subject: s\n\na\0b\n").returncode != 0
    assert inbox(one) == []


def test_31_closed_descriptors(one, sendmail):
    """Started with nothing open: no file of ours becomes its terminal."""
    for redirect in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        subprocess.run(
            ["sh", "-c", f"exec {POSTERN.parent}/postern sendmail {BOB} "
             + redirect], capture_output=True, timeout=60,
            env={**os.environ, "MAIL_CONFIG": str(one.dir)})
    assert sendmail(one, BOB).returncode == 0
    assert len(inbox(one)) >= 1


def test_31_tiny_limits(one, sendmail):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    r = sendmail(one, BOB, preexec_fn=limit)
    assert r.returncode in (0, 71, 75)
    assert sendmail(one, BOB).returncode == 0


def test_31_a_crowd_of_recipients(one, sendmail):
    to = "".join(f"user{i}@example.test,\n " for i in range(50000))
    text = f"To: {to}{BOB}\nSubject: s\n\nx\n".encode()
    r = sendmail(one, "-t", input=text)
    assert r.returncode in (0, 65, 67, 69, 75), r.stderr[-300:]
    assert sendmail(one, BOB).returncode == 0
    assert all(x["restarts"] == 0 for x in one.status()["roles"])


KEYS = ["%u%{x}%s", "*", "'", "a'b", "$(id)", "${x}", "$1", "\\", "%",
        "..", "../../etc/passwd", "a b", "static:x", "|x", ":x"]


@pytest.mark.parametrize("spec", [
    "regexp:{{/^(.*)@keys\\.test$$/ $${1}@example.test}}",
    "pcre:{{/^(.*)@keys\\.test$$/ $$1@example.test}}",
    "inline:{{*@keys.test=bob@example.test}}",
    "pipemap:{inline:{x@keys.test=y@keys.test}, inline:{y@keys.test=" + BOB
    + "}}", "unionmap:{inline:{a=b}, static:bob@example.test}"])
def test_35_a_key_is_a_key(postern, spec):
    p = postern("keys", users={BOB: "b"}, options={
        "virtual_alias_domains": "keys.test", "virtual_alias_maps": spec}
    ).start()
    s = open_mx(p)
    for key in KEYS:
        s.expect("MAIL FROM:<a@b.example>", 250)
        code, text = s.cmd(f'RCPT TO:<"{key}"@keys.test>'.replace("\\", "\\\\"))
        assert code in (250, 451, 501, 550, 553, 554), (key, text)
        s.expect("RSET", 250)
    s.close()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<" + "k" * 300 + "@keys.test>", 501)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


@pytest.mark.parametrize("user", [
    "' OR 1=1 --", "*)(uid=*", "%u%{x}", "bob@example.test\n", "\x01", "é" * 99,
    "u" * 4000, "../../x", "bob@example.test ", " bob@example.test"])
def test_35_user_names(one, user):
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    s.expect("EHLO c.example", 250)
    token = base64.b64encode(f"\0{user}\0builder-22".encode()).decode()
    assert s.cmd(f"AUTH PLAIN {token}")[0] in (501, 535)
    s.close()
    m = imaplib.IMAP4_SSL(one.host, one.port["imaps"], ssl_context=one.tls())
    with pytest.raises(imaplib.IMAP4.error):
        m.authenticate("PLAIN", lambda _: f"\0{user}\0builder-22".encode())
    m.shutdown()


def secure(p):
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO c.example", 250)
    return s


BAD_BASE64 = ["=", "==", "===", "a", "ab", "abc", "a===", "ab=c", "=abc",
              "a=b=", "AAAA=", "AAA=A", "A" * 12289, "\x00", "\xff\xfe", "!",
              "AAAA AAAA", "AA==AA=="]


def test_37_broken_exchanges(target):  # noqa: F811
    """Each mechanism, each bad answer, at each step; then a good login."""
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
        s = secure(target)
        for i, bad in enumerate([*BAD_BASE64, "*"]):
            if i % 4 == 0:
                s.close()
                s = secure(target)
            s.expect(f"AUTH {mechanism}", 334)
            code, text = s.cmd(bad.encode("latin-1"))
            if code == 334:  # LOGIN: an empty or odd name goes on
                code, text = s.cmd("*")
            assert code in (500, 501, 535), (mechanism, bad, text)
        s.close()
    s = secure(target)
    s.expect("AUTH LOGIN " + base64.b64encode(b"x").decode(), 334)
    s.expect("*", 501)
    s.close()


def test_37_a_client_that_goes_away(target):  # noqa: F811
    """The connection ends at each byte of an exchange."""
    talk = b"AUTH LOGIN\r\nYm9i\r\nYWxpY2U=\r\n"
    for n in range(1, len(talk)):
        s = secure(target)
        s.send(talk[:n])
        s.close()
    for _ in range(200):
        s = Smtp(target.host, target.port["submission"])
        s.send(b"EHLO c.example\r\nAUTH PLAIN\r\n")
        s.close()
    wait_for("the sessions' end", lambda: sum(
        r["sessions"] for r in target.status()["roles"]
        if r["role"] == "smtpd") == 0)
    s = secure(target)
    token = base64.b64encode(f"\0{BOB}\0builder-22".encode()).decode()
    s.expect(f"AUTH PLAIN {token}", 235)
    s.close()


class Guesser:
    """Logs in from an address of its own, by the protocol said."""

    def __init__(self, p, source):
        self.p, self.source = p, source

    def smtp(self, password):
        s = Smtp(self.p.host, self.p.port["submissions"], greet=False,
                 source=self.source)
        s.sock = self.p.tls().wrap_socket(s.sock, server_hostname=self.p.name)
        s.file = s.sock.makefile("rb")
        assert s.reply()[0] == 220
        s.expect("EHLO c.example", 250)
        token = base64.b64encode(f"\0{BOB}\0{password}".encode()).decode()
        code = s.cmd(f"AUTH PLAIN {token}")[0]
        s.close()
        return code

    def line(self, service, line):
        raw = socket.create_connection(
            (self.p.host, self.p.port[service]), 10, (self.source, 0))
        with self.p.tls().wrap_socket(
                raw, server_hostname=self.p.name) as s, s.makefile("rb") as f:
            f.readline()
            for part in line:
                s.sendall(part + b"\r\n")
                reply = f.readline()
                while reply.startswith(b"* "):
                    reply = f.readline()
            return reply

    def imap(self, password):
        return self.line("imaps", [b"a LOGIN %s %s" % (
            BOB.encode(), password.encode())])

    def pop3(self, password):
        return self.line("pop3s", [b"USER " + BOB.encode(),
                                   b"PASS " + password.encode()])


def test_41_guessing_ends(postern):
    """Over the limit no guess is looked at, by no protocol; others log in."""
    p = postern("guess", users={BOB: "builder-22"},
                options={"login_failure_limit": "6"}).start()
    bad = Guesser(p, "127.0.0.77")
    assert [bad.smtp(f"a{i}") for i in range(2)] == [535, 535]
    for i in range(2):
        assert b"AUTHENTICATIONFAILED" in bad.imap(f"b{i}")
        assert b"-ERR" in bad.pop3(f"c{i}")
    # The right password is not looked at either: nothing can be learned.
    assert bad.smtp("builder-22") == 454
    assert b"UNAVAILABLE" in bad.imap("builder-22")
    assert b"-ERR" in bad.pop3("builder-22")
    assert "limit=login_failure_limit" in p.log()
    other = Guesser(p, "127.0.0.78")
    assert other.smtp("builder-22") == 235
    assert b"a OK" in other.imap("builder-22")


def test_41_a_forgotten_device_does_not_count(postern):
    """It says the same wrong password for ever: its neighbours go on."""
    p = postern("guess", users={BOB: "builder-22"},
                options={"login_failure_limit": "6"}).start()
    office = Guesser(p, "127.0.0.77")
    for _ in range(10):
        assert b"AUTHENTICATIONFAILED" in office.imap("last-year")
    assert b"a OK" in office.imap("builder-22")


def test_41_exceptions_and_the_window(postern):
    p = postern("guess", users={BOB: "builder-22"}, options={
        "login_failure_limit": "2", "login_failure_window": "3s",
        "smtpd_client_event_limit_exceptions": "127.0.0.79"}).start()
    webmail = Guesser(p, "127.0.0.79")
    assert [webmail.smtp(f"x{i}") for i in range(4)] == [535] * 4
    assert webmail.smtp("builder-22") == 235
    bad = Guesser(p, "127.0.0.77")
    assert [bad.smtp(f"x{i}") for i in range(3)] == [535, 535, 454]
    wait_for("the window's end", lambda: bad.smtp("builder-22") == 235)


@pytest.mark.parametrize("kind", ["regexp", "pcre"])
def test_53_patterns_that_explode(postern, kind):
    """A pattern that would run for ever is a fault of the table, soon."""
    p = postern("redos", users={BOB: "b"}, options={
        "smtpd_sender_restrictions":
            f"check_sender_access {kind}:{{{{/^(a+)+x$$/ REJECT}}}}"}).start()
    s = open_mx(p)
    begin = time.monotonic()
    s.expect("MAIL FROM:<" + "a" * 62 + "@aaaaaaaaaaaaaaaaaaaaaaa.example>", 250)
    code = s.cmd(f"RCPT TO:<{BOB}>")[0]
    assert code in (250, 451)
    # Bounded work, not a clock: ten of them pass as well.
    for _ in range(9):
        s.expect("RSET", 250)
        s.expect("MAIL FROM:<" + "a" * 62 + "@a.example>", 250)
        assert s.cmd(f"RCPT TO:<{BOB}>")[0] in (250, 451)
    assert time.monotonic() - begin < 20
    s.close()


def roles(p):
    return {r["pid"] for r in p.status()["roles"]}


@pytest.mark.parametrize("octet", [b"\xff", b"\x01", b'"', b"\\", b"x"])
def test_lines_of_the_log_end(postern, tmp_path, octet):
    """What is escaped grows up to sixfold; all of it is said, and logged."""
    checks = tmp_path / "checks"
    checks.write_text("/^Subject:/ WARN look\n")
    p = postern("log", users={BOB: "b"}, options={
        "smtpd_hard_error_limit": "100", "smtpd_soft_error_limit": "100",
        "header_checks": f"regexp:{checks}"}).start()
    before = roles(p)
    s = open_mx(p)
    for verb in (b"HELO ", b"EHLO ", b"VRFY ", b"NONSENSE ", b"MAIL FROM:<",
                 b"RCPT TO:<"):
        for end in (b"", b"@example.test>"):
            s.send(verb + octet * 900 + end + b"\r\n")
            s.reply()
    s.expect("MAIL FROM:<a@b.example>", 250)
    for local in (octet * 60, octet * 400, octet * 900):
        s.send(b'RCPT TO:<"' + local + b'"@example.test>\r\n')
        s.reply()
    s.expect("RSET", 250)
    mail = b"Message-ID: <" + octet * 990 + b">\r\nSubject: " + \
        octet * 950 + b"\r\n " + octet * 950 + b"\r\n\r\nx\r\n.\r\n"
    assert send(s, mail) == 250
    s.expect("NOOP", 250)
    s.close()
    assert roles(p) == before
    wait_for("the end", lambda: "disconnect" in p.log())
    lines = [line for f in (p.dir / "spool/trail").iterdir()
             for line in f.read_bytes().split(b"\n")]
    assert any(b"look" in line for line in lines)
    assert all(len(line) < 4096 for line in lines)
    assert all(json.loads(line) for line in lines if line)
    assert all(re.match(r"\d{4}-\d\d-\d\dT.*postern/", line)
               for line in p.log().splitlines() if "postern/" in line)
