# SPDX-License-Identifier: ISC
"""The rules that the large receivers publish, applied by an independent one to
all that leaves us: user mail, bulk mail, a bounce, a forward, a report."""

import base64
import json
import os
import re
import ssl
import subprocess

import pytest

from harness import ROOT, Sink, Smtp, free_port, make_certificate, wait_for, zone_text
from test_authentication import VERIFY
from test_dkim import Key, signed
from test_smtpd import logged_in

ALICE, FAR = "alice@me.test", "x@far.example"
HOST = "mx.me.test"


class TlsOnly(Sink):
    """Takes mail behind STARTTLS only; notes HELO with each."""

    def __init__(self, directory):
        chain, _ = make_certificate(directory, ["sink"], ["127.0.0.5"])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)
        super().__init__("127.0.0.5", 0, replies={
            "GREETING": b"", "RCPT gone@far.example": "550 5.1.1 gone"},
            ehlo=("8BITMIME",))

    def _serve(self, conn):
        try:
            conn.sendall(b"220 sink\r\n")
            for raw in conn.makefile("rb"):
                if raw.startswith(b"EHLO"):
                    conn.sendall(b"250-sink\r\n250 STARTTLS\r\n")
                elif raw.startswith(b"STARTTLS"):
                    conn.sendall(b"220 go\r\n")
                    break
                else:
                    conn.sendall(b"530 5.7.0 STARTTLS first\r\n")
            super()._serve(self.context.wrap_socket(conn, server_side=True))
        except OSError:
            pass


def test_the_receivers_take_it_all(postern, dns, tmp_path):
    if subprocess.run(["/usr/bin/python3", "-c", "import dkim, nacl, spf"],
                      capture_output=True).returncode:
        pytest.skip("dkimpy and pyspf are not installed")
    (tmp_path / "tls").mkdir()
    sink = TlsOnly(tmp_path / "tls")
    author = Key(tmp_path)
    port = free_port()
    (tmp_path / "virtual").write_text("fwd@me.test x@far.example\nlost@me.test gone@far.example\n")
    p = postern("rules", name=HOST, users={ALICE: "a"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "virtual_alias_maps": f"texthash:{tmp_path}/virtual",
        "dns_resolvers": f"[127.0.0.1]:{port}",
        "dmarc_report_interval": "2s", **VERIFY})
    zone = [("me.test", "MX", [10, HOST]), (HOST, "A", "127.0.0.1"),
            ("127.0.0.1", "PTR", HOST),
            ("author.test", "TXT", "v=spf1 ip4:127.0.0.1 -all"),
            ("sel._domainkey.author.test", "TXT", author.record()),
            ("_dmarc.author.test", "TXT",
             "v=DMARC1; p=reject; rua=mailto:rua@author.test")]
    p.run("dkim", "generate", "me.test")
    # What `postern dns` says is what the receivers want.
    for line in p.run("dns", "me.test").stdout.splitlines():
        found = re.match(r'(\S+)\. 3600 IN TXT (".*")$', line)
        if found:
            zone.append((found[1], "TXT",
                         "".join(re.findall('"([^"]*)"', found[2]))))
    dns({"test": "\n".join(
        f"{name}. {kind} " + (f"{value[0]} {value[1]}." if kind == "MX" else
                              zone_text(value) if kind == "TXT" else value)
        for name, kind, value in zone if kind != "PTR")}, port=port)
    p.start()
    mails = []

    def took(what, marker, bulk=False):
        wait_for(what, lambda: any(marker in m["data"] for m in sink.mails))
        m, = [m for m in sink.mails if marker in m["data"]][:1]
        mails.append({
            "what": what, "client": "127.0.0.1", "bulk": bulk, "tls": True,
            "helo": [c for c in sink.commands
                     if c.startswith("EHLO")][-1].split()[1],
            "from": re.search("<(.*?)>", m["from"]).group(1),
            "data": base64.b64encode(m["data"].replace(
                b"\r\n..", b"\r\n.")).decode()})

    # A message as small as a client may send it.
    def submit(*fields, rcpt=FAR):
        s = logged_in(p, ALICE)
        s.expect(f"MAIL FROM:<{ALICE}>", 250)
        s.expect(f"RCPT TO:<{rcpt}>", 250)
        s.expect("DATA", 354)
        s.send("".join(f + "\r\n" for f in fields) + "\r\nhello\r\n.\r\n")
        assert s.reply()[0] == 250

    submit(f"From: {ALICE}", "Subject: x")
    took("user mail", b"Subject: x\r\n")
    submit(f"From: {ALICE}", "Subject: news", "List-Id: <n.me.test>",
           "List-Unsubscribe: <https://me.test/u>",
           "List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    took("bulk mail", b"Subject: news", bulk=True)
    # Somebody else's mail to an alias of ours, and to one that leads nowhere.
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.1")
    s.expect("EHLO mx.author.test", 250)
    for alias in ("fwd", "lost"):
        s.expect("MAIL FROM:<joe@author.test>", 250)
        s.expect(f"RCPT TO:<{alias}@me.test>", 250)
        s.expect("DATA", 354)
        s.send(signed(author, d="author.test", names=("from", "subject"), head=[
            (b"From", b" joe@author.test"), (b"Subject", b" for an alias"),
            (b"Date", b" Thu, 26 Nov 2026 08:00:00 +0000"),
            (b"Message-ID", b" <1@author.test>")]) + b".\r\n")
        assert s.reply()[0] == 250
    s.close()
    # As vacation(1) answers: by sendmail, with the null sender.
    (tmp_path / "sendmail").symlink_to(p.binary)
    subprocess.run(
        [tmp_path / "sendmail", "-f", "<>", FAR], check=True, text=True,
        env={**os.environ, "MAIL_CONFIG": str(p.dir)}, input=(
            "From: alice@me.test\nTo: x@far.example\nSubject: away\n"
            "Auto-Submitted: auto-replied\n\nback soon\n"))
    took("a vacation reply", b"Subject: away")
    took("a forward", b"ARC-Seal:")
    took("a bounce", b"multipart/report")
    took("a report", b"Report Domain: author.test")
    answer = subprocess.run(
        ["/usr/bin/python3", ROOT / "tests/system/strict_receiver.py"],
        input=json.dumps({"zone": zone, "mails": mails}), text=True,
        capture_output=True, check=True).stdout
    assert answer == ""
    # It is a judge that can say no.
    spoilt = [{**m, "data": base64.b64encode(base64.b64decode(
        m["data"]).replace(b"DKIM-Signature", b"X-Signature")).decode(),
        "client": "127.0.0.77"} for m in mails]
    answer = subprocess.run(
        ["/usr/bin/python3", ROOT / "tests/system/strict_receiver.py"],
        input=json.dumps({"zone": zone, "mails": spoilt}), text=True,
        capture_output=True, check=True).stdout
    assert all(f"{m['what']} 5.7.30" in answer for m in mails)
    assert all(f"{m['what']} 5.7.25" in answer for m in mails)
    sink.stop()
