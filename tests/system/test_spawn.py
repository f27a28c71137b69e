# SPDX-License-Identifier: ISC
"""spawn(8): programs that lines of master.cf run for connections, as policy
services are run."""

import os
import re
import socket
import time

import pytest

from harness import Smtp, free_port, wait_for
from test_local import USER, home, public, script  # noqa: F401
from test_smtpd import BOB

# Answers requests of the policy protocol until the connection ends, and says
# who it is and what it has.
POLICY = """#!/usr/bin/python3
import os, sys
here = sys.argv[1]
with open(f"{here}/started.{os.getpid()}", "w") as f:
    f.write(f"{os.getuid()} {os.getcwd()} {sorted(os.environ)} "
            f"{sorted(os.listdir('/proc/self/fd'))} {sys.argv[2:]}")
request = {}
for line in sys.stdin:
    line = line.strip()
    if line:
        name, _, value = line.partition("=")
        request[name] = value
        continue
    user = request["recipient"].partition("@")[0]
    action = "reject 5.7.1 spawned no" if user == "bad" else "dunno"
    sys.stdout.write(f"action={action}\\n\\n")
    sys.stdout.flush()
    request = {}
"""


@pytest.fixture
def spawning(postern, public, home):  # noqa: F811
    prog = public / "policy"
    prog.write_text(POLICY)
    prog.chmod(0o755)

    def make(line="unix - n n - 3 spawn", more="", argv=None, **options):
        return postern("spawn", users={BOB: "b"}, options={
            "virtual_mailbox_domains": "example.test",
            "smtpd_reject_unlisted_recipient": "no",
            "smtpd_recipient_restrictions":
            "check_policy_service unix:private/mine, "
            "reject_unauth_destination", **options},
            master_extra=f"mine {line}\n  user={USER} "
            f"argv={argv or f'{prog} {public} a b'}\n{more}")
    return make


def rcpt(p, address):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.send(f"RCPT TO:<{address}>\r\n".encode())
    reply = s.reply()
    s.close()
    return reply


def started(public):  # noqa: F811
    return sorted(public.glob("started.*"))


def test_a_policy_service_of_master_cf(spawning, public):  # noqa: F811
    p = spawning()
    r = p.run("check", check=False)
    assert "mine" not in r.stderr and "spawn" not in r.stderr.replace(
        str(p.dir), ""), r.stderr
    p.start()
    code, text = rcpt(p, "bad@example.test")
    assert code == 554 and "spawned no" in text
    assert rcpt(p, BOB)[0] == 250
    uid, rest = started(public)[0].read_text().split(" ", 1)
    import pwd
    assert int(uid) == pwd.getpwnam(USER).pw_uid
    assert "['MAIL_CONFIG', 'PATH']" in re.sub(r"'LC_CTYPE', ", "", rest)
    assert "['0', '1', '2', '3', '4'] ['a', 'b']" in rest  # its own: 3, 4
    # One program served both, over one connection.
    assert len(started(public)) == 1
    path = p.dir / "queue/private/mine" if (
        p.dir / "queue/private/mine").exists() else next(
            p.dir.rglob("private/mine"))
    assert path.stat().st_mode & 0o077 == 0


def test_it_ends_with_us_and_comes_again_with_a_reload(spawning, public):  # noqa: F811
    p = spawning().start()
    assert rcpt(p, "bad@example.test")[0] == 554
    pid = int(started(public)[0].name.split(".")[1])
    p.run("reload")
    wait_for("the reload", lambda: " reload" in p.log())
    wait_for("an answer", lambda: rcpt(p, "bad@example.test")[0] == 554)
    p.stop()
    for path in started(public):
        pid = int(path.name.split(".")[1])
        wait_for("the end", lambda: not os.path.exists(f"/proc/{pid}"))


def test_no_more_than_may_run(spawning, public):  # noqa: F811
    """maxproc: the next one waits until another ends."""
    p = spawning(line="unix n n n - 2 spawn", argv=None).start()
    path = next(p.dir.rglob("public/mine"))
    socks = []
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(str(path))
        socks.append(s)
    ask = b"recipient=bad@x\n\n"
    for s in socks[:2]:
        s.sendall(ask)
        assert s.recv(100).startswith(b"action=reject")
    socks[2].sendall(ask)
    wait_for("two", lambda: len(started(public)) == 2)
    socks[0].close()
    assert socks[2].recv(100).startswith(b"action=reject")
    assert len(started(public)) == 3
    for s in socks[1:]:
        s.close()


def test_a_time_limit(spawning, public):  # noqa: F811
    prog = script(public / "sleeper", "exec sleep 60")
    p = spawning(argv=prog, mine_time_limit="1s",
                 smtpd_policy_service_timeout="20s").start()
    begun = time.monotonic()
    assert rcpt(p, BOB)[0] == 451
    assert time.monotonic() - begun < 15
    wait_for("the log", lambda: "spawn: the program ended" in p.log()
             and "signal=14" in p.log())


def test_an_inet_service(spawning, public):  # noqa: F811
    port = free_port(("127.0.0.1",))
    p = spawning(smtpd_recipient_restrictions=
                 f"check_policy_service inet:127.0.0.1:{port}, "
                 "reject_unauth_destination", more=(
                     f"127.0.0.1:{port} inet - n n - 0 spawn user={USER} "
                     f"argv={public}/policy {public}\n")).start()
    assert rcpt(p, "bad@example.test")[0] == 554
    assert rcpt(p, BOB)[0] == 250


@pytest.mark.parametrize("what, text", [
    (dict(argv="/no/such/program"), "/no/such/program cannot be run"),
    (dict(more="other unix - n n - 0 spawn user=nobody-here argv=/bin/true\n"),
     "there is no account nobody-here"),
    (dict(more="other unix - n n - 0 spawn user=root argv=/bin/true\n"),
     "nothing runs as root"),
    (dict(more="other unix - n n - 0 spawn argv=/bin/true\n"), "other spawn"),
])
def test_check_looks_at_it(spawning, what, text):
    r = spawning(**what).run("check", check=False)
    assert re.search(rf"master\.cf:\d+: (warning|error): .*{text}",
                     r.stderr), r.stderr


def test_a_program_that_is_missing_harms_nobody(spawning):
    """The mail is asked to come again, master goes on."""
    p = spawning(argv="/no/such/program").start()
    assert rcpt(p, BOB)[0] == 451
    wait_for("the log", lambda: "spawn: the program ended" in p.log())
    assert all(r["restarts"] == 0 for r in p.status()["roles"])
