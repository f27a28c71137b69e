# SPDX-License-Identifier: ISC
"""What is taken for an address, and what becomes of text that is not what it
should be: parameters of postconf(5)."""

import email

import pytest

from harness import Sink, Smtp, relaying, wait_for
from test_milter import Milter, with_milters
from test_parameters_more import answer, give, start
from test_sender import ALICE
from test_smtpd import BOB, inbox


# ---- addresses ----

@pytest.mark.parametrize("value, code", [("yes", 250), ("no", 501)])
def test_an_address_without_its_domain(postern, value, code):
    p = postern("p", users={"bob@mail.example.test": "b"},
                options={"resolve_null_domain": value}).start()
    assert answer(p, "bob@", sender="a@b.example")[0] == code
    if value == "yes":
        assert give(p, b"Subject: s\r\n\r\nx\r\n", rcpt="bob@")[0] == 250
        assert len(inbox(p, "bob@mail.example.test")) == 1


def test_a_number_is_a_literal(postern):
    p = start(postern, resolve_numeric_domain="yes")
    code, text = answer(p, "bob@192.0.2.1")
    assert code == 454 and "<bob@[192.0.2.1]>" in text
    assert answer(p, "bob@192.0.2.256")[0] == 501


def test_a_number_is_no_domain(postern):
    assert answer(start(postern), "bob@192.0.2.1")[0] == 501


@pytest.mark.parametrize("options, percent, quoted", [
    ({}, 454, 454),
    ({"allow_untrusted_routing": "yes"}, 250, 250),
    ({"resolve_dequoted_address": "no"}, 454, 250)])
def test_a_way_that_a_stranger_says(postern, options, percent, quoted):
    p = start(postern, relay_domains="far.example", **options)
    assert answer(p, "victim%other.example@far.example")[0] == percent
    assert answer(p, '"victim@other.example"@far.example')[0] == quoted
    assert answer(p, "plain@far.example")[0] == 250


@pytest.mark.parametrize("limit, full", [("2", False), ("3", True)])
def test_fields_with_many_addresses(postern, limit, full):
    p = start(postern, header_address_token_limit=limit)
    assert give(p, b"Subject: s\r\nTo: a, b, c\r\n\r\nx\r\n")[0] == 250
    to = email.message_from_bytes(inbox(p)[0])["To"]
    assert ("a@mail.example.test" in to) == full


# ---- lines ----

@pytest.mark.parametrize("value, want", [
    ("yes", b"a b\r\nc\r\n"), ("no", b"a\r\nb\r\nc\r\n")])
def test_a_cr_alone(postern, value, want):
    p = start(postern, smtpd_forbid_bare_newline="normalize",
              cleanup_replace_stray_cr_lf=value)
    assert give(p, b"Subject: s\r\n\r\na\rb\nc\r\n")[0] == 250
    assert inbox(p)[0].endswith(b"\r\n\r\n" + want)


@pytest.mark.parametrize("action", ["fix_quietly", "add_header", "reject"])
def test_a_header_without_its_end(postern, action):
    p = start(postern, non_empty_end_of_header_action=action)
    code, text = give(p, b"Subject: s\r\nno field\r\nmore\r\n")
    if action == "reject":
        assert code == 550 and "not terminated by empty line" in text
    else:
        assert code == 250
        mail, = inbox(p)
        head, body = mail.split(b"\r\n\r\n", 1)
        assert body == b"no field\r\nmore\r\n"
        assert (b"MIME-Error: message header was not terminated" in head) == \
            (action == "add_header")
    # What has no text at all, or its blank line, is fine.
    for fine in (b"Subject: s\r\n", b"Subject: s\r\n\r\nno field\r\n"):
        assert give(p, fine)[0] == 250
    assert sum(b"MIME-Error" in m for m in inbox(p)) == \
        (action == "add_header")


# ---- eight bits ----

SAYS_8BIT = (b"Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
             b"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
HEAD_8BIT = "Subject: Gr\u00fc\u00dfe\r\n\r\nhello\r\n".encode()


@pytest.fixture
def relay(postern):
    sinks = []

    def make(ehlo=("8BITMIME", "SMTPUTF8"), **options):
        sink = Sink("127.0.0.5", 0, ehlo=ehlo)
        sinks.append(sink)
        p = postern("p", users={ALICE: "a"}, options=relaying(
            sink, mynetworks="127.0.0.0/8", smtpd_relay_restrictions=(
                "permit_mynetworks, reject"), **options)).start()

        def mail_line(text):
            assert give(p, text, rcpt="x@far.example")[0] == 250
            wait_for("the mail", lambda: sink.mails)
            return next(c for c in sink.commands if c.startswith("MAIL"))
        return p, sink, mail_line
    yield make
    for sink in sinks:
        sink.stop()


@pytest.mark.parametrize("value", ["yes", "no"])
def test_who_says_8bit_without_any(relay, value):
    _, _, mail_line = relay(detect_8bit_encoding_header=value)
    assert ("BODY=8BITMIME" in mail_line(SAYS_8BIT + b"plain\r\n")) == \
        (value == "yes")


def test_text_is_made_7bit_where_it_comes_in(relay):
    _, sink, mail_line = relay(force_mime_input_conversion="yes")
    line = mail_line(SAYS_8BIT + "Gr\u00fc\u00dfe\r\n".encode())
    assert "BODY=" not in line
    data = sink.mails[0]["data"]
    mail = email.message_from_bytes(data)
    assert data.isascii()
    assert mail["Content-Transfer-Encoding"] == "quoted-printable"
    assert mail.get_payload(decode=True).decode() == "Gr\u00fc\u00dfe\r\n"


SIGNED = ("Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; "
          'boundary="b"\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
          "Gr\u00fc\u00dfe\r\n--b\r\n\r\nsig\r\n--b--\r\n").encode()


@pytest.mark.parametrize("text", [HEAD_8BIT, SIGNED])
def test_what_cannot_be_made_7bit_stays(relay, text):
    _, sink, mail_line = relay(force_mime_input_conversion="yes")
    assert "BODY=8BITMIME" in mail_line(text)
    assert sink.mails[0]["data"].endswith(text.split(b"\r\n", 1)[1])


LATIN_1 = b"Subject: Gr\xfc\xdfe\r\n\r\nhello\r\n"


@pytest.mark.parametrize("classes, text, asks", [
    ("sendmail, verify", HEAD_8BIT, False), ("smtpd", HEAD_8BIT, True),
    ("all", HEAD_8BIT, True),
    # What is no UTF-8 is no message of RFC 6532.
    ("all", LATIN_1, False),
    ("all", b"X-A: \xc3\xbc\r\n" + LATIN_1, False),
    ("all", LATIN_1.replace(b"\r\n\r\n", b"\r\nX-A: \xc3\xbc\r\n\r\n"), False)])
def test_a_header_that_needs_smtputf8(relay, classes, text, asks):
    _, _, mail_line = relay(smtputf8_autodetect_classes=classes)
    assert ("SMTPUTF8" in mail_line(text)) == asks


# ---- filters ----

@pytest.mark.parametrize("names", ["", "j i {client_addr}"])
def test_macros_with_a_command_that_is_none(postern, names):
    m = Milter()
    p = with_milters(postern, m, milter_unknown_command_macros=names)
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    s.expect("FROBNICATE now", 500)
    s.close()
    wait_for("the event", lambda: m.told("U"))
    want = {"j": p.name, "{client_addr}": "127.0.0.1"} if names else {}
    assert m.macros("U") == want
    m.stop()


@pytest.mark.parametrize("line, level", [
    ("non_empty_end_of_header_action=fix", 78),
    ("smtp_address_verify_target=mail", 78),
    ("sendmail_fix_line_endings=often", 78),
    ("smtputf8_autodetect_classes=bounce", 0)])
def test_words_that_are_none(postern, line, level):
    p = postern("p", users={BOB: "b"})
    p.run("conf", "-e", line)
    r = p.run("check", check=False)
    assert r.returncode == level and "unknown word" in r.stderr + r.stdout
