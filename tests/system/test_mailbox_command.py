# SPDX-License-Identifier: ISC
"""postern mailbox backup and verify, beside a running server."""

import os
import random
import re
import shutil
import sqlite3
import threading

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"


@pytest.fixture
def server(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mail_storage_shards": "2"})
    p.start()
    yield p
    p.stop()


def mail(n, size=10):
    return (f"Subject: number {n}\r\n\r\n" + ("x" * 70 + "\r\n") * (
        size // 72 + 1)).encode()


def state(c):
    c.ok("SELECT INBOX")
    return c.cmd("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")[0]


def test_backup_and_restore(server, tmp_path):
    c = Client(server, USER)
    for i in range(20):
        c.append("INBOX", mail(i, 200_000 if i % 5 == 0 else 100),
                 r"(\Flagged $Work) " if i % 2 else "")
    before = state(c)
    target = tmp_path / "backup"
    server.run("mailbox", "backup", str(target))
    assert "20 messages" in server.run(
        "mailbox", "verify", str(target)).stdout
    # More, less, and once more while mail comes in
    c.ok(r"STORE 1:3 +FLAGS.SILENT (\Deleted)")
    c.ok("EXPUNGE")
    stop = threading.Event()

    def fill():
        d = Client(server, USER)
        n = 100
        while not stop.is_set():
            d.append("Archive", mail(n, 100_000 if n % 3 == 0 else 50))
            n += 1
        d.close()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        for _ in range(3):
            server.run("mailbox", "backup", str(target))
            r = server.run("mailbox", "verify", str(target))
            assert r.stdout.endswith("all is well\n")
            server.run("mailbox", "verify")
    finally:
        stop.set()
        thread.join()
    after = state(c)
    c.close()
    assert len(after) == 17 != len(before)
    server.stop()
    store = server.dir / "data" / "mail"
    shutil.rmtree(store)
    shutil.copytree(target, store)
    server.start(add_users=False)
    d = Client(server, USER)
    assert state(d) == after
    assert d.append("INBOX", mail(1)) == 21
    d.close()


def test_verify_finds(server):
    c = Client(server, USER)
    for i in range(5):
        c.append("INBOX", mail(i, 100_000 if i == 3 else 10))
    c.close()
    server.stop()
    store = server.dir / "data" / "mail"
    assert server.run("mailbox", "verify").stdout.endswith("all is well\n")
    path = next(p for p in store.glob("mail.*.db") if sqlite3.connect(
        p).execute("SELECT count(*) FROM messages").fetchone()[0])

    def damage(sql):
        db = sqlite3.connect(path)
        db.execute(sql)
        db.commit()
        db.close()
        r = server.run("mailbox", "verify", check=False)
        assert r.returncode == 65
        return r.stdout

    assert "counters are wrong" in damage(
        "UPDATE mailboxes SET n_exists=n_exists+1 WHERE name='INBOX'")
    assert "given twice" in damage(
        "UPDATE mailboxes SET uidnext=2 WHERE name='INBOX'")
    assert "references" in damage("UPDATE blobs SET refs=refs+1")
    assert "no body for UID" in damage(
        "DELETE FROM blobs WHERE blob=(SELECT min(blob) FROM blobs)")
    next(store.glob("blobs.*/*")).unlink()
    assert "is missing" in server.run("mailbox", "verify", check=False).stdout


def test_repair(server):
    """Each damage of the test above, and what is left is as it was."""
    c = Client(server, USER)
    c.ok("CREATE Box")
    for i in range(8):
        c.append("INBOX", mail(i, 100_000 if i == 3 else 10),
                 r"(\Seen) " if i % 2 else "")
        c.append("Box", mail(20 + i, 100_000 if i == 3 else 10))
    before = state(c)
    assert server.run("mailbox", "repair").stdout == "all is well\n"
    store = server.dir / "data" / "mail"
    path = next(p for p in store.glob("mail.*.db") if sqlite3.connect(
        p).execute("SELECT count(*) FROM messages").fetchone()[0])

    def damage(*sql):
        db = sqlite3.connect(path, timeout=20)
        for one in sql:
            db.execute(one)
        db.commit()
        db.close()

    def repair(rc=0):
        r = server.run("mailbox", "repair", check=False)
        assert r.returncode == rc, (r.stdout, r.stderr)
        assert server.run("mailbox", "verify").stdout.endswith("all is well\n")
        assert server.run("mailbox", "repair").stdout == "all is well\n"
        return r.stdout

    damage("UPDATE mailboxes SET n_exists=n_exists+1, n_unseen=77, bytes=1 "
           "WHERE name='INBOX'", "UPDATE blobs SET refs=refs+3",
           "UPDATE mailboxes SET uidnext=2 WHERE name='INBOX'")
    said = repair()
    assert "counted wrong" in said and "given UIDs twice" in said
    assert state(c) == before
    assert c.append("INBOX", mail(9)) == 9
    # Lost bodies cost their messages, which clients hear of.
    c.ok("NOOP")
    db = sqlite3.connect(path)
    lost = db.execute("SELECT uid FROM messages m JOIN blobs USING(blob) "
                      "JOIN mailboxes b ON b.account=m.account AND "
                      "b.mailbox=m.mailbox WHERE data IS NULL AND "
                      "b.name='INBOX'").fetchone()[0]
    ids = db.execute("SELECT blob FROM blobs WHERE data IS NULL").fetchall()
    db.close()
    assert lost == 4 and len(ids) == 2
    files = sorted(store.glob("blobs.*/*"))
    files[0].unlink()
    files[1].write_bytes(b"short")
    damage("DELETE FROM blobs WHERE blob=(SELECT blob FROM messages m JOIN "
           "mailboxes b ON b.account=m.account AND b.mailbox=m.mailbox "
           "WHERE b.name='INBOX' AND uid=2)")
    said = repair(rc=65)
    assert said.count("the body is lost") == 3
    assert "INBOX, UID 2:" in said and "Box, UID 4:" in said
    assert said.endswith("3 messages are lost\n")
    assert c.ok("NOOP") == ["2 EXPUNGE", "3 EXPUNGE"]
    assert not list(store.glob("blobs.*/*"))
    after = state(c)
    assert len(after) == 7 and set(b.partition(b"(")[2] for b in after[:6]) < \
        set(b.partition(b"(")[2] for b in before)
    # A mailbox without its row, an account without its numbers
    damage("DELETE FROM mailboxes WHERE name='Box'",
           "DELETE FROM mailboxes WHERE mailbox=0")
    repair()
    d = Client(server, USER)
    name = next(r for r in d.ok('LIST "" Recovered*')).split('"')[3]
    d.ok(f'SELECT "{name}"')
    assert len(d.ok("FETCH 1:* BODY.PEEK[]")) == 7
    d.append(f'"{name}"', mail(1))
    d.ok("CREATE fresh")
    d.append("fresh", mail(1))
    assert server.run("mailbox", "verify").stdout.endswith("all is well\n")
    c.close()
    d.close()


PAGE = 4096
LEAF_OF_ROWS, LEAF_OF_BODIES = 10, 13
INSIDE_OF_ROWS, INSIDE_OF_BODIES = 2, 5
OVERFLOW = None  # a page without a kind of its own


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A stopped server with two accounts in one shard, and what they have."""
    d = tmp_path_factory.mktemp("salvage")
    users = {f"u{i}@example.test": PW for i in range(5)}
    p = Postern(d / "a", users=users, options={
        "virtual_mailbox_domains": "example.test"})
    p.start()
    have = {}
    for user in ("u0@example.test", "u4@example.test"):
        c = Client(p, user)
        c.ok("CREATE Box")
        for box, n in (("INBOX", 300), ("Box", 100)):
            for i in range(n):
                c.append(box, mail(i, 100_000 if i == 50 else i * 31 % 9000),
                         r"(\Seen) " if i % 2 else "")
            c.ok(f"SELECT {box}")
            c.ok(r"STORE 10:20 +FLAGS.SILENT (\Deleted)")
            c.ok("EXPUNGE")
            have[user, box] = contents(c)
        c.close()
    p.stop()
    store = p.dir / "data" / "mail"
    path = next(f for f in sorted(store.glob("mail.?.db")) if checkpointed(f))
    return p, path, have


def contents(c):
    """What its UID, flags, date and text are, by UID."""
    return {re.search(rb"UID (\d+)", r)[1]: re.sub(rb"^\d+ ", b"", r)
            for r in c.cmd("FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")[0]
            if b"UID" in r}


def checkpointed(path):
    """Into the file itself; has it messages?"""
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    n = db.execute("SELECT count(*) FROM messages").fetchone()[0]
    db.close()
    return n > 0


def pages(data, kind):
    """Numbers of the pages of a kind, but the first."""
    known = (LEAF_OF_ROWS, LEAF_OF_BODIES, INSIDE_OF_ROWS, INSIDE_OF_BODIES)
    return [i for i in range(1, len(data) // PAGE)
            if (data[i * PAGE] == kind if kind else
                data[i * PAGE] not in known)]


@pytest.mark.parametrize("kind,n,lost_max", [
    (LEAF_OF_ROWS, 1, 120), (LEAF_OF_ROWS, 3, 360), (LEAF_OF_BODIES, 1, 10),
    (LEAF_OF_BODIES, 30, 120), (OVERFLOW, 10, 10), ("mailboxes", 1, 0),
    ("vanished", 1, 0), ("subscriptions", 1, 0),
    # What hangs from it is found by its pages.
    (INSIDE_OF_ROWS, 1, 30), (INSIDE_OF_ROWS, 9, 60),
    (INSIDE_OF_BODIES, 1, 0), (INSIDE_OF_BODIES, 9, 0),
    ("messages", 1, 30), ("blobs", 1, 0)])
def test_repair_of_damaged_pages(sound, kind, n, lost_max):
    repair(sound, kind, n, lost_max)


@pytest.mark.parametrize("kind,n,lost_max", [
    (LEAF_OF_ROWS, 3, 360), (LEAF_OF_BODIES, 30, 120), (OVERFLOW, 10, 10),
    ("mailboxes", 1, 0)])
def test_repair_where_free_pages_are_not_known(sound, kind, n, lost_max):
    """Rows are asked for by number then."""
    repair(sound, kind, n, lost_max, free=7)


@pytest.mark.parametrize("table,value", [
    ("subscriptions", "account, name"), ("sharers", "account, owner"),
    ("deliveries", "msg, account, mailbox")])
def test_repair_of_what_hangs_from_a_damaged_root(sound, table, value):
    """What stands beside the messages, and as many rows as want several
    pages: each is taken from its page, into its own table and no other."""
    p, path, _ = sound
    whole = path.read_bytes()
    others = {f: f.read_bytes() for f in path.parent.glob("mail.?.db*")}
    db = sqlite3.connect(path)
    me, = db.execute("SELECT min(account) FROM mailboxes").fetchone()
    db.executemany("INSERT INTO subscriptions VALUES(?,?)", [
        (me, f"list/number {i}") for i in range(400)] + [
        (me, f"Other Users/u{i}@example.test/INBOX") for i in range(50)])
    db.executemany("INSERT INTO sharers VALUES(?,?)", [
        (me, f"a person of number {i}@example.test") for i in range(300)])
    db.executemany("INSERT INTO deliveries VALUES(?,?,?)", [
        ((i << 40) - (1 << 48), me, 1) for i in range(1, 900)])
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tables = ("subscriptions", "sharers", "deliveries")
    before = {t: set(db.execute(f"SELECT * FROM {t}")) for t in tables}
    root, = db.execute("SELECT rootpage FROM sqlite_master WHERE name=?",
                       (table,)).fetchone()
    db.close()
    data = bytearray(path.read_bytes())
    assert data[(root - 1) * PAGE] == INSIDE_OF_ROWS
    data[(root - 1) * PAGE:root * PAGE] = random.Random(1).randbytes(PAGE)
    try:
        path.write_bytes(data)
        r = p.run("mailbox", "repair", check=False)
        assert "was damaged below its rows" in r.stdout, r
        db = sqlite3.connect(path)
        after = {t: set(db.execute(f"SELECT * FROM {t}")) for t in tables}
        db.close()
        for t in tables:
            assert after[t] <= before[t], t
            # What stood in the root itself has gone with it.
            assert len(before[t] - after[t]) <= (20 if t == table else 0), t
    finally:
        for f in path.parent.glob("mail.?.db*"):
            f.unlink()
        for f, was in others.items():
            f.write_bytes(was)
        path.write_bytes(whole)


def repair(sound, kind, n, lost_max, free=None):
    """What stood in a page that cannot be read is lost, and nothing else."""
    p, path, have = sound
    whole = path.read_bytes()
    chance = random.Random(f"{kind} {n}")
    data = bytearray(whole)
    if isinstance(kind, str):
        db = sqlite3.connect(path)
        some = [db.execute("SELECT rootpage FROM sqlite_master WHERE name=?",
                           (kind,)).fetchone()[0] - 1]
        db.close()
    else:
        some = pages(data, kind)
    hit = chance.sample(some, min(n, len(some)))
    for i in hit:
        data[i * PAGE:(i + 1) * PAGE] = chance.randbytes(PAGE)
    if free is not None:
        data[36:40] = free.to_bytes(4, "big")  # how many there are
    others = {f: f.read_bytes() for f in path.parent.glob("mail.?.db*")}
    bodies = {f: f.read_bytes() for f in path.parent.glob("blobs.*/*")}
    path.write_bytes(data)
    # Who repairs may be root; the file stays whose it is.
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    try:
        p.start(add_users=False)
        # What a running server has open is only looked at.
        r = p.run("mailbox", "repair", check=False)
        assert r.returncode == 65 and "stop the server" in r.stderr, r
        p.stop()
        os.chown(path, owner, -1)
        r = p.run("mailbox", "repair", check=False)
        assert r.returncode in (0, 65), (r.stdout, r.stderr)
        assert "was damaged below its rows" in r.stdout
        old, = path.parent.glob(path.name + ".damaged.*")
        kept = old.read_bytes()
        assert all(kept[i * PAGE:(i + 1) * PAGE] ==
                   data[i * PAGE:(i + 1) * PAGE] for i in hit)
        assert path.stat().st_mode == old.stat().st_mode
        assert path.stat().st_uid == old.stat().st_uid == owner
        assert not list(path.parent.glob("*.fresh*"))
        assert p.run("mailbox", "verify").stdout.endswith("all is well\n")
        os.chown(path, os.geteuid(), -1)
        p.start(add_users=False)
        lost = 0
        for (user, box), before in have.items():
            c = Client(p, user)
            names = [r.split('"')[3] for r in c.ok('LIST "" *')]
            after = {}
            if c.cmd(f"SELECT {box}")[1].startswith("OK"):
                assert not set(contents(c)) - set(before), "came back"
            for name in [box] + [x for x in names if "Recovered" in x]:
                if c.cmd(f'SELECT "{name}"')[1].startswith("OK"):
                    after |= {k: v for k, v in contents(c).items()
                              if v == before.get(k)}
            lost += len(before) - len(after)
            # It is a mailbox as ever.
            assert c.append("INBOX", mail(1000)) > 0
            c.close()
        assert lost <= lost_max
    finally:
        p.stop()
        for f in path.parent.glob("mail.?.db*"):
            f.unlink()
        for f, was in (others | bodies).items():
            f.write_bytes(was)
        path.write_bytes(whole)


def test_repair_leaves_what_it_cannot(server):
    """The first page says what the others are."""
    server.stop()
    path = server.dir / "data" / "mail" / "mail.0.db"
    checkpointed(path)
    data = bytearray(path.read_bytes())
    data[:100] = b"x" * 100
    path.write_bytes(data)
    r = server.run("mailbox", "repair", check=False)
    assert r.returncode in (65, 74) and path.read_bytes() == data
    assert server.run("mailbox", "repair", "x", check=False).returncode == 64


def test_undelete(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mailbox_undelete_time": "1h", "mailbox_quota": "0 10"})
    p.start()
    try:
        c = Client(p, USER)
        for i in range(6):
            c.append("INBOX", mail(i, 100_000 if i == 2 else 10),
                     r"(\Seen $Work) ")
        c.ok("CREATE gone")
        c.ok("SELECT INBOX")
        kept = c.ok("FETCH 1:6 (INTERNALDATE RFC822.SIZE)")
        c.ok("COPY 1 gone")
        c.ok("DELETE gone")
        c.ok("MOVE 6 Trash")
        c.ok(r"STORE 1:4 +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
        assert p.run("mailbox", "verify").stdout.endswith("all is well\n")
        # It does not count for the quota.
        for i in range(8):
            c.append("Archive", mail(50 + i))
        c.ok("NOOP")
        r = p.run("mailbox", "undelete", USER)
        assert r.stdout == "5 messages are back\n"
        c.ok("NOOP")
        got = c.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)")
        assert len(got) == 6
        # The one of the mailbox that is gone is in the INBOX.
        assert all(r"FLAGS (\Seen $Work)" in r and "Deleted" not in r
                   for r in got)
        sizes = [r.split("RFC822.SIZE ")[1] for r in got]
        assert sizes.count(kept[2].split("RFC822.SIZE ")[1]) == 1
        assert b"number 2" in b"".join(c.cmd(
            "FETCH 1:* (BODY.PEEK[HEADER])")[0])
        assert p.run("mailbox", "undelete", USER).stdout.startswith("0 ")
        assert p.run("mailbox", "undelete", "no@example.test",
                     check=False).returncode == 65
        assert p.run("mailbox", "verify").stdout.endswith("all is well\n")
        # When the time is over it goes with the next that is expunged.
        c.ok(r"STORE 1:2 +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
        p.stop()
        main_cf = p.dir / "main.cf"
        main_cf.write_text(main_cf.read_text().replace(
            "mailbox_undelete_time = 1h", "mailbox_undelete_time = 1s"))
        p.in_shards("UPDATE removed SET at=at-100")
        p.start(add_users=False)
        c = Client(p, USER)
        c.ok("SELECT INBOX")
        c.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
        r = p.run("mailbox", "undelete", USER)
        assert r.stdout in ("1 messages are back\n", "0 messages are back\n")
        assert p.run("mailbox", "verify").stdout.endswith("all is well\n")
    finally:
        p.stop()


def test_wrong_use(server, tmp_path):
    assert server.run("mailbox", check=False).returncode == 64
    assert server.run("mailbox", "backup", check=False).returncode == 64
    r = server.run("mailbox", "verify", str(tmp_path / "none"), check=False)
    assert r.returncode == 65 and "no store" in r.stderr
