# SPDX-License-Identifier: ISC
"""Which next hop is tried, in what order, and with which certificate."""

import ssl
import subprocess

import pytest
from harness import Sink, free_port, make_certificate, wait_for
from test_sender import ALICE, TlsSink

BOB = "bob@example.test"


def hop(sink):
    return f"[127.0.0.5]:{sink.port}"


def dead():
    return f"[127.0.0.5]:{free_port(('127.0.0.5',))}"


def test_relayhosts_in_order(postern):
    sink = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": f"{dead()}, {dead()} {hop(sink)}"}).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert p.log().count("attempt failed") == 2
    sink.stop()


def test_second_relayhost_is_not_asked_behind_a_refusal(postern):
    first = Sink("127.0.0.5", 0, replies={"RCPT": "550 5.7.1 not you"})
    second = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": f"{hop(first)} {hop(second)}"}).start()
    p.send(ALICE, ["x@far.example"])
    # The bounce is local: only the first was asked for the mail.
    wait_for("an empty queue", lambda: p.queue() == [])
    assert second.commands == [] and first.mails == []
    for s in (first, second):
        s.stop()


def test_fallback_relay(postern, dns):
    sink = Sink("127.0.0.5", 0)
    ns = dns({"down.test": "@ MX 10 mx\nmx A 127.0.0.9\n",
              "null.test": "@ MX 0 .\n", "none.test": "@ TXT nothing\n"})
    p = postern("p", users={ALICE: "pw"}, options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}",
        "smtp_fallback_relay": hop(sink),
        "smtp_tcp_port": str(free_port(("127.0.0.9",)))}).start()
    p.send(ALICE, ["x@down.test"])
    wait_for("the one that is down", lambda: len(sink.mails) == 1)
    p.send(ALICE, ["x@none.test"])
    wait_for("the one without a host", lambda: len(sink.mails) == 2)
    # RFC 7505: a null MX means what it says.
    p.send(ALICE, ["x@null.test"])
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 2
    sink.stop()


def test_transport_and_relayhost_by_sender(postern, tmp_path):
    mine, others = Sink("127.0.0.5", 0), Sink("127.0.0.5", 0)
    table = tmp_path / "transports"
    table.write_text(f"{ALICE} smtp:{hop(mine)}\n{BOB} DUNNO\n")
    p = postern("p", users={ALICE: "pw", BOB: "pw"}, options={
        "relayhost": hop(others),
        "sender_dependent_default_transport_maps": f"texthash:{table}"}
    ).start()
    p.send(ALICE, ["x@far.example"])
    p.send(BOB, ["y@far.example"])
    wait_for("alice's", lambda: mine.mails)
    wait_for("bob's", lambda: others.mails)
    assert [m["rcpts"] for m in mine.mails + others.mails] == [
        ["x@far.example"], ["y@far.example"]]
    for s in (mine, others):
        s.stop()


def test_lmtp_under_another_name(postern, tmp_path):
    sink = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "pw"}, options={
        "default_transport": f"dovecot:inet:127.0.0.5:{sink.port}"})
    with open(p.dir / "master.cf", "a") as f:
        f.write("dovecot unix - - n - - lmtp\n")
    p.start()
    p.send(ALICE, ["x@far.example"])
    wait_for("LHLO", lambda: any(c.startswith("LHLO") for c in sink.commands))
    sink.stop()


class AskingSink(TlsSink):
    """Demands a certificate, and keeps the name in it."""

    def __init__(self, chain, authority):
        self.names = []
        super().__init__(chain)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(authority)
        wrap = self.context.wrap_socket

        def wrapped(*args, **kw):
            tls = wrap(*args, **kw)
            self.names.append(dict(x[0] for x in
                                   tls.getpeercert()["subject"]))
            return tls
        self.context = type("Context", (), {
            "wrap_socket": staticmethod(wrapped)})


def test_client_certificate(postern, tmp_path):
    (tmp_path / "own").mkdir()
    chain, _ = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    own, authority = make_certificate(
        tmp_path / "own", ["mail.example.test"], [])
    sink = AskingSink(chain, authority)
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": hop(sink), "smtp_tls_security_level": "encrypt",
        "smtp_tls_chain_files": str(own)}).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    subject = subprocess.run(
        ["openssl", "x509", "-in", authority, "-noout", "-subject"],
        capture_output=True, text=True, check=True).stdout
    assert list(sink.names[0].values())[0] in subject
    p.stop()
    p.options["smtp_tls_chain_files"] = str(tmp_path / "missing.pem")
    p.write_config()
    r = p.run("check", check=False)
    assert r.returncode != 0 and "missing.pem" in r.stdout + r.stderr
    sink.stop()


SRV_ZONE = """@ MX 10 mx
mx A 127.0.0.9
one A 127.0.0.5
two A 127.0.0.6
"""


@pytest.mark.parametrize("records, settings, want", [
    # By priority, with the ports of the records.
    ("_submission._tcp SRV 10 0 {down} one\n"
     "_submission._tcp SRV 20 0 {two} two\n", {}, "sent"),
    ("_submission._tcp SRV 0 0 0 .\n", {}, "service submission is not there"),
    ("", {}, "no SRV record"),
    ("", {"allow_srv_lookup_fallback": "yes"}, "connect"),
    # Only what is listed, and nothing in brackets.
    ("_submission._tcp SRV 0 0 {two} two\n", {"use_srv_lookup": ""},
     "connect"),
    ("_submission._tcp SRV 0 0 {two} two\n",
     {"relayhost": "[one.far.test]:submission"}, "connect")])
def test_srv_where_it_is_configured(postern, dns, records, settings, want):
    two = Sink("127.0.0.6", 0)
    down = free_port(("127.0.0.5",))
    d = dns({"far.test": SRV_ZONE + records.format(two=two.port, down=down)})
    p = postern("relay", users={ALICE: "pw"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "relayhost": "far.test:submission", "use_srv_lookup": "submission",
        "minimal_backoff_time": "600s", "smtp_bind_address": "", **settings})
    p.start()
    p.send(ALICE, ["x@there.test"])
    if want == "sent":
        wait_for("the mail", lambda: two.mails)
        wait_for("an empty queue", lambda: p.queue() == [])
    else:
        wait_for(want, lambda: want in p.log())
        assert two.mails == []
        p.run("queue", "delete", "ALL")
    two.stop()
