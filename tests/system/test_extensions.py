# SPDX-License-Identifier: ISC
"""BINARYMIME, REQUIRETLS, MT-PRIORITY, DELIVERBY, FUTURERELEASE, ETRN: from
the parameter of MAIL to what the next server, or the sender, is told."""

import email
import time

import pytest

from harness import Sink, Smtp, wait_for
from test_smtpd import BOB, inbox, logged_in, open_mx

ALICE = "alice@example.test"
FAR = "x@far.example"


def keywords(s, line="EHLO client.example"):
    code, text = s.cmd(line)
    assert code == 250
    lines = [t.removeprefix("250-").removeprefix("250 ")
             for t in text.splitlines()]
    return {t.split(" ")[0]: t.partition(" ")[2] for t in lines}


def submit(s, params="", rcpt=FAR, text=b"Subject: s\r\n\r\nx\r\n", notify=""):
    s.expect(f"MAIL FROM:<{ALICE}> {params}".rstrip(), 250)
    s.expect(f"RCPT TO:<{rcpt}>{notify}", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    code, reply = s.reply()
    assert code == 250
    return reply.split()[-1]


@pytest.fixture
def relay(postern):
    def make(sink, **options):
        return postern("relay", users={ALICE: "pw", BOB: "b"}, options={
            "relayhost": f"[127.0.0.5]:{sink.port}", **options}).start()
    return make


def mail_command(sink):
    wait_for("the mail", lambda: sink.mails)
    return [c for c in sink.commands if c.startswith("MAIL")][-1]


# ---- who is offered what ----

def test_offers(one):
    s = open_mx(one)
    words = keywords(s)
    assert "BINARYMIME" in words and "CHUNKING" in words
    for word in ("REQUIRETLS", "MT-PRIORITY", "DELIVERBY", "FUTURERELEASE",
                 "ETRN"):
        assert word not in words, word
    for param in ("REQUIRETLS", "MT-PRIORITY=3", "BY=60;R", "HOLDFOR=60"):
        s.expect(f"MAIL FROM:<a@b.example> {param}", 555)
    s.expect("ETRN far.example", 502)
    s.starttls(one.tls(), one.name)
    words = keywords(s)
    assert "REQUIRETLS" in words and "MT-PRIORITY" not in words
    s.expect("MAIL FROM:<a@b.example> REQUIRETLS", 250)
    s.close()
    s = logged_in(one)
    words = keywords(s)
    assert {"MT-PRIORITY", "DELIVERBY", "FUTURERELEASE"} <= set(words)
    longest, latest = words["FUTURERELEASE"].split()
    assert int(longest) == 30 * 86400 and latest.endswith("Z")
    s.close()


def test_discarded_keyword_is_an_unknown_parameter(postern):
    p = postern("d", users={ALICE: "pw"}, options={
        "smtpd_discard_ehlo_keywords": "binarymime deliverby"}).start()
    s = logged_in(p, ALICE)
    assert not {"BINARYMIME", "DELIVERBY"} & set(keywords(s))
    s.expect(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME", 501)
    s.expect(f"MAIL FROM:<{ALICE}> BY=60;R", 555)
    s.expect(f"MAIL FROM:<{ALICE}> BODY=8BITMIME", 250)
    s.close()


@pytest.mark.parametrize("param", [
    "MT-PRIORITY=10", "MT-PRIORITY=", "MT-PRIORITY=-0", "MT-PRIORITY=+1",
    "MT-PRIORITY", "BY=0;R", "BY=-1;R", "BY=60", "BY=60;X", "BY=60;RX",
    "BY=1000000000;N", "BY=;R", "HOLDFOR=0", "HOLDFOR=01", "HOLDFOR=-1",
    "HOLDFOR=1000000000", "HOLDFOR=2592001", "HOLDFOR=60 HOLDFOR=60",
    "HOLDUNTIL=yesterday", "HOLDUNTIL=2020-01-01T00:00:00Z",
    "HOLDUNTIL=9999-01-01T00:00:00Z", "HOLDUNTIL=2026-13-01T00:00:00Z",
    "HOLDFOR=60 HOLDUNTIL=2036-01-01T00:00:00Z", "HOLDFOR=120 BY=60;R",
    "REQUIRETLS=yes", "BODY=BINARY"])
def test_bad_values_leave_no_transaction(one, param):
    s = logged_in(one)
    s.expect(f"MAIL FROM:<{ALICE}> {param}", 501)
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.close()


# ---- BINARYMIME ----

def binary(s, message, rcpt=BOB, cut=None):
    s.expect("MAIL FROM:<a@b.example> BODY=BINARYMIME", 250)
    s.expect(f"RCPT TO:<{rcpt}>", 250)
    for i in range(0, len(message), cut or len(message)):
        piece = message[i:i + (cut or len(message))]
        s.send(b"BDAT %d\r\n" % len(piece) + piece)
        assert s.reply()[0] == 250
    s.send(b"BDAT 0 LAST\r\n")
    return s.reply()


RAW = bytes(range(256)) * 40 + b"\n\r\x00" + b"y" * 5000


def multipart(*parts):
    out = (b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: "
           b"multipart/mixed; boundary=\"=b\"\r\n"
           b"Content-Transfer-Encoding: binary\r\n\r\npreamble\r\n")
    for head, body in parts:
        out += b"--=b\r\n" + head + b"\r\n" + body + b"\r\n"
    return out + b"--=b--\r\n"


@pytest.mark.parametrize("cut", [None, 1000])
def test_binary_parts_arrive_as_they_were(one, cut):
    inner = multipart((b"Content-Type: application/x-inner\r\n"
                       b"Content-Transfer-Encoding: binary\r\n", RAW))
    message = multipart(
        (b"Content-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: 8bit\r\n", "grün\r\n".encode()),
        (b"Content-Type: application/octet-stream\r\n"
         b"Content-Transfer-Encoding: binary\r\n", RAW),
        (b"Content-Type: text/plain\r\n"
         b"Content-Transfer-Encoding: binary\r\n", b"unix\nlines\n"),
        (b"Content-Type: message/rfc822\r\n"
         b"Content-Transfer-Encoding: binary\r\n",
         inner.replace(b"=b", b"=c")))
    s = open_mx(one)
    s.expect("MAIL FROM:<a@b.example> BODY=BINARYMIME", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 503)
    s.expect("RSET", 250)
    assert binary(s, message, cut=cut)[0] == 250
    s.close()
    raw, = inbox(one)
    assert b"\0" not in raw and max(map(len, raw.split(b"\r\n"))) <= 998
    assert not set(raw.replace(b"\r\n", b"")) & set(b"\r\n")
    m = email.message_from_bytes(raw)
    text, blob, unix, nested = m.get_payload()
    assert text.get_payload(decode=True) == "grün\r\n".encode()
    assert blob.get_payload(decode=True) == RAW
    assert unix.get_payload(decode=True) == b"unix\nlines\n"
    assert nested.get_payload()[0].get_payload()[0] \
        .get_payload(decode=True) == RAW
    assert b"binary" not in raw


def test_binary_single_part_keeps_its_last_octet(one):
    head = (b"From: a@b.example\r\nContent-Type: image/x\r\n"
            b"Content-Transfer-Encoding: binary\r\n\r\n")
    s = open_mx(one)
    assert binary(s, head + RAW)[0] == 250
    s.close()
    m = email.message_from_bytes(inbox(one)[0])
    assert m["MIME-Version"] == "1.0"
    assert m.get_payload(decode=True) == RAW


def test_binary_that_is_signed_is_refused(one):
    message = multipart((b"Content-Type: image/x\r\n", RAW)).replace(
        b"multipart/mixed", b"multipart/signed")
    s = open_mx(one)
    code, text = binary(s, message)
    assert code == 554 and "5.6.3" in text
    assert binary(s, b"Subject: next\r\n\r\nok\r\n")[0] == 250
    s.close()
    assert len(inbox(one)) == 1


# ---- 8BITMIME towards a server of the eighties ----

def test_8bit_text_is_encoded_for_a_7bit_server(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    text = ("Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
            "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            "grün =\r\n.\r\n" + "ü" * 400 + "\r\n").encode()
    s = logged_in(p, ALICE)
    submit(s, "BODY=8BITMIME", text=text.replace(b"\r\n.", b"\r\n.."))
    s.close()
    data = wait_for("mail", lambda: sink.mails)[0]["data"]
    assert max(data) < 0x80
    assert max(map(len, data.split(b"\r\n"))) <= 78
    m = email.message_from_bytes(data)
    assert m.get_payload(decode=True) == text.split(b"\r\n\r\n", 1)[1]
    assert "BODY" not in mail_command(sink)
    sink.stop()


def test_8bit_header_cannot_be_encoded(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "BODY=8BITMIME", text="Subject: grün\r\n\r\nx\r\n".encode())
    s.close()
    bounce = wait_for("the bounce", lambda: inbox(p, ALICE))[0]
    assert b"5.6.3" in bounce
    assert sink.mails == []
    sink.stop()


# ---- MT-PRIORITY ----

def test_priority_goes_on_and_orders_the_line(relay):
    sink = Sink("127.0.0.5", 0, ehlo=("PIPELINING", "MT-PRIORITY"),
                replies={"GREETING": "421 4.3.2 not yet"})
    p = relay(sink, default_destination_concurrency_limit="1")
    s = logged_in(p, ALICE)
    for n, priority in enumerate((0, -4, 9, 3, 9)):
        submit(s, f"MT-PRIORITY={priority}",
               text=b"Subject: n%d\r\n\r\nx\r\n" % n)
    s.close()
    wait_for("all deferred", lambda: len([
        m for m in p.queue() if m["recipients"][0]["attempts"]]) == 5)
    p.run("queue", "hold", "ALL")
    sink.replies.clear()
    p.run("queue", "release", "ALL")
    wait_for("all", lambda: len(sink.mails) == 5)
    said = [m["from"].partition("MT-PRIORITY=")[2] or "0" for m in sink.mails]
    # The first to be released may find an idle agent before the others wait.
    assert [int(x) for x in said[1:]] == sorted(map(int, said[1:]),
                                                reverse=True), said
    sink.stop()


def test_priority_of_a_stranger_on_a_trusted_network_counts(postern):
    p = postern("t", users={ALICE: "pw", BOB: "b"}, options={
        "mynetworks": "127.0.0.0/8"}).start()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example> MT-PRIORITY=5", 250)
    s.close()
    s = Smtp(p.host, p.port["submission"], source="127.0.0.9")
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    assert "MT-PRIORITY" in keywords(s)
    s.close()


def test_priority_before_login_is_lowered(one):
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    s.expect("EHLO c.example", 250)
    code, text = s.cmd("MAIL FROM:<a@b.example> MT-PRIORITY=5")
    assert (code, text) == (250, "250 2.3.6 0 is the new priority\r\n")
    s.close()


# ---- DELIVERBY ----

def test_deliverby_is_passed_on(relay):
    sink = Sink("127.0.0.5", 0, ehlo=("DELIVERBY", "DSN"))
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "BY=3600;R")
    s.close()
    said = mail_command(sink).partition("BY=")[2]
    seconds, mode = said.split(";")
    assert 3500 < int(seconds) <= 3600 and mode == "R"
    wait_for("an empty queue", lambda: p.queue() == [])
    assert inbox(p, ALICE) == []
    sink.stop()


def report_about(p, status, action):
    mail = wait_for("a report", lambda: inbox(p, ALICE))[0].decode()
    assert f"Status: {status}" in mail and f"Action: {action}" in mail, mail
    return mail


def test_deliverby_return_needs_a_server_that_keeps_it(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "BY=3600;R")
    s.close()
    report_about(p, "5.3.3", "failed")
    assert sink.mails == []
    sink.stop()


def test_deliverby_notify_tells_where_the_trail_ends(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "BY=3600;N")
    s.close()
    report_about(p, "2.0.0", "relayed")
    assert len(sink.mails) == 1
    sink.stop()


def test_deliverby_return_expires(relay):
    sink = Sink("127.0.0.5", 0, ehlo=("DELIVERBY",),
                replies={"MAIL": "450 4.2.0 later"})
    p = relay(sink, minimal_backoff_time="1000s",
              maximal_backoff_time="1000s")
    s = logged_in(p, ALICE)
    submit(s, "BY=2;R")
    s.close()
    report_about(p, "5.4.7", "failed")
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.stop()


def test_deliverby_under_soft_bounce_waits_like_other_mail(relay):
    """A bound that is over and may not bounce is not tried again and again."""
    sink = Sink("127.0.0.5", 0, ehlo=("DELIVERBY",),
                replies={"MAIL": "450 4.2.0 later"})
    p = relay(sink, soft_bounce="yes", minimal_backoff_time="1000s",
              maximal_backoff_time="1000s")
    s = logged_in(p, ALICE)
    submit(s, "BY=1;R")
    s.close()
    over = time.time() + 4
    wait_for("the time to be over", lambda: time.time() > over)
    m, = p.queue()
    # At once, at the time itself, and then as late as everything else.
    assert m["recipients"][0]["attempts"] == 2
    told, = inbox(p, ALICE)
    assert b"Action: delayed" in told and b"Action: failed" not in told
    sink.stop()


def test_deliverby_notify_warns_once_also_over_a_restart(relay):
    sink = Sink("127.0.0.5", 0, ehlo=("DELIVERBY",),
                replies={"MAIL": "450 4.2.0 later"})
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "BY=2;N")
    s.close()
    report_about(p, "4.2.0", "delayed")
    tries = len([c for c in sink.commands if c.startswith("MAIL")])
    p.stop()
    p.start(add_users=False)
    wait_for("more tries", lambda: len(
        [c for c in sink.commands if c.startswith("MAIL")]) > tries + 2)
    assert len(inbox(p, ALICE)) == 1
    sink.stop()


# ---- FUTURERELEASE ----

@pytest.mark.parametrize("rcpt", [FAR, BOB])
def test_mail_waits_for_its_time(relay, rcpt):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    s = logged_in(p, ALICE)
    before = time.time()
    submit(s, "HOLDFOR=3", rcpt=rcpt)
    s.close()
    p.run("queue", "flush")
    m, = p.queue()
    assert m["recipients"][0]["next_try"] >= int(before) + 3
    assert m["recipients"][0]["attempts"] == 0
    wait_for("the mail", lambda: sink.mails or inbox(p, BOB))
    assert time.time() >= int(before) + 3
    sink.stop()


def test_hold_until_a_date_survives_a_restart(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    until = int(time.time()) + 86400
    s = logged_in(p, ALICE)
    submit(s, "HOLDUNTIL=" + time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                           time.gmtime(until)))
    s.close()
    p.stop()
    p.start(add_users=False)
    m, = p.queue()
    assert m["recipients"][0]["next_try"] == until
    assert sink.mails == []
    sink.stop()


# ---- REQUIRETLS ----

def pair(postern, dns=None, **options):
    """A relays to B, both postern; A knows B's authority."""
    b = postern("b", host="127.0.0.3", name="mx.far.example",
                users={FAR: "x"}).start()
    a = postern("a", users={ALICE: "pw", BOB: "b"}, options={
        "relayhost": f"[{b.name}]:{b.port['smtp']}" if dns else
                     f"[127.0.0.3]:{b.port['smtp']}",
        "smtp_tls_CAfile": str(b.ca), **options}).start()
    return a, b


def test_requiretls_goes_on_under_a_checked_certificate(postern):
    a, b = pair(postern)
    s = logged_in(a, ALICE)
    submit(s, "REQUIRETLS")
    s.close()
    wait_for("the mail", lambda: inbox(b, FAR))
    assert a.queue() == []


def test_requiretls_without_a_trusted_certificate_comes_back(postern):
    a, b = pair(postern, smtp_tls_CAfile="")
    s = logged_in(a, ALICE)
    submit(s, "REQUIRETLS RET=FULL", text=b"Subject: s\r\n\r\nhush-hush\r\n")
    submit(s)  # without it the same way is good enough
    s.close()
    bounce = wait_for("the bounce", lambda: inbox(a, ALICE))[0]
    assert b"Status: 5.7.30" in bounce and b"hush-hush" not in bounce
    wait_for("the other", lambda: len(inbox(b, FAR)) == 1)


def test_requiretls_needs_the_keyword_of_the_next_server(relay):
    sink = Sink("127.0.0.5", 0)
    p = relay(sink)
    s = logged_in(p, ALICE)
    submit(s, "REQUIRETLS")
    s.close()
    report_about(p, "5.7.30", "failed")
    assert sink.mails == []
    sink.stop()


def test_tls_required_no(relay):
    """RFC 8689 4.2: the sender's wish stands over our level, but not over
    REQUIRETLS."""
    sink = Sink("127.0.0.5", 0)
    p = relay(sink, smtp_tls_security_level="encrypt")
    s = logged_in(p, ALICE)
    submit(s, text=b"Subject: kept\r\n\r\nx\r\n")
    submit(s, text=b"Subject: s\r\nTLS-Required: No\r\n\r\nx\r\n")
    submit(s, "REQUIRETLS",
           text=b"Subject: s\r\nTLS-Required: No\r\n\r\nx\r\n")
    s.close()
    wait_for("the one", lambda: len(sink.mails) == 1)
    assert b"TLS-Required" in sink.mails[0]["data"]
    report_about(p, "5.7.30", "failed")
    m, = [m for m in p.queue() if m["sender"] == ALICE]
    assert "TLS is required" in m["recipients"][0]["reason"]
    sink.stop()


# ---- ETRN ----

def test_etrn_flushes_the_domain(relay):
    sink = Sink("127.0.0.5", 0, replies={"MAIL": "450 4.2.0 later"})
    p = relay(sink, smtpd_etrn_restrictions="permit_mynetworks, reject",
              fast_flush_domains="far.example, sub.other.example",
              mynetworks="127.0.0.1", minimal_backoff_time="1000s",
              maximal_backoff_time="1000s")
    p.send(ALICE, [FAR])
    p.send(ALICE, ["y@sub.other.example"])
    wait_for("two deferred", lambda: [
        m["recipients"][0]["attempts"] for m in p.queue()] == [1, 1])
    sink.replies.clear()
    s = open_mx(p)
    assert "ETRN" in keywords(s)
    s.expect("ETRN", 501)
    s.expect("ETRN not..valid", 501)
    s.expect("ETRN elsewhere.example", 459)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("ETRN far.example", 503)
    s.expect("RSET", 250)
    s.expect("ETRN FAR.example", 250)
    wait_for("the one", lambda: [m["rcpts"] for m in sink.mails] == [[FAR]])
    wait_for("its end", lambda: len(p.queue()) == 1)
    s.expect("ETRN far.example", 251)
    s.expect("ETRN @sub.other.example", 250)
    wait_for("the other", lambda: len(sink.mails) == 2)
    s.close()
    t = Smtp(p.host, p.port["smtp"], source="127.0.0.9")
    t.expect("EHLO c.example", 250)
    code, text = t.cmd("ETRN far.example")
    assert code == 554 and "Etrn command rejected" in text
    t.close()
    sink.stop()
