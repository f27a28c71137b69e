# SPDX-License-Identifier: ISC
"""postern queue: what a selection means, and what becomes of what is chosen."""
import json
import threading

import pytest
from harness import Sink, fill_queue, wait_for
from test_queue_scale import instance

ALICE = "alice@example.test"


def ids(p, *args):
    out = p.run("queue", "list", "--json", *args).stdout
    return sorted(json.loads(line)["recipients"][0]["address"]
                  for line in out.splitlines())


def test_by_site(postern, dns):
    """The next hop as routed, and a mail exchanger once it is known."""
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "450 4.3.0 not now"})
    d = dns({"a.test": "@ MX 10 mx.p.test.\n", "b.test": "@ MX 10 mx.p.test.\n",
             "c.test": "@ MX 10 mx.q.test.\n", "p.test": "mx A 127.0.0.5",
             "q.test": "mx A 127.0.0.5"})
    p = instance(postern, dns_resolvers=f"[127.0.0.1]:{d.port}",
                 smtp_tcp_port=str(sink.port),
                 transport_maps="inline:{d.test=smtp:[127.0.0.5]}")
    fill_queue(p, [(ALICE, f"x@{n}.test") for n in "abcd"], due=0)
    p.start(add_users=False)
    wait_for("a try of each", lambda: p.log().count("status=deferred") == 4)
    assert ids(p, "--site", "mx.p.test") == ["x@a.test", "x@b.test"]
    assert ids(p, "--site", "MX.Q.test") == ["x@c.test"]
    assert ids(p, "--site", "c.test") == ["x@c.test"]
    assert ids(p, "--site", "[127.0.0.5]") == ["x@d.test"]
    assert ids(p, "--site", "p.test") == []
    assert ids(p, "--site", "mx.p.test", "--recipient", "@b.test") == [
        "x@b.test"]
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_requeue_looks_the_aliases_up_again(postern, tmp_path):
    """As if it had just come, by the aliases of today: also what is held."""
    sink = Sink("127.0.0.5", 0)
    aliases = tmp_path / "aliases"
    aliases.write_text("team@far.test two@far.test, three@far.test\n")
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}",
                 virtual_alias_maps=f"texthash:{aliases}")
    fill_queue(p, [(ALICE, "team@far.test"), (ALICE, "other@far.test")])
    p.start(add_users=False)
    assert p.run("queue", "hold", "--recipient", "team@far.test").stdout == \
        "1 held\n"
    assert p.run("queue", "requeue", "--recipient", "team@far.test"
                 ).stdout == "1 requeued\n"
    wait_for("the mail", lambda: sink.mails)
    assert sorted(sink.mails[0]["rcpts"]) == ["three@far.test", "two@far.test"]
    wait_for("the rest", lambda: ids(p) == ["other@far.test"])
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_reroute_goes_another_way(postern):
    """Whatever the tables say; the recipients stay."""
    one, two = (Sink("127.0.0.5", 0, replies={"MAIL": "450 4.3.0 no"}),
                Sink("127.0.0.6", 0))
    p = instance(postern, relayhost=f"[127.0.0.5]:{one.port}")
    fill_queue(p, [(ALICE, "x@far.test"), (ALICE, "y@far.test")], due=0)
    p.start(add_users=False)
    wait_for("both tries", lambda: p.log().count("status=deferred") == 2)
    assert p.run("queue", "reroute", "--recipient", "x@far.test", "--via",
                 f"smtp:[127.0.0.6]:{two.port}").stdout == "1 rerouted\n"
    wait_for("the mail", lambda: two.mails)
    assert two.mails[0]["rcpts"] == ["x@far.test"] and one.mails == []
    wait_for("the rest", lambda: ids(p) == ["y@far.test"])
    p.run("queue", "delete", "ALL")
    for s in (one, two):
        s.stop()


@pytest.mark.parametrize("args, words", [
    (("redirect", "ALL"), "needs --to ADDRESS"),
    (("redirect", "ALL", "--to", "nobody"), "needs --to ADDRESS"),
    (("reroute", "ALL"), "needs --via"),
    (("flush", "--to", "a@b.test"), "unexpected"),
    (("list", "--limit", "many"), "unexpected"),
    (("hold", "--limit", "5", "ALL"), "for lists"),
    (("requeue",), "needs a queue id, ALL or a selection")])
def test_wrong_usage(postern, args, words):
    r = postern("u").run("queue", *args, check=False)
    assert r.returncode == 64 and words in r.stderr


def test_what_is_being_delivered_is_left_as_it_is(postern):
    """redirect says so; hold and delete count when the agent comes back."""
    gate = threading.Event()

    def wait(_):
        gate.wait(20)
        return "450 4.3.0 not now"

    sink = Sink("127.0.0.5", 0, replies={"MAIL": wait})
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}")
    fill_queue(p, [(ALICE, "x@far.test"), (ALICE, "y@far.test")], due=0)
    p.start(add_users=False)
    wait_for("both at MAIL", lambda: sum(
        c.startswith("MAIL") for c in sink.commands) == 2)
    out = p.run("queue", "redirect", "ALL", "--to", "z@far.test").stdout
    assert out == "0 redirected\n2 being delivered right now, left as they " \
        "are\n"
    assert p.run("queue", "hold", "--recipient", "x@far.test").stdout == \
        "1 held\n"
    assert p.run("queue", "delete", "--recipient", "y@far.test").stdout == \
        "1 deleted\n"
    gate.set()

    def left():
        out = p.run("queue", "list", "--json").stdout
        return [(m["state"], m["recipients"][0]["address"],
                 m["recipients"][0]["attempts"])
                for m in map(json.loads, out.splitlines())]

    wait_for("one held, tried twice", lambda: left() == [
        ("hold", "x@far.test", 2)])
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_parked_mail_says_so(postern):
    """What is behind other mail has no time of its own, and a reason."""
    gate = threading.Event()

    def wait(_):
        gate.wait(20)
        return "250 ok"

    sink = Sink("127.0.0.5", 0, replies={"MAIL": wait})
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}",
                 default_destination_concurrency_limit="1")
    fill_queue(p, [(ALICE, f"r{n}@far.test") for n in range(8)], due=0,
               attempts=0)
    p.start(add_users=False)
    wait_for("one at MAIL", lambda: any(
        c.startswith("MAIL") for c in sink.commands))

    def parked():
        out = p.run("queue", "list", "--json").stdout
        rcpts = [json.loads(line)["recipients"][0]
                 for line in out.splitlines()]
        return [r for r in rcpts if r["reason"].startswith("not tried yet")]

    found = wait_for("the parked ones", lambda: len(parked()) == 4 and
                     parked())
    assert all(r["next_try"] is None and r["state"] == "incoming"
               for r in found)
    gate.set()
    wait_for("all of them", lambda: len(sink.mails) == 8)
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.stop()


@pytest.mark.parametrize("name", [
    "qmgr_message_active_limit", "smtp_unanswered_limit"])
def test_a_limit_that_lets_nothing_go_is_refused(postern, name):
    p = postern("p", options={name: "0"})
    r = p.run("check", check=False)
    assert r.returncode != 0 and name in r.stderr
