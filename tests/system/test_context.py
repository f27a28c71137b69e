# SPDX-License-Identifier: ISC
"""Contexts: RFC 5267 4.3, and what RFC 5465 7 adds."""

import random
import re

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("context") / "a", users={USER: PW},
                options={"virtual_mailbox_domains": "example.test"})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def two(server):
    c, d = Client(server, USER), Client(server, USER)
    for x in (c, d):
        x.ok("SELECT INBOX")
    c.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
    c.ok("EXPUNGE")
    for n in range(6):
        c.append("INBOX", mail(n), r"(\Seen) " if n % 2 else "")
    for x in (c, d):
        x.ok("NOOP")
    yield c, d
    c.close()
    d.close()


def mail(n, subject=None):
    return f"Subject: {subject or 'number %d' % n}\r\n\r\nbody {n}\r\n"


def first_uid(c):
    return int(re.search(r"UID (\d+)", c.ok("FETCH 1 UID")[0])[1])


def updates(c, text="NOOP"):
    return [r for r in c.ok(text) if "ADDTO" in r or "REMOVEFROM" in r]


def test_search(two):
    c, d = two
    assert {"CONTEXT=SEARCH", "CONTEXT=SORT", "ESORT"} <= set(
        " ".join(c.ok("CAPABILITY")).split())
    u = first_uid(c)
    assert c.ok("UID SEARCH RETURN (CONTEXT UPDATE COUNT) UNSEEN") == [
        f'ESEARCH (TAG "x{c.n}") UID COUNT 3']
    tag = f"x{c.n}"
    d.ok(r"STORE 1,3 +FLAGS.SILENT (\Seen)")
    assert c.ok("NOOP")[2:] == [
        f'ESEARCH (TAG "{tag}") UID REMOVEFROM (0 {u},{u + 2})']
    d.ok(r"STORE 1:2 -FLAGS.SILENT (\Seen)")
    r = c.ok("NOOP")
    assert r[-1] == f'ESEARCH (TAG "{tag}") UID ADDTO (0 {u}:{u + 1})'
    assert all("FETCH" in x for x in r[:-1])
    d.ok(r"STORE 3 +FLAGS.SILENT (\Flagged)") # neither in nor out
    assert updates(c) == []
    d.append("INBOX", mail(6))
    r = c.ok("NOOP")
    assert r == ["7 EXISTS",
                 f'ESEARCH (TAG "{tag}") UID ADDTO (0 {u + 6})']
    # What goes is taken out in front of its EXPUNGE.
    d.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    c.ok("NOOP")
    d.ok("EXPUNGE")
    assert c.ok("NOOP") == [
        f'ESEARCH (TAG "{tag}") UID REMOVEFROM (0 {u})', "1 EXPUNGE"]
    # Its own changes, too
    assert updates(c, r"UID STORE %d +FLAGS.SILENT (\Seen)" % (u + 1)) == [
        f'ESEARCH (TAG "{tag}") UID REMOVEFROM (0 {u + 1})']
    c.ok(f'CANCELUPDATE "{tag}"')
    d.append("INBOX", mail(7))
    assert c.ok("NOOP") == ["7 EXISTS"]


def test_numbers(two):
    """Without UID: as the numbers are when it is told."""
    c, d = two
    c.ok("SEARCH RETURN (UPDATE) ALL")
    tag = f"x{c.n}"
    d.ok(r"STORE 2,5 +FLAGS.SILENT (\Deleted)")
    c.ok("NOOP")
    d.ok("EXPUNGE")
    # No EXPUNGE with FETCH by number, but A.3: the context knows.
    r = c.ok("FETCH 6 UID")
    assert f'ESEARCH (TAG "{tag}") REMOVEFROM (0 2,5)' in r
    assert not any("EXPUNGE" in x for x in r)
    assert c.ok("NOOP") == ["2 EXPUNGE", "4 EXPUNGE"]
    d.append("INBOX", mail(8))
    assert c.ok("NOOP") == ["5 EXISTS", f'ESEARCH (TAG "{tag}") ADDTO (0 5)']


def test_sort(two):
    c, d = two
    u = first_uid(c)
    assert c.ok("UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 UNSEEN"
                ) == [f'ESEARCH (TAG "x{c.n}") UID ALL {u + 4},{u + 2},{u}']
    tag = f"x{c.n}"
    d.ok(r"STORE 2 -FLAGS.SILENT (\Seen)")
    assert updates(c) == [f'ESEARCH (TAG "{tag}") UID ADDTO (3 {u + 1})']
    d.ok(r"STORE 1,5 +FLAGS.SILENT (\Seen)")
    assert updates(c) == [
        f'ESEARCH (TAG "{tag}") UID REMOVEFROM (4 {u} 1 {u + 4})']
    d.append("INBOX", mail(9))
    assert updates(c) == [f'ESEARCH (TAG "{tag}") UID ADDTO (1 {u + 6})']


def test_what_is_refused(two):
    c, _ = two
    c.ok("UID SEARCH RETURN (UPDATE) UNSEEN")
    tag = f"x{c.n}"
    for text in ("SEARCH RETURN (UPDATE) ALL",
                 "UID SORT RETURN (UPDATE) (DATE) UTF-8 ALL",
                 "ESEARCH RETURN (UPDATE) ALL"):
        c.send(f"{tag} {text}\r\n".encode())
        assert c.until(tag)[1].startswith("BAD")
    for text in ("CANCELUPDATE", "CANCELUPDATE x", 'CANCELUPDATE "none"',
                 f'CANCELUPDATE "{tag}" "none"', f'CANCELUPDATE "{tag}" x'):
        c.bad(text)
    # Message numbers are of the moment: no updates, but the answer
    for keys in ("1:3", "NOT 2", "OR UID 1 3"):
        r = c.ok(f"UID SEARCH RETURN (UPDATE COUNT) {keys}")
        assert r[0].startswith("ESEARCH") and r[1].startswith(
            f'NO [NOUPDATE "x{c.n}"]')
    c.ok("SEARCH RETURN (SAVE) ALL")
    assert "NOUPDATE" in c.ok("SEARCH RETURN (UPDATE) $")[0]
    for _ in range(9):
        assert c.ok("SEARCH RETURN (UPDATE) ALL") == []
    assert "NOUPDATE" in c.ok("SEARCH RETURN (UPDATE) ALL")[0]
    c.ok(f'CANCELUPDATE "{tag}" "{tag}"')
    assert c.ok("SEARCH RETURN (UPDATE) ALL") == []
    # They end with the mailbox.
    c.ok("SELECT INBOX")
    assert updates(c, r"STORE 1 FLAGS (\Seen \Flagged)") == []
    assert c.ok("SEARCH RETURN (UPDATE) ALL") == []
    c.bad("SEARCH RETURN (UPDATE (nonsense)) ALL")


def test_with_notify_and_items(two):
    """All at once: what came, its items, then where it stands."""
    c, d = two
    c.ok("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))")
    c.ok('UID SEARCH RETURN (UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])) '
         'SUBJECT wanted')
    tag = f"x{c.n}"
    d.append("INBOX", mail(1, "other"))
    assert c.line() == b"* 7 EXISTS"
    uid = d.append("INBOX", mail(2, "wanted"))
    assert c.line() == b"* 8 EXISTS"
    assert c.line() == (b"* 8 FETCH (UID %d BODY[HEADER.FIELDS (SUBJECT)] {19}"
                        b"\r\nSubject: wanted\r\n\r\n)" % uid)
    assert c.line() == f'* ESEARCH (TAG "{tag}") UID ADDTO (0 {uid})'.encode()
    # In IDLE the same
    c.send(b"i IDLE\r\n")
    assert c.line().startswith(b"+")
    d.ok("NOOP")
    d.ok(r"STORE 8 +FLAGS.SILENT (\Deleted)")
    assert b"FETCH" in c.line()
    d.ok("EXPUNGE")
    assert c.line() == f'* ESEARCH (TAG "{tag}") UID REMOVEFROM (0 {uid})'.encode()
    assert c.line() == b"* 8 EXPUNGE"
    c.send(b"DONE\r\n")
    c.until("i")


def test_multisearch(two):
    c, d = two
    r = c.ok("ESEARCH IN (selected personal) RETURN (UPDATE COUNT) UNSEEN")
    tag = f"x{c.n}"
    assert len(r) == 1 and "MAILBOX INBOX" in r[0].replace('"', "")
    uid = d.append("INBOX", mail(3))
    d.append("Archive", mail(3))
    assert updates(c) == [f'ESEARCH (TAG "{tag}") UID ADDTO (0 {uid})']


KEYS = ["UNSEEN", "OR FLAGGED SEEN", "NOT DELETED KEYWORD $X",
        'SUBJECT "number 1"', "ALL"]


def test_stays_true(two):
    """Whatever happens: what the updates make of it is what SEARCH finds."""
    c, d = two
    chance = random.Random(3)
    kept = {}

    def apply(lines):
        for line in lines:
            m = re.match(r'ESEARCH \(TAG "(\w+)"\) UID (.*)', line)
            if not m or m[1] not in kept:
                continue
            for what, body in re.findall(r"(ADDTO|REMOVEFROM) \(([^)]*)\)", m[2]):
                words = body.split()
                for place, part in zip(map(int, words[::2]), words[1::2]):
                    for r in part.split(","):
                        a, _, b = r.partition(":")
                        for uid in range(int(a), int(b or a) + 1):
                            change(kept[m[1]][1], what, place, uid)
                            place += place > 0 and what == "ADDTO"

    def change(v, what, place, uid):
        if what == "ADDTO":
            v.insert(place - 1 if place else len(v), uid)
        else:
            assert place == 0 or v[place - 1] == uid
            v.remove(uid)

    for keys in KEYS:
        for command in (f"UID SEARCH RETURN (UPDATE ALL) {keys}",
                        f"UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT "
                        f"ARRIVAL) UTF-8 {keys}"):
            c.ok(command)
            tag, plain = f"x{c.n}", command.replace("UPDATE ", "")
            kept[tag] = [plain, uids(c, plain)]
    for step in range(120):
        what = chance.randrange(5)
        n = len(d.ok("UID SEARCH ALL")[0].split()) - 1
        if what == 0 or n < 3:
            d.append("INBOX", mail(chance.randrange(20)),
                     chance.choice(["", r"(\Seen) ", r"(\Flagged $X) "]))
        elif what == 1:
            d.ok(f"STORE {chance.randint(1, n)} +FLAGS (\\Deleted)")
            d.ok("EXPUNGE")
        else:
            d.ok(f"STORE {chance.randint(1, n)} {chance.choice('+-')}FLAGS "
                 f"({chance.choice([chr(92) + 'Seen', chr(92) + 'Flagged', '$X'])})")
        apply(c.ok(chance.choice(["NOOP", "UID FETCH 1 UID", "NOOP"])))
        if step % 10 == 9:
            apply(c.ok("NOOP"))
            for tag, (plain, v) in kept.items():
                now = uids(c, plain)
                assert (v if "SORT" in plain else sorted(v)) == now, plain


def uids(c, command):
    m = re.search(r"ALL (\S+)", "".join(c.ok(command)))
    out = []
    for part in (m[1].split(",") if m else []):
        a, _, b = part.partition(":")
        out += range(int(a), int(b or a) + 1)
    return out


def test_what_cannot_be_kept_true_ends(tmp_path):
    """The store cannot read a body: the client hears that nothing comes."""
    p = Postern(tmp_path / "a", users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mailbox_search_index": "no"})
    p.start()
    c, d = Client(p, USER), Client(p, USER)
    c.ok("SELECT INBOX")
    c.ok("SEARCH RETURN (UPDATE COUNT) BODY word")
    body = c.n
    c.ok("SEARCH RETURN (UPDATE COUNT) UNSEEN")
    unseen = c.n
    d.ok("CREATE Bad")
    large = "Subject: large\r\n\r\n" + "word\r\n" * 400000
    for box in ("INBOX", "Bad"):
        d.append(box, large)
    for path in (p.dir / "data" / "mail").glob("blobs.*/*"):
        path.unlink()
    got = c.ok("NOOP")
    assert sorted(got) == sorted([
        "1 EXISTS", f'NO [NOUPDATE "x{body}"] the mailbox cannot be read now',
        f'ESEARCH (TAG "x{unseen}") ADDTO (0 1)'])
    assert c.cmd(f'CANCELUPDATE "x{body}"')[1].startswith("BAD")
    c.ok(f'CANCELUPDATE "x{unseen}"')
    # A command that fails has begun none.
    c.ok("SELECT Drafts")
    assert c.cmd("ESEARCH IN (selected mailboxes Bad) RETURN (UPDATE COUNT) "
                 "BODY word")[1].startswith("NO")
    assert c.cmd(f'CANCELUPDATE "x{c.n}"')[1].startswith("BAD")
    c.close()
    d.close()
    p.stop()
