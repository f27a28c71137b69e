# SPDX-License-Identifier: ISC
"""postern mailbox backup and verify, beside a running server."""

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


def test_wrong_use(server, tmp_path):
    assert server.run("mailbox", check=False).returncode == 64
    assert server.run("mailbox", "backup", check=False).returncode == 64
    r = server.run("mailbox", "verify", str(tmp_path / "none"), check=False)
    assert r.returncode == 65 and "no store" in r.stderr
