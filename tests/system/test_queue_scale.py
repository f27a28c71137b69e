# SPDX-License-Identifier: ISC
"""A queue that is larger than memory should be: what waits stands on disk, and
who comes now is not behind it."""
import json
import os
import sqlite3
import threading
import time

from harness import Server, Sink, fill_queue, wait_for

ALICE = "alice@example.test"
MANY = int(os.environ.get("QUEUE_SCALE", "3000"))


def instance(postern, **options):
    p = postern("relay", users={ALICE: "pw"}, options={
        "minimal_backoff_time": "600s", "maximal_backoff_time": "600s",
        **options})
    p.start()
    assert p.stop() == 0
    return p


def queue(p, *args):
    out = p.run("queue", "list", "--json", *args).stdout
    return [json.loads(line) for line in out.splitlines()]


def test_what_waits_is_found_again(postern):
    """Behind a restart: all of it is listed, page by page, and is due when it
    was."""
    p = instance(postern)
    due = int(time.time()) + 7200
    fill_queue(p, [(f"s{n % 7}@a.test", f"r{n}@b.test") for n in range(MANY)],
               due)
    p.start(add_users=False)
    all_of_it = queue(p)
    assert len(all_of_it) == MANY
    assert {m["state"] for m in all_of_it} == {"deferred"}
    assert all_of_it[-1]["recipients"] == [{
        "address": f"r{MANY - 1}@b.test", "state": "deferred",
        "reason": "450 4.2.0 try again later", "next_try": due, "attempts": 1}]
    assert [m["id"] for m in queue(p, "--limit", "10")] == [
        m["id"] for m in all_of_it[:10]]
    out = p.run("queue", "list", "--limit", "10").stdout
    assert out.endswith("10 shown.\n")


def test_selections_act_in_bulk(postern):
    """Each action on a selection of thousands; nothing else is touched."""
    sink = Sink("127.0.0.5", 0)
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}")
    fill_queue(p, [(f"s{n % 2}@a.test", f"r{n}@d{n % 5}.test")
                   for n in range(MANY)])
    p.start(add_users=False)
    half = f"{MANY // 2}"
    fifth = f"{MANY // 5}"
    assert p.run("queue", "hold", "--sender", "s1@a.test").stdout == \
        f"{half} held\n"
    assert len([m for m in queue(p) if m["state"] == "hold"]) == MANY // 2
    assert p.run("queue", "hold", "--sender", "s1@a.test").stdout == "0 held\n"
    assert p.run("queue", "release", "--sender", "@a.test").stdout == \
        f"{half} released\n"
    wait_for("the released ones", lambda: len(sink.mails) == MANY // 2, 60)
    assert p.run("queue", "delete", "--recipient", "@d4.test").stdout == \
        f"{MANY // 10} deleted\n"
    left = queue(p, "--recipient", "@d3.test")
    assert len(left) == MANY // 10
    assert p.run("queue", "redirect", "--recipient", "@d3.test", "--to",
                 "all@other.test").stdout == f"{MANY // 10} redirected\n"
    wait_for("the redirected ones",
             lambda: len(sink.mails) == MANY // 2 + MANY // 10, 60)
    assert sum(m["rcpts"] == ["all@other.test"] for m in sink.mails) == \
        MANY // 10
    assert p.run("queue", "expire", "--reason", "try again").stdout == \
        f"{3 * MANY // 10} given up\n"
    wait_for("an empty queue", lambda: queue(p) == [], 60)
    reports = [m for m in sink.mails if m["from"].startswith("MAIL FROM:<>")]
    assert len(reports) == 3 * MANY // 10
    sink.stop()


def test_a_single_mail_is_not_behind_a_mailing(postern):
    """Thousands of one sender wait in front of a server that takes one at a
    time: the mail of another sender to the same server is next but few, and so
    is a mail to another server."""
    one, other = Sink("127.0.0.5", 0), Sink("127.0.0.6", 0)
    p = instance(
        postern, default_destination_concurrency_limit="1",
        transport_maps="inline:{one.test=smtp:[127.0.0.5]:%d,"
        " other.test=smtp:[127.0.0.6]:%d}" % (one.port, other.port))
    fill_queue(p, [("bulk@a.test", f"r{n}@one.test") for n in range(MANY)],
               due=int(time.time()))
    p.start(add_users=False)
    wait_for("the mailing", lambda: len(one.mails) > 5)
    p.send(ALICE, ["x@one.test"])
    p.send(ALICE, ["x@other.test"])
    wait_for("both", lambda: other.mails and any(
        ALICE in m["from"] for m in one.mails))
    assert len(one.mails) < MANY
    p.run("queue", "delete", "ALL")
    one.stop()
    other.stop()


def test_what_is_active_is_bounded(postern):
    """qmgr_message_active_limit: the others wait on disk, and all arrive."""
    sink = Sink("127.0.0.5", 0)
    p = instance(postern, qmgr_message_active_limit="10",
                 relayhost=f"[127.0.0.5]:{sink.port}")
    fill_queue(p, [(f"s{n}@a.test", f"r{n}@b.test") for n in range(300)],
               due=0)
    p.start(add_users=False)
    wait_for("all of them", lambda: len(sink.mails) == 300, 60)
    assert len({m["rcpts"][0] for m in sink.mails}) == 300
    wait_for("an empty queue", lambda: queue(p) == [])
    sink.stop()


def test_a_corrupt_record_is_set_aside(postern):
    """With its bytes; the rest goes on."""
    sink = Sink("127.0.0.5", 0)
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}")
    ids = fill_queue(p, [("a@a.test", "b@b.test")] * 3, due=0)
    path = p.dir / "spool/queue/queue.db"
    with sqlite3.connect(path) as db:
        db.execute("UPDATE messages SET envelope=substr(envelope, 1, 40)"
                   " WHERE id=?", (ids[1],))
    p.start(add_users=False)
    wait_for("the others", lambda: len(sink.mails) == 2)
    wait_for("the log", lambda: "corrupt queue record" in p.log())
    left, = queue(p)
    assert left["state"] == "corrupt" and left["recipients"] == []
    assert "Subject: filled" in p.run("queue", "show", left["id"]).stdout
    assert p.run("queue", "flush").stdout == "0 flushed\n"
    p.stop()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT length(envelope) FROM messages").fetchall() \
            == [(40,)]
    p.start(add_users=False)
    assert [m["state"] for m in queue(p)] == ["corrupt"]
    assert p.run("queue", "delete", left["id"]).stdout == "1 deleted\n"
    assert queue(p) == []
    sink.stop()


def test_what_was_learned_of_a_site_is_kept(postern):
    """Over a restart: the window, and how often it answered."""
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "421 4.7.0 too fast"})
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}",
                 initial_destination_concurrency="8")
    p.start(add_users=False)
    p.send(ALICE, ["x@b.test"])

    def sites():
        out = p.run("queue", "sites", "--json").stdout
        return [json.loads(line) for line in out.splitlines()]

    wait_for("the refusal", lambda: sites() and sites()[0]["bad"] == 1)
    before = sites()
    assert before[0]["window"] == 4
    p.stop()
    p.start(add_users=False)
    after, = sites()
    assert (after["window"], after["bad"], after["last"]) == (
        4, 1, before[0]["last"])
    assert after["destinations"] == before[0]["destinations"]
    sink.stop()


class HalfSilent(Server):
    """Answers on 127.1.*.*; on 127.2.*.* it takes connections and says
    nothing."""

    def __init__(self):
        self.mails = []
        super().__init__(address=("0.0.0.0", 0))

    def serve(self, conn):
        file = conn.makefile("rb")
        if conn.getsockname()[0].startswith("127.2."):
            file.read()
            return
        conn.sendall(b"220 good\r\n")
        for line in file:
            verb = line[:4].upper()
            if verb == b"DATA":
                conn.sendall(b"354 go\r\n")
                while file.readline() != b".\r\n":
                    pass
                self.mails.append(conn.getsockname()[0])
            conn.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def test_silent_servers_do_not_delay_the_others(postern, tmp_path):
    """Half of 200 destinations never answer, and the configuration would wait
    five minutes for each: the others get their mail, and a server that is known
    to answer gets it at once."""
    server = HalfSilent()
    (tmp_path / "routes").write_text(
        "/@d([0-9.]+)\\.test$/ smtp:[$1]:%d\n" % server.port)
    p = instance(postern, smtp_bind_address="", smtp_unanswered_limit="20",
                 default_process_limit="5",
                 transport_maps=f"regexp:{tmp_path}/routes")
    p.start(add_users=False)
    p.send(ALICE, ["x@d127.1.9.9.test"])
    wait_for("the known one", lambda: "127.1.9.9" in server.mails)
    p.stop()
    fill_queue(p, [("s@a.test", f"u@d127.{1 + n % 2}.0.{n // 2 + 1}.test")
                   for n in range(200)], due=0)
    p.start(add_users=False)
    wait_for("silence", lambda: server.connections > 20)
    p.send(ALICE, ["y@d127.1.9.9.test"])
    wait_for("the known one again", lambda: server.mails.count("127.1.9.9") > 1)
    wait_for("the others", lambda: len(server.mails) == 102, 60)
    # The last answer may not be written down yet.
    wait_for("the silent ones alone", lambda: {
        m["recipients"][0]["address"].split(".")[1] for m in queue(p)} == {"2"})
    server.stop()


def test_overdue_mail_waits_for_its_turn(postern):
    """Older than it may be, but not tried since, as after a long stop: it is
    tried once, in its turn, and nobody looks at it again and again."""
    gate = threading.Event()

    def wait(_):
        gate.wait(20)
        return "250 ok"

    sink = Sink("127.0.0.5", 0, replies={"MAIL": wait})
    p = instance(postern, relayhost=f"[127.0.0.5]:{sink.port}",
                 maximal_queue_lifetime="1h",
                 default_destination_concurrency_limit="1")
    fill_queue(p, [("s@a.test", f"r{n}@b.test") for n in range(20)], due=0)
    p.start(add_users=False)
    wait_for("one at MAIL", lambda: any(
        c.startswith("MAIL") for c in sink.commands))
    pid, = [r["pid"] for r in p.status()["roles"]
            if (r.get("role") or r.get("name")) == "queue"]

    def ticks():
        with open(f"/proc/{pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")")[1].split()[11:13]))

    before, end = ticks(), time.monotonic() + 1
    wait_for("a second", lambda: time.monotonic() > end)
    assert ticks() - before < os.sysconf("SC_CLK_TCK") / 4
    gate.set()
    wait_for("all of them", lambda: len(sink.mails) == 20)
    wait_for("an empty queue", lambda: queue(p) == [])
    sink.stop()
