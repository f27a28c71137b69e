# SPDX-License-Identifier: ISC
"""Tables that stand between a reply and who reads it: delivery status filters,
smtp_reply_filter, smtpd_reject_filter_maps (postconf(5))."""
import re

import pytest
from harness import Sink, Smtp, relaying, wait_for
from test_lmtp_parameters import LmtpSink

ALICE = "alice@elsewhere.test"
BOB = "bob@example.test"


@pytest.fixture
def sink():
    s = Sink("127.0.0.5", 0, ehlo=("PIPELINING", "SIZE 1000000", "DSN"))
    yield s
    s.stop()


def start(postern, sink, **options):
    return postern("p", users={BOB: "b"},
                   options=relaying(sink, **options)).start()


def send(p, *rcpts):
    Smtp(p.host, p.port["smtp"]).mail(ALICE, rcpts)


def outcome(p, rcpt):
    """The parts of its line in the log."""
    def found():
        lines = [w for w in p.log().splitlines()
                 if " delivery " in w and f"to={rcpt} " in w]
        return lines and lines[-1]

    return wait_for(f"an outcome of {rcpt}", found)


def test_a_final_refusal_becomes_one_for_now(postern, sink, tmp_path):
    (tmp_path / "f").write_text(
        r"/^5(\.\d+\.\d+ host .* said: 550 .*blocked.*)/ 4$1" "\n"
        r"/^4\.3\.2 .*/ 5.3.2 too slow for us" "\n")
    sink.replies["RCPT a@far.test"] = "550 5.7.1 you are blocked"
    sink.replies["RCPT b@far.test"] = "550 5.1.1 no such user"
    sink.replies["RCPT c@far.test"] = "450 4.3.2 come back"
    p = start(postern, sink,
              default_delivery_status_filter=f"pcre:{tmp_path}/f")
    send(p, "a@far.test", "b@far.test", "c@far.test", "d@far.test")
    a = outcome(p, "a@far.test")
    assert "status=deferred" in a and "dsn=4.7.1" in a
    assert 'reply="550 5.7.1 you are blocked"' in a
    assert re.search(r' filtered queue_id=\S+ status="5\.7\.1 host .*'
                     r'becomes="4\.7\.1 host', p.log())
    assert "status=bounced" in outcome(p, "b@far.test")
    c = outcome(p, "c@far.test")
    assert "status=bounced" in c and "dsn=5.3.2" in c
    assert 'reply="too slow for us"' in c
    assert "status=sent" in outcome(p, "d@far.test")
    # What people read in the report is what the table said.
    r, = wait_for("reports", lambda: [
        m for m in sink.mails if b"too slow for us" in m["data"]])
    assert b"Status: 5.3.2" in r["data"]
    p.run("queue", "delete", "ALL")


def test_a_success_stays_one(postern, sink, tmp_path):
    (tmp_path / "f").write_text("/^2/ 5.0.0 no\n/^5/ 2.0.0 yes\n/^4/ nonsense\n")
    sink.replies["RCPT b@far.test"] = "550 5.1.1 no such user"
    sink.replies["RCPT c@far.test"] = "450 4.3.2 come back"
    p = start(postern, sink, smtp_delivery_status_filter=f"pcre:{tmp_path}/f")
    send(p, "a@far.test", "b@far.test", "c@far.test")
    assert "status=sent" in outcome(p, "a@far.test")
    assert "status=bounced" in outcome(p, "b@far.test")
    assert "status=deferred" in outcome(p, "c@far.test")
    assert p.log().count("a success is no failure, nor the reverse") >= 2
    assert "not a status and words" in p.log()
    p.run("queue", "delete", "ALL")


def test_by_transport(postern, sink, tmp_path):
    (tmp_path / "main").write_text("/^5(.*)/ 4$1\n")
    (tmp_path / "own").write_text("/^5\\.1\\.1 .*/ 5.7.27 by the line\n")
    (tmp_path / "error").write_text("/^5(.*unwanted)/ 4$1\n")
    sink.replies["RCPT a@far.test"] = "550 5.1.1 no such user"
    sink.replies["RCPT b@own.test"] = "550 5.1.1 no such user"
    p = postern("p", users={BOB: "b"}, options=relaying(
        sink, smtp_delivery_status_filter=f"pcre:{tmp_path}/main",
        default_delivery_status_filter=f"pcre:{tmp_path}/error",
        transport_maps="inline:{{own.test = own:[127.0.0.5]:%d},"
        "{gone.test = error:5.1.2 unwanted}}" % sink.port),
        master_extra="own unix - - n - - smtp\n"
        f" -o smtp_delivery_status_filter=pcre:{tmp_path}/own\n").start()
    send(p, "a@far.test", "b@own.test", "c@gone.test")
    assert "status=deferred" in outcome(p, "a@far.test")
    b = outcome(p, "b@own.test")
    assert "status=bounced" in b and "dsn=5.7.27" in b
    assert "status=deferred" in outcome(p, "c@gone.test")
    p.run("queue", "delete", "ALL")


def test_of_lmtp_transports(postern, sink, tmp_path):
    """lmtp_x, and not what main.cf sets for smtp."""
    (tmp_path / "smtp").write_text("/^5(.*)/ 4$1\n/^550 .*/ 450 4.0.0 smtp\n")
    (tmp_path / "lmtp").write_text("/^5\\.1\\.1 .*/ 5.7.28 by lmtp's\n")
    (tmp_path / "reply").write_text("/^550 5.7.1 (.*)/ 450 4.7.1 $1, later\n")
    lmtp = LmtpSink("127.0.0.5", 0, replies={
        "RCPT a@lmtp.test": "550 5.1.1 no such user",
        "RCPT b@lmtp.test": "550 5.7.1 not you"})
    p = start(postern, sink,
              smtp_delivery_status_filter=f"pcre:{tmp_path}/smtp",
              smtp_reply_filter=f"pcre:{tmp_path}/smtp",
              lmtp_delivery_status_filter=f"pcre:{tmp_path}/lmtp",
              lmtp_reply_filter=f"pcre:{tmp_path}/reply", transport_maps=
              f"inline:{{{{lmtp.test = lmtp:[127.0.0.5]:{lmtp.port}}}}}")
    assert "does not act" not in p.run("check").stderr
    send(p, "a@lmtp.test", "b@lmtp.test")
    a = outcome(p, "a@lmtp.test")
    assert "status=bounced" in a and "dsn=5.7.28" in a
    b = outcome(p, "b@lmtp.test")
    assert "status=deferred" in b and "not you, later" in b
    p.run("queue", "delete", "ALL")
    lmtp.stop()


def test_what_a_person_gave_up_is_nobodys_to_filter(postern, sink, tmp_path):
    (tmp_path / "f").write_text("/^5(.*)/ 4$1\n")
    sink.replies["RCPT a@far.test"] = "450 4.3.2 come back"
    p = start(postern, sink,
              default_delivery_status_filter=f"pcre:{tmp_path}/f")
    send(p, "a@far.test")
    assert "status=deferred" in outcome(p, "a@far.test")
    p.run("queue", "expire", "ALL")
    wait_for("its end", lambda: "status=bounced" in outcome(p, "a@far.test"))


def test_a_line_of_a_reply(postern, sink, tmp_path):
    (tmp_path / "f").write_text(
        "/^250-SIZE/ 250-X-NOTHING\n"
        "/^550 5.1.1 (.*)/ 450 4.1.1 $1, they say\n")
    sink.replies["RCPT a@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink, smtp_reply_filter=f"pcre:{tmp_path}/f")
    send(p, "a@far.test", "b@far.test")
    a = outcome(p, "a@far.test")
    assert "status=deferred" in a and "no such user, they say" in a
    assert "status=sent" in outcome(p, "b@far.test")
    assert not any("SIZE=" in c for c in sink.commands)
    p.run("queue", "delete", "ALL")


def test_over_a_connection_that_waited(postern, sink, tmp_path):
    """The table is asked for each mail that it carries."""
    (tmp_path / "f").write_text("/^250 2.1.5 (.*)/ 250 2.1.5 seen $1\n"
                                "/^550 5.1.1 (.*)/ 450 4.1.1 $1\n")
    for i in range(6):
        sink.replies[f"RCPT a{i}@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink, smtp_reply_filter=f"pcre:{tmp_path}/f",
              smtp_destination_concurrency_limit="1",
              smtp_connection_cache_on_demand="yes")
    for i in range(6):
        send(p, f"a{i}@far.test", f"b{i}@far.test")
    for i in range(6):
        assert "status=deferred" in outcome(p, f"a{i}@far.test")
        assert "status=sent" in outcome(p, f"b{i}@far.test")
    p.run("queue", "delete", "ALL")


def test_our_own_refusals(postern, sink, tmp_path):
    (tmp_path / "f").write_text(
        "/^550 5\\.1\\.1 .*/ 450 4.1.1 not here, not now\n"
        "/^501 .*/ what\n")
    p = start(postern, sink, smtpd_reject_filter_maps=f"pcre:{tmp_path}/f",
              smtpd_relay_restrictions="permit_mynetworks, reject")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.test", 250)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    said = s.expect("RCPT TO:<nobody@example.test>", 450)
    assert "450 4.1.1 not here, not now" in str(said)
    assert re.search(r' filtered client=127\.0\.0\.1 reply="550 5\.1\.1 .*'
                     r'becomes="450 4\.1\.1 not', p.log())
    s.expect("DATA now", 501)
    assert "not a reply of 4xx or 5xx" in p.log()
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


@pytest.mark.parametrize("name", [
    "default_delivery_status_filter", "smtp_delivery_status_filter",
    "local_delivery_status_filter", "pipe_delivery_status_filter",
    "virtual_delivery_status_filter", "smtp_reply_filter",
    "smtpd_reject_filter_maps"])
def test_check_opens_them(postern, name):
    p = postern("p", options={name: "pcre:/nowhere/at/all"})
    said = p.run("check", check=False)
    assert name in said.stderr and "/nowhere/at/all" in said.stderr
