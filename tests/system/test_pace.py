# SPDX-License-Identifier: ISC
"""How roles are scheduled: as others, and as batch while there is much to do."""

import os
import subprocess
from pathlib import Path

from harness import ROOT, wait_for

USERS = 20


def children(pid):
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from (task / "children").read_text().split()


def policies(p, role):
    """Of all threads of all processes of a role."""
    found = set()
    for child in children(p.status()["pid"]):
        if Path(f"/proc/{child}/comm").read_text().strip() == f"postern/{role}":
            found |= {os.sched_getscheduler(int(t))
                      for t in os.listdir(f"/proc/{child}/task")}
    return found


def test_batch_under_load(postern):
    p = postern("pace", users={f"{i}u@example.test": "pw" for i in range(USERS)},
                options={"smtpd_client_connection_count_limit": "0",
                         "smtpd_processes": "1"}).start()
    assert policies(p, "smtpd") == {os.SCHED_OTHER}
    load = subprocess.Popen(
        [ROOT / "build/tests/smtp_load", "send", p.host, str(p.port["smtp"]),
         "50", "1000000", "1024", "1", str(USERS), "example.test"],
        stdout=subprocess.DEVNULL)
    try:
        wait_for("batch", lambda: policies(p, "smtpd") == {os.SCHED_BATCH})
        wait_for("batch", lambda: policies(p, "mailbox") == {os.SCHED_BATCH})
    finally:
        load.kill()
        load.wait()
    wait_for("as others", lambda: policies(p, "smtpd") == {os.SCHED_OTHER})
    wait_for("as others", lambda: policies(p, "mailbox") == {os.SCHED_OTHER})
