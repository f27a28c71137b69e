# SPDX-License-Identifier: ISC
"""reject_unverified_recipient and _sender: other servers are asked, once."""

import re
import sqlite3
import threading

import pytest

from harness import Sink, Smtp, wait_for
from test_smtpd import BOB, inbox

ALICE = "alice@example.test"


@pytest.fixture
def verifying(postern):
    sinks = []

    def make(rule="reject_unverified_recipient", **options):
        sink = Sink("127.0.0.5", 0, replies={
            "RCPT gone@far.example": "550 5.1.1 no such user",
            "RCPT later@far.example": "451 4.3.0 not now"})
        sinks.append(sink)
        p = postern("v", users={BOB: "b"}, options={
            "mynetworks": "127.0.0.0/8",
            "relayhost": f"[127.0.0.5]:{sink.port}",
            "smtpd_recipient_restrictions": f"{rule}, permit_mynetworks",
            "address_verify_poll_delay": "5s", **options}).start()
        p.sink = sink
        return p
    yield make
    for sink in sinks:
        sink.stop()


def rcpt(p, to, sender="a@far.example"):
    return Smtp(p.host, p.port["smtp"]).rcpt(sender, to)


def probes(p):
    return [c for c in p.sink.commands if c.startswith("RCPT")]


def test_recipients_are_probed_and_remembered(verifying):
    p = verifying(unverified_recipient_reject_code="550")
    for _ in range(2):
        assert rcpt(p, "ok@far.example")[0] == 250
        code, text = rcpt(p, "gone@far.example")
        assert code == 550
        assert "5.1.1" in text and \
            "undeliverable address: 550 5.1.1 no such user" in text
    assert probes(p) == ["RCPT TO:<ok@far.example>",
                         "RCPT TO:<gone@far.example>"]
    assert "MAIL FROM:<double-bounce@mail.example.test>" in p.sink.commands
    assert "DATA" not in p.sink.commands and p.queue() == []
    # Ours are looked up, not asked for.
    assert rcpt(p, BOB)[0] == 250
    assert rcpt(p, "nobody@example.test")[0] == 550
    assert len(probes(p)) == 2
    # It is known after a restart.
    p.stop()
    p.start(add_users=False)
    assert rcpt(p, "OK@far.example")[0] == 250
    assert len(probes(p)) == 2
    # An answer that is old is asked for again, behind the client's back.
    db = sqlite3.connect(p.dir / "spool/queue/verify.db", timeout=10)
    db.execute("UPDATE answers SET at = at - 8 * 86400")
    db.commit()
    db.close()
    p.sink.replies["RCPT ok@far.example"] = "550 5.1.1 left"
    assert rcpt(p, "ok@far.example")[0] == 250
    wait_for("the probe", lambda: rcpt(p, "ok@far.example")[0] == 550)


@pytest.mark.parametrize("options", [
    {"address_verify_relayhost": "[127.0.0.5]:PORT"},
    {"address_verify_transport_maps":
     "inline:{{far.example=smtp:[127.0.0.5]:PORT}}"},
    {"address_verify_default_transport": "smtp:[127.0.0.5]:PORT",
     "address_verify_relayhost": ""},
    {"address_verify_sender_dependent_relayhost_maps":
     "inline:{{@mail.example.test=[127.0.0.5]:PORT}}"}])
def test_probes_go_another_way_than_mail(verifying, options):
    other = Sink("127.0.0.5", 0, replies={
        "RCPT gone@far.example": "550 5.1.1 not here either"})
    try:
        p = verifying(unverified_recipient_reject_code="550", **{
            k: v.replace("PORT", str(other.port)) for k, v in options.items()})
        assert rcpt(p, "ok@far.example")[0] == 250
        assert "not here either" in rcpt(p, "gone@far.example")[1]
        assert probes(p) == []
        s = Smtp(p.host, p.port["smtp"])
        s.mail("a@far.example", ["ok@far.example"])
        wait_for("the mail", lambda: p.sink.mails)
        assert other.mails == []
    finally:
        other.stop()


def test_the_sender_of_probes_changes(verifying):
    p = verifying(address_verify_sender_ttl="100d",
                  mydestination="mail.example.test",
                  local_recipient_maps="inline:{root=x}")
    assert rcpt(p, "ok@far.example")[0] == 250
    sender = next(c for c in p.sink.commands
                  if c.startswith("MAIL")).split("<")[1].split(">")[0]
    assert re.fullmatch(r"double-bounce[0-9b-z]+@mail\.example\.test", sender)
    # Who asks back hears that it is there; yesterday's is gone some day.
    assert rcpt(p, sender)[0] == 250
    assert rcpt(p, "double-bounce1zz@mail.example.test")[0] == 450
    assert rcpt(p, "double-bounce@mail.example.test")[0] == 250


def test_servers_that_refuse_behind_data(verifying):
    p = verifying(unverified_recipient_reject_code="550",
                  smtp_address_verify_target="data",
                  address_verify_negative_cache="no")
    assert rcpt(p, "ok@far.example")[0] == 250
    assert p.sink.commands[-1] == "DATA"
    assert not any(m["data"] for m in p.sink.mails)
    p.sink.replies["DATA"] = "554 5.7.1 none of you"
    code, text = rcpt(p, "other@far.example")
    assert code == 550 and "554 5.7.1 none of you" in text
    assert p.queue() == []


def test_nobody_knows_yet(verifying):
    p = verifying()
    code, text = rcpt(p, "later@far.example")
    assert code == 450 and "4.1.1" in text and \
        "unverified address: 451 4.3.0 not now" in text
    # That is not kept.
    del p.sink.replies["RCPT later@far.example"]
    assert rcpt(p, "later@far.example")[0] == 250


def test_a_slow_server_is_waited_for_as_long_as_said(verifying):
    p = verifying(address_verify_poll_count="1",
                  address_verify_poll_delay="1s")
    go_on = threading.Event()
    p.sink.replies["MAIL"] = lambda sink: go_on.wait(30) and "250 ok"
    code, text = rcpt(p, "ok@far.example")
    assert code == 450 and "Address verification in progress" in text
    # Who asks meanwhile does not cause a second probe.
    assert rcpt(p, "ok@far.example")[0] == 450
    go_on.set()
    wait_for("the answer", lambda: rcpt(p, "ok@far.example")[0] == 250)
    assert probes(p) == ["RCPT TO:<ok@far.example>"]


def test_senders(verifying):
    p = verifying("reject_unverified_sender",
                  unverified_sender_reject_reason="who are you?",
                  address_verify_sender="<>")
    assert rcpt(p, BOB)[0] == 250
    code, text = rcpt(p, BOB, "gone@far.example")
    assert code == 450 and "4.1.7" in text
    assert "Sender address rejected: who are you?" in text
    assert rcpt(p, BOB, "")[0] == 250
    assert "MAIL FROM:<>" in p.sink.commands
    assert inbox(p) == []


def test_a_dead_site_is_no_reason_to_refuse_for_good(verifying):
    p = verifying()
    p.sink.replies["GREETING"] = "554 no"
    assert rcpt(p, "ok@far.example")[0] == 450


def test_mail_to_the_prober_is_taken_and_forgotten(verifying):
    """Who verifies our probes in turn must find their sender."""
    p = verifying(mydestination="mail.example.test")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<>", 250)
    s.expect("RCPT TO:<double-bounce@mail.example.test>", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    wait_for("its end", lambda: p.queue() == [])
    assert "reply=discarded" in p.log()
