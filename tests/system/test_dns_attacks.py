# SPDX-License-Identifier: ISC
"""A name server that loops, lies, answers 64 KiB or nothing at all, while it is
asked who sent a message."""

import json
import os
import re
import socket
import struct
import threading

import pytest

from harness import Smtp, free_port
from test_authentication import VERIFY, fields, give, message
from test_smtpd import BOB, inbox

A, CNAME, TXT = 1, 5, 16


def wire_name(name):
    return b"".join(bytes([len(p)]) + p.encode()
                    for p in name.split(".") if p) + b"\0"


def record(name, kind, data):
    return wire_name(name) + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def txt(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return b"".join(bytes([len(raw[i:i + 255])]) + raw[i:i + 255]
                    for i in range(0, len(raw), 255)) or b"\0"


class EvilDns:
    """Answers by the first label of the name, over UDP and TCP."""

    def __init__(self):
        self.port = free_port(("127.0.0.1",))
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        for serve in (self._udp, self._tcp):
            threading.Thread(target=serve, daemon=True).start()

    def stop(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def _udp(self):
        while True:
            try:
                query, client = self.udp.recvfrom(65536)
            except OSError:
                return
            if not query:
                return
            answer = self.answer(query)
            if answer is not None and len(answer) > 1200:
                # Truncated: ask again over TCP.
                end = query.index(b"\0", 12) + 5
                answer = query[:2] + b"\x87\x80\0\x01\0\0\0\0\0\0" + query[12:end]
            if answer is not None:
                self.udp.sendto(answer, client)

    def _tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(conn,), daemon=True).start()

    def _one(self, conn):
        with conn:
            conn.settimeout(10)
            file = conn.makefile("rb")
            try:
                while size := file.read(2):
                    answer = self.answer(file.read(int.from_bytes(size, "big")))
                    if answer is None:
                        return
                    conn.sendall(len(answer).to_bytes(2, "big") + answer)
            except OSError:
                pass

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        kind = int.from_bytes(query[at + 1:at + 3], "big")
        name = ".".join(labels).lower()
        self.asked.append(name)
        records = self.records(name, kind)
        if records is None or isinstance(records, bytes):
            return records
        rcode = 0 if records else 3
        return (query[:2] + bytes([0x85, 0x80 | rcode]) + struct.pack(
            ">HHHH", 1, len(records), 0, 0) + query[12:at + 5]
            + b"".join(records))

    def records(self, name, kind):
        own = name.removeprefix("_dmarc.").split("._domainkey.")[-1]
        what = own.split(".")[0]
        if what == "silent":
            return None
        if what == "garbage":
            return os.urandom(100)
        if what == "loop":
            return [record(name, CNAME, wire_name("back." + own)),
                    record("back." + own, CNAME, wire_name(name))]
        if what == "chain":
            # Each name is an alias of a longer one, for ever.
            return [record(name, CNAME, wire_name("x." + name)
                           if len(name) < 200 else wire_name(name))]
        if what == "lie":
            return [record("victim.test", kind, txt("v=spf1 +all"))]
        if what == "huge":
            return [record(name, TXT, txt("v=spf1 " + "a " * 32000)[:65000])]
        if what == "many":
            # As many as 64 KiB hold, also under the longest name asked for.
            return [record(name, TXT, txt(f"v=spf1 ip4:192.0.2.{i % 200}"))
                    for i in range(1000)]
        if what == "bytes":
            return [record(name, TXT, txt(b"v=spf1 a:\0\xff%{l} -all")),
                    record(name, TXT, b"\xff")]
        if what.startswith("include"):
            n = int(what[7:] or 0)
            return [record(name, TXT, txt(
                f"v=spf1 include:include{n + 1}.evil.test "
                f"include:include{n + 2}.evil.test -all"))]
        if what == "bomb" and kind == TXT:
            return [record(name, TXT, txt(
                "v=spf1 " + "exists:%{l}%{d}%{d}%{d}%{i}%{h}.x.test " * 15))]
        if name == "victim.test" and kind == TXT:
            return [record(name, TXT, txt("v=spf1 -all"))]
        return []


KINDS = {"silent": "temperror", "garbage": "temperror", "loop": None,
         "chain": None, "lie": None, "huge": "permerror", "many": "permerror",
         "bytes": "permerror", "include": "permerror", "bomb": "permerror"}


@pytest.fixture
def evil():
    server = EvilDns()
    yield server
    server.stop()


@pytest.fixture
def server(postern, evil):
    return postern("p", users={BOB: "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{evil.port}",
        "smtpd_peername_lookup": "no", "smtpd_authentication_timeout": "4s",
        **VERIFY})


@pytest.mark.parametrize("what", KINDS)
def test_the_question_has_an_end(server, evil, what, tmp_path):
    domain = f"{what}.evil.test"
    (tmp_path / "m.eml").write_bytes(
        f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=sel; h=from; "
        "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
        f"From: x@{domain}\r\n\r\n".encode())
    got = json.loads(server.run(
        "authenticate", "--json", "--client", "192.0.2.1", "--helo", domain,
        "--from", f"{'a' * 60}@{domain}", str(tmp_path / "m.eml")).stdout)
    assert got["spf"]["result"] in ((KINDS[what],) if KINDS[what] else
                                    ("none", "temperror", "permerror")), got
    assert got["dmarc"]["result"] != "pass"
    assert all(d["result"] != "pass" for d in got["dkim"])
    # RFC 7208 4.6.4, for two names, and DMARC's eight.
    assert len(set(evil.asked)) < 80


def test_a_lie_poisons_nothing(server, evil):
    for domain in ("lie.evil.test", "victim.test"):
        got = json.loads(server.run(
            "authenticate", "--json", "--client", "192.0.2.1", "--helo",
            "x.test", "--from", f"a@{domain}").stdout)["spf"]
        assert got["result"] != "pass"


def test_mail_goes_on(server):
    server.start()
    s = Smtp(server.host, server.port["smtp"])
    kinds = [k for k in KINDS]
    for what in kinds:
        domain = f"{what}.evil.test"
        assert give(server, message(f"x@{domain}"), f"a@{domain}",
                    helo=domain, s=s)[0] == 250
    assert len(inbox(server)) == len(kinds)
    for mail in inbox(server):
        assert "=pass" not in fields(mail, "Authentication-Results")[0]
