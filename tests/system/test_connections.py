# SPDX-License-Identifier: ISC
"""One connection carries many mails; one that has gone harms nobody."""

import pytest

from harness import Sink, make_certificate, wait_for
from test_sender import ALICE, TlsSink
from test_smtpd import BOB
from test_tls_policy import nexthop


class Leaver(Sink):
    """Ends the connection after each mail: at once, or with its next word."""

    def __init__(self, how):
        self.how = how
        super().__init__("127.0.0.5", 0)

    def _answer(self, conn, verb, default):
        if verb == "MAIL" and self.how == "421" and \
                self.commands[-2].startswith("DATA"):
            conn.sendall(b"421 4.7.0 one mail is enough\r\n")
            conn.close()
            return "421"
        reply = super()._answer(conn, verb, default)
        if verb == "." and self.how == "close":
            conn.shutdown(2)
        return reply


def waiting(postern, sink, n=12, senders=(ALICE,), line="", **options):
    """A server with n mails that wait for the sink; line: of master.cf."""
    p = postern("relay", users={a: "pw" for a in senders}, master_extra=line,
                options={
        "relayhost": nexthop(sink), "minimal_backoff_time": "600s",
        "maximal_backoff_time": "600s", "sender_processes": "1",
        "default_destination_concurrency_limit": "1", **options}).start()
    sink.replies["MAIL"] = "451 4.3.0 later"
    for i in range(n):
        p.send(senders[i % len(senders)], [f"x{i}@far.example"])
    wait_for("deferrals", lambda: all(
        m["recipients"][0]["attempts"] for m in p.queue()))
    del sink.replies["MAIL"]
    sink.commands.clear()
    p.run("queue", "flush")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == n
    return p


def greetings(sink):
    return sum(c.startswith("EHLO") for c in sink.commands)


def test_one_connection_for_many(postern):
    sink = Sink("127.0.0.5", 0)
    p = waiting(postern, sink)
    # The last one closes; a race of the first ones may open another.
    assert greetings(sink) <= 3
    assert "connection_use=10" in p.log()
    wait_for("QUIT", lambda: "QUIT" in sink.commands)
    assert {m["rcpts"][0] for m in sink.mails} == {
        f"x{i}@far.example" for i in range(12)}
    sink.stop()


@pytest.mark.parametrize("options", [
    {"smtp_connection_cache_on_demand": "no"},
    {"smtp_connection_reuse_count_limit": "1"},
    {"smtp_connection_reuse_time_limit": "0s"}])
def test_limits_of_a_connection(postern, options):
    sink = Sink("127.0.0.5", 0)
    waiting(postern, sink, 4, **options)
    assert greetings(sink) == 4
    sink.stop()


FOR_LONG = {"smtp_connection_cache_time_limit": "600s",
            "connection_cache_ttl_limit": "600s"}


@pytest.mark.parametrize("line, options", [
    ("", {"smtp_connection_cache_time_limit": "1s"}),
    ("", FOR_LONG | {"connection_cache_ttl_limit": "1s"}),
    ("smtp unix - - n - - smtp -o smtp_connection_cache_time_limit=1s\n",
     FOR_LONG)])
def test_an_idle_connection_is_closed(postern, line, options):
    """Each sender has connections of its own, so one is left that nobody
    takes."""
    sink = Sink("127.0.0.5", 0)
    waiting(postern, sink, 3, (ALICE, BOB), line,
            smtp_sender_dependent_authentication="yes", **options)
    wait_for("QUIT", lambda: sink.commands.count("QUIT") == greetings(sink))
    sink.stop()


@pytest.mark.parametrize("how", ["close", "421"])
def test_a_server_that_leaves(postern, how):
    """No mail is tried later, or twice, because an old connection died."""
    sink = Leaver(how)
    p = waiting(postern, sink, 6)
    later = p.log().split("operation=flush")[-1]
    assert p.log().count("status=deferred") == 6, later
    sink.stop()


def test_under_tls(postern, tmp_path):
    chain, ca = make_certificate(tmp_path, ["sink"], ["127.0.0.5"])
    sink = TlsSink(chain)
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": nexthop(sink), "smtp_tls_CAfile": str(ca),
        "smtp_tls_security_level": "verify", "sender_processes": "1",
        "default_destination_concurrency_limit": "1"}).start()
    for i in range(8):
        p.send(ALICE, [f"x{i}@far.example"])
    wait_for("the mails", lambda: len(sink.mails) == 8 and p.queue() == [])
    sent = [line for line in p.log().splitlines() if ": sent " in line]
    assert len(sent) == 8 and all("verified=yes" in line for line in sent)
    sink.stop()


def test_a_refusal_leaves_no_transaction(postern):
    """Behind a refused mail the next one begins anew."""
    sink = Sink("127.0.0.5", 0, replies={
        "RCPT x1@far.example": "550 5.1.1 no",
        "RCPT x2@far.example": "451 4.2.0 later"})
    p = postern("relay", users={ALICE: "pw"}, options={
        "relayhost": nexthop(sink), "sender_processes": "1",
        "default_destination_concurrency_limit": "1"}).start()
    for i in range(5):
        p.send(ALICE, [f"x{i}@far.example"])
    wait_for("the mails", lambda: {m["rcpts"][0] for m in sink.mails} >= {
        "x0@far.example", "x3@far.example", "x4@far.example"})
    assert all(len(m["rcpts"]) == 1 for m in sink.mails)
    sink.stop()
