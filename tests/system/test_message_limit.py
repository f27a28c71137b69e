# SPDX-License-Identifier: ISC
"""MESSAGELIMIT (RFC 9738): imap_message_limit."""

import re

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER = "u@example.test"
LIMIT = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("limit") / "a", users={USER: PW},
                options={"virtual_mailbox_domains": "example.test",
                         "imap_message_limit": str(LIMIT)})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def box(server, request):
    """A mailbox of 25 messages; 1 and 2 were expunged: UIDs 3 to 27."""
    c = Client(server, USER)
    name = "box%d" % abs(hash(request.node.name))
    c.ok(f"CREATE {name}")
    c.ok(f"APPEND {name}".encode() + b" {4+}\r\nA: b" * 27)
    c.ok(f"SELECT {name}")
    c.ok(r"STORE 1,2 +FLAGS.SILENT (\Deleted)")
    c.ok("EXPUNGE")
    yield c
    c.close()


def fetched(replies):
    return [int(re.search(rb"UID (\d+)", r)[1]) for r in replies]


def test_it_is_announced(box):
    assert f"MESSAGELIMIT={LIMIT}" in box.ok("CAPABILITY")[0].split()


@pytest.mark.parametrize("command", [
    "UID FETCH 1:* (FLAGS)", "FETCH 1:* (UID)", "UID FETCH 1:* (BODY[])",
    "UID FETCH 3:* (PREVIEW)"])
def test_a_client_walks_down(box, command):
    """The newest come, the code says where to go on."""
    all_uids = []
    text = command
    for _ in range(2):
        replies, status = box.cmd(text)
        got = fetched(replies)
        assert len(got) == LIMIT
        low = min(got)
        assert status.startswith(f"OK [MESSAGELIMIT {LIMIT} {low}]"), status
        all_uids = got + all_uids
        text = re.sub(r"(UID )?FETCH \S+", f"UID FETCH 1:{low - 1}", text)
    replies, status = box.cmd(text)
    assert status.startswith("OK ") and "MESSAGELIMIT" not in status
    assert fetched(replies) + all_uids == list(range(3, 28))


def test_what_fits_is_not_limited(box):
    assert "MESSAGELIMIT" not in box.cmd("FETCH 1:10 (FLAGS)")[1]
    assert "MESSAGELIMIT" not in box.cmd("UID FETCH 1:12 (FLAGS)")[1]
    # PARTIAL, and CHANGEDSINCE: what is told counts, not what was looked at
    assert "MESSAGELIMIT" not in box.cmd(
        "UID FETCH 1:* (FLAGS) (PARTIAL 1:10)")[1]
    modseq = re.search(r"HIGHESTMODSEQ (\d+)",
                       " ".join(box.ok("ENABLE CONDSTORE")))[1]
    box.ok(r"STORE 3 +FLAGS (\Flagged)")
    replies, status = box.cmd(f"FETCH 1:* (UID) (CHANGEDSINCE {modseq})")
    assert "MESSAGELIMIT" not in status and fetched(replies) == [5]
    # Nor is a search
    assert box.ok("UID SEARCH ALL") == [
        "SEARCH " + " ".join(str(i) for i in range(3, 28))]
    assert "MESSAGELIMIT" not in box.cmd("NOOP")[1]


def test_store(box):
    replies, status = box.cmd(r"UID STORE 1:* +FLAGS (\Flagged)")
    assert status.startswith(f"OK [MESSAGELIMIT {LIMIT} 18]"), status
    assert fetched(replies) == list(range(18, 28))
    assert box.ok("UID SEARCH FLAGGED") == [
        "SEARCH " + " ".join(str(i) for i in range(18, 28))]
    # Another code goes in front of it
    box.ok("ENABLE CONDSTORE")
    replies, status = box.cmd(
        r"UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (\Answered)")
    assert status.startswith(f"OK [MESSAGELIMIT {LIMIT} 18]"), status
    assert any(r.startswith(b"OK [MODIFIED 18:27]") for r in replies), replies


def test_expunge(box):
    for _ in range(3):
        box.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
        box.cmd(r"UID STORE 1:17 +FLAGS.SILENT (\Deleted)")
    box.ok(r"UID STORE 1:7 +FLAGS.SILENT (\Deleted)")
    left = 25
    while left > LIMIT:
        replies, status = box.cmd("EXPUNGE")
        left -= LIMIT
        assert sum(b"EXPUNGE" in r for r in replies) == LIMIT
        assert status.startswith(f"OK [MESSAGELIMIT {LIMIT} {left + 3}]")
    assert "MESSAGELIMIT" not in box.cmd("EXPUNGE")[1]
    assert box.ok("UID SEARCH ALL") == ["SEARCH"]


@pytest.mark.parametrize("verb", ["COPY", "MOVE"])
def test_a_copy_is_all_or_none(box, verb):
    before = box.ok("STATUS Archive (MESSAGES)")
    status = box.no(f"{verb} 1:11 Archive")
    assert f"[MESSAGELIMIT {LIMIT}]" in status
    assert box.ok("STATUS Archive (MESSAGES)") == before
    assert box.ok("UID SEARCH RETURN (COUNT) ALL")[0].endswith("COUNT 25")
    assert "COPYUID" in " ".join(
        [str(box.cmd(f"UID {verb} 3:12 Archive"))])


def test_batches_are_not_larger(box):
    assert f"[MESSAGELIMIT {LIMIT}]" in box.no("UIDBATCHES 11")
    assert box.ok("UIDBATCHES 10")
