# SPDX-License-Identifier: ISC
"""Roles are killed with SIGKILL while mail comes in; every message that got
250 is delivered at least once."""

import imaplib
import os
import random
import re
import signal
import smtplib
import socket
import threading
import time

import pytest

from harness import Sink, wait_for

CLIENTS, MESSAGES = 20, 2000
USERS = {f"u{i}@example.test": f"pw-{i}" for i in range(4)}


def subjects(p):
    found = {}
    for user, password in USERS.items():
        m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
        m.login(user, password)
        n = int(m.select("INBOX", readonly=True)[1][0])
        if n > 0:
            rows = m.fetch(f"1:{n}", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
            for row in rows:
                if isinstance(row, tuple):
                    name = re.search(rb"Subject: (\S+)", row[1])
                    found[name.group(1).decode()] = found.get(
                        name.group(1).decode(), 0) + 1
        m.logout()
    return found


class Submitter(threading.Thread):
    """Sends until its share is done; notes only what got 250."""

    def __init__(self, p, number, acknowledged, over):
        super().__init__(daemon=True)
        self.p, self.number = p, number
        self.acknowledged, self.over = acknowledged, over

    def run(self):
        share = MESSAGES // CLIENTS
        for i in range(share):
            name = f"m-{self.number}-{i}"
            user = f"u{i % len(USERS)}@example.test"
            while not self.over.is_set():
                try:
                    with smtplib.SMTP(self.p.host, self.p.port["smtp"],
                                      timeout=20) as c:
                        c.sendmail("a@b.example", [user],
                                   f"Subject: {name}\r\n\r\n" + "x" * 1000)
                    self.acknowledged.add(name)
                    break
                except (OSError, smtplib.SMTPException):
                    self.over.wait(0.02)


def test_no_acknowledged_message_is_lost(postern):
    p = postern("crash", users=USERS).start()
    acknowledged, over = set(), threading.Event()
    clients = [Submitter(p, i, acknowledged, over) for i in range(CLIENTS)]
    for c in clients:
        c.start()
    rng = random.Random(int(os.environ.get("CRASH_SEED", "1")))
    kills = 0
    deadline = time.monotonic() + 120
    while any(c.is_alive() for c in clients) and time.monotonic() < deadline:
        over.wait(0.15)  # the rhythm of the blows, not a wait for an effect
        if not any(c.is_alive() for c in clients):
            break
        if kills % 7 == 6:
            p.process.kill()
            p.process.wait(20)
            p.start(add_users=False)
        else:
            roles = [r for r in p.status()["roles"]
                     if r["role"] in ("queue", "mailbox", "smtpd")
                     and r["pid"] > 0]
            if roles:
                try:
                    os.kill(rng.choice(roles)["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        kills += 1
    over.set()
    for c in clients:
        c.join(30)
    assert len(acknowledged) == MESSAGES
    assert kills >= 3

    def all_there():
        found = subjects(p)
        return found if acknowledged <= set(found) else None

    wait_for("the queue to be empty", lambda: p.queue() == [], 60)
    found = wait_for("every acknowledged message", all_there)
    duplicates = sum(n - 1 for n in found.values())
    print(f"{kills} kills, {len(acknowledged)} acknowledged, "
          f"{duplicates} duplicates")


def test_killed_role_is_back_within_a_second(postern):
    p = postern("back", users=USERS).start()
    for name in ("auth", "queue", "mailbox", "smtpd", "sender"):
        role = next(r for r in p.status()["roles"] if r["role"] == name)
        start = time.monotonic()
        os.kill(role["pid"], signal.SIGKILL)
        wait_for(f"{name} again", lambda: [
            r for r in p.status()["roles"] if r["role"] == name and r["ready"]
            and r["pid"] not in (0, role["pid"])
            and r["index"] == role["index"]], 5)
        assert time.monotonic() - start < 5
    p.send("u0@example.test", ["u1@example.test"])


def test_sigterm_tells_sessions_and_ends(postern):
    from harness import Smtp
    p = postern("end", users=USERS).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO a.example", 250)
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login("u0@example.test", "pw-0")
    start = time.monotonic()
    assert p.stop() == 0
    assert time.monotonic() - start < 10
    assert s.reply()[0] == 421
    assert m.readline().startswith(b"* BYE")
    s.close()


def test_reload_takes_a_new_configuration_over(postern):
    from harness import Smtp
    p = postern("reload", users=USERS).start()
    p.options["smtpd_banner"] = "changed ESMTP"
    p.write_config()
    p.run("reload")

    def banner():
        s = Smtp(p.host, p.port["smtp"], greet=False)
        text = s.reply()[1]
        s.close()
        return "changed" in text

    wait_for("the new banner", banner)
    # A wrong one is refused, and the old one stays.
    (p.dir / "main.cf").write_text("mynetworks = 0.0.0.0/0\n")
    r = p.run("reload", check=False)
    assert r.returncode == 78
    assert banner()
    p.write_config()


def test_reload_with_an_address_in_use_changes_nothing(postern):
    """Each port must go on with its own protocol, old configuration."""
    from harness import Smtp
    p = postern("busy", users=USERS).start()
    with socket.create_server(("127.0.0.9", 0)) as taken:
        path = p.dir / "master.cf"
        text = path.read_text()
        port = taken.getsockname()[1]
        path.write_text(f"127.0.0.9:{port} inet n - n - - imapd\n" + text)
        p.run("reload")
        wait_for("the refusal", lambda: "reload refused" in p.log())
        path.write_text(text)
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO x.test", 250)
    s.close()
    with socket.create_connection((p.host, p.port["imap"]), 5) as c:
        assert c.recv(100).startswith(b"* OK")
    with socket.create_connection((p.host, p.port["pop3"]), 5) as c:
        assert c.recv(100).startswith(b"+OK")


def test_role_restarts_with_what_was_accepted(postern):
    """An edit in progress must not reach a role before `reload`."""
    from harness import Smtp
    p = postern("edit", users=USERS).start()
    with open(p.dir / "main.cf", "a") as f:
        f.write("smtpd_banner = edited ESMTP\nmynetworks = 0.0.0.0/0\n")
    master = p.dir / "master.cf"
    lines = master.read_text().splitlines()
    master.write_text("\n".join(reversed(lines)) + "\n")

    def ready():
        return {r["pid"] for r in p.status()["roles"] if r["ready"]}

    old = ready()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for("new roles", lambda: not old & ready() and
             len(old) == len(ready()))
    s = Smtp(p.host, p.port["smtp"], greet=False)
    assert "edited" not in s.reply()[1]
    s.close()
    with socket.create_connection((p.host, p.port["imap"]), 5) as c:
        assert c.recv(100).startswith(b"* OK")
    with socket.create_connection((p.host, p.port["pop3"]), 5) as c:
        assert c.recv(100).startswith(b"+OK")


def test_a_short_soak(tmp_path):
    """soak.py is `make soak`; here a few seconds of it."""
    import soak
    result = soak.soak(8, tmp_path, lambda text: None)
    assert result["missing"] == [] and result["acknowledged"] > 50
    assert result["trouble"]


class SlowSink(Sink):
    """Takes the text, and answers when it is told to."""

    def __init__(self):
        self.has_it, self.may_answer = threading.Event(), threading.Event()
        super().__init__("127.0.0.5", 0)

    def _answer(self, conn, verb, default):
        if verb == ".":
            self.has_it.set()
            assert self.may_answer.wait(30)
        return super()._answer(conn, verb, default)


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_a_delivery_in_hand_is_not_done_twice(postern, how):
    """The other server has the text, and its 250 comes while we end."""
    sink = SlowSink()
    p = postern("slow", users=USERS, options={
        "relayhost": f"[127.0.0.5]:{sink.port}"}).start()
    p.send("u0@example.test", ["x@far.test"])
    assert sink.has_it.wait(30)
    if how == "stop":
        p.process.terminate()
        wait_for("the end to begin", lambda: "stopping" in p.log())
        sink.may_answer.set()
        assert p.stop() == 0
        p.start(add_users=False)
    else:
        old = {r["role"]: r["pid"] for r in p.status()["roles"]}
        p.run("reload")
        # New senders are there, and the queue waits for the old one.
        wait_for("a new sender", lambda: [
            r for r in p.status()["roles"] if r["role"] == "sender"
            and r["ready"] and r["pid"] not in (0, old["sender"])])
        sink.may_answer.set()
        wait_for("a new queue", lambda: [
            r for r in p.status()["roles"] if r["role"] == "queue"
            and r["ready"] and r["pid"] not in (0, old["queue"])])
    # What comes behind it goes out, and it alone.
    p.send("u0@example.test", ["y@far.test"])
    wait_for("the next", lambda: [m for m in sink.mails
                                  if m["rcpts"] == ["y@far.test"]])
    wait_for("an empty queue", lambda: p.queue() == [])
    assert [m["rcpts"] for m in sink.mails] == [["x@far.test"],
                                                ["y@far.test"]]
    sink.stop()
