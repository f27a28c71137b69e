# SPDX-License-Identifier: ISC
"""lmtp_x for lmtp transports, smtp_x for the others; and what a transport of
master.cf has to itself."""

import base64

import pytest

from harness import Sink, Smtp, free_port, wait_for
from test_sender import ALICE
from test_smtpd import inbox


class LmtpSink(Sink):
    """Takes LHLO, and notes the text of each mail once for all recipients."""

    def _answer(self, conn, verb, default):
        if verb == "LHLO":
            conn.sendall(b"250-sink\r\n250 PIPELINING\r\n")
            return "250"
        return super()._answer(conn, verb, default)


@pytest.fixture
def world(postern, tmp_path):
    made = []

    def make(master="", extra="", **options):
        lmtp, smtp = LmtpSink("127.0.0.5", 0), Sink("127.0.0.5", 0)
        made.extend([lmtp, smtp])
        transport = tmp_path / "transport"
        transport.write_text(f"lmtp.example lmtp:[127.0.0.5]:{lmtp.port}\n"
                             f"own.example own:[127.0.0.5]:{lmtp.port}\n")
        p = postern("p", users={ALICE: "a"}, options={
            "relayhost": f"[127.0.0.5]:{smtp.port}",
            "transport_maps": f"texthash:{transport}", **options},
            master_extra=master, extra=extra)
        return p, lmtp, smtp
    yield make
    for s in made:
        s.stop()


def test_each_has_its_own(world, tmp_path):
    (tmp_path / "l").write_text("/^Subject:/ REPLACE Subject: by lmtp\n")
    (tmp_path / "s").write_text("/^Subject:/ REPLACE Subject: by smtp\n")
    p, lmtp, smtp = world(
        lmtp_header_checks=f"regexp:{tmp_path}/l",
        smtp_header_checks=f"regexp:{tmp_path}/s",
        lmtp_lhlo_name="lmtp.name.test", smtp_helo_name="smtp.name.test")
    assert "does not act" not in p.run("check", check=False).stderr
    p.start()
    p.send(ALICE, ["x@lmtp.example"])
    p.send(ALICE, ["x@smtp.example"])
    wait_for("both", lambda: lmtp.mails and smtp.mails)
    assert b"Subject: by lmtp" in lmtp.mails[0]["data"]
    assert b"Subject: by smtp" in smtp.mails[0]["data"]
    assert "LHLO lmtp.name.test" in lmtp.commands
    assert "EHLO smtp.name.test" in smtp.commands


@pytest.mark.parametrize("final", ["yes", "no"])
def test_who_has_no_dsn_may_be_the_last(world, final):
    p, lmtp, smtp = world(lmtp_assume_final=final)
    p.start()
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO c.example", 250)
    s.expect("AUTH PLAIN " + base64.b64encode(
        f"\0{ALICE}\0a".encode()).decode(), 235)
    for to in ("x@lmtp.example", "x@smtp.example"):
        s.expect(f"MAIL FROM:<{ALICE}>", 250)
        s.expect(f"RCPT TO:<{to}> NOTIFY=SUCCESS", 250)
        s.expect("DATA", 354)
        s.send(b"Subject: s\r\n\r\nhello\r\n")
        s.expect(".", 250)
    s.close()
    reports = wait_for("both reports", lambda: len(inbox(p, ALICE)) == 2
                       and inbox(p, ALICE))
    said = {name: action for mail in reports for name in (b"lmtp", b"smtp")
            for action in (b"delivered", b"relayed")
            if b"x@" + name in mail and b"Action: " + action in mail}
    assert said == {b"lmtp": b"delivered" if final == "yes" else b"relayed",
                    b"smtp": b"relayed"}


def test_what_is_set_for_smtp_is_not_meant_for_lmtp(world):
    """smtp wants TLS that nobody has here, lmtp does not."""
    p, lmtp, smtp = world(smtp_tls_security_level="encrypt")
    p.start()
    p.send(ALICE, ["x@lmtp.example"])
    p.send(ALICE, ["x@smtp.example"])
    wait_for("the one", lambda: lmtp.mails)
    wait_for("the other", lambda: "does not offer STARTTLS" in p.log())
    assert smtp.mails == []


def test_and_the_other_way_round(world):
    p, lmtp, smtp = world(lmtp_tls_security_level="encrypt")
    p.start()
    p.send(ALICE, ["x@smtp.example"])
    p.send(ALICE, ["x@lmtp.example"])
    wait_for("the one", lambda: smtp.mails)
    wait_for("the other", lambda: "does not offer STARTTLS" in p.log())
    assert lmtp.mails == []


@pytest.mark.parametrize("name", ["lmtp_lhlo_name", "smtp_helo_name"])
def test_of_one_transport(world, name):
    p, lmtp, smtp = world(master=f"own unix - - n - - lmtp -o {name}=own.name.test\n",
                          lmtp_lhlo_name="all.name.test")
    p.start()
    p.send(ALICE, ["x@own.example"])
    p.send(ALICE, ["x@lmtp.example"])
    wait_for("both", lambda: len(lmtp.mails) == 2)
    assert "LHLO own.name.test" in lmtp.commands
    assert "LHLO all.name.test" in lmtp.commands


def test_a_transport_prefers_its_own_family(postern, dns):
    """-o smtp_address_preference and -o inet_protocols of one transport."""
    port = free_port(("127.0.0.5",))
    sink = Sink("127.0.0.5", port)
    ns = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5\nmx AAAA ::9\n"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}", "inet_protocols": "all",
        "smtp_address_preference": "ipv6", "smtp_tcp_port": str(free_port()),
        "default_transport": "four"},
        master_extra=f"four unix - - n - - smtp -o inet_protocols=ipv4 "
                     f"-o smtp_tcp_port={port}\n").start()
    p.send(ALICE, ["x@a.test"])
    wait_for("the mail", lambda: sink.mails)
    assert "::9" not in p.log()
    sink.stop()
