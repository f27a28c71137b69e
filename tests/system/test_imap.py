# SPDX-License-Identifier: ISC
"""IMAP and POP3 as clients use them, and as attackers do."""

import imaplib
import poplib
import re
import socket
import threading

import pytest

from harness import wait_for

BOB, PW = "bob@example.test", "builder-22"
MAIL = (b"From: A <a@b.example>\r\nTo: bob@example.test\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxlIGluIGJhc2U2NA==\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n"
        b"inner body\r\n--b--\r\n")


@pytest.fixture
def imap(one):
    made = []

    def login(user=BOB, password=PW):
        m = imaplib.IMAP4_SSL(one.host, one.port["imaps"],
                              ssl_context=one.tls())
        m.login(user, password)
        made.append(m)
        return m

    yield login
    for m in made:
        try:
            m.logout()
        except (imaplib.IMAP4.error, OSError):
            pass


def test_mailboxes(imap):
    m = imap()
    names = b"\n".join(m.list()[1])
    for word in (b"INBOX", b"\\Sent", b"\\Trash", b"\\Drafts", b"\\Junk"):
        assert word in names
    assert m.create("a/b/c")[0] == "OK"
    assert b'"a/b"' in b"\n".join(m.list()[1])
    assert m.create("a/b/c")[0] == "NO"
    assert m.rename("a", "z")[0] == "OK"
    assert b'"z/b/c"' in b"\n".join(m.list()[1])
    assert m.list('""', '"z/%"')[1] == [b'(\\HasChildren) "/" "z/b"']
    assert m.delete("z/b/c")[0] == "OK"
    assert m.delete("INBOX")[0] == "NO"
    assert m.select("nowhere")[0] == "NO"
    assert m.create("../../etc/x")[0] == "NO"
    assert m.create("&Jjo-")[0] == "OK"
    assert b'"&Jjo-"' in b"\n".join(m.list()[1])
    assert m.unsubscribe("Sent")[0] == "OK"
    assert b"Sent" not in b"\n".join(m.lsub()[1])
    assert m.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")[0] == "OK"


def test_append_fetch_store_copy_expunge(imap):
    m = imap()
    typ, data = m.append("INBOX", r"(\Seen $Forwarded)",
                         '"21-Nov-1997 09:55:06 -0600"', MAIL)
    assert typ == "OK"
    m.select("INBOX")
    assert re.match(rb"\d+ 1$", m.untagged_responses.get(
        "APPENDUID", [b"1 1"])[0])
    row = m.fetch("1", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[1]
    assert b"UID 1 " in row[0][0] and b"\\Seen \\Recent $Forwarded" in row[0][0]
    assert b'INTERNALDATE "21-Nov-1997 15:55:06 +0000"' in row[0][0]
    assert f"RFC822.SIZE {len(MAIL)}".encode() in row[0][0]
    assert row[0][1] == MAIL
    envelope = m.fetch("1", "(ENVELOPE)")[1][0]
    assert b'=?utf-8?q?Gr=C3=BC=C3=9Fe?=' in envelope
    structure = m.fetch("1", "(BODYSTRUCTURE)")[1][0]
    assert b'"message" "rfc822"' in structure and b'"inner"' in structure

    def section(what):
        got = m.fetch("1", f"(BODY.PEEK{what})")[1][0]
        return got[1] if isinstance(got, tuple) else b""

    assert section("[1]") == b"bmVlZGxlIGluIGJhc2U2NA=="
    assert section("[2.HEADER]") == b"Subject: inner\r\n\r\n"
    assert section("[2.TEXT]") == b"inner body"
    assert section("[HEADER.FIELDS (TO)]") == b"To: bob@example.test\r\n\r\n"
    assert section("[1.MIME]").startswith(b"Content-Type: text/plain")
    assert section("[]<0.4>") == b"From"
    assert b'BODY[]<99999> ""' in m.fetch("1", "(BODY.PEEK[]<99999.5>)")[1][0]
    assert section("[9]") == b""
    assert m.store("1", "+FLAGS", r"(\Flagged)")[1] == [
        b"1 (FLAGS (\\Seen \\Flagged \\Recent $Forwarded))"]
    assert m.store("1", "-FLAGS.SILENT", r"(\Flagged)")[0] == "OK"
    assert m.copy("1", "Trash")[0] == "OK"
    assert m.copy("1", "Nowhere")[0] == "NO"
    m.append("INBOX", None, None, MAIL.replace(b"needle", b"x"))
    m.noop()
    m.store("1", "+FLAGS", r"(\Deleted)")
    assert m.expunge()[1] == [b"1"]
    assert m.fetch("1", "(UID)")[1] == [b"1 (UID 2)"]
    assert m.uid("MOVE", "2", "Trash")[0] == "OK"
    assert m.select("Trash")[1] == [b"2"]
    m.select("INBOX")
    m.append("INBOX", None, None, MAIL)
    m.noop()
    assert m.uid("FETCH", "1:*", "(FLAGS)")[1] == [
        b"1 (UID 3 FLAGS (\\Recent))"]
    assert m.fetch("1", "(BODY[])")[0] == "OK"
    assert b"\\Seen" in m.fetch("1", "(FLAGS)")[1][0]


def test_search(imap):
    m = imap()
    m.append("INBOX", r"(\Flagged)", None, MAIL)
    m.append("INBOX", None, None, MAIL.replace(b"1997", b"2007").replace(
        b"From: A <a@b", b"From: C <c@d"))
    m.select("INBOX")

    def search(*keys):
        return m.search(None, *keys)[1][0].split()

    assert search("ALL") == [b"1", b"2"]
    assert search("FLAGGED") == [b"1"]
    assert search("BODY", '"needle in base64"') == [b"1", b"2"]
    assert search("TEXT", '"eedle"') == [b"1", b"2"]
    assert search("FROM", "c@d") == [b"2"]
    assert search("NOT", "FROM", "c@d") == [b"1"]
    assert search("OR", "FLAGGED", "FROM", "c@d") == [b"1", b"2"]
    assert search("SENTBEFORE", "1-Jan-2000") == [b"1"]
    assert search("SENTON", "21-Nov-2007") == [b"2"]
    assert search("(UNFLAGGED", "UID", "1:*)") == [b"2"]
    assert search("HEADER", "MIME-Version", '""') == [b"1", b"2"]
    assert search("LARGER", "100000") == []
    assert m.search("UTF-8", "SUBJECT", '"Gr"')[1][0].split() == [b"1", b"2"]
    with pytest.raises(imaplib.IMAP4.error):
        m.search(None, "FOO")
    assert m._simple_command("SEARCH", "CHARSET", "X-Y", "ALL")[0] == "NO"
    with pytest.raises(imaplib.IMAP4.error):
        m.search(None, "(" * 1000 + "ALL" + ")" * 1000)


def test_idle_tells_within_a_second(one, imap):
    m = imap()
    m.select("INBOX")
    m.send(b"x1 IDLE\r\n")
    assert m.readline().startswith(b"+ ")
    one.send("alice@example.test", [BOB])
    m.sock.settimeout(5)
    assert m.readline() == b"* 1 EXISTS\r\n"
    assert m.readline() == b"* 1 RECENT\r\n"
    # DONE and the next command in one packet.
    m.send(b"DONE\r\nx2 NOOP\r\n")
    assert m.readline().startswith(b"x1 OK")
    assert m.readline().startswith(b"x2 OK")


def test_two_sessions_see_each_other(imap):
    a, b = imap(), imap()
    a.append("INBOX", None, None, MAIL)
    a.append("INBOX", None, None, MAIL)
    a.select("INBOX")
    b.select("INBOX")
    a.store("1", "+FLAGS", r"(\Deleted)")
    b.noop()
    assert any(b"\\Deleted" in r for r in b.response("FETCH")[1])
    a.expunge()
    # Never an EXPUNGE during FETCH by number.
    b.fetch("1:2", "(FLAGS)")
    assert b.response("EXPUNGE")[1] == [None]
    b.noop()
    assert b.response("EXPUNGE")[1] == [b"1"]


def raw(one, port="imap"):
    s = socket.create_connection((one.host, one.port[port]), 10)
    s.settimeout(10)
    f = s.makefile("rb")
    f.readline()
    return s, f


@pytest.mark.parametrize("line, answers", [
    (b"A LOGIN {4294967295}\r\n", b"* BYE"),
    (b"A LOGIN {99999999999999999999999}\r\n", b"* BYE"),
    (b"A LOGIN {5000}\r\n", b"* BYE"),
    (b"A " + b"(" * 8000 + b"\r\n", b"A BAD"),
    (b"A LOGIN bob x\r\n", b"A NO [PRIVACYREQUIRED]"),
    (b"A SELECT INBOX\r\n", b"A BAD"),
    (b"\r\n", b"* BAD"),
    (b"A STARTTLS\r\nA CAPABILITY\r\n", b"* BYE"),
    (b"x" * 100000 + b"\r\n", b"* BAD"),
    (b"A \x00\xff\r\n", b"A BAD"),
    (b'A LOGIN "a\\\r\n', b"A NO"),
], ids=["4-GiB literal", "huge literal", "literal", "parentheses",
        "login in clear", "select", "empty", "behind STARTTLS", "long line",
        "odd bytes", "open quote"])
def test_before_login(one, line, answers):
    s, f = raw(one)
    s.sendall(line)
    assert f.readline().startswith(answers)
    s.close()
    s, f = raw(one)
    s.sendall(b"A NOOP\r\n")
    assert f.readline().startswith(b"A OK")
    s.close()


def test_wrong_password_and_scram(one):
    m = imaplib.IMAP4_SSL(one.host, one.port["imaps"], ssl_context=one.tls())
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        m.login(BOB, "wrong")
    m.login(BOB, PW)
    m.logout()


def test_pop3(one, imap):
    m = imap()
    for i in range(3):
        m.append("INBOX", None, None,
                 b"Subject: %d\r\n\r\n.dot\r\nline\r\nmore\r\n" % i)
    c = poplib.POP3(one.host, one.port["pop3"])
    assert "STLS" in c.capa() and "USER" not in c.capa()
    with pytest.raises(poplib.error_proto):
        c.user(BOB)
    c.stls(one.tls())
    assert "SASL" in c.capa()
    c.user(BOB)
    with pytest.raises(poplib.error_proto):
        c.pass_("wrong")
    c.user(BOB)
    c.pass_(PW)
    assert c.stat()[0] == 3
    assert c.retr(1)[1][-3:] == [b".dot", b"line", b"more"]
    assert c.top(1, 0)[1] == [b"Subject: 0", b""]
    assert c.top(1, 1)[1] == [b"Subject: 0", b"", b".dot"]
    uids = [u.split()[1] for u in c.uidl()[1]]
    assert len(set(uids)) == 3
    c.dele(2)
    with pytest.raises(poplib.error_proto):
        c.retr(2)
    c.rset()
    c.dele(1)
    c.close()  # no QUIT: nothing is deleted
    c = poplib.POP3_SSL(one.host, one.port["pop3s"], context=one.tls())
    c.user(BOB)
    c.pass_(PW)
    assert [u.split()[1] for u in c.uidl()[1]] == uids
    c.dele(1)
    c.quit()
    c = poplib.POP3_SSL(one.host, one.port["pop3s"], context=one.tls())
    c.user(BOB)
    c.pass_(PW)
    assert [u.split()[1] for u in c.uidl()[1]] == uids[1:]
    for bad in ("RETR 0", "RETR 99999999999999999999", "TOP 1 -1", "LIST x",
                "RETR 2147483648", "FOO"):
        with pytest.raises(poplib.error_proto):
            c._shortcmd(bad)
    c.quit()


def test_many_sessions_park(one):
    """More sessions than threads: all are served."""
    socks = [raw(one) for _ in range(150)]
    for i, (s, f) in enumerate(socks):
        s.sendall(b"a%d NOOP\r\n" % i)
    for i, (s, f) in enumerate(socks):
        assert f.readline().startswith(b"a%d OK" % i)
        s.close()


@pytest.mark.parametrize("port, half, rest, answer", [
    ("imap", b"a NO", b"OP\r\n", b"a OK"), ("pop3", b"CA", b"PA\r\n", b"+OK")])
def test_half_a_line_before_login_holds_no_thread(
        postern, port, half, rest, answer):
    p = postern("half", users={"bob@example.test": "b"},
                options={"mailbox_threads": "8"}).start()
    held = []
    for _ in range(40):
        s = socket.create_connection((p.host, p.port[port]), 10)
        s.settimeout(20)
        s.recv(1000)
        s.sendall(half)
        held.append(s)
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login("bob@example.test", "b")
    m.logout()
    for s in held:
        s.sendall(rest)
        assert s.recv(1000).startswith(answer)
        s.close()
