# SPDX-License-Identifier: ISC
"""What an account may hold: at RCPT, at APPEND and COPY, and the warning."""

import re
import smtplib

import pytest

from harness import Postern, wait_for
from imap_client import Client

PW = "builder-22"
SMALL, FEW, FREE = (f"{n}@example.test" for n in ("small", "few", "free"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("quota") / "a",
                users={SMALL: PW, FEW: PW, FREE: PW},
                options={"virtual_mailbox_domains": "example.test",
                         "mail_storage_shards": "1",
                         "mailbox_quota": "1G",
                         "mailbox_quota_maps":
                             f"inline:{{ {{{SMALL} = 20K}} "
                             f"{{{FEW} = 0 4}} {{@free.test = 1M}} }}"})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def login(server):
    made = []

    def one(user):
        made.append(Client(server, user))
        c = made[-1]
        for box in ("INBOX", "Trash"):
            c.ok(f"SELECT {box}")
            c.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)") \
                if "0 EXISTS" not in c.ok(f"SELECT {box}") else None
            c.ok("EXPUNGE")
        c.ok("SELECT INBOX")
        return c

    yield one
    for c in made:
        c.close()


def mail(size):
    return b"Subject: s\r\n\r\n" + b"x" * 70 + b"\r\n" + (
        (b"y" * 70 + b"\r\n") * (size // 72))


def smtp(server):
    return smtplib.SMTP(server.host, server.port["smtp"], timeout=30)


def test_a_full_mailbox_is_refused_at_rcpt(server, login):
    c = login(SMALL)
    with smtp(server) as s:
        s.ehlo("x.example")
        assert s.docmd("MAIL", "FROM:<a@b.example> SIZE=30000")[0] == 250
        code, text = s.rcpt(SMALL)
        assert (code, text[:5]) == (552, b"5.2.2")
        # The others of the transaction are as they were.
        assert s.rcpt(FREE)[0] == 250
        assert s.rcpt(SMALL)[0] == 552
        assert s.data(mail(100))[0] == 250
    c.append("INBOX", mail(15000))
    with smtp(server) as s:
        assert s.sendmail("a@b.example", [SMALL], mail(1000)) == {}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            s.sendmail("a@b.example", [SMALL], mail(9000))
        # No SIZE, and there was room at RCPT: delivery looks again.
        # The other recipient gets the message all the same.
        assert s.docmd("MAIL", "FROM:<>")[0] == 250
        assert s.rcpt(SMALL)[0] == s.rcpt(FREE)[0] == 250
        assert s.data(b"X: unique\r\n" + mail(9000))[0] == 250
    wait_for("the refusal", lambda: "the mailbox is full" in server.log())
    other = Client(server, FREE)
    other.ok("SELECT INBOX")
    assert other.ok("SEARCH HEADER X unique") != ["SEARCH"]
    other.close()
    c.ok("NOOP")
    sizes = [int(re.search(r"SIZE (\d+)", r)[1])
             for r in c.ok("FETCH 1:* (RFC822.SIZE)")]
    assert sum(sizes) <= 20 * 1024


def test_append_and_copy(login):
    c = login(SMALL)
    c.append("INBOX", mail(12000))
    m = mail(12000)
    status = c.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(m), m))[1]
    assert status.startswith("NO [OVERQUOTA]")
    c.ok("NOOP")
    assert "[OVERQUOTA]" in c.no("COPY 1 Trash")
    assert any("MESSAGES 0" in r for r in c.ok("STATUS Trash (MESSAGES)"))
    # A move needs no room; nor does a smaller message in place of a large one.
    c.ok("MOVE 1 Trash")
    c.ok("SELECT Trash")
    m = mail(19000)
    status = c.cmd(b"REPLACE 1 Trash {%d+}\r\n%s" % (len(m), m))[1]
    assert status.startswith("OK"), status
    m = mail(21000)
    status = c.cmd(b"REPLACE 1 Trash {%d+}\r\n%s" % (len(m), m))[1]
    assert status.startswith("NO [OVERQUOTA]"), status
    assert len(c.ok("FETCH 1:* (UID)")) == 1


def test_a_number_of_messages(server, login):
    c = login(FEW)
    for _ in range(3):
        c.append("INBOX", mail(10))
    m = mail(10)
    two = c.cmd(b"APPEND INBOX {%d+}\r\n%s {%d+}\r\n%s" % (
        len(m), m, len(m), m))[1]
    assert two.startswith("NO [OVERQUOTA]")
    assert any("MESSAGES 3" in r for r in c.ok("STATUS INBOX (MESSAGES)"))
    c.append("INBOX", m)
    with smtp(server) as s, pytest.raises(smtplib.SMTPRecipientsRefused):
        s.sendmail("a@b.example", [FEW], m)


def test_the_quota_command(login):
    c = login(SMALL)
    c.append("Trash", mail(3500))
    got = c.ok("GETQUOTAROOT Trash")
    assert got[0] == 'QUOTAROOT "Trash" ""'
    assert got[1] == 'QUOTA "" (STORAGE 4 20 MAILBOX 6 10000)'
    assert c.ok('GETQUOTA ""') == ['QUOTA "" (STORAGE 4 20 MAILBOX 6 10000)']
    assert "NOPERM" in c.no('SETQUOTA "" (STORAGE 500)')
    c.no("GETQUOTA nonsense")
    c.no("GETQUOTAROOT nowhere")
    c.ok("SELECT Trash")
    c.ok(r"STORE 1 +FLAGS (\Deleted)")
    got = c.ok("STATUS Trash (DELETED DELETED-STORAGE)")[-1]
    assert re.search(r"DELETED 1 DELETED-STORAGE \d{4}\)", got)
    few = login(FEW)
    assert few.ok('GETQUOTA ""') == ['QUOTA "" (MESSAGE 0 4 MAILBOX 6 10000)']


def test_the_owner_is_warned_once(server, login):
    c = login(SMALL)

    def warnings():
        c.ok("NOOP")
        return c.ok('SEARCH HEADER Subject "Your mailbox is"')[-1].split()[1:]

    def send(size):
        with smtp(server) as s:
            s.sendmail("a@b.example", [SMALL], mail(size))

    send(14000)
    assert warnings() == []
    watcher = Client(server, SMALL)
    watcher.ok("SELECT INBOX")
    watcher.send(b"i IDLE\r\n")
    send(2500)
    # Who idles hears of the mail and of the warning.
    while watcher.line() != b"* 3 EXISTS":
        pass
    watcher.close()
    n = wait_for("the warning", warnings)
    assert len(n) == 1
    text = c.cmd(f"FETCH {n[0]} (BODY.PEEK[])")[0][0].decode()
    assert "Subject: Your mailbox is 80% full" in text
    assert "Auto-Submitted: auto-generated" in text
    send(100)
    assert warnings() == n
    send(1500)
    assert len(wait_for("the next", lambda: warnings()[1:])) == 1


def test_check(server):
    path = server.dir / "main.cf"
    text = path.read_text()
    try:
        path.write_text(text + "mailbox_quota = ten\n"
                        "mailbox_quota_warning = 80, 120\n")
        r = server.run("check", check=False)
        assert r.returncode != 0
        assert '"ten" is no quota' in r.stdout + r.stderr
        assert '"120" is no percentage' in r.stdout + r.stderr
    finally:
        path.write_text(text)


def test_a_domain_as_a_whole(tmp_path):
    """Its accounts share what it has; those of others are not asked."""
    a, b, other = "a@one.test", "b@one.test", "c@two.test"
    p = Postern(tmp_path / "a", users={u: PW for u in (a, b, other)}, options={
        "virtual_mailbox_domains": "one.test two.test",
        "mail_storage_shards": "3",
        "mailbox_domain_quota_maps":
            "inline:{ {one.test = 40K 6} {two.test = nonsense} }"})
    p.start()
    try:
        c, d, e = (Client(p, u, PW) for u in (a, b, other))
        c.append("INBOX", mail(15000))
        d.append("INBOX", mail(15000))
        m = mail(15000)
        text = b"APPEND INBOX {%d+}\r\n%s" % (len(m), m)
        for x in (c, d):
            assert x.cmd(text)[1].startswith("NO [OVERQUOTA]")
        e.append("INBOX", m)
        with smtp(p) as s:
            s.ehlo("x.example")
            assert s.docmd("MAIL", "FROM:<a@b.example> SIZE=15000")[0] == 250
            for u in (a, b):
                assert s.rcpt(u)[0] == 552
            assert s.rcpt(other)[0] == 250
            s.rset()
            # Smaller, without SIZE: delivery says so, and to whom
            assert s.docmd("MAIL", "FROM:<a@b.example>")[0] == 250
            assert s.rcpt(b)[0] == s.rcpt(other)[0] == 250
            s.data(m)
        wait_for("the refusal",
                 lambda: "the mailboxes of one.test are full" in p.log())
        # The number of messages: six
        for _ in range(4):
            d.append("INBOX", mail(10))
        d.ok("SELECT INBOX")
        assert "[OVERQUOTA]" in d.no("COPY 1 Trash")
        d.ok("MOVE 1 Trash")
        assert "not a quota" in p.log()
        # After a start it is counted anew: what was expunged is room.
        c.ok("SELECT INBOX")
        c.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
        p.stop()
        p.start(add_users=False)
        d = Client(p, b, PW)
        d.append("INBOX", mail(10))
    finally:
        p.stop()


def test_an_administrator_sets_quotas(tmp_path):
    """RFC 9208 4.1.3, by imap_quota_admins; who is none sees and sets
    nothing.  It lasts, counts before mailbox_quota_maps, at RCPT and APPEND."""
    chief = "chief@example.test"
    p = Postern(tmp_path / "a", users={SMALL: PW, chief: PW},
                options={"virtual_mailbox_domains": "example.test",
                         "mailbox_quota_maps":
                             f"inline:{{ {{{SMALL} = 20K}} }}",
                         "imap_quota_admins": chief})
    p.start()
    try:
        c, u = Client(p, chief), Client(p, SMALL)
        assert "QUOTASET" in c.ok("CAPABILITY")[0].split()
        assert c.ok(f"GETQUOTA {SMALL}") == [
            f'QUOTA "{SMALL}" (STORAGE 0 20 MAILBOX 6 10000)']
        assert c.ok(f'SETQUOTA "{SMALL}" (STORAGE 100 MESSAGE 3)') == [
            f'QUOTA "{SMALL}" (STORAGE 0 100 MESSAGE 0 3 MAILBOX 6 10000)']
        assert u.ok('GETQUOTA ""') == [
            'QUOTA "" (STORAGE 0 100 MESSAGE 0 3 MAILBOX 6 10000)']
        # In other letters, and with what cannot be set or is not there
        assert 'QUOTA "SMALL@example.test"' in c.ok(
            "GETQUOTA SMALL@example.test")[0]
        assert "[CANNOT]" in c.no(f"SETQUOTA {SMALL} (MAILBOX 5)")
        assert "[NONEXISTENT]" in c.no("SETQUOTA no@example.test (STORAGE 5)")
        for bad in ("SETQUOTA", f"SETQUOTA {SMALL}", f"SETQUOTA {SMALL} ()x",
                    f"SETQUOTA {SMALL} (STORAGE)",
                    f"SETQUOTA {SMALL} (STORAGE -1)",
                    f"SETQUOTA {SMALL} (STORAGE 18446744073709551615)"):
            assert c.cmd(bad)[1].startswith("BAD"), bad
        assert "[NOPERM]" in u.no(f"SETQUOTA {SMALL} (STORAGE 500)")
        assert "[NOPERM]" in u.no('SETQUOTA "" ()')
        assert "[NONEXISTENT]" in u.no(f"GETQUOTA {chief}")
        assert "MESSAGE 0 3" in u.ok('GETQUOTA ""')[0]
        # No annotation of that name is there for the client
        assert u.ok('GETMETADATA (DEPTH infinity) "" (/private /shared)') == []
        for _ in range(3):
            u.ok(b"APPEND INBOX {4+}\r\nA: b")
        assert u.cmd(b"APPEND INBOX {4+}\r\nA: b")[1].startswith(
            "NO [OVERQUOTA]")
        p.stop()
        p.start(add_users=False)
        c, u = Client(p, chief), Client(p, SMALL)
        assert "STORAGE 1 100 MESSAGE 3 3" in u.ok("GETQUOTAROOT INBOX")[1]
        with smtp(p) as s:
            s.ehlo("c.test")
            s.mail("a@c.test")
            assert s.rcpt(SMALL)[0] == 552
            c.ok(f"SETQUOTA {SMALL} ()")
            assert s.rcpt(SMALL)[0] == 250
        assert u.ok('GETQUOTA ""') == ['QUOTA "" (MAILBOX 6 10000)']
        c.ok('SETQUOTA "" (MESSAGE 9)')
        assert c.ok("GETQUOTAROOT INBOX")[1] == (
            'QUOTA "" (MESSAGE 0 9 MAILBOX 6 10000)')
        u.ok(f"SETACL INBOX {chief} lr")
        assert c.ok(f'GETQUOTAROOT "Other Users/{SMALL}/INBOX"') == [
            f'QUOTAROOT "Other Users/{SMALL}/INBOX" "{SMALL}"',
            f'QUOTA "{SMALL}" (MAILBOX 6 10000)']
    finally:
        p.stop()
