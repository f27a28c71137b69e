# SPDX-License-Identifier: ISC
"""Random commands by several sessions against a model of the mailbox.  Each
session keeps what it was told; it must always be true to the numbers it uses,
and equal to the mailbox after a NOOP.  IMAP_MODEL_SECONDS makes it longer,
IMAP_MODEL_CLIENTS wider."""

import os
import random
import re
import time

import pytest

from imap_client import Client

USER = "u0@example.test"
SECONDS = float(os.environ.get("IMAP_MODEL_SECONDS", "12"))
CLIENTS = int(os.environ.get("IMAP_MODEL_CLIENTS", "6"))
FLAGS = [r"\Seen", r"\Flagged", r"\Answered", r"\Draft", "$Work", "later"]


def uids_of(text):
    out = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        out += range(int(first), int(last or first) + 1)
    return out


class Session:
    """What one client knows: a list of [uid or None, flags or None]."""

    def __init__(self, server, chance, model):
        self.server, self.chance, self.model = server, chance, model
        self.qresync = chance.random() < .3
        self.client = Client(server, USER)
        if self.qresync:
            self.client.ok("ENABLE QRESYNC")
        self.select()

    def select(self):
        got = self.client.ok("SELECT INBOX")
        n = next(int(r.split()[0]) for r in got if r.endswith("EXISTS"))
        self.rows = [[None, None] for _ in range(n)]
        self.run("UID FETCH 1:* (UID FLAGS)")
        assert [u for u, _ in self.rows] == sorted(self.model.live), \
            "SELECT shows another mailbox"

    def take(self, reply):
        if m := re.fullmatch(r"(\d+) EXISTS", reply):
            n = int(m[1])
            assert n >= len(self.rows), reply
            self.rows += [[None, None] for _ in range(n - len(self.rows))]
        elif m := re.fullmatch(r"(\d+) EXPUNGE", reply):
            assert not self.qresync
            del self.rows[int(m[1]) - 1]
        elif m := re.fullmatch(r"VANISHED ([\d:,]+)", reply):
            assert self.qresync
            gone = set(uids_of(m[1]))
            known = {u for u, _ in self.rows}
            assert None in known or gone <= known, (reply, known)
            self.rows = [r for r in self.rows if r[0] not in gone]
        elif m := re.match(r"(\d+) FETCH \((.*)\)$", reply):
            self.take_fetch(int(m[1]), m[2])

    def take_fetch(self, n, text):
        assert 1 <= n <= len(self.rows), (n, len(self.rows))
        row = self.rows[n - 1]
        if m := re.search(r"UID (\d+)", text):
            assert row[0] in (None, int(m[1])), \
                f"number {n} is UID {row[0]} for the client, not {m[1]}"
            row[0] = int(m[1])
        if m := re.search(r"FLAGS \(([^)]*)\)", text):
            row[1] = frozenset(m[1].split())

    def command(self, text):
        """RFC 7162: who is told of UIDs has to know them."""
        replies, status = self.client.cmd(text)
        for r in replies:
            self.take(r.decode())
        if self.qresync and any(u is None for u, _ in self.rows):
            for r in self.client.cmd("FETCH 1:* (UID)")[0]:
                self.take(r.decode())
        return replies, status

    def run(self, text):
        return self.command(text)[1]

    # ---- what it does ----

    def pick(self):
        known = [i for i, r in enumerate(self.rows) if r[0] is not None]
        return self.chance.choice(known) if known else None

    def sync(self):
        assert self.run("NOOP").startswith("OK")
        self.run("UID FETCH 1:* (UID FLAGS)")
        assert [u for u, _ in self.rows] == sorted(self.model.live)
        for uid, flags in self.rows:
            assert flags == frozenset(self.model.live[uid]), (
                uid, flags, self.model.live[uid])

    def append(self):
        n = self.chance.choice((1, 1, 1, 3))
        m = b"Subject: s\r\n\r\nx\r\n"
        flags = self.chance.sample(FLAGS, self.chance.randrange(3))
        part = b" (%s) {%d+}\r\n%s" % (" ".join(flags).encode(), len(m), m)
        status = self.command(b"APPEND INBOX" + part * n)[1]
        for uid in uids_of(re.search(r"APPENDUID \d+ ([\d:]+)", status)[1]):
            assert uid > self.model.last, "a UID was given twice"
            self.model.last = uid
            self.model.live[uid] = set(flags)

    def store(self):
        i = self.pick()
        if i is None:
            return
        uid = self.rows[i][0]
        flag = self.chance.choice(FLAGS)
        op = self.chance.choice("+-")
        silent = self.chance.choice(("", ".SILENT"))
        by_uid = self.chance.random() < .5
        status = self.run(
            f"{'UID ' if by_uid else ''}STORE {uid if by_uid else i + 1} "
            f"{op}FLAGS{silent} ({flag})")
        assert status.startswith("OK"), status
        if uid in self.model.live:
            (set.add if op == "+" else set.discard)(
                self.model.live[uid], flag)
            if silent:
                for row in self.rows:
                    if row[0] == uid and row[1] is not None:
                        row[1] = frozenset(self.model.live[uid])

    def expunge(self):
        i = self.pick()
        if i is None:
            return
        uid = self.rows[i][0]
        self.run(rf"UID STORE {uid} +FLAGS.SILENT (\Deleted)")
        assert self.run(f"UID EXPUNGE {uid}").startswith("OK")
        self.model.live.pop(uid, None)
        assert uid not in [u for u, _ in self.rows]

    def move(self):
        i = self.pick()
        if i is None or self.chance.random() < .5:
            return
        uid = self.rows[i][0]
        status = self.run(f"MOVE {i + 1} Trash")
        assert status.startswith("OK"), status
        self.model.live.pop(uid, None)

    def fetch(self):
        i = self.pick()
        if i is None:
            return
        uid = self.rows[i][0]
        status = self.run(f"FETCH {i + 1} (UID FLAGS)")
        assert status.startswith("OK")
        assert self.rows[i][0] == uid

    def search(self):
        if any(u is None for u, _ in self.rows):
            self.run("FETCH 1:* (UID)")
        flag = self.chance.choice((("SEEN", r"\Seen"), ("FLAGGED", r"\Flagged"),
                                   ("KEYWORD later", "later")))
        found, before = [], {u for u, _ in self.rows}
        for r in self.command(f"UID SEARCH {flag[0]}")[0]:
            if r.startswith(b"SEARCH"):
                found = [int(u) for u in r.split()[1:]]
        want = {u for u, f in self.model.live.items() if flag[1] in f}
        # What it knew is found; of what ended it may still see.
        assert want & before <= set(found)
        assert set(found) & set(self.model.live) <= want

    def idle(self):
        c = self.client
        c.n += 1
        c.send(f"x{c.n} IDLE\r\n".encode())
        while not (line := c.line()).startswith(b"+"):
            self.take(line[2:].decode())
        c.send(b"DONE\r\n")
        for r in c.until(f"x{c.n}")[0]:
            self.take(r.decode())
        self.run("NOOP")

    def close(self):
        self.client.close()


class Model:
    def __init__(self):
        self.live, self.last = {}, 0


def step(sessions, chance):
    s = chance.choice(sessions)
    chance.choices(
        [s.append, s.store, s.expunge, s.move, s.fetch, s.search, s.idle,
         s.sync], [5, 8, 3, 2, 6, 2, 2, 3])[0]()
    return s


def end(sessions):
    for s in sessions:
        s.sync()
        s.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_difference(server, seed):
    chance, model = random.Random(seed), Model()
    sessions = [Session(server, chance, model) for _ in range(CLIENTS)]
    steps, last = 0, time.monotonic() + SECONDS / 3
    while time.monotonic() < last:
        s = step(sessions, chance)
        steps += 1
        if chance.random() < .01:
            sessions.remove(s)
            s.close()
            sessions.append(Session(server, chance, model))
    end(sessions)
    assert steps > 100


@pytest.mark.files
def test_what_got_ok_outlives_kill_9(server):
    """Flags too, and no UID is given twice: SELECT and sync compare."""
    chance, model = random.Random(4), Model()
    validity = set()
    for _ in range(8):
        sessions = [Session(server, chance, model) for _ in range(3)]
        validity |= {r for r in sessions[0].client.ok("SELECT INBOX")
                     if "UIDVALIDITY" in r}
        sessions[0].select()
        for _ in range(chance.randrange(10, 80)):
            step(sessions, chance)
        server.kill()
        for s in sessions:
            s.close()
        server.start(add_users=False)
    end([Session(server, chance, model)])
    assert len(validity) == 1 and len(model.live) > 10
