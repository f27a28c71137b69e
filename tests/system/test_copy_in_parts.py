# SPDX-License-Identifier: ISC
"""COPY and MOVE of so many messages that they go in parts, cut off midway."""

import os
import re
import signal

import pytest

from harness import Postern, wait_for
from imap_client import Client

PW = "builder-22"
USER = "u@example.test"
OTHER = "v@example.test"
FAR = f"Other Users/{OTHER}/There"
N = 30000


@pytest.fixture
def server(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW, OTHER: PW},
                options={"virtual_mailbox_domains": "example.test",
                         "mail_storage_shards": "1",
                         "mailbox_undelete_time": "1h"})
    p.start()
    c = Client(p, USER)
    for _ in range(N // 500):
        c.ok(b"APPEND INBOX" + b" {4+}\r\nA: b" * 500)
    c.ok("CREATE There")
    c.ok(b"APPEND There {4+}\r\nA: c")
    other = Client(p, OTHER)
    other.ok("CREATE There")
    other.ok(b"APPEND There {4+}\r\nA: c")
    other.ok(f"SETACL There {USER} lrswite")
    other.close()
    c.ok("SELECT INBOX")
    yield p, c
    p.stop()


def there(c, box="There"):
    got = c.ok(f'STATUS "{box}" (MESSAGES UIDNEXT)')[0]
    return int(re.search(r"MESSAGES (\d+)", got)[1])


def midway(p, c, text, box="There"):
    """Sends the command, and comes back when a part of it is done; the second
    client."""
    beside = Client(p, USER)
    c.send(b"mid " + text.encode() + b"\r\n")
    wait_for("a part", lambda: there(beside, box) > 1)
    return beside


@pytest.mark.parametrize("box", ["There", FAR], ids=["near", "far"])
def test_a_crash_leaves_no_part_of_a_copy(server, box):
    p, c = server
    for _ in range(5):
        beside = midway(p, c, f'COPY 1:* "{box}"', box)
        role = next(r for r in p.status()["roles"] if r["role"] == "mailbox")
        os.kill(role["pid"], signal.SIGKILL)
        wait_for("mailbox again", lambda: [
            r for r in p.status()["roles"] if r["role"] == "mailbox"
            and r["ready"] and r["pid"] not in (0, role["pid"])])
        beside.close()
        c = Client(p, USER)
        n = there(c, box)
        if n == 1:
            break
        # It was over before the blow; once more.
        assert (n - 1) % N == 0, n
        c.ok(f'SELECT "{box}"')
        c.ok(r"STORE 2:* +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
        c.ok("SELECT INBOX")
    assert "a copy that a crash cut off is taken back" in p.log()
    c.ok("ENABLE QRESYNC")
    opened = " ".join(c.ok(f'SELECT "{box}" (QRESYNC (1 1))'))
    assert "1 EXISTS" in opened
    assert c.ok("UID SEARCH RETURN (COUNT) ALL")[0].endswith("COUNT 1")
    # The next one gets UIDs above those.
    highest = int(re.search(r"UIDNEXT (\d+)", opened)[1]) - 1
    assert highest > 200
    c.ok("SELECT INBOX")
    code = c.code(f'COPY 1:* "{box}"')
    assert code.endswith(f" 1:{N} {highest + 1}:{highest + N}"), code
    assert there(c, box) == N + 1
    # What is whole stays, over another crash.
    p.kill()
    p.start(add_users=False)
    assert there(Client(p, USER), box) == N + 1
    r = p.run("mailbox", "verify")
    assert r.returncode == 0, r.stdout


def test_a_move_that_fails_midway_tells_what_moved(server):
    """The target goes while the messages come: RFC 6851 4.3."""
    p, c = server
    beside = midway(p, c, "MOVE 1:* There")
    beside.ok("DELETE There")
    replies, status = c.until("mid")
    if status.startswith("OK"):
        pytest.skip("it was over before the mailbox went")
    assert "[TRYCREATE]" in status
    code = next(r for r in replies if r.startswith(b"OK [COPYUID"))
    last = int(re.search(rb" 1:(\d+) 2:\d+\]", code)[1])
    gone = sum(b"EXPUNGE" in r for r in replies)
    # What did not move stands where it was, with its UID.
    c.ok("NOOP")
    assert c.ok("UID SEARCH RETURN (MIN MAX COUNT) ALL")[0].endswith(
        f"MIN {last + 1} MAX {N} COUNT {N - last}")
    assert gone in (0, last)
    assert c.ok(f"UID FETCH {N} (BODY.PEEK[])")
    c.ok("CREATE There")
    assert there(beside) == 0
    r = p.run("mailbox", "verify")
    assert r.returncode == 0, r.stdout
