# SPDX-License-Identifier: ISC
"""SEARCH finds the same with and without its index."""

import random
import sqlite3

import pytest

from harness import Postern, wait_for
from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"
WORDS = ("needle haystack Grüße straße ÄPFEL fjord naïve résumé 東京都 re:port "
         "foo.bar a1b2 under_score x-y-z user@host.example zqneedlezq 100% "
         "l'été").split()


def mail(chance, n):
    words = [chance.choice(WORDS) for _ in range(30)]
    return (f"From: Person {n} <p{n}@x.example>\r\nTo: {USER}\r\n"
            f"Subject: {' '.join(words[:4])}\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n"
            f"X-Number: number{n}\r\n\r\n{' '.join(words)} unique{n}\r\n"
            ).encode()


@pytest.fixture
def server(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mail_storage_shards": "1"})
    p.start()
    yield p
    p.stop()


def fill(c, chance, first, n):
    parts = b"".join(b" {%d+}\r\n%s" % (len(m := mail(chance, i)), m)
                     for i in range(first, first + n))
    assert c.cmd(b"APPEND INBOX" + parts)[1].startswith("OK")
    c.ok("NOOP")


def index_file(server):
    files = list((server.dir / "data" / "mail" / "fts").glob("*.db"))
    return files[0] if files else None


def remove_all(server):
    for path in (server.dir / "data" / "mail" / "fts").iterdir():
        path.unlink()


def indexed(server, uid):
    """Waits until the index has this UID of the INBOX."""
    def check():
        path = index_file(server)
        if path is None:
            return False
        db = sqlite3.connect(path)
        try:
            return db.execute("SELECT max(uid) FROM marks").fetchone()[0] == uid
        except sqlite3.Error:
            return False
        finally:
            db.close()
    wait_for("the index", check)


KEYS = (
    'TEXT "needle"', 'BODY "EEDL"', 'BODY "zqneedlezq"', 'SUBJECT "haystack"',
    'TEXT "strasse"', 'BODY "gru"', 'BODY "äpfel"', 'TEXT "é"', 'BODY "東京"',
    'BODY "foo.bar"', 'BODY "o.b"', 'TEXT "under_sc"', 'BODY "100%"',
    'TEXT "user@host"', 'HEADER X-Number "ber17"', 'HEADER X-Number ""',
    'NOT BODY "needle"', 'OR BODY "unique5" SUBJECT "fjord"', 'BODY "unique29"',
    'TEXT "nothing-of-this"', 'BODY "%"', 'BODY "a1b2 "', 'FROM "p12@x"',
    '(BODY "needle" NOT (TEXT "fjord" UNDELETED))', 'BODY "x-y-z foo"')


def answers(c):
    out = []
    for key in KEYS:
        # Quoted strings are ASCII: what is not goes as a literal.
        text, i = b"SEARCH CHARSET UTF-8 ", 0
        for i, part in enumerate(key.split('"')):
            text += part.encode() if i % 2 == 0 else (
                b"{%d+}\r\n%s" % (len(part.encode()), part.encode()))
        replies, status = c.cmd(text)
        assert status.startswith("OK"), (key, status)
        out.append(replies[0].decode())
    return out


def test_the_same_with_and_without(server):
    chance = random.Random(7)
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    fill(c, chance, 0, 300)
    raw = answers(c)
    assert len({r for r in raw}) > 15
    indexed(server, 300)
    assert answers(c) == raw
    # A tail that is not in yet, and what was moved and expunged
    fill(c, chance, 300, 50)
    late = answers(c)
    indexed(server, 350)
    assert answers(c) == late != raw
    c.ok("MOVE 1:20 Trash")
    c.ok(r"STORE 5,9 +FLAGS (\Deleted)")
    c.ok("EXPUNGE")
    after = answers(c)
    server.stop()
    remove_all(server)
    server.start(add_users=False)
    d = Client(server, USER)
    d.ok("SELECT INBOX")
    assert answers(d) == after
    d.close()


def test_it_is_used_and_may_break(server):
    chance = random.Random(8)
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    fill(c, chance, 0, 150)
    assert c.ok('SEARCH BODY "unique77"') == ["SEARCH 78"]
    indexed(server, 150)
    server.stop()
    # Without the word, the message is not found: it was not read.
    db = sqlite3.connect(index_file(server))
    db.execute("DELETE FROM terms WHERE term=?", (b"unique77",))
    db.commit()
    db.close()
    server.start(add_users=False)
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    assert c.ok('SEARCH BODY "unique77"') == ["SEARCH"]
    c.close()
    server.stop()
    # A broken file costs nothing but time.
    path = index_file(server)
    remove_all(server)
    path.write_bytes(b"SQLite format 3\0" + b"\xa5" * 50000)
    server.start(add_users=False)
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    assert c.ok('SEARCH BODY "unique77"') == ["SEARCH 78"]
    indexed(server, 150)
    assert c.ok('SEARCH BODY "unique77"') == ["SEARCH 78"]
    c.close()


def test_small_mailboxes_have_none(server):
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    fill(c, random.Random(9), 0, 20)
    assert c.ok('SEARCH BODY "unique7"') == ["SEARCH 8"]
    assert index_file(server) is None
    c.close()


def test_a_body_that_cannot_be_read_costs_no_index(server, tmp_path):
    """The index is good; what follows in it is read by the searches."""
    c = Client(server, USER)
    chance = random.Random(5)
    c.append("INBOX", mail(chance, 0) + b"first " * 30000)
    fill(c, chance, 1, 120)
    c.ok("SELECT INBOX")
    assert c.ok('SEARCH BODY "first"') == ["SEARCH 1"]
    indexed(server, 121)
    inode = index_file(server).stat().st_ino
    c.append("INBOX", mail(chance, 121) + b"lastone " * 30000)
    indexed(server, 122)
    c.append("INBOX", mail(chance, 122) + b"unread " * 30000)
    body = [f for f in (server.dir / "data" / "mail").rglob("*")
            if f.is_file() and b"unread unread" in f.read_bytes()[-200:]]
    assert len(body) == 1
    indexed(server, 123)
    # The mark goes back, as after a fall before the batch was written.
    db = sqlite3.connect(index_file(server))
    db.execute("DELETE FROM marks")
    db.commit()
    db.close()
    away = tmp_path / "away"
    body[0].rename(away)
    fill(c, chance, 123, 1)
    indexed(server, 122)
    assert c.ok('SEARCH 1:122 BODY "lastone"') == ["SEARCH 122"]
    assert c.cmd('SEARCH BODY "unread"')[1].startswith("NO [UNAVAILABLE]")
    away.rename(body[0])
    fill(c, chance, 124, 1)
    indexed(server, 125)
    assert c.ok('SEARCH BODY "unread"') == ["SEARCH 123"]
    assert index_file(server).stat().st_ino == inode


def test_the_cheap_keys_are_asked_first(tmp_path):
    """Whatever their order: seen by a body that cannot be read."""
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mailbox_search_index": "no"})
    p.start()
    c = Client(p, USER)
    c.ok("SELECT INBOX")
    large = b"Subject: large\r\n\r\n" + b"word\r\n" * 400000
    small = b"Subject: small\r\n\r\nword\r\n"
    assert c.cmd(b"APPEND INBOX (\\Seen) {%d+}\r\n%s {%d+}\r\n%s" % (
        len(large), large, len(small), small))[1].startswith("OK")
    c.ok("NOOP")
    body, = (p.dir / "data" / "mail").glob("blobs.*/*")
    body.unlink()
    for keys, found in (
            ("BODY word UNSEEN", "SEARCH 2"), ("UNSEEN BODY word", "SEARCH 2"),
            ("SUBJECT small UNSEEN TEXT word", "SEARCH 2"),
            ("(BODY word TEXT word) NOT SEEN", "SEARCH 2"),
            ("OR BODY word SEEN BODY word UNSEEN", "SEARCH 2"),
            ("OR BODY word ALL", "SEARCH 1 2"),
            ("NOT (OR BODY word SEEN)", "SEARCH")):
        assert c.ok("SEARCH " + keys) == [found], keys
    assert c.cmd("SEARCH BODY word")[1].startswith("NO")
    assert c.cmd("SEARCH BODY word SEEN")[1].startswith("NO")
    assert c.ok("SEARCH UNSEEN BODY word") == ["SEARCH 2"]
    c.close()
    p.stop()
