#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""make soak: mail comes in and goes out for SOAK_SECONDS (default 1800) while
roles are killed, the network is cut and the next server fails in all its ways.
At the end each message that got 250 has arrived, at least once.

As root the next server lives in a network namespace of its own, and cutting
means that packets are lost; else its connections are cut."""
import itertools
import json
import os
import random
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from harness import Postern, free_port, wait_for  # noqa: E402

CLIENTS, PER_SECOND = 8, 60
RELAYED = "far.test"


class Next:
    """The next server, in a process of its own: appends the subject of each
    mail that it took to a file before it says so."""

    def __init__(self, folder):
        self.got = Path(folder) / "got"
        self.got.write_text("")
        self.net = None
        if os.geteuid() == 0 and not subprocess.run(
                ["ip", "netns", "add", "soak"],
                capture_output=True).returncode:
            self.net = "soak"
            for words in ("link add soak0 type veth peer name soak1",
                          "link set soak1 netns soak",
                          "addr add 10.77.0.1/24 dev soak0",
                          "link set soak0 up",
                          "-n soak addr add 10.77.0.2/24 dev soak1",
                          "-n soak link set soak1 up"):
                subprocess.run(["ip", *words.split()], check=True)
            self.host, self.port = "10.77.0.2", 2525
        else:
            self.host, self.port = "127.0.0.5", free_port(("127.0.0.5",))
        where = ["ip", "netns", "exec", "soak"] if self.net else []
        self.process = subprocess.Popen(
            [*where, sys.executable, __file__, "serve", self.host,
             str(self.port), self.got], stdin=subprocess.PIPE, text=True)

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def cut(self, seconds):
        if not self.net:
            self.say("cut")
            return
        subprocess.run(["ip", "link", "set", "soak0", "down"])
        time.sleep(seconds)  # how long the cut lasts
        subprocess.run(["ip", "link", "set", "soak0", "up"])

    def subjects(self):
        return self.got.read_text().split()

    def stop(self):
        self.process.kill()
        if self.net:
            subprocess.run(["ip", "netns", "del", "soak"])
            subprocess.run(["ip", "link", "del", "soak0"],
                           capture_output=True)


# ---- the next server ----

class Moody:
    def __init__(self, host, port, got):
        import socket
        self.calm, self.lock = False, threading.Lock()
        self.out = open(got, "a")
        self.conns = set()
        server = socket.create_server((host, port), backlog=512)
        threading.Thread(target=self.accept, args=(server,),
                         daemon=True).start()

    def accept(self, server):
        while True:
            conn, _ = server.accept()
            self.conns.add(conn)
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def mood(self):
        return "" if self.calm else random.choices(
            ["", "4", "5", "421", "gone", "slow", "garbage"],
            [900, 25, 0, 10, 15, 5, 5])[0]

    def serve(self, conn):
        try:
            self.talk(conn, conn.makefile("rb"))
        except OSError:
            pass
        finally:
            self.conns.discard(conn)
            conn.close()

    def talk(self, conn, file):
        conn.sendall(b"220 moody\r\n")
        for line in file:
            verb, mood = line[:4].upper(), self.mood()
            if verb == b"QUIT":
                conn.sendall(b"221 bye\r\n")
                return
            if mood == "gone":
                return
            if mood == "421":
                conn.sendall(b"421 4.3.2 going down\r\n")
                return
            if mood == "slow":
                time.sleep(random.random() * 3)  # a slow server
            if mood == "garbage":
                conn.sendall(os.urandom(200) + b"\r\n")
                return
            if mood == "4":
                conn.sendall(b"451 4.3.0 not now\r\n")
                continue
            if verb == b"EHLO":
                conn.sendall(b"250-moody\r\n250-CHUNKING\r\n"
                             b"250 PIPELINING\r\n")
                continue
            if verb == b"BDAT":
                text = file.read(int(line.split()[1]))
                if not self.take(text):
                    return
            conn.sendall(b"250 2.0.0 ok\r\n")

    def take(self, text):
        """Sometimes the mail is kept and its answer is lost."""
        subject = [x for x in text.split(b"\r\n")
                   if x.startswith(b"Subject: ")][0][9:].decode()
        if self.mood() == "gone":
            return False
        with self.lock:
            self.out.write(subject + "\n")
            self.out.flush()
        return self.mood() != "gone"


def serve(host, port, got):
    moody = Moody(host, int(port), got)
    for word in sys.stdin:
        if word == "calm\n":
            moody.calm = True
        if word == "cut\n":
            for conn in list(moody.conns):
                try:
                    conn.shutdown(2)
                except OSError:
                    pass


# ---- the load ----

class Client(threading.Thread):
    def __init__(self, p, numbers, acknowledged, over):
        super().__init__(daemon=True)
        self.p, self.numbers = p, numbers
        self.acknowledged, self.over = acknowledged, over

    def run(self):
        while not self.over.is_set():
            name = f"m{next(self.numbers)}"
            size = random.choice([500, 4000, 4000, 100000])
            try:
                with smtplib.SMTP(self.p.host, self.p.port["smtp"],
                                  timeout=20) as c:
                    c.sendmail("a@b.test", [f"{name}@{RELAYED}"],
                               f"Subject: {name}\r\n\r\n" +
                               ("x" * 76 + "\r\n") * (size // 78))
                self.acknowledged.append(name)
            except (OSError, smtplib.SMTPException):
                pass
            self.over.wait(CLIENTS / PER_SECOND)


def kill_one(p):
    roles = [r for r in p.status()["roles"]
             if (r.get("role") or r.get("name")) in
             ("queue", "sender", "smtpd")]
    role = random.choice(roles)
    os.kill(role["pid"], signal.SIGKILL)
    return role.get("role") or role.get("name")


def trouble(p, server, over, done):
    while not over.wait(random.uniform(0.5, 4)):
        try:
            what = "cut" if random.random() < 0.3 else kill_one(p)
            if what == "cut":
                server.cut(random.uniform(0.2, 6))
            done[what] = done.get(what, 0) + 1
        except (AssertionError, OSError, ValueError,
                subprocess.TimeoutExpired):
            continue  # master was busy starting one of them


def soak(seconds, folder, say=print):
    server = Next(folder)
    p = Postern(Path(folder) / "p", options={
        "relayhost": f"[{server.host}]:{server.port}",
        "mynetworks": "127.0.0.0/8", "smtp_bind_address": "",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "smtpd_recipient_restrictions": "permit_mynetworks, reject",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "smtp_connect_timeout": "5s", "smtp_helo_timeout": "5s",
        "smtp_mail_timeout": "5s", "smtp_rcpt_timeout": "5s",
        "smtp_data_xfer_timeout": "5s", "smtp_data_done_timeout": "5s"})
    acknowledged, over, done = [], threading.Event(), {}
    numbers = itertools.count()
    p.start()
    try:
        clients = [Client(p, numbers, acknowledged, over)
                   for _ in range(CLIENTS)]
        threads = clients + [threading.Thread(
            target=trouble, args=(p, server, over, done), daemon=True)]
        for t in threads:
            t.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            over.wait(min(30, max(0.1, end - time.monotonic())))
            say(f"{len(acknowledged)} acknowledged, "
                f"{len(server.subjects())} arrived, {done}")
        over.set()
        for t in threads:
            t.join(30)
        server.say("calm")
        wait_for("every message that got 250", lambda: (
            p.run("queue", "flush"),
            set(acknowledged) <= set(server.subjects()))[1], 300)
        wait_for("an empty queue", lambda: (
            p.run("queue", "flush"), p.queue() == [])[1], 300)
    finally:
        missing = set(acknowledged) - set(server.subjects())
        p.stop()
        server.stop()
    got = server.subjects()
    return {"acknowledged": len(acknowledged), "missing": sorted(missing),
            "twice": len(got) - len(set(got)), "trouble": done}


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
        sys.exit()
    with tempfile.TemporaryDirectory(
            dir=os.environ.get("BENCH_DIR", "/var/tmp")) as d:
        result = soak(int(os.environ.get("SOAK_SECONDS", "1800")), d,
                      lambda text: print(text, flush=True))
    print(json.dumps(result))
    sys.exit(bool(result["missing"]))
