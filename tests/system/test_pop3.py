# SPDX-License-Identifier: ISC
"""POP3 by RFC 1939, 2449, 6856, and what importers stumble over."""

import email
import email.policy
import poplib
import re
import socket

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"
MAIL = b"Subject: one\r\n\r\nline 1\r\nline 2\r\nline 3\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("pop3") / "a",
                users={USER: PW, "slow@example.test": PW},
                options={"virtual_mailbox_domains": "example.test"},
                master_extra="")
    p.start()
    yield p
    p.stop()


@pytest.fixture
def imap(server):
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    if "0 EXISTS" not in c.ok("SELECT INBOX"):
        c.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
    yield c
    c.close()


def login(server, user=USER):
    m = poplib.POP3_SSL(server.host, server.port["pop3s"], timeout=30,
                        context=server.tls())
    m.user(user)
    m.pass_(PW)
    return m


def raw(server):
    s = server.tls().wrap_socket(socket.create_connection(
        (server.host, server.port["pop3s"]), 30), server_hostname="localhost")
    f = s.makefile("rwb")
    f.readline()
    return f


def say(f, text):
    f.write(text.encode() + b"\r\n")
    f.flush()
    return f.readline().decode().rstrip("\r\n")


def test_bytes(server, imap):
    imap.append("INBOX", b".dot first\r\n\r\n.a\r\n..b\r\n.\r\nend")
    imap.append("INBOX", MAIL)
    m = login(server)
    assert m.stat()[0] == 2
    # The first byte is stuffed too, and a line end comes at the end.
    assert m.retr(1)[1] == [b".dot first", b"", b".a", b"..b", b".", b"end"]
    assert m.top(2, 0)[1] == [b"Subject: one", b""]
    assert m.top(2, 2)[1] == [b"Subject: one", b"", b"line 1", b"line 2"]
    assert m.top(2, 99)[1][-1] == b"line 3"
    sizes = [int(x.split()[1]) for x in m.list()[1]]
    assert sizes == [len(b".dot first\r\n\r\n.a\r\n..b\r\n.\r\nend"), len(MAIL)]
    m.quit()


def test_uidl_is_stable_and_in_order(server, imap):
    for i in range(5):
        imap.append("INBOX", MAIL)
    m = login(server)
    before = [x.split()[1] for x in m.uidl()[1]]
    assert len(set(before)) == 5
    m.dele(2)
    assert len(m.uidl()[1]) == 4
    m.rset()
    m.dele(3)
    m.quit()
    imap.ok("NOOP")
    imap.ok("MOVE 1 Trash")
    m = login(server)
    assert [x.split()[1] for x in m.uidl()[1]] == [
        before[1], before[3], before[4]]
    assert [x.split()[0] for x in m.list()[1]] == [b"1", b"2", b"3"]
    assert m.uidl(2).split()[2] == before[3]
    m.quit()


def test_dele_acts_at_quit_only(server, imap):
    imap.append("INBOX", MAIL)
    m = login(server)
    m.dele(1)
    with pytest.raises(poplib.error_proto):
        m.retr(1)
    with pytest.raises(poplib.error_proto):
        m.dele(1)
    m.close()
    m = login(server)
    assert m.stat()[0] == 1
    m.dele(1)
    m.quit()
    assert login(server).stat()[0] == 0


def test_what_was_read_is_seen(server, imap):
    for _ in range(3):
        imap.append("INBOX", MAIL)
    m = login(server)
    m.retr(1)
    m.top(2, 1)
    m.quit()
    imap.ok("NOOP")
    assert imap.ok("SEARCH SEEN") == ["SEARCH 1"]


def test_what_another_session_expunged(server, imap):
    for _ in range(2):
        imap.append("INBOX", MAIL)
    m = login(server)
    imap.ok("NOOP")
    imap.ok(r"STORE 1 +FLAGS (\Deleted)")
    imap.ok("EXPUNGE")
    with pytest.raises(poplib.error_proto):
        m.retr(1)
    assert m.retr(2)[1][0] == b"Subject: one"
    m.dele(1)
    m.dele(2)
    m.quit()
    assert login(server).stat()[0] == 0


def test_capabilities(server):
    f = raw(server)
    f.write(b"CAPA\r\n")
    f.flush()
    lines = []
    while (line := f.readline().rstrip(b"\r\n")) != b".":
        lines.append(line.decode())
    for want in ("TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES",
                 "AUTH-RESP-CODE", "UTF8", "LANG", "EXPIRE NEVER",
                 "IMPLEMENTATION postern"):
        assert want in lines
    assert any(re.match("SASL .*PLAIN", x) for x in lines)
    assert say(f, "UTF8").startswith("+OK")
    assert say(f, "LANG en").startswith("+OK en ")
    assert say(f, "LANG xx").startswith("-ERR")
    # Outlook asks for the mechanisms this way.
    assert say(f, "AUTH").startswith("+OK")
    while f.readline() != b".\r\n":
        pass
    assert say(f, "STAT").startswith("-ERR")
    assert say(f, f"USER {USER}").startswith("+OK")
    assert say(f, "PASS wrong").startswith("-ERR [AUTH]")
    f.write(f"USER {USER}\r\nPASS {PW}\r\nNOOP\r\nSTAT\r\n".encode())
    f.flush()
    got = [f.readline() for _ in range(4)]
    assert all(x.startswith(b"+OK") for x in got)
    assert say(f, "UTF8").startswith("-ERR")
    for bad in ("RETR 0", "RETR -1", "RETR 99999999999", "RETR", "TOP 1",
                "TOP 1 -1", "DELE x", "LIST 9", "UIDL 9", "NONSENSE"):
        assert say(f, bad).startswith("-ERR"), bad
    assert say(f, "NOOP").startswith("+OK")


INTERNATIONAL = """\
From: "Jörg Müller, CEO" <jörg@exämple.test>, plain@example.test
To: Ann <ann@example.test>
Cc: Grüppe: a@example.test, ü@example.test;
Subject: Grüße, and a subject that is as long as it takes to be folded once \
or twice
X-Note: nötiges
Content-Type: multipart/mixed; boundary="=b"

--=b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Körper

--=b
Content-Type: text/plain; name="ünter.txt"; charset=us-ascii
Content-Disposition: attachment; filename="ünter.txt"

x
--=b--
""".replace("\n", "\r\n").encode()


def test_utf8_in_headers(server):
    """Who does not say UTF8 gets what it can read, RFC 6856 2.1; TOP, too."""
    legacy = b"Subject: Gr\xfc\xdfe\r\n\r\nlatin\r\n"
    c = Client(server, USER)
    c.append("INBOX", INTERNATIONAL)
    c.append("INBOX", legacy)
    c.close()
    p = poplib.POP3_SSL(server.host, server.port["pop3s"],
                        context=server.tls())
    p.user(USER)
    p.pass_(PW)
    n = p.stat()[0] - 1
    said, lines, _ = p.retr(n)
    text = b"\r\n".join(lines) + b"\r\n"
    assert said == b"+OK %d octets" % len(text)
    head, body = text.split(b"\r\n\r\n", 1)
    assert head.isascii() and max(map(len, head.split(b"\r\n"))) < 100
    assert "Körper".encode() in body and b"X-Note" not in text
    m = email.message_from_bytes(text, policy=email.policy.default)
    assert m["Subject"] == ("Grüße, and a subject that is as long as it takes "
                            "to be folded once or twice")
    boss, plain = m["From"].addresses
    assert boss.display_name == "Jörg Müller, CEO"
    assert boss.addr_spec == "invalid@internationalized-address.invalid"
    assert plain.addr_spec == "plain@example.test"
    assert m["To"].addresses[0].addr_spec == "ann@example.test"
    group, = m["Cc"].groups
    assert group.display_name == "Grüppe"
    assert [a.username for a in group.addresses] == ["a", "invalid"]
    _, attached = m.iter_parts()
    assert attached.get_filename() is None
    assert attached.get_content_disposition() == "attachment"
    assert attached.get_content_type() == "text/plain"
    assert b"\r\n".join(p.top(n, 0)[1]) + b"\r\n" == head + b"\r\n\r\n"
    # What is not UTF-8 was there before all that.
    assert b"\r\n".join(p.retr(n + 1)[1]) + b"\r\n" == legacy
    p.quit()
    p = poplib.POP3_SSL(server.host, server.port["pop3s"],
                        context=server.tls())
    p.utf8()
    p.user(USER)
    p.pass_(PW)
    assert b"\r\n".join(p.retr(n)[1]) + b"\r\n" == INTERNATIONAL
    p.quit()


def test_many_addresses_that_are_not_ascii(server):
    """Each becomes many times as long."""
    many = 4000
    c = Client(server, USER)
    c.append("INBOX", b"To: " + b",\r\n ".join(["ü@x".encode()] * many) +
             b"\r\n\r\nbody\r\n")
    c.close()
    p = poplib.POP3_SSL(server.host, server.port["pop3s"],
                        context=server.tls())
    p.user(USER)
    p.pass_(PW)
    lines = p.retr(p.stat()[0])[1]
    p.quit()
    assert lines[-2:] == [b"", b"body"]
    assert sum(b"invalid@" in x for x in lines) == many


def test_login_delay(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "pop3d_login_delay": "1h"})
    p.start()
    try:
        login(p).quit()
        with pytest.raises(poplib.error_proto, match="LOGIN-DELAY"):
            login(p)
        f = raw(p)
        f.write(b"CAPA\r\n")
        f.flush()
        lines = []
        while (line := f.readline()) != b".\r\n":
            lines.append(line)
        assert b"LOGIN-DELAY 3600\r\n" in lines
    finally:
        p.stop()
