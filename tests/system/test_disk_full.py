# SPDX-License-Identifier: ISC
"""A disk without room, or without inodes: 452, and nothing is lost of what got
250."""
import os
import subprocess

import pytest
from harness import Sink, Smtp, wait_for

ALICE = "alice@example.test"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(
        ["unshare", "-m", "true"], capture_output=True).returncode != 0,
    reason="needs root, to mount a small file system")


@pytest.fixture
def small(tmp_path):
    """A factory of file systems with that much room."""
    made = []

    def make(options):
        path = tmp_path / f"disk{len(made)}"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small",
                        str(path)], check=True)
        made.append(path)
        return path

    yield make
    for path in made:
        subprocess.run(["umount", "-l", str(path)])


def relay(postern, sink, **options):
    return postern("p", options={
        "relayhost": f"[127.0.0.5]:{sink.port}", "mynetworks": "127.0.0.0/8",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "minimal_backoff_time": "600s", **options}).start()


def send(p, name, size):
    """The code at the end, or where it was refused."""
    s = Smtp(p.host, p.port["smtp"])
    try:
        s.expect("EHLO client.test", 250)
        for line, good in ((f"MAIL FROM:<{ALICE}>", 250),
                           ("RCPT TO:<x@far.test>", 250), ("DATA", 354)):
            code, text = s.cmd(line)
            if code != good:
                return code, text
        s.send(f"Subject: {name}\r\n\r\n".encode() +
               (b"x" * 78 + b"\r\n") * (size // 80))
        return s.cmd(".")
    finally:
        s.close()


def fill(p, size):
    """Sends until it is refused three times; the names that got 250."""
    taken, refused = [], []
    for n in range(4000):
        code, text = send(p, f"m{n}", size)
        if code == 250:
            taken.append(f"m{n}")
        else:
            refused.append((code, text))
        if len(refused) == 3:
            return taken, refused
    raise AssertionError("the disk is never full")


def subjects(sink):
    return {line[9:].decode() for m in sink.mails
            for line in m["data"].split(b"\r\n")
            if line.startswith(b"Subject: m")}


@pytest.mark.parametrize("options, size", [
    ("size=12m", 20000),  # in rows
    ("size=40m", 400000),  # in files of their own
    ("size=200m,nr_inodes=60", 400000)])
def test_the_queue_has_no_room(postern, small, options, size):
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "451 4.3.0 not yet"})
    spool = small(options)
    p = relay(postern, sink, queue_directory=str(spool),
              trail_lifetime="0", data_directory=str(spool.parent / "data"))
    taken, refused = fill(p, size)
    assert len(taken) > 10
    assert all(code in (452, 451) for code, _ in refused), refused
    assert any(code == 452 and "4.3.1" in text for code, text in refused)
    assert all(r["restarts"] == 0 for r in p.status()["roles"])
    # More room, and all of them arrive.
    grown = "size=400m,nr_inodes=10000"
    subprocess.run(["mount", "-o", f"remount,{grown}", str(spool)], check=True)
    sink.replies.clear()
    wait_for("a sane start", lambda: send(p, "m-last", 1000)[0] == 250)
    taken.append("m-last")

    def arrived():
        p.run("queue", "flush")
        return set(taken) <= subjects(sink)

    wait_for("what got 250", arrived, 120)
    wait_for("an empty queue", lambda: p.queue() == [], 60)
    sink.stop()
