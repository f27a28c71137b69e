# SPDX-License-Identifier: ISC
"""Smaller parameters of postconf(5): each does what it says."""

import re
import ssl

import pytest

from harness import Sink, Smtp, make_certificate, wait_for
from test_sender import ALICE, TlsSink
from test_smtpd import BOB, inbox

TEXT = b"From: a@b.example\r\nTo: bob@example.test\r\nSubject: s\r\n\r\nhello\r\n"


def start(postern, **options):
    return postern("p", users={BOB: "b", ALICE: "pw"}, options=options).start()


def give(p, text, sender="a@b.example", rcpt=BOB):
    """The reply to the end of the text."""
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    s.expect(f"RCPT TO:<{rcpt}>", 250)
    s.expect("DATA", 354)
    s.send(text)
    s.send(b".\r\n")
    reply = s.reply()
    s.close()
    return reply


# ---- addresses ----

def answer(p, rcpt, sender="a@b.example"):
    return Smtp(p.host, p.port["smtp"]).rcpt(sender, rcpt)


def test_headers_of_other_clients_are_completed(postern):
    p = start(postern, local_header_rewrite_clients="",
              remote_header_rewrite_domain="domain.invalid")
    head = (b"From: eve\r\nTo: Carl <carl@host>, d@e.example,\r\n"
            b" frank@host.\r\nX-To: eve\r\n")
    assert give(p, head + b"\r\nhello\r\n")[0] == 250
    mail, = inbox(p)
    assert (b"From: eve@domain.invalid\r\nTo: Carl <carl@host.domain.invalid>, "
            b"d@e.example,\r\n frank@host\r\nX-To: eve\r\n") in mail


def test_headers_of_other_clients_stay(postern):
    p = start(postern, local_header_rewrite_clients="")
    assert give(p, b"From: eve\r\nTo: carl@host\r\n\r\nhello\r\n")[0] == 250
    assert b"From: eve\r\nTo: carl@host\r\n" in inbox(p)[0]


@pytest.mark.parametrize("limit, code", [("40", 250), ("39", 451)])
def test_the_length_of_an_alias(postern, limit, code):
    long = "b" * 27 + "@example.test"
    assert len(long) == 40
    p = postern("p", users={BOB: "b", long: "b"}, options={
        "virtual_alias_maps": f"inline:{{{{team@example.test={BOB}, {long}}}}}",
        "virtual_alias_address_length_limit": limit}).start()
    assert give(p, TEXT, rcpt="team@example.test")[0] == code
    assert len(inbox(p)) == (code == 250)


@pytest.mark.parametrize("prefix, value, code, text", [
    ("yes", "bob@new.example", 550, "5.1.6 <old@example.test>: Recipient "
     "address rejected: User has moved to bob@new.example"),
    ("no", "5.1.6 Write to bob@new.example", 550, "5.1.6 <old@example.test>: "
     "Recipient address rejected: Write to bob@new.example"),
    ("no", "4.2.1 On holiday", 450,
     "4.2.1 <old@example.test>: Recipient address rejected: On holiday"),
    ("no", "Gone", 550,
     "5.1.6 <old@example.test>: Recipient address rejected: Gone")])
def test_who_has_moved(postern, prefix, value, code, text):
    p = start(postern, relocated_prefix_enable=prefix,
              relocated_maps=f"inline:{{{{old@example.test={value}}}}}")
    assert answer(p, "old@example.test") == (code, f"{code} {text}\r\n")


@pytest.mark.parametrize("key, name, value", [
    ("empty_address_relayhost_maps_lookup_key",
     "sender_dependent_relayhost_maps", "[127.0.0.5]:PORT"),
    ("empty_address_default_transport_maps_lookup_key",
     "sender_dependent_default_transport_maps", "smtp:[127.0.0.5]:PORT")])
@pytest.mark.parametrize("word", ["<>", "nobody@null.test"])
def test_the_empty_sender_in_a_table(postern, key, name, value, word):
    sink = Sink("127.0.0.5", 0)
    try:
        value = value.replace("PORT", str(sink.port))
        options = {key: word} if word != "<>" else {}
        p = start(postern, mynetworks="127.0.0.0/8",
                  default_transport="error:no way",
                  **{name: f"inline:{{{{{word}={value}}}}}"}, **options)
        if "relayhost" in name:
            p.stop()
            path = p.dir / "main.cf"
            path.write_text(path.read_text().replace(
                "default_transport = error:no way", ""))
            p.start(add_users=False)
        assert give(p, TEXT, sender="", rcpt="x@far.example")[0] == 250
        wait_for("the mail", lambda: sink.mails)
        assert sink.mails[0]["rcpts"] == ["x@far.example"]
    finally:
        sink.stop()


def test_transports_that_wait_for_a_person(postern):
    sink, other = Sink("127.0.0.5", 0), Sink("127.0.0.5", 0)
    p = start(postern, defer_transports="dialup, virtual",
              minimal_backoff_time="1s", maximal_backoff_time="1s",
              mynetworks="127.0.0.0/8",
              relayhost=f"[127.0.0.5]:{other.port}",
              transport_maps="inline:{{slow.example=dialup:"
                             f"[127.0.0.5]:{sink.port}}}}}")
    path = p.dir / "master.cf"
    p.stop()
    path.write_text(path.read_text() + "dialup unix - - n - - smtp\n")
    p.start(add_users=False)
    for rcpt in ("x@slow.example", "x@fast.example", BOB):
        assert give(p, TEXT, rcpt=rcpt)[0] == 250
    wait_for("the other one", lambda: other.mails)
    # It is tried again and again, and goes nowhere.
    wait_for("another try", lambda: len(re.findall(
        r" to=x@slow\.example .*deferred transport", p.log())) > 1)
    assert sink.mails == [] and inbox(p) == []
    assert re.search(rf" to={BOB} .*dsn=4\.3\.2 .*deferred transport", p.log())
    p.run("queue", "flush")
    wait_for("both", lambda: sink.mails and inbox(p))
    wait_for("an empty queue", lambda: p.queue() == [])
    # That was for those who were there.
    assert give(p, TEXT, rcpt=BOB)[0] == 250
    wait_for("it", lambda: [q for q in p.queue() if q["state"] == "deferred"])
    assert len(inbox(p)) == 1
    p.run("queue", "delete", "ALL")
    sink.stop()
    other.stop()


@pytest.mark.parametrize("allowed, shown", [
    (None, "helo.<b>|x"), ("abcdefghijklmnopqrstuvwxyz.", "helo._b__x")])
def test_what_a_client_may_say_in_our_replies(postern, allowed, shown):
    options = {"smtpd_expansion_filter": allowed} if allowed else {}
    p = start(postern, smtpd_reject_footer="\\c ($helo_name)", **options)
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO helo.<b>|x", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    assert f"({shown})" in s.cmd("RCPT TO:<nobody@example.test>")[1]
    s.close()


# ---- what comes in ----

def test_headers_that_no_message_keeps(postern):
    p = start(postern, message_drop_headers="bcc, x-secret, Return-Path")
    head = b"Bcc: c@d.example\r\nX-Secret: 1\r\nReturn-Path: <x@y>\r\n" \
           b"Content-Length: 7\r\nX-Other: 2\r\n"
    assert give(p, head + TEXT)[0] == 250
    mail = inbox(p)[0]
    assert b"Bcc" not in mail and b"Secret" not in mail
    assert b"X-Other: 2" in mail and b"Content-Length: 7" in mail
    assert mail.count(b"Return-Path") == 1  # ours


def test_those_that_go_by_default(postern):
    p = start(postern)
    give(p, b"bcc: c@d.example\r\nContent-Length: 7\r\n" + TEXT)
    assert not re.search(rb"(?i)bcc|content-length", inbox(p)[0])


@pytest.mark.parametrize("head, added", [
    (b"Subject: s\r\n", True), (b"Cc: x@y.example\r\n", False),
    (b"Resent-To: x@y.example\r\n", False)])
def test_a_mail_that_names_no_recipient(postern, head, added):
    p = start(postern, always_add_missing_headers="yes",
              undisclosed_recipients_header="To: undisclosed-recipients:;")
    assert give(p, head + b"\r\nx\r\n")[0] == 250
    assert (b"To: undisclosed-recipients:;\r\n" in inbox(p)[0]) == added


def test_characters_that_are_refused(postern):
    p = start(postern, message_reject_characters=r"\0\v\177")
    for bad in (b"\0", b"\x0b", b"\x7f"):
        code, text = give(p, TEXT + b"a" + bad + b"b\r\n")
        assert code == 550 and ("5.6.0 NUL" if bad == b"\0" else
                                "5.7.1 Message contains a character") in text
        code, text = give(p, b"X-H: a" + bad + b"\r\n" + TEXT)
        assert code == 550
    # The session, and the next one, are as before.
    assert give(p, TEXT + b"\\0 v 177\r\n")[0] == 250
    assert len(inbox(p)) == 1


def test_characters_that_are_taken_out(postern):
    p = start(postern, message_strip_characters=r"\0\b")
    text = b"X-H: a\0b\r\n" + TEXT + b"\0\0c\x08d\0\r\n" + b"e" * 300000 + b"\0\r\n"
    assert give(p, text)[0] == 250
    mail = inbox(p)[0]
    assert b"X-H: ab\r\n" in mail and b"\r\ncd\r\n" in mail
    assert mail.endswith(b"e\r\n") and b"\0" not in mail


def test_check_reads_the_characters(postern):
    p = postern("p", options={"message_strip_characters": r"\q",
                              "message_reject_characters": r"\400"})
    r = p.run("check", check=False)
    assert r.returncode == 78
    assert r.stderr.count("has an escape that is none") == 2


@pytest.mark.parametrize("allowed", ["no", "yes"])
def test_an_address_that_looks_like_an_option(postern, allowed):
    p = start(postern, allow_min_user=allowed,
              smtpd_reject_unlisted_recipient="no")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    code = 250 if allowed == "yes" else 501
    text = s.expect("MAIL FROM:<-oQ@b.example>", code)
    if allowed == "no":
        assert "5.1.7" in text
        s.expect("MAIL FROM:<a-@b.example>", 250)
    text = s.expect("RCPT TO:<-bob@example.test>", code)
    assert allowed == "yes" or "5.1.3" in text
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


def test_received_may_hide_the_client(postern):
    p = start(postern, smtpd_hide_client_session="yes")
    give(p, TEXT)
    received = re.search(rb"Received: [^\n]*\n(?:[ \t][^\n]*\n)*",
                         inbox(p)[0])[0]
    assert b"client.example" not in received and b"127.0.0.1" not in received
    assert b"from" not in received and b"with ESMTP" in received


def test_multi_recipient_bounces_have_a_code_of_their_own(postern):
    p = start(postern, multi_recipient_bounce_reject_code="554",
              smtpd_data_restrictions="reject_multi_recipient_bounce")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    s.expect("MAIL FROM:<>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect(f"RCPT TO:<{ALICE}>", 250)
    assert "5.5.3" in s.expect("DATA", 554)
    s.close()


def test_who_was_let_in_is_logged(postern):
    """smtpd_log_access_permit_actions; and each list has the rule of its
    own."""
    p = start(postern, mynetworks="127.0.0.1/32",
              smtpd_log_access_permit_actions="!permit_auth_destination, "
              "permit_mynetworks, check_client_access",
              smtpd_client_restrictions="permit_mynetworks",
              smtpd_sender_restrictions=
              "check_client_access inline:{127.0.0.1=OK}",
              smtpd_recipient_restrictions="permit_auth_destination, reject",
              smtpd_relay_restrictions="permit_auth_destination, reject",
              smtpd_client_port_logging="yes")
    give(p, TEXT)
    s = Smtp(p.host, p.port["smtp"])
    port = s.sock.getsockname()[1]
    s.expect("EHLO client.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@elsewhere.example>", 554)
    s.close()
    log = p.log()
    permits = re.findall(r" permit client=.* by=\"([^\"]*)\"", log)
    assert permits[:2] == [
        "smtpd_client_restrictions permit_mynetworks",
        "smtpd_sender_restrictions check_client_access "
        "inline:{127.0.0.1=OK}"], permits
    assert "permit_auth_destination" not in " ".join(permits)
    # The list that refused is told with its rule, not with an earlier one.
    assert re.search(r"reject .* rule=reject list=smtpd_relay", log), log
    assert re.search(rf" client_port={port}\b", log)


# ---- what goes out ----

def relay(postern, sink, **options):
    return start(postern, relayhost=f"[127.0.0.5]:{sink.port}", **options)


def sent(p, sink, text, n=1):
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO c", 250)
    import base64
    token = base64.b64encode(f"\0{ALICE}\0pw".encode()).decode()
    s.expect(f"AUTH PLAIN {token}", 235)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect("RCPT TO:<x@far.example>", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    assert s.reply()[0] == 250
    s.close()
    return wait_for("the mail", lambda: len(sink.mails) == n and
                    sink.mails[-1])["data"]


LONG = b"".join(b"%06d " % i for i in range(1000))  # 7,000 octets


@pytest.mark.parametrize("limit, most", [(None, 998), ("500", 500),
                                         ("0", 7000)])
def test_long_lines_are_broken_on_the_way_out(postern, limit, most):
    sink = Sink("127.0.0.5", 0, ehlo=("PIPELINING", "8BITMIME"))
    options = {} if limit is None else {"smtp_line_length_limit": limit}
    p = relay(postern, sink, **options)
    wide = "ä".encode() * 3000
    data = sent(p, sink, TEXT + LONG + b"\r\nshort\r\n" + wide + b"\r\n" +
                b"z" * 500000 + b"\r\nend\r\n")
    body = data.split(b"\r\n\r\n", 1)[1]
    lines = body.split(b"\r\n")
    if limit == "0":
        assert LONG in lines and wide in lines and b"z" * 500000 in lines
        return
    assert max(map(len, lines)) == most
    # Nothing else changed: without what was put in, it is what was sent, and
    # no character is in two lines.
    assert body.replace(b"\r\n ", b"").split(b"\r\n") == [
        b"hello", LONG, b"short", wide, b"z" * 500000, b"end", b""]
    for line in lines:
        line.decode()
    sink.stop()


def test_what_others_signed_stays_as_it_is(postern):
    sink = Sink("127.0.0.5", 0)
    p = relay(postern, sink)
    data = sent(p, sink, b"DKIM-Signature: v=1; d=b.example; b=AAAA\r\n" +
                TEXT + LONG + b"\r\n")
    assert LONG in data.split(b"\r\n")
    sink.stop()


@pytest.mark.parametrize("options, greeting, verb", [
    ({}, "220 sink", "EHLO"),
    ({"smtp_always_send_ehlo": "no"}, "220 sink", "HELO"),
    ({"smtp_always_send_ehlo": "no"}, "220 sink ESMTP here", "EHLO"),
    ({"smtp_never_send_ehlo": "yes"}, "220 sink ESMTP", "HELO")])
def test_ehlo_or_helo(postern, options, greeting, verb):
    sink = Sink("127.0.0.5", 0, replies={"GREETING": greeting})
    p = relay(postern, sink, **options)
    sent(p, sink, TEXT)
    said = [c.split()[0] for c in sink.commands if "ELO" in c or "EHLO" in c]
    assert said == [verb]
    sink.stop()


@pytest.mark.parametrize("soft, status", [("yes", "deferred"),
                                          ("no", "bounced")])
def test_a_refused_password(postern, tmp_path, soft, status):
    chain, cert = make_certificate(tmp_path, ["sink.test"], ["127.0.0.5"])
    sink = TlsSink(chain)
    p = relay(postern, sink, smtp_sasl_auth_enable="yes",
              smtp_sasl_password_maps="static:wrong:pw",
              smtp_sasl_auth_soft_bounce=soft, smtp_tls_CAfile=str(cert),
              smtp_tls_security_level="encrypt",
              smtp_sasl_tls_security_options="noanonymous")
    p.send(ALICE, ["x@far.example"])
    wait_for(status, lambda: f"to=x@far.example orig_to=x@far.example "
             f"status={status}" in p.log())
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_the_name_in_the_handshake(postern, tmp_path):
    chain, _ = make_certificate(tmp_path, ["sink.test"], ["127.0.0.5"])
    names = []
    sink = TlsSink(chain)
    sink.context.sni_callback = lambda s, name, c: names.append(name)
    p = relay(postern, sink, smtp_tls_security_level="encrypt",
              smtp_tls_servername="mx.far.example")
    p.send(ALICE, ["x@far.example"])
    wait_for("the handshake", lambda: names)
    assert names[0] == "mx.far.example"
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_groups_of_the_key_exchange(postern):
    p = start(postern, tls_eecdh_auto_curves="secp384r1")
    ok = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ok.load_verify_locations(p.ca)
    ok.check_hostname = False
    only = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    only.check_hostname, only.verify_mode = False, ssl.CERT_NONE
    only.set_ecdh_curve("prime256v1")
    for context, works in ((ok, True), (only, False)):
        s = Smtp(p.host, p.port["smtp"])
        s.expect("EHLO c", 250)
        if works:
            s.starttls(context, p.name)
            s.expect("EHLO c", 250)
        else:
            with pytest.raises(ssl.SSLError):
                s.starttls(context, p.name)
        s.sock.close()
    q = postern("q", options={"tls_eecdh_auto_curves": "nonsense"})
    r = q.run("check", check=False)
    assert r.returncode == 78 and "tls_eecdh_auto_curves" in r.stderr


def test_groups_of_one_transport(postern, tmp_path):
    """-o in master.cf: the other server knows this one only."""
    chain, _ = make_certificate(tmp_path, ["sink.test"], ["127.0.0.5"])
    sink = TlsSink(chain)
    sink.context.set_ecdh_curve("prime256v1")
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "smtp_tls_security_level": "encrypt",
        "tls_eecdh_auto_curves": "secp384r1",
        "transport_maps":
        f"inline:{{{{one.example=one:[127.0.0.5]:{sink.port}}}}}"},
        master_extra="one unix - - n - - smtp "
                     "-o tls_eecdh_auto_curves=prime256v1\n").start()
    p.send(ALICE, ["x@one.example", "y@other.example"])
    for to, status in (("x@one", "sent"), ("y@other", "deferred")):
        wait_for(status, lambda: re.search(
            rf" to={to}\.example .*status={status}", p.log()))
    p.run("queue", "delete", "ALL")
    sink.stop()


def test_reports_that_are_no_answers(postern):
    p = start(postern, enable_threaded_bounces="no",
              default_transport="error:5.1.1 nobody there",
              virtual_mailbox_domains="example.test")
    p.send(BOB, ["x@far.example"])
    mail = wait_for("the report", lambda: inbox(p))[0]
    head = mail.split(b"\r\n\r\n", 1)[0]
    assert b"multipart/report" in head
    assert b"References" not in head and b"In-Reply-To" not in head


@pytest.mark.parametrize("options, there", [({}, True),
                                            ({"enable_original_recipient":
                                              "no"}, False)])
def test_whom_it_was_for_before_aliases(postern, options, there):
    p = start(postern, virtual_alias_maps="inline:{sales@example.test=%s}" %
              BOB, **options)
    give(p, TEXT, rcpt="Sales@example.test")
    mail = inbox(p)[0]
    assert (b"\r\nX-Original-To: Sales@example.test\r\n" in mail) == there
    assert b"\r\nDelivered-To: bob@example.test\r\n" in mail
