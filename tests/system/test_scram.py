# SPDX-License-Identifier: ISC
"""SCRAM-SHA-256 and -1 and their forms that are bound to the TLS session, spoken by hand
and by GNU SASL."""

import base64
import hashlib
import hmac
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from harness import Smtp

USER, PASSWORD = "alice@example.test", "wonderland-1"


def b64(data):
    return base64.b64encode(data).decode()


class Scram:
    """The client's side, with anything wrong that a test wants."""

    def __init__(self, s, gs2="n,,", binding=b"", authzid="",
                 mechanism="SCRAM-SHA-256", password=PASSWORD):
        self.s, self.gs2, self.binding = s, gs2, binding
        self.mechanism, self.password = mechanism, password
        self.digest = "sha1" if "SHA-1" in mechanism else "sha256"
        self.bare = f"n={USER},r=clientnonce"

    def start(self):
        return self.s.cmd(f"AUTH {self.mechanism} "
                          + b64((self.gs2 + self.bare).encode()))

    def finish(self, first):
        server = base64.b64decode(first.split()[1]).decode()
        parts = dict(p.split("=", 1) for p in server.split(","))
        salted = hashlib.pbkdf2_hmac(
            self.digest, self.password.encode(), base64.b64decode(parts["s"]),
            int(parts["i"]))
        final = ("c=" + b64(self.gs2.encode() + self.binding)
                 + ",r=" + parts["r"])
        message = f"{self.bare},{server},{final}".encode()

        def mac(key, data):
            return hmac.new(key, data, self.digest).digest()
        client = mac(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(
            client, mac(hashlib.new(self.digest, client).digest(), message)))
        self.last = b64(f"{final},p={b64(proof)}".encode())
        code, text = self.s.cmd(self.last)
        if code == 334:
            signature = base64.b64decode(text.split()[1]).decode()
            assert signature == "v=" + b64(
                mac(mac(salted, b"Server Key"), message))
            return self.s.cmd("")
        return code, text

    def run(self):
        code, text = self.start()
        return (code, text) if code != 334 else self.finish(text)


def session(one, port="submission"):
    s = Smtp(one.host, one.port[port])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    text = s.expect("EHLO c.example", 250)
    assert ("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS "
            "SCRAM-SHA-1 PLAIN LOGIN\r\n") in text
    return s


def end_point(s):
    return hashlib.sha256(s.sock.getpeercert(binary_form=True)).digest()


def test_bound_to_the_certificate(one):
    s = session(one)
    assert Scram(s, "p=tls-server-end-point,,", end_point(s),
                 mechanism="SCRAM-SHA-256-PLUS").run()[0] == 235
    s.close()


@pytest.mark.parametrize("gs2, binding, mechanism, code", [
    ("p=tls-server-end-point,,", "wrong", "SCRAM-SHA-256-PLUS", 501),
    ("p=tls-server-end-point,,", "none", "SCRAM-SHA-256-PLUS", 501),
    ("p=tls-unique,,", "right", "SCRAM-SHA-256-PLUS", 501),
    ("n,,", "none", "SCRAM-SHA-256-PLUS", 501),
    ("p=tls-server-end-point,,", "right", "SCRAM-SHA-256", 501),
    # "You do not offer -PLUS", to a server that does: attack 43
    ("y,,", "none", "SCRAM-SHA-256", 535),
    ("n,,", "none", "SCRAM-SHA-256", 235),
    ("n,,", "none", "SCRAM-SHA-1", 235),
    ("y,,", "none", "SCRAM-SHA-1", 535),
    ("p=tls-server-end-point,,", "right", "SCRAM-SHA-1-PLUS", 235),
    ("p=tls-server-end-point,,", "wrong", "SCRAM-SHA-1-PLUS", 501),
    (f"n,a={USER},", "none", "SCRAM-SHA-256", 235),
    ("n,a=bob@example.test,", "none", "SCRAM-SHA-256", 535)])
def test_what_is_refused(one, gs2, binding, mechanism, code):
    s = session(one)
    data = {"right": end_point(s), "wrong": b"x" * 32, "none": b""}[binding]
    assert Scram(s, gs2, data, mechanism=mechanism).run()[0] == code
    # The next try works, or AUTH is over.
    if code != 235:
        assert Scram(s).run()[0] == 235
    s.close()


def test_a_replayed_answer_is_worth_nothing(one):
    """Attack 38."""
    s = session(one)
    first = Scram(s)
    assert first.run()[0] == 235
    s.close()
    s = session(one)
    again = Scram(s)
    code, text = again.start()
    assert code == 334
    assert s.cmd(first.last)[0] == 501
    s.close()


def connections_of_auth(one):
    pid, = (r["pid"] for r in one.status()["roles"] if r["role"] == "auth")
    return sum(os.readlink(f).startswith("socket:")
               for f in Path(f"/proc/{pid}/fd").iterdir())


def test_nobody_gets_anothers_conversation(one):
    """The connection of one that is over serves the next; one that was broken
    off does not."""
    slow = session(one)
    waits = Scram(slow)
    code, first = waits.start()
    assert code == 334
    before = None
    for i in range(12):
        s = session(one)
        assert Scram(s, password="wrong-1").run()[0] == 535
        broken = Scram(s)
        assert broken.start()[0] == 334
        if i % 3 == 0:
            assert s.cmd("*")[0] == 501
            assert Scram(s, mechanism="SCRAM-SHA-1").run()[0] == 235
        elif i % 3 == 1:  # an answer that is no SCRAM
            assert s.cmd(b64(b"nonsense"))[0] == 501
            assert Scram(s).run()[0] == 235
        s.close()
        if i == 2:
            before = connections_of_auth(one)
    assert connections_of_auth(one) <= before + 1
    assert waits.finish(first)[0] == 235
    slow.close()


def test_accounts_of_the_first_version_learn_sha1(postern):
    """An accounts.db without SCRAM-SHA-1 keys is taken over, and completed by
    the first login that shows the password."""
    p = postern("old", users={USER: PASSWORD})
    p.add_users()
    db = sqlite3.connect(p.dir / "data/accounts/accounts.db")
    for name in ("stored_key_sha1", "server_key_sha1"):
        db.execute(f"ALTER TABLE accounts DROP COLUMN {name}")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    p.start(add_users=False)
    s = session(p)
    assert Scram(s, mechanism="SCRAM-SHA-1").run()[0] == 535
    assert Scram(s).run()[0] == 235
    s.close()
    assert "no SCRAM-SHA-1 keys yet" in p.log()
    s = session(p)
    s.expect("AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}".encode()), 235)
    s.close()
    s = session(p)
    assert Scram(s, mechanism="SCRAM-SHA-1", password="x").run()[0] == 535
    assert Scram(s, mechanism="SCRAM-SHA-1").run()[0] == 235
    s.close()


@pytest.mark.parametrize("mechanism, more", [
    ("SCRAM-SHA-256-PLUS", []),  # by tls-exporter
    ("SCRAM-SHA-256", ["--no-cb"]),
    ("SCRAM-SHA-1-PLUS", []), ("SCRAM-SHA-1", ["--no-cb"])])
def test_gnu_sasl_logs_in(one, mechanism, more):
    if not shutil.which("gsasl"):
        pytest.skip("gsasl is not installed")
    for kind, port in (("--smtp", "submission"), ("--imap", "imap")):
        r = subprocess.run(
            ["gsasl", "--verbose", kind, "--mechanism", mechanism,
             "--authentication-id", USER, "--password", PASSWORD, "--starttls",
             "--x509-ca-file", str(one.ca), *more,
             f"--authorization-id={USER}", "--connect",
             f"localhost:{one.port[port]}"],
            input="", capture_output=True, text=True, timeout=30)
        assert r.returncode == 0, r.stdout + r.stderr
    log = one.log()
    assert log.count(f"login={USER}") >= 2
    assert f"method={mechanism}" in log
