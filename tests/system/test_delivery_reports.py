# SPDX-License-Identifier: ISC
"""Delivery status notifications: what people read in them, and what programs
do.  RFC 3461, 3464, 6533."""
import email
import email.policy
import json

import pytest
from harness import Sink, Smtp, relaying, wait_for

ALICE = "alice@example.test"


@pytest.fixture
def sink():
    s = Sink("127.0.0.5", 0, ehlo=("PIPELINING", "8BITMIME", "SMTPUTF8"))
    yield s
    s.stop()


def start(postern, sink, **options):
    return postern("relay", options=relaying(sink, **options)).start()


def send(p, text, rcpt="x@far.test", mail="", rcpt_args=""):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.test", 250)
    s.expect(f"MAIL FROM:<{ALICE}>{mail}".encode(), 250)
    s.expect(f"RCPT TO:<{rcpt}>{rcpt_args}".encode(), 250)
    s.expect("DATA", 354)
    s.send(text.replace("\n", "\r\n").encode() + b"\r\n")
    s.expect(".", 250)
    s.close()


def report(sink):
    """The one that went to the sender."""
    def found():
        return [m for m in sink.mails if m["rcpts"] == [ALICE]]

    m, = wait_for("a report", found)
    assert m["from"].startswith("MAIL FROM:<>")
    return email.message_from_bytes(m["data"], policy=email.policy.default)


HEAD = "From: alice@example.test\nMessage-ID: <first@example.test>\n"


def test_in_the_thread_of_the_message(postern, sink):
    sink.replies["RCPT x@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink)
    send(p, HEAD + "References: <a@b.test> nonsense\n <c@d.test>\n\nhello\n")
    r = report(sink)
    assert r["In-Reply-To"] == "<first@example.test>"
    assert r["References"].split() == [
        "<a@b.test>", "<c@d.test>", "<first@example.test>"]
    assert r["Content-Language"] == "en"
    wait_for("an empty queue", lambda: p.queue() == [])


@pytest.mark.parametrize("message_id", [
    "", "no brackets@x", "<two words@x>", "<a@b>\n Bcc: <c@d>", "<é@x>",
    "<" + "a" * 950 + "@x>"])
def test_a_message_id_that_is_none_makes_no_thread(postern, sink, message_id):
    """Nothing of a stranger's field gets into the head of a report."""
    sink.replies["RCPT x@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink)
    send(p, f"From: alice@example.test\nMessage-ID: {message_id}\n\nhello\n")
    r = report(sink)
    assert r["In-Reply-To"] in (None, "<a@b>") and r["Bcc"] is None
    wait_for("an empty queue", lambda: p.queue() == [])


@pytest.mark.parametrize("fields, language", [
    ("", "en"), ("Content-Language: de-AT\n", "de"),
    ("Accept-Language: fr, de;q=0.5, en;q=0.1\n", "de"),
    ("Accept-Language: de;q=0, en-GB\nContent-Language: de\n", "en"),
    ("Accept-Language: tlh\n", "en"), ("Accept-Language: ;;,,q=\n", "en")])
def test_in_the_language_of_the_sender(postern, sink, fields, language):
    sink.replies["RCPT x@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink)
    send(p, HEAD + fields + "\nhello\n")
    r = report(sink)
    assert r["Content-Language"] == language
    words = r.get_payload(0).get_content()
    assert ("Diese Adresse gibt es dort" in words) == (language == "de")
    assert ("There is no such address" in words) == (language == "en")
    wait_for("an empty queue", lambda: p.queue() == [])


def test_bounce_language(postern, sink):
    sink.replies["RCPT x@far.test"] = "552 5.2.2 over quota"
    p = start(postern, sink, bounce_language="de")
    send(p, HEAD + "\nhello\n")
    r = report(sink)
    assert r["Subject"] == "Ihre Nachricht konnte nicht zugestellt werden"
    assert "Das Postfach des Empfängers ist voll." in \
        r.get_payload(0).get_content()
    p.run("check")
    p.options["bounce_language"] = "fr"
    p.write_config()
    check = p.run("check", check=False)
    assert check.returncode != 0 and "bounce_language" in check.stderr
    p.options["bounce_language"] = "de"
    p.write_config()


@pytest.mark.parametrize("reply, words", [
    ("550 5.1.1 who?", "no such address"),
    ("556 5.1.10 null", "no place that takes mail"),
    ("552 5.2.2 full", "mailbox of the recipient is full"),
    ("550 5.2.1 closed", "takes no mail at present"),
    ("552 5.3.4 too big", "larger than the server"),
    ("554 5.7.1 spam", "refused it by its rules"),
    ("554 5.4.6 loop", "went in circles"),
    ("550 5.6.7 no utf8", "of this kind"),
    ("550 5.3.5 broken", "did not take it"),
    ("550 no code", "did not take it")])
def test_plain_words_for_each_cause(postern, sink, reply, words):
    """What happened and what to do, and the server's own words."""
    sink.replies["RCPT x@far.test"] = reply
    p = start(postern, sink)
    send(p, HEAD + "\nhello\n")
    text = report(sink).get_payload(0).get_content()
    assert words in " ".join(text.split())
    assert reply.split(" ", 1)[1] in text
    assert max(map(len, text.splitlines())) < 100
    wait_for("an empty queue", lambda: p.queue() == [])


def test_what_we_gave_up_says_so(postern, sink):
    sink.replies["RCPT x@far.test"] = "450 4.2.0 not now"
    p = start(postern, sink, minimal_backoff_time="600s")
    send(p, HEAD + "\nhello\n")
    wait_for("a try", lambda: p.queue()[0]["recipients"][0]["attempts"])
    p.run("queue", "expire", "ALL")
    text = " ".join(report(sink).get_payload(0).get_content().split())
    assert "the administrator has given it up" in text
    wait_for("an empty queue", lambda: p.queue() == [])


def test_why_it_was_late_outlives_the_time(postern, sink):
    """An expired mail is explained by what kept it, not by the clock."""
    sink.replies["RCPT x@far.test"] = "452 4.2.2 mailbox full"
    p = start(postern, sink, maximal_queue_lifetime="0s")
    send(p, HEAD + "\nhello\n")
    r = report(sink)
    assert "mailbox of the recipient is full" in " ".join(
        r.get_payload(0).get_content().split())
    status = r.get_payload(1).get_payload()
    assert status[1]["Status"] == "5.4.7"
    wait_for("an empty queue", lambda: p.queue() == [])


TEMPLATES = """
# bounce(5)
failure_template = <<EOF
Charset: iso-8859-1
From: Postamt (Briefträger)
Subject: Unzustellbar für Sie
Postmaster-Subject: Kopie: unzustellbar

Hier ist $myhostname, nach ${maximal_queue_lifetime_days} Tagen.
Das kostet $$ 5, Herr Müller.

  Eingerückt.
EOF

delay_template = <<END-OF-IT
Subject: It is late

After $delay_warning_time_seconds seconds: $notify_classes
END-OF-IT
"""


def test_templates(postern, sink, tmp_path):
    (tmp_path / "bounce.cf").write_text(TEMPLATES, encoding="latin-1")
    for rcpt, reply in (("x", "550 5.1.1 no such user"), ("y", "450 4.2.0 no"),
                        ("postmaster", "250 2.1.5 ok")):
        sink.replies[f"RCPT {rcpt}@far.test"] = reply
    p = start(postern, sink, bounce_template_file=str(tmp_path / "bounce.cf"),
              notify_classes="bounce", bounce_notice_recipient="pm@far.test",
              delay_warning_time="2s", minimal_backoff_time="1s")
    send(p, HEAD + "\nhello\n")
    r = report(sink)
    assert r["Subject"] == "Unzustellbar für Sie"
    assert r["From"].addresses[0].addr_spec == "Postamt@mail.example.test"
    assert r["From"].addresses[0].display_name == "Briefträger"
    text = r.get_payload(0).get_content().replace("\r\n", "\n")
    assert text.startswith(
        "Hier ist mail.example.test, nach 5 Tagen.\n"
        "Das kostet $ 5, Herr Müller.\n\n  Eingerückt.\n\n<x@far.test>:\n")
    assert "550 5.1.1 no such user" in text
    assert r.get_payload(1).get_payload()[1]["Action"] == "failed"
    copy, = wait_for("the postmaster's", lambda: [
        m for m in sink.mails if m["rcpts"] == ["pm@far.test"]])
    copy = email.message_from_bytes(copy["data"], policy=email.policy.default)
    assert copy["Subject"] == "Kopie: unzustellbar"
    sink.mails.clear()
    send(p, HEAD + "\nhello\n", rcpt="y@far.test")
    r = report(sink)
    assert r["Subject"] == "It is late"
    assert "MAILER-DAEMON@mail.example.test" in str(r["From"])
    assert r.get_payload(0).get_content().startswith(
        "After 2 seconds: bounce")
    # What has no template has our words.
    sink.mails.clear()
    send(p, HEAD + "\nhello\n", rcpt="z@far.test", rcpt_args=" NOTIFY=SUCCESS")
    assert report(sink)["Subject"] == "Successful Mail Delivery Report"
    p.run("queue", "delete", "ALL")


@pytest.mark.parametrize("text, line, what", [
    ("failure_template = <<EOF\nSubject: x\n\nbody\n", 4, "does not end"),
    ("failure_template = <<EOF\nSubject: x\nEOF\n", 3, "has no text"),
    ("\nfailed = <<EOF\n\nx\nEOF\n", 2, "not failure_template"),
    ("delay_template = x\n", 1, "begins with <<EOF"),
    ("delay_template = <<EOF\nTo: x\n\nx\nEOF\n", 2, "unknown header"),
    ("delay_template = <<EOF\nhello\nEOF\n", 2, "no header"),
    ("delay_template = <<E\nCharset: klingon\n\nx\nE\n", 1, "charset"),
    ("delay_template = <<E\n\nä\nE\n", 1, "needs Charset"),
    ("delay_template = <<E\n\n${x\nE\n", 1, "bounce_template_file")])
def test_check_reads_templates(postern, tmp_path, text, line, what):
    path = tmp_path / "bounce.cf"
    path.write_text(text)
    p = postern("p", options={"bounce_template_file": str(path)})
    r = p.run("check", check=False)
    assert r.returncode == 78
    said, = [w for w in r.stderr.splitlines() if "bounce_template_file" in w]
    assert said.startswith(f"{path}:{line}: error: ") and what in said


@pytest.mark.parametrize("confirmed", ["yes", "no"])
def test_a_delay_that_is_over(postern, sink, confirmed):
    def reports(action):
        return [m for m in sink.mails if m["rcpts"] == [ALICE]
                and b"Action: " + action in m["data"]]

    sink.replies["RCPT x@far.test"] = "450 4.2.0 not now"
    p = start(postern, sink, delay_warning_time="1s",
              minimal_backoff_time="1s", confirm_delay_cleared=confirmed)
    send(p, HEAD + "\nhello\n")
    wait_for("a warning", lambda: reports(b"delayed"))
    # One that was never late is not confirmed.
    send(p, HEAD + "\nhello\n", rcpt="y@far.test")
    # Who asked for other reports was not told of the delay either.
    sink.replies["RCPT z@far.test"] = "450 4.2.0 not now"
    send(p, HEAD + "\nhello\n", rcpt="z@far.test",
         rcpt_args=" NOTIFY=FAILURE")
    wait_for("z's tries", lambda: [
        r["attempts"] for m in p.queue() for r in m["recipients"]
        if r["address"] == "z@far.test"] >= [3])
    del sink.replies["RCPT x@far.test"], sink.replies["RCPT z@far.test"]
    wait_for("an empty queue", lambda: p.queue() == [])
    about = [r for r in "xyz" for m in reports(b"relayed")
             if f"Final-Recipient: rfc822; {r}@far.test".encode() in m["data"]]
    assert about == (["x"] if confirmed == "yes" else [])


def test_utf8_reports(postern, sink):
    """RFC 6533: an address that is not ASCII, in a report that says so; the
    same mail without it gets a 7-bit status."""
    sink.replies["RCPT grå@far.test"] = "550 5.1.1 ikke her på øen".encode() + \
        b"\r\n"
    sink.replies["RCPT x@far.test"] = "550 5.1.1 ikke på øen".encode() + b"\r\n"
    p = start(postern, sink)
    send(p, HEAD + "Subject: grå\n\nhello\n", "grå@far.test", " SMTPUTF8")
    r = report(sink)
    _, status, original = r.get_payload()
    assert status.get_content_type() == "message/global-delivery-status"
    assert original.get_content_type() == "message/global"
    assert "Final-Recipient: utf-8; grå@far.test" in status.as_bytes().decode()
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.mails.clear()
    send(p, HEAD + "\nhello\n")
    r = report(sink)
    _, status, original = r.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    assert status["Content-Transfer-Encoding"] == "7bit"
    assert status.as_bytes().isascii()
    assert original.get_content_type() == "message/rfc822"
    wait_for("an empty queue", lambda: p.queue() == [])


def test_behind_a_site_that_does_not_answer(postern):
    """Mail that is never tried, as others were in vain, is warned about and
    given up in its time too."""
    from harness import free_port, fill_queue
    port = free_port(("127.0.0.5",))
    back = Sink("127.0.0.6", 0)
    p = postern("relay", options={
        "transport_maps": "inline:{far.test=smtp:[127.0.0.5]:%d,"
        " example.test=smtp:[127.0.0.6]:%d}" % (port, back.port),
        "default_destination_concurrency_limit": "1",
        "minimal_backoff_time": "600s", "maximal_backoff_time": "600s",
        "maximal_queue_lifetime": "1h"}).start()
    p.stop()
    fill_queue(p, [(ALICE, f"r{n}@far.test") for n in range(5)], due=0)
    p.start()
    wait_for("five reports", lambda: len(back.mails) == 5)
    words = [email.message_from_bytes(m["data"],
                                      policy=email.policy.default)
             .get_payload(0).get_content() for m in back.mails]
    assert all("could not be reached" in " ".join(w.split()) for w in words)
    assert sum("does not answer" in w for w in words) == 4
    wait_for("an empty queue", lambda: p.queue() == [])
    back.stop()


def to_whom(sink):
    return sorted((m["rcpts"][0], m["from"].split("<")[1].split(">")[0])
                  for m in sink.mails)


def test_double_bounces_go_to_the_postmaster(postern, sink):
    """Once: what is for the postmaster and cannot be delivered is in the log
    only."""
    sink.replies["RCPT x@far.test"] = "550 5.1.1 no such user"
    sink.replies[f"RCPT {ALICE}"] = "550 5.1.1 gone too"
    p = start(postern, sink, myorigin="example.test",
              virtual_alias_maps="inline:{postmaster@example.test=root@far.test}")
    send(p, HEAD + "\nhello\n")
    wait_for("the double bounce", lambda: to_whom(sink) == [
        ("root@far.test", "double-bounce@example.test")])
    r = email.message_from_bytes(sink.mails[0]["data"],
                                 policy=email.policy.default)
    assert r["To"] == "postmaster@example.test"
    inner = r.get_payload(2).get_payload(0)
    assert inner.get_content_type() == "multipart/report"
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.replies["RCPT root@far.test"] = "550 5.1.1 nobody is left"
    send(p, HEAD + "\nhello\n")
    wait_for("the end", lambda: p.log().count(
        "report could not be delivered") == 3)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert len(sink.mails) == 1


def test_notify_classes(postern, sink):
    """Copies of bounces to the postmaster: the header, not the text."""
    sink.replies["RCPT x@far.test"] = "550 5.1.1 no such user"
    p = start(postern, sink, myorigin="example.test", notify_classes="bounce",
              bounce_notice_recipient="desk@far.test")
    send(p, HEAD + "\nhush-hush\n")
    wait_for("both", lambda: to_whom(sink) == [
        (ALICE, ""), ("desk@far.test", "double-bounce@example.test")])
    copy, = [m["data"] for m in sink.mails if m["rcpts"] == ["desk@far.test"]]
    assert b"hush-hush" not in copy and b"first@example.test" in copy
    p.options["notify_classes"] = "bounce, resource"
    p.write_config()
    assert "resource" in p.run("check").stderr
    wait_for("an empty queue", lambda: p.queue() == [])
