# SPDX-License-Identifier: ISC
"""Which next hop is tried, in what order, and with which certificate."""

import ssl
import subprocess
import time

import pytest
from harness import Sink, fill_queue, free_port, make_certificate, wait_for
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


def test_no_mx_records(postern, dns):
    """smtp_dns_support_level = disabled: the host of that name."""
    sink = Sink("127.0.0.5", 0)
    ns = dns({"here.test": "@ MX 10 mx\n@ A 127.0.0.5\nmx A 127.0.0.9\n"})
    p = postern("p", users={ALICE: "pw"}, options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}",
        "smtp_dns_support_level": "disabled",
        "smtp_tcp_port": str(sink.port)}).start()
    p.send(ALICE, ["x@here.test"])
    wait_for("the mail", lambda: sink.mails)
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


def peers(sink):
    return [m["peer"] for m in sink.mails]


def test_source_addresses_by_weight(postern):
    """The same sender and next hop come from the same address; many senders
    from both, the heavier more often; with the name that belongs to it."""
    sink = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": hop(sink), "smtp_bind_address": "",
        "smtp_connection_cache_on_demand": "no",
        "smtp_source_addresses": "{127.0.0.21, weight=3, helo=three.test},"
                                 " {127.0.0.22, helo=one.test}"})
    p.start()
    p.stop()
    fill_queue(p, [(f"s{n}@a.test", "x@far.test") for n in range(80)] +
               [("same@a.test", "x@far.test")] * 20, due=0)
    p.start(add_users=False)
    wait_for("all", lambda: len(sink.mails) == 100, 60)
    names = {c.split()[1] for c in sink.commands if c.startswith("EHLO")}
    assert names == {"three.test", "one.test"}
    three = peers(sink).count("127.0.0.21")
    assert 40 < three < 95 and set(peers(sink)) == {"127.0.0.21", "127.0.0.22"}
    sink.mails.clear()
    p.stop()
    fill_queue(p, [("same@a.test", "x@far.test")] * 20, due=0)
    p.start(add_users=False)
    wait_for("the same", lambda: len(sink.mails) == 20)
    assert len(set(peers(sink))) == 1
    sink.stop()


def test_a_new_address_warms_up(postern):
    """It carries what its schedule says for the day, over a restart too; the
    known one carries the rest."""
    sink = Sink("127.0.0.5", 0)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": hop(sink), "smtp_bind_address": "",
        "smtp_connection_cache_on_demand": "no",
        "smtp_source_warmup": "7, 100",
        "smtp_source_addresses":
        "127.0.0.21, {127.0.0.22, weight=1000, warmup=%s}" % today})
    p.start()
    p.stop()
    for round_ in range(2):
        fill_queue(p, [(f"s{n}@a.test", "x@far.test") for n in range(30)],
                   due=0)
        p.start(add_users=False)
        wait_for("all", lambda: len(sink.mails) == 30 * (round_ + 1), 60)
        assert peers(sink).count("127.0.0.22") == 7
        assert p.stop() == 0
    sink.stop()


def test_check_knows_source_addresses(postern):
    p = postern("p", options={"smtp_source_addresses": "127.0.0.21, {mail}"})
    r = p.run("check", check=False)
    assert r.returncode != 0 and '"{mail}"' in r.stderr
    p.options["smtp_source_addresses"] = "{127.0.0.21, warmup=2026-01-01}"
    p.write_config()
    assert "warming up" in p.run("check").stderr


def test_bind_address_acts_in_the_sandbox(postern):
    sink = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": hop(sink), "smtp_bind_address": "127.0.0.23",
        "smtp_bind_address_enforce": "yes"}).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: peers(sink) == ["127.0.0.23"])
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.stop()
