# SPDX-License-Identifier: ISC
"""What the next server offers is used, and its limits are kept: RFC 3030
(CHUNKING) and RFC 9422 (LIMITS) on the way out."""
import re

import pytest
from harness import Server, Smtp, wait_for

ALICE = "alice@example.test"


class Keeper(Server):
    """Takes BDAT and DATA; counts what each session and mail was given."""

    def __init__(self, *ehlo, bdat=b"250 2.0.0 octets\r\n"):
        self.ehlo, self.bdat = ehlo, bdat
        self.sessions, self.mails = [], []
        super().__init__(address=("127.0.0.5", 0))

    def serve(self, conn):
        file = conn.makefile("rb")
        session = {"mails": [], "commands": []}
        self.sessions.append(session)
        conn.sendall(b"220 keeper\r\n")
        for line in file:
            verb = line.split(b" ")[0].strip().upper()
            session["commands"].append(line.decode().strip())
            if verb == b"EHLO":
                lines = ["keeper", *self.ehlo]
                conn.sendall("".join(
                    f"250{'-' if i + 1 < len(lines) else ' '}{t}\r\n"
                    for i, t in enumerate(lines)).encode())
                continue
            if verb == b"MAIL":
                mail = {"rcpts": [], "text": b"", "chunks": 0}
            elif verb == b"RCPT":
                mail["rcpts"].append(
                    re.search(rb"<(.*?)>", line).group(1).decode())
            elif verb == b"BDAT":
                words = line.split()
                mail["text"] += file.read(int(words[1]))
                mail["chunks"] += 1
                if not self.bdat.startswith(b"2"):
                    conn.sendall(self.bdat)
                    continue
                if len(words) == 3:
                    session["mails"].append(mail)
                    self.mails.append(mail)
            elif verb == b"DATA":
                conn.sendall(b"354 go\r\n")
                while (data := file.readline()) != b".\r\n":
                    mail["text"] += data
                session["mails"].append(mail)
                self.mails.append(mail)
            conn.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def relay(postern, server, **options):
    return postern("relay", options={
        "relayhost": f"[127.0.0.5]:{server.port}",
        "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions":
        "permit_mynetworks, reject", **options}).start()


def send(p, rcpts, text=b"Subject: s\r\n\r\n.dots\r\n..\r\nhello\r\n"):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.test", 250)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    for r in rcpts:
        s.expect(f"RCPT TO:<{r}>", 250)
    s.expect("DATA", 354)
    s.send(re.sub(rb"(?m)^\.", b"..", text))
    s.expect(".", 250)
    s.close()


def test_chunks_where_they_are_offered(postern):
    server = Keeper("PIPELINING", "CHUNKING")
    p = relay(postern, server)
    send(p, ["a@b.test"])
    mail, = wait_for("the mail", lambda: server.mails)
    assert mail["chunks"] == 1
    assert mail["text"].endswith(b"\r\n\r\n.dots\r\n..\r\nhello\r\n")
    assert "DATA" not in server.sessions[0]["commands"]
    wait_for("an empty queue", lambda: p.queue() == [])
    server.stop()


def test_a_large_text_goes_in_several(postern):
    server = Keeper("PIPELINING", "CHUNKING")
    p = relay(postern, server)
    line = b"x" * 98 + b"\r\n"
    send(p, ["a@b.test"], b"Subject: s\r\n\r\n" + line * 30000)
    mail, = wait_for("the mail", lambda: server.mails)
    assert mail["chunks"] == 3 and mail["text"].endswith(line * 30000)
    server.stop()


@pytest.mark.parametrize("options", [
    {"smtp_discard_ehlo_keywords": "chunking, dsn"}])
def test_keywords_that_are_not_looked_at(postern, options):
    server = Keeper("CHUNKING", "DSN", "SIZE")
    p = relay(postern, server, **options)
    send(p, ["a@b.test"])
    mail, = wait_for("the mail", lambda: server.mails)
    assert mail["chunks"] == 0
    assert any(c.startswith("MAIL") and "SIZE=" in c
               for c in server.sessions[0]["commands"])
    server.stop()


def test_a_refused_chunk_is_the_answer(postern):
    server = Keeper("PIPELINING", "CHUNKING", bdat=b"451 4.3.0 no room\r\n")
    p = relay(postern, server, minimal_backoff_time="600s")
    send(p, ["a@b.test"])
    m = wait_for("a deferral", lambda: [
        m for m in p.queue() if m["recipients"][0]["attempts"]])[0]
    assert m["recipients"][0]["reason"] == "451 4.3.0 no room"
    server.bdat = b"554 5.6.0 never\r\n"
    p.run("queue", "flush")
    wait_for("the bounce", lambda: "status=bounced" in p.log())
    p.run("queue", "delete", "ALL")
    server.stop()


MANY = [f"u{n}@d{n % 3}.test" for n in range(12)]


def everybody(server):
    return sorted(r for m in server.mails for r in m["rcpts"]) == sorted(MANY)


def test_recipients_of_a_mail(postern):
    """RCPTMAX: in several mails over the same session."""
    server = Keeper("PIPELINING", "LIMITS RCPTMAX=5 NONSENSE=x MAILMAX=")
    p = relay(postern, server)
    send(p, MANY)
    wait_for("everybody", lambda: everybody(server))
    assert [len(m["rcpts"]) for m in server.mails] == [5, 5, 2]
    assert len(server.sessions) == 1
    wait_for("an empty queue", lambda: p.queue() == [])
    server.stop()


def test_mails_of_a_session(postern):
    """MAILMAX: the others over another one."""
    server = Keeper("PIPELINING", "LIMITS RCPTMAX=5 MAILMAX=2")
    p = relay(postern, server)
    send(p, MANY)
    wait_for("everybody", lambda: everybody(server))
    assert [len(s["mails"]) for s in server.sessions] == [2, 1]
    wait_for("an empty queue", lambda: p.queue() == [])
    server.stop()


def test_domains_of_a_session(postern):
    """RCPTDOMAINMAX: a session for each domain here."""
    server = Keeper("PIPELINING", "LIMITS RCPTDOMAINMAX=1")
    p = relay(postern, server)
    send(p, MANY)
    wait_for("everybody", lambda: everybody(server))
    assert [{r.split("@")[1] for m in s["mails"] for r in m["rcpts"]}
            for s in server.sessions] == [{"d0.test"}, {"d1.test"},
                                          {"d2.test"}]
    wait_for("an empty queue", lambda: p.queue() == [])
    server.stop()


def test_limits_that_are_not_wanted(postern):
    server = Keeper("PIPELINING", "LIMITS RCPTMAX=1")
    p = relay(postern, server, smtp_discard_ehlo_keywords="limits")
    send(p, MANY)
    wait_for("everybody", lambda: everybody(server))
    assert len(server.mails) == 1
    server.stop()
