# SPDX-License-Identifier: ISC
"""Relaying to scripted servers: good, slow, hostile, and asking passwords."""

import base64
import socket
import ssl
import threading

import pytest

from harness import Sink, wait_for

ALICE = "alice@example.test"


@pytest.fixture
def relay(postern):
    """A server that sends everything to one sink."""
    def make(sink, **options):
        return postern("relay", users={ALICE: "pw"}, options={
            "relayhost": f"[127.0.0.5]:{sink.port}", **options}).start()
    return make


def test_per_recipient_outcomes(relay):
    sink = Sink("127.0.0.5", 0, replies={
        "RCPT gone@far.example": "550 5.1.1 no such user",
        "RCPT later@far.example": "450 4.2.1 greylisted"})
    p = relay(sink)
    p.send(ALICE, ["ok@far.example", "gone@far.example", "later@far.example"])
    wait_for("the good one", lambda: sink.mails)
    left = wait_for("one left", lambda: [
        m for m in p.queue() if m["sender"] == ALICE and
        [r["state"] for r in m["recipients"]].count("done") == 2])
    waiting = [r for r in left[0]["recipients"] if r["state"] != "done"]
    assert waiting[0]["address"] == "later@far.example"
    assert "greylisted" in waiting[0]["reason"]
    del sink.replies["RCPT later@far.example"]
    p.run("queue", "flush")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert [m["rcpts"] for m in sink.mails] == [
        ["ok@far.example"], ["later@far.example"]]
    sink.stop()


def test_dots_and_line_ends_on_the_wire(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    p.send(ALICE, ["x@far.example"], text=".\n..\n.x\nend")
    data = wait_for("mail", lambda: sink.mails)[0]["data"]
    assert data.replace(b"\r\n", b"").count(b"\r") == 0
    assert data.replace(b"\r\n", b"").count(b"\n") == 0
    assert data.endswith(b"\r\n")
    sink.stop()


def endless(prefix):
    return (prefix + b"x" * 998 + b"\r\n") * 2000


@pytest.mark.parametrize("name, replies", [
    ("endless greeting", {"GREETING": endless(b"220-")}),
    ("one long line", {"GREETING": b"220 " + b"x" * 1000000 + b"\r\n"}),
    ("no SMTP", {"GREETING": "HTTP/1.1 200 OK"}),
    ("521 greeting", {"GREETING": "521 no mail here"}),
    ("421 at MAIL", {"MAIL": "421 4.3.2 shutting down"}),
    ("nonsense at RCPT", {"RCPT": b"\x00\xff\r\n"}),
    ("354 instead of 250", {"RCPT": "354 go on"}),
    ("451 at the end", {".": "451 4.3.0 try later"}),
    ("code without text", {"MAIL": "450"}),
])
def test_hostile_server_defers_and_harms_nobody(relay, name, replies):
    sink = Sink("127.0.0.5", 0, replies=replies)
    p = relay(sink)
    p.send(ALICE, ["x@far.example"])
    wait_for("a deferral", lambda: p.queue()[0]["recipients"][0]["attempts"])
    # The same processes live, and the mail goes when the server is sane.
    assert all(r["restarts"] == 0 for r in p.status()["roles"])
    sink.replies.clear()
    p.run("queue", "flush")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 1
    sink.stop()


STAGES = ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", ".")
REPLIES = {
    "endless": lambda code: endless(b"%d-" % code),
    "one line of a megabyte": lambda code: b"%d " % code + b"x" * 1000000 +
    b"\r\n",
    "NUL and 8-bit": lambda code: b"\x00\xff%d\x00\r\n" % code,
    "no number": lambda code: b"hello there\r\n",
    "another class": lambda code: b"%d odd\r\n" % (550 - code if code == 354
                                                   else 354),
    "a code that is none": lambda code: b"999 what\r\n",
    "lines of different codes": lambda code: b"%d-a\r\n451 b\r\n" % code,
}


class EarlySink(Sink):
    """Answers what was not asked yet: the replies of a whole session at
    once, with the greeting."""

    def _serve(self, conn):
        conn.sendall(b"220 hi\r\n" + b"250 ok\r\n" * 3 + b"354 go\r\n"
                     b"250 2.0.0 taken\r\n")
        try:
            while conn.recv(65536):
                pass
        except OSError:
            pass


def test_each_bad_reply_at_each_stage(relay):
    """Row 75 of the attacks: whatever it is, the mail waits, and goes when the
    server is sane; the same processes, the next mail unharmed."""
    sink = Sink("127.0.0.5", 0, ehlo=("PIPELINING",))
    p = relay(sink)
    tried = 0
    for stage in STAGES:
        code = {"GREETING": 220, "DATA": 354}.get(stage, 250)
        for name, reply in REPLIES.items():
            sink.replies = {stage: reply(code)}
            p.send(ALICE, [f"x{tried}@far.example"])
            wait_for(f"{name} at {stage}", lambda: p.queue()[0]["recipients"][
                0]["attempts"])
            sink.replies = {}
            p.run("queue", "flush")
            wait_for("an empty queue", lambda: p.queue() == [])
            tried += 1
            assert len(sink.mails) == tried, (name, stage)
    assert all(r["restarts"] == 0 for r in p.status()["roles"])
    sink.stop()


def test_quit_that_is_never_answered(relay):
    """The mail is delivered all the same, and the next one is not behind it."""
    sink = Sink("127.0.0.5", 0, replies={"QUIT": b""})
    p = relay(sink)
    p.send(ALICE, ["x@far.example"])
    wait_for("the first", lambda: len(sink.mails) == 1)
    p.send(ALICE, ["y@far.example"])
    wait_for("the second", lambda: len(sink.mails) == 2)
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.stop()


def test_replies_before_the_commands(relay):
    """A 250 that comes before the text is no promise."""
    sink = EarlySink("127.0.0.5", 0)
    p = relay(sink)
    p.send(ALICE, ["x@far.example"])
    wait_for("a try", lambda: p.queue()[0]["recipients"][0]["attempts"])
    assert "status=sent" not in p.log()
    p.run("queue", "delete", "ALL")
    sink.stop()


class TlsSink(Sink):
    """Offers STARTTLS and, inside, AUTH."""

    def __init__(self, chain, **kw):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)
        self.logins, self.reused = [], []
        self.inject = b""
        super().__init__("127.0.0.5", 0, **kw)

    def _serve(self, conn):
        try:
            file = conn.makefile("rb")
            conn.sendall(b"220 sink\r\n")
            for raw in file:
                line = raw.decode().strip()
                self.commands.append(line)
                if line.startswith("EHLO"):
                    conn.sendall(b"250-sink\r\n250 STARTTLS\r\n")
                elif line == "STARTTLS":
                    conn.sendall(b"220 go\r\n" + self.inject)
                    break
                else:
                    conn.sendall(b"530 5.7.0 STARTTLS first\r\n")
            tls = self.context.wrap_socket(conn, server_side=True)
            self.reused.append(tls.session_reused)
            file = tls.makefile("rb")
            for raw in file:
                line = raw.decode().strip()
                self.commands.append(line)
                if line.startswith("EHLO"):
                    tls.sendall(b"250-sink\r\n250 AUTH PLAIN LOGIN\r\n")
                elif line.startswith("AUTH PLAIN "):
                    token = base64.b64decode(line.split()[2]).split(b"\0")
                    self.logins.append(token[1:])
                    tls.sendall(b"235 2.7.0 ok\r\n" if
                                token[2] == b"right:pw" else
                                b"535 5.7.8 no\r\n")
                elif line == "DATA":
                    tls.sendall(b"354 go\r\n")
                    data = b""
                    for text in file:
                        if text == b".\r\n":
                            break
                        data += text
                    self.mails.append({"data": data})
                    tls.sendall(b"250 2.0.0 ok\r\n")
                else:
                    tls.sendall(b"250 ok\r\n")
        except (OSError, ssl.SSLError):
            pass


def test_relayhost_with_password(postern, tmp_path):
    from harness import make_certificate
    chain, _ = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    sink = TlsSink(chain)
    passwords = tmp_path / "passwords"
    passwords.write_text(f"[127.0.0.5]:{sink.port} user:wrong\n")
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": f"hash:{passwords}",
        "smtp_tls_security_level": "encrypt"}).start()
    p.send(ALICE, ["x@far.example"])
    # A wrong password is ours to mend: the mail waits.
    wait_for("a deferral", lambda: "535" in p.queue()[0]["recipients"][0][
        "reason"])
    passwords.write_text(f"[127.0.0.5]:{sink.port} user:right:pw\n")
    p.run("queue", "flush")

    def flushed():
        p.run("queue", "flush")
        return p.queue() == []

    wait_for("an empty queue", flushed)
    assert sink.logins[-1] == [b"user", b"right:pw"]
    assert "right:pw" not in p.log()
    sink.stop()


def test_tls_session_is_resumed(postern, tmp_path):
    from harness import make_certificate
    chain, ca = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    for lifetime, expected in (("1h", [False, True, True]),
                               ("0s", [False, False])):
        sink = TlsSink(chain)
        p = postern(lifetime, users={ALICE: "pw"}, options={
            "relayhost": f"[127.0.0.5]:{sink.port}",
            "smtp_tls_CAfile": str(ca), "sender_processes": "1",
            "smtp_tls_session_cache_timeout": lifetime,
            "smtp_tls_security_level": "verify"}).start()
        for n in range(len(expected)):
            p.send(ALICE, ["x@far.example"])
            wait_for("the message", lambda: len(sink.mails) == n + 1)
        assert sink.reused == expected
        p.stop()
        sink.stop()


def test_reply_injected_before_tls_is_dropped(postern, tmp_path):
    from harness import make_certificate
    chain, _ = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    sink = TlsSink(chain)
    sink.inject = b"250-AUTH LOGIN\r\n250 evil\r\n"
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "smtp_tls_security_level": "encrypt"}).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("a deferral", lambda: "before the TLS handshake" in
             p.queue()[0]["recipients"][0]["reason"])
    assert sink.mails == []
    sink.stop()


def test_verify_refuses_a_strange_certificate(postern, tmp_path):
    from harness import make_certificate
    chain, cert = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    sink = TlsSink(chain)
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "smtp_tls_security_level": "verify"}).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("a deferral", lambda: "certificate not trusted" in
             p.queue()[0]["recipients"][0]["reason"])
    assert sink.mails == []
    p.stop()
    p.options["smtp_tls_CAfile"] = str(cert)
    p.write_config()
    p.start(add_users=False)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 1
    sink.stop()


def test_queue_commands(relay):
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "451 4.3.0 later"})
    p = relay(sink)
    p.send(ALICE, ["x@far.example"], subject="held")
    p.send(ALICE, ["y@far.example"], subject="gone")
    wait_for("two in the queue", lambda: len(p.queue()) == 2)
    first, second = (m["id"] for m in p.queue())
    assert "Subject: held" in p.run("queue", "show", first).stdout
    assert p.run("queue", "hold", first).stdout == "1 held\n"
    wait_for("hold", lambda: [m["state"] for m in p.queue()
                              if m["id"] == first] == ["hold"])
    p.run("queue", "delete", second)
    wait_for("one left", lambda: [m["id"] for m in p.queue()] == [first])
    sink.replies.clear()
    p.run("queue", "flush")
    # Held mail stays, also over a restart.
    p.stop()
    p.start(add_users=False)
    assert [m["state"] for m in p.queue()] == ["hold"]
    assert sink.mails == []
    p.run("queue", "release", first)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 1
    assert p.run("queue", "show", "nonsense", check=False).returncode != 0
    assert "The queue is empty." in p.run("queue", "list").stdout
    sink.stop()


def test_delete_while_a_delivery_ends(relay):
    """Whatever the moment, what was deleted is gone, on disk too."""
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "451 4.3.0 later"})
    p = relay(sink)
    for n in range(15):
        p.send(ALICE, ["x@far.example"], subject=str(n))
        for m in p.queue():
            p.run("queue", "delete", m["id"], check=False)
    wait_for("an empty queue", lambda: p.queue() == [])
    p.stop()
    p.start(add_users=False)
    assert p.queue() == []
    sink.stop()


def test_success_report_when_asked(postern):
    from harness import Smtp
    p = postern("dsn", users={ALICE: "pw"},
                options={"mynetworks": "127.0.0.0/8"}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO a.example", 250)
    s.expect("MAIL FROM:<alice@example.test> RET=HDRS ENVID=Q-1", 250)
    s.expect("RCPT TO:<alice@example.test> NOTIFY=SUCCESS "
             "ORCPT=rfc822;a+40b", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    import imaplib

    def mails():
        m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
        m.login(ALICE, "pw")
        n = int(m.select("INBOX", readonly=True)[1][0])
        text = m.fetch("2", "(BODY[])")[1][0][1] if n == 2 else b""
        m.logout()
        return text

    report = wait_for("the report", mails)
    assert b"\r\nAction: delivered\r\n" in report
    assert b"\r\nOriginal-Envelope-Id: Q-1\r\n" in report
    assert b"\r\nOriginal-Recipient: rfc822;a@b\r\n" in report
    assert b"text/rfc822-headers" in report
