# SPDX-License-Identifier: ISC
"""Destinations and sites: how many deliveries at a time, learned from what
the servers say; the selections of postern queue."""

import datetime
import json
import threading

import pytest

from harness import Sink, free_port, wait_for
from test_sender import ALICE
from test_smtpd import inbox
from test_tls_policy import nexthop


class Counting(Sink):
    """Knows how many mails it is given at a time."""

    def __init__(self, port=0, **kw):
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.gate = threading.Event()
        super().__init__("127.0.0.5", port, **kw)

    def _answer(self, conn, verb, default):
        if verb == "MAIL":
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.gate.wait(20)
        reply = super()._answer(conn, verb, default)
        if verb == "." or (verb == "MAIL" and not str(reply).startswith("2")):
            with self.lock:
                self.now -= 1
        return reply


def sites(p):
    out = p.run("queue", "sites", "--json").stdout
    return [json.loads(line) for line in out.splitlines()]


def submit(p, n, to="x{}@far.example"):
    for i in range(n):
        p.send(ALICE, [to.format(i)])


def test_the_window_opens_with_success(postern):
    """At first initial_destination_concurrency, then more, never above the
    limit of the transport."""
    sink = Counting()
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": nexthop(sink), "initial_destination_concurrency": "2",
        "smtp_destination_concurrency_limit": "4"}).start()
    submit(p, 8)
    wait_for("two at work", lambda: sink.now == 2)
    site, = sites(p)
    assert (site["in_flight"], site["window"], site["limit"]) == (2, 2, 4)
    assert site["waiting"] == 6
    sink.gate.set()
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 8 and sink.most <= 4
    site, = sites(p)
    assert site["window"] == 4 and site["good"] == 8
    sink.stop()


def test_trouble_closes_the_window(postern):
    sink = Counting(replies={"MAIL": "421 4.7.0 too fast"})
    sink.gate.set()
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": nexthop(sink), "initial_destination_concurrency": "8",
        "minimal_backoff_time": "600s"}).start()
    submit(p, 4)
    wait_for("deferrals", lambda: all(
        m["recipients"][0]["attempts"] for m in p.queue()))
    site, = sites(p)
    assert site["window"] == 1 and site["bad"] == 4
    assert "too fast" in site["last"]
    assert "too fast" in p.run("queue", "sites").stdout
    sink.stop()


def test_a_site_that_is_down_is_asked_by_one(postern):
    port = free_port(("127.0.0.5",))
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{port}",
        "default_destination_concurrency_limit": "1"}).start()
    submit(p, 6)
    wait_for("a closed site", lambda: sites(p)[0]["closed_until"])
    tried = [m["recipients"][0]["attempts"] for m in p.queue()]
    assert sum(tried) == 1
    sink = Sink("127.0.0.5", port)
    p.run("queue", "flush")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert sites(p)[0]["closed_until"] is None
    sink.stop()


def test_domains_of_one_provider_are_one_site(postern, dns):
    sink = Counting()
    zone = "@ MX 10 mx.p.test.\n"
    d = dns({"a.test": zone, "b.test": zone, "p.test": "mx A 127.0.0.5"})
    p = postern("relay", users={ALICE: "pw"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtp_tcp_port": str(sink.port)}).start()
    sink.gate.set()
    for domain in ("a.test", "b.test"):
        p.send(ALICE, [f"x@{domain}"])
    wait_for("an empty queue", lambda: p.queue() == [])
    site, = sites(p)
    assert site["site"] == "smtp mx.p.test"
    assert sorted(site["destinations"]) == ["a.test", "b.test"]
    assert site["good"] == 2
    sink.stop()


def test_limits_of_a_transport(postern):
    """NAME_destination_recipient_limit and _rate_delay of a transport of
    one's own; check knows them."""
    sink = Sink("127.0.0.5", 0)
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": nexthop(sink), "default_transport": "slow",
        "slow_destination_recipient_limit": "2",
        "slow_destination_rate_delay": "1s"},
        master_extra="slow unix - - n - - smtp\n")
    assert "slow_" not in p.run("check").stderr
    p.start()
    p.send(ALICE, [f"x{i}@far.example" for i in range(5)])
    wait_for("all", lambda: p.queue() == [])
    assert sorted(len(m["rcpts"]) for m in sink.mails) == [1, 2, 2]
    sink.stop()


def test_the_rate_of_a_transport(postern):
    """NAME_transport_rate_delay: one delivery each so often, wherever to;
    other transports do not wait."""
    sinks = [Sink(f"127.0.0.{i}", 0) for i in range(5, 9)]
    p = postern("relay", users={ALICE: "pw"}, options={
        "slow_transport_rate_delay": "2s", "transport_maps":
        "inline:{%s}" % ", ".join(
            f"{{d{i}.test = {'slow' if i < 3 else 'fast'}:"
            f"[127.0.0.{5 + i}]:{sink.port}}}"
            for i, sink in enumerate(sinks))},
        master_extra="slow unix - - n - - smtp\nfast unix - - n - - smtp\n")
    assert "slow_" not in p.run("check").stderr
    p.start()
    p.send(ALICE, [f"x@d{i}.test" for i in range(4)])
    wait_for("all", lambda: p.queue() == [])
    at = {}
    for line in p.log().splitlines():
        if "status=sent" in line:
            at[line.split(" to=x@d")[1][0]] = datetime.datetime.fromisoformat(
                line.split()[0][:-1])
    slow = sorted(at[i] for i in "012")
    # The clock of the scheduler has seconds.
    assert all((b - a).total_seconds() > 1 for a, b in zip(slow, slow[1:]))
    assert at["3"] < slow[1]
    for sink in sinks:
        sink.stop()


# ---- selections ----

def test_selections(postern):
    sink = Sink("127.0.0.5", 0, replies={
        "RCPT": "451 4.2.1 Mailbox busy", "RCPT z@c.example": "452 4.2.2 full"})
    p = postern("relay", users={ALICE: "pw", "eve@example.test": "e"},
                options={"relayhost": nexthop(sink),
                         "minimal_backoff_time": "600s"}).start()
    p.send(ALICE, ["x@a.example"])
    p.send(ALICE, ["y@b.example"])
    p.send("eve@example.test", ["z@c.example"])
    wait_for("deferrals", lambda: all(
        m["recipients"][0]["attempts"] for m in p.queue()))

    def ids(*args):
        out = p.run("queue", "list", "--json", *args).stdout
        return [json.loads(line)["recipients"][0]["address"]
                for line in out.splitlines()]

    assert ids("--sender", ALICE) == ["x@a.example", "y@b.example"]
    assert ids("--sender", "@example.test", "--recipient", "@b.example") == [
        "y@b.example"]
    assert ids("--reason", "mailbox BUSY") == ["x@a.example", "y@b.example"]
    assert ids("--older-than", "1h") == []
    assert ids("--recipient", "Z@c.example") == ["z@c.example"]
    assert p.run("queue", "hold", "--sender", ALICE).stdout == "2 held\n"
    assert sorted(m["state"] for m in p.queue()) == ["deferred", "hold",
                                                     "hold"]
    assert p.run("queue", "delete", "--reason", "full").stdout == \
        "1 deleted\n"
    assert "Nothing" in p.run("queue", "list", "--reason", "full").stdout
    for bad in (["list", "--foo", "x"], ["show"], ["sites", "--sender", "x"],
                ["delete"], ["hold", "ID", "--sender", "x"],
                ["list", "--older-than", "soon"]):
        assert p.run("queue", *bad, check=False).returncode == 64, bad
    sink.stop()


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("soft", ["no", "yes"])
def test_expire_gives_up_and_tells_the_sender(postern, held, soft):
    """What was delivered stays delivered; the rest gets its report at once."""
    sink = Sink("127.0.0.5", 0, replies={"RCPT late@far.example": "450 4.2.0 later"})
    p = postern("exp", users={ALICE: "a"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}", "soft_bounce": soft,
        "minimal_backoff_time": "1h", "maximal_backoff_time": "1h"}).start()
    p.send(ALICE, ["now@far.example", "late@far.example"])
    wait_for("the first try", lambda: sink.mails and any(
        r["attempts"] for r in p.queue()[0]["recipients"]))
    if held:
        p.run("queue", "hold", "ALL")
    assert p.run("queue", "expire", "--recipient", "late@far.example"
                 ).stdout == "1 given up\n"
    wait_for("the report", lambda: inbox(p, ALICE))
    wait_for("an empty queue", lambda: p.queue() == [])
    report, = inbox(p, ALICE)
    assert b"given up by the administrator" in report
    assert b"Status: 5.4.7" in report and b"late@far.example" in report
    assert b"now@far.example" not in report.partition(b"message/delivery-status")[2
        ].partition(b"message/rfc822")[0]
    assert "5.4.7" in p.run("why", "late@far.example").stdout
    sink.stop()
