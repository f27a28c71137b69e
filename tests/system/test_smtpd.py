# SPDX-License-Identifier: ISC
"""What a stranger, a client and an attacker say to smtpd, and what it says."""

import base64
import imaplib
import itertools
import re
import smtplib
import socket

import pytest

from harness import Smtp, wait_for

BOB = "bob@example.test"


def inbox(p, user=BOB):
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(user, p.users[user])
    n = int(m.select("INBOX", readonly=True)[1][0])
    mails = [m.fetch(str(i), "(BODY.PEEK[])")[1][0][1] for i in range(1, n + 1)]
    m.logout()
    return mails


def open_mx(p):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    return s


def logged_in(p, user="alice@example.test"):
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO client.example", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO client.example", 250)
    token = base64.b64encode(f"\0{user}\0{p.users[user]}".encode()).decode()
    s.expect(f"AUTH PLAIN {token}", 235)
    return s


def test_every_reply_has_an_enhanced_code(one):
    s = open_mx(one)
    for line, code in [("NOOP", 250), ("RSET", 250), ("VRFY x", 252),
                       ("HELP", 214), ("MAIL FROM:<x@y.example>", 250),
                       ("RCPT TO:<%s>" % BOB, 250), ("FOO", 500),
                       ("MAIL", 503), ("RCPT TO:<@>", 501),
                       ("RCPT TO:<nobody@example.test>", 550),
                       ("DATA x", 501), ("AUTH PLAIN", 503),
                       ("QUIT", 221)]:
        text = s.expect(line, code)
        assert re.match(r"\d{3} [245]\.\d+\.\d+ ", text), (line, text)
        assert text[4] == text[0], text
    s.close()


def test_no_relay_for_strangers(one):
    s = open_mx(one)
    s.expect("MAIL FROM:<x@y.example>", 250)
    for victim in ("victim@elsewhere.example", "victim%elsewhere.example@" +
                   "example.test", "<@example.test:v@elsewhere.example>",
                   '"v@elsewhere.example"@example.test'):
        address = victim if victim.startswith("<") else f"<{victim}>"
        code, text = s.cmd(f"RCPT TO:{address}")
        assert code >= 400, (victim, text)
    assert "Relay access denied" in s.cmd("RCPT TO:<v@e.example>")[1]
    s.close()


def test_unknown_user_at_rcpt(one):
    s = open_mx(one)
    s.expect("MAIL FROM:<>", 250)
    text = s.expect("RCPT TO:<nobody@example.test>", 550)
    assert "5.1.1" in text and "virtual mailbox table" in text
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("RCPT TO:<postmaster@example.test>", 250)
    s.close()


def test_submission_needs_tls_then_auth(one):
    s = Smtp(one.host, one.port["submission"])
    text = s.expect("EHLO c.example", 250)
    assert "STARTTLS" in text and "AUTH" not in text
    s.expect("MAIL FROM:<alice@example.test>", 530)
    s.expect("AUTH PLAIN AAAA", 538)
    s.starttls(one.tls(), one.name)
    s.expect("MAIL FROM:<alice@example.test>", 250)
    text = s.expect(f"RCPT TO:<{BOB}>", 554)
    assert "Access denied" in text
    text = s.expect("EHLO c.example", 250)
    assert "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 "\
        "PLAIN LOGIN" in text and "STARTTLS" not in text
    s.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_python_client_logs_in(one, mechanism):
    c = smtplib.SMTP(one.host, one.port["submission"])
    c.starttls(context=one.tls())
    c.ehlo()
    c.user, c.password = "alice@example.test", one.users["alice@example.test"]
    method = {"PLAIN": c.auth_plain, "LOGIN": c.auth_login}[mechanism]
    assert c.auth(mechanism, method)[0] == 235
    c.quit()


def test_auth_failures(one):
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    s.expect("EHLO c.example", 250)

    def plain(text):
        return base64.b64encode(text.encode()).decode()

    s.expect("AUTH PLAIN " + plain("\0alice@example.test\0wrong"), 535)
    s.expect("AUTH PLAIN " + plain("\0nobody@example.test\0x"), 535)
    # Acting for somebody else: CVE-2023-27582
    s.expect("AUTH PLAIN " + plain(
        "bob@example.test\0alice@example.test\0wonderland-1"), 535)
    s.expect("AUTH PLAIN !!!", 501)
    s.expect("AUTH PLAIN " + plain("no separators"), 501)
    s.expect("AUTH FOO", 504)
    s.expect("AUTH LOGIN", 334)
    s.expect("*", 501)
    s.expect("AUTH SCRAM-SHA-256", 334)
    s.expect(plain("p=tls-unique,,n=x,r=y"), 501)
    # Nothing of it stuck.
    s.expect("AUTH PLAIN " + plain(
        "alice@example.test\0alice@example.test\0wonderland-1"), 235)
    s.expect("AUTH PLAIN " + plain("\0a\0b"), 503)
    s.close()


def test_sender_must_be_owned(one):
    s = logged_in(one)
    assert "not owned" in s.expect("MAIL FROM:<bob@example.test>", 553)
    assert "not owned" in s.expect("MAIL FROM:<x@elsewhere.example>", 553)
    s.expect("MAIL FROM:<alice@example.test>", 250)
    s.close()


def test_size_limit(postern):
    p = postern("s", users={BOB: "b"}, options={"message_size_limit": "2000"})
    p.start()
    s = open_mx(p)
    assert "5.3.4" in s.expect("MAIL FROM:<a@b.example> SIZE=2001", 552)
    s.expect("MAIL FROM:<a@b.example> SIZE=2000", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"x" * 70 + b"\r\n" + b"y" * 3000 + b"\r\n.\r\n")
    assert s.reply()[0] == 552
    for size in (2 ** 31, 2 ** 63, 2 ** 64, -1, "0x10", ""):
        code, text = s.cmd(f"MAIL FROM:<a@b.example> SIZE={size}")
        assert code in (501, 552), text
    s.expect("RCPT TO:<x@y.example>", 503)
    s.close()


LOOK_ALIKES = [b"\n.\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\n.\r\n", b"\r\n.\n",
               b"\r.\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"]


@pytest.mark.parametrize("end", LOOK_ALIKES, ids=repr)
def test_no_smuggling(one, end):
    """Another end of data than CRLF.CRLF never makes a second mail."""
    s = open_mx(one)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: one\r\n\r\nfirst" + end +
           b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<" + BOB.encode() +
           b">\r\nDATA\r\nSubject: two\r\n\r\nsecond\r\n.\r\n")
    code, text = s.reply()
    assert code == 550 and "5.5.2" in text
    s.expect("NOOP", 250)
    s.close()
    assert inbox(one) == []


@pytest.mark.parametrize("tls", [False, True])
def test_no_smuggling_at_any_cut(one, tls):
    """The same with the bytes split at each offset, in clear and under TLS;
    and the true end of data works at each split."""
    evil = (b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<" + BOB.encode() +
            b">\r\nDATA\r\nSubject: two\r\n\r\nsecond\r\n.\r\n")
    s = open_mx(one)
    if tls:
        s.starttls(one.tls(), one.name)
        s.expect("EHLO c.example", 250)
    s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    good = 0
    for end in [*LOOK_ALIKES, b"\r\n.\r\n"]:
        true_end = end == b"\r\n.\r\n"
        text = b"Subject: one\r\n\r\nx" + end + (b"" if true_end else evil)
        for cut in range(len(text) - len(end) - len(evil) * (not true_end) - 1,
                         len(text) - len(evil) * (not true_end) + 2):
            s.expect("MAIL FROM:<a@b.example>", 250)
            s.expect(f"RCPT TO:<{BOB}>", 250)
            s.expect("DATA", 354)
            s.send(text[:cut])
            s.send(text[cut:])
            code, reply = s.reply()
            assert code == (250 if true_end else 550), (end, cut, reply)
            good += true_end
            s.expect("RSET", 250)  # in step: no second reply was waiting
            # An account of errors must not end the session.
            s.expect("MAIL FROM:<a@b.example>", 250)
            s.expect(f"RCPT TO:<{BOB}>", 250)
            s.expect("DATA", 354)
            s.send(b"Subject: one\r\n\r\nx\r\n.\r\n")
            assert s.reply()[0] == 250
            good += 1
    s.close()
    mails = inbox(one)
    assert len(mails) == good
    assert all(b"Subject: one" in m and b"second" not in m for m in mails)


def test_nothing_survives_starttls(one):
    s = Smtp(one.host, one.port["smtp"])
    s.expect("EHLO a.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.starttls(one.tls(), one.name)
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.close()
    # A command behind STARTTLS in the same packet is never run.
    s = Smtp(one.host, one.port["smtp"])
    s.expect("EHLO a.example", 250)
    s.send("STARTTLS\r\nMAIL FROM:<evil@b.example>\r\n")
    assert s.reply()[0] == 501
    assert s.file.readline() == b""
    s.close()


COMMANDS = ["EHLO x.example", "MAIL FROM:<a@b.example>", "RCPT TO:<%s>" % BOB,
            "RCPT TO:<nobody@example.test>", "MAIL FROM:<@@>", "RSET", "VRFY ü",
            "DATA x", "FOO", "RCPT TO:<%s> NOTIFY=X" % BOB,
            "BDAT 12\r\nSubject: c\r\n", "BDAT 0 LAST"]


def test_state_after_each_command_in_each_state(postern):
    """Every pair of commands after every prefix: replies depend only on the
    transaction that is open, never on one that ended."""
    p = postern("matrix", users={BOB: "b"}, options={
        "smtpd_hard_error_limit": "100000", "smtpd_soft_error_limit": "100000",
        "smtpd_junk_command_limit": "100000"}).start()
    s = open_mx(p)
    for sequence in itertools.product(COMMANDS, repeat=3):
        s.expect("RSET", 250)
        mail = rcpt = chunk = False
        for line in sequence:
            if "\r\n" in line:
                s.send(line)
                code, text = s.reply()
            else:
                code, text = s.cmd(line)
            if line.startswith("EHLO"):
                mail = rcpt = chunk = False
                assert code == 250
            elif line.startswith("BDAT"):
                assert code == (250 if rcpt else 554 if mail else 503), \
                    (sequence, text)
                chunk |= rcpt
                if rcpt and "LAST" in line:
                    mail = rcpt = chunk = False
            elif chunk and line.startswith("RCPT"):
                assert code == 503, (sequence, text)
            elif line == "MAIL FROM:<a@b.example>":
                assert code == (503 if mail else 250), (sequence, text)
                mail = True
            elif line == "MAIL FROM:<@@>":
                assert code == (503 if mail else 501), (sequence, text)
            elif line == COMMANDS[2]:
                assert code == (250 if mail else 503), (sequence, text)
                rcpt |= mail
            elif line.startswith("RCPT"):
                assert code == (503 if not mail else 501 if "X" in line
                                else 550), (sequence, text)
            elif line == "RSET":
                mail = rcpt = chunk = False
                assert code == 250
        # An open transaction with a recipient, and no other, takes DATA.
        code, text = s.cmd("DATA")
        assert code == (503 if chunk else 354 if rcpt else 554 if mail
                        else 503), (sequence, text)
        if code == 354:
            s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
            assert s.reply()[0] == 250
            s.expect("DATA", 503)
    s.close()


def test_hostile_lines(one):
    s = open_mx(one)
    s.send(b"EHLO " + b"a" * 100000 + b"\r\n")
    assert s.reply()[0] == 500
    s.send(b"NOOP \x00\r\n")
    assert s.reply()[0] == 500
    s.send(b"NOOP \x1b[2J\r\n")
    assert s.reply()[0] == 500
    s.send(b"MAIL FROM:<\xff\xfe@x.example>\r\n")
    assert s.reply()[0] in (501, 553)
    s.expect("MAIL FROM:<a@b.example> " + "X=1 " * 200, 555)
    s.expect("NOOP", 250)
    s.close()
    s = Smtp(one.host, one.port["smtp"])
    s.send("GET / HTTP/1.1\r\n")
    assert s.reply()[0] == 421
    s.close()


def test_too_many_errors_end_the_session(one):
    s = open_mx(one)
    codes = []
    with pytest.raises((EOFError, OSError)):
        for _ in range(40):
            codes.append(s.cmd("BAD")[0])
    assert codes[-1] == 421 or codes.count(500) == 20
    s.close()


def test_many_recipients_and_duplicates(postern):
    p = postern("r", users={BOB: "b"}, options={"smtpd_recipient_limit": "5"})
    p.start()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for _ in range(20):
        s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 1


def test_dialog_byte_by_byte(one):
    s = Smtp(one.host, one.port["smtp"])
    s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def slowly(text):
        for byte in text:
            s.send(bytes([byte]))

    for line, code in [(b"EHLO a.example\r\n", 250),
                       (b"MAIL FROM:<a@b.example>\r\n", 250),
                       (b"RCPT TO:<" + BOB.encode() + b">\r\n", 250),
                       (b"DATA\r\n", 354),
                       (b"Subject: slow\r\n\r\n..dot\r\n.\r\n", 250)]:
        slowly(line)
        assert s.reply()[0] == code
    s.close()
    assert b"\r\n.dot\r\n" in inbox(one)[0]


def test_submission_completes_the_header(one):
    s = logged_in(one)
    s.expect("MAIL FROM:<alice@example.test>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: bare\r\nBcc: secret@example.test\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    mail = inbox(one)[0]
    assert b"\r\nDate: " in mail and b"\r\nMessage-ID: <" in mail
    assert b"\r\nFrom: alice@example.test\r\n" in mail
    assert b"secret@" not in mail
    assert b"with ESMTPSA id" in mail
    # On port 25 nothing is added.
    s = open_mx(one)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: bare\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert b"Message-ID" not in inbox(one)[1]


def test_large_message_is_the_same_bytes(one):
    body = b"".join(b"%07d " % i + b"z" * 60 + b"\r\n" for i in range(40000))
    s = open_mx(one)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: big\r\n\r\n" + body + b".\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert inbox(one)[0].split(b"\r\n\r\n", 1)[1] == body


def test_restrictions_and_access_maps(postern, tmp_path):
    access = tmp_path / "access"
    access.write_text("blocked.example  REJECT go away\n"
                      "late@x.example   DEFER\n"
                      "custom.example   521 5.7.9 no thanks\n")
    p = postern("acc", users={BOB: "b"}, options={
        "smtpd_helo_required": "yes",
        "smtpd_helo_restrictions": "reject_invalid_hostname",
        "smtpd_sender_restrictions":
            f"check_sender_access hash:{access}, reject_non_fqdn_sender"})
    p.start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("MAIL FROM:<a@b.example>", 503)
    s.expect("EHLO -foo", 250)  # smtpd_delay_reject
    s.expect("MAIL FROM:<a@b.example>", 250)
    text = s.expect(f"RCPT TO:<{BOB}>", 501)
    assert "5.5.2 <-foo>: Helo command rejected: Invalid name" in text
    s.expect("EHLO good.example", 250)

    def verdict(sender):
        s.expect("RSET", 250)
        s.expect(f"MAIL FROM:<{sender}>", 250)
        return s.cmd(f"RCPT TO:<{BOB}>")

    assert verdict("x@blocked.example") == (
        554, "554 5.7.1 <x@blocked.example>: Sender address rejected: "
             "go away\r\n")
    assert verdict("late@x.example")[0] == 450
    assert verdict("x@host")[0] == 504
    assert verdict("x@fine.example")[0] == 250
    # An edit acts without a restart.
    access.write_text("fine.example REJECT\n")
    wait_for("the edited table",
             lambda: verdict("x@fine.example")[0] == 554)
    assert verdict("x@custom.example")[0] == 250
    # A broken or missing table keeps its last good version.
    access.unlink()
    assert verdict("x@fine.example")[0] == 554
    s.close()


def test_virtual_alias_and_extension(postern, tmp_path):
    va = tmp_path / "va"
    va.write_text("info@example.test bob@example.test, alice@example.test\n"
                  "@catch.example bob@example.test\n"
                  "catch.example anything\n")
    p = postern("alias", users={"alice@example.test": "a", BOB: "b"}, options={
        "virtual_alias_maps": f"hash:{va}", "recipient_delimiter": "+"})
    p.start()
    s = open_mx(p)
    for to in ("info@example.test", "who@catch.example",
               "bob+lists@example.test"):
        s.expect("MAIL FROM:<a@b.example>", 250)
        s.expect(f"RCPT TO:<{to}>", 250)
        s.expect("DATA", 354)
        s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 3
    assert len(inbox(p, "alice@example.test")) == 1
    assert b"Delivered-To: bob+lists@example.test" in inbox(p)[2]


def test_log_is_one_line_per_event(postern):
    import json
    p = postern("json", users={BOB: "b"}, options={"maillog_format": "json"})
    p.start()
    s = Smtp(p.host, p.port["smtp"])
    s.cmd(b"EHLO a\xc3\xa9\"b")
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.cmd(b"RCPT TO:<no\\\"body@example.test>")
    s.close()
    p.stop()
    for line in p.log().splitlines():
        if line.startswith("{"):
            json.loads(line)
    assert "wonderland" not in p.log()


@pytest.fixture
def lmtp(postern):
    from harness import free_port
    port = free_port()
    p = postern("lmtp", users={BOB: "b", "alice@example.test": "a"},
                options={"message_size_limit": "2000",
                         "smtpd_recipient_limit": "5"},
                master_extra=f"127.0.0.1:{port} inet n - n - - lmtpd\n")
    p.start()
    s = Smtp(p.host, port, greet=False)
    code, text = s.reply()
    assert code == 220 and "LMTP" in text and "ESMTP" not in text
    yield p, s
    s.close()


def test_lmtp_answers_for_each_recipient(lmtp):
    """RFC 2033 4.2; a duplicate RCPT was answered, so it counts."""
    p, s = lmtp
    s.expect("EHLO x.test", 500)
    s.expect("HELO x.test", 500)
    assert "PIPELINING" in s.expect("LHLO x.test", 250)

    def data(body, *rcpts):
        s.expect("MAIL FROM:<a@b.example>", 250)
        for to, code in rcpts:
            s.expect(f"RCPT TO:<{to}>", code)
        s.expect("DATA", 354)
        s.send(body + b"\r\n.\r\nNOOP\r\n")
        got = []
        while "2.0.0 Ok\r\n" not in (reply := s.reply())[1]:
            got.append(reply[0])
        return got

    both = ((BOB, 250), ("nobody@example.test", 550),
            ("alice@example.test", 250), (BOB, 250))
    assert data(b"Subject: s\r\n\r\nx", *both) == [250] * 3
    # A refusal of the data is told to each, and nothing of it stays.
    assert data(b"x" * 990 + b"\r\n" + b"y" * 1500, *both) == [552] * 3
    assert data(b"bare\nfeed", *both) == [550] * 3
    assert data(b"Subject: t\r\n\r\nx", (BOB, 250)) == [250]
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<nobody@example.test>", 550)
    s.expect("DATA", 503)
    assert len(inbox(p)) == 2
    assert len(inbox(p, "alice@example.test")) == 1
    assert b"with LMTP" in inbox(p)[0]
    # The replies to come are bounded: each RCPT counts.
    s.expect("RSET", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for code in [250] * 5 + [452]:
        s.expect(f"RCPT TO:<{BOB}>", code)


def test_lhlo_is_not_for_smtp(one):
    s = Smtp(one.host, one.port["smtp"])
    s.expect("LHLO x.test", 500)
    s.close()


def test_accounts_are_known_at_once(one):
    """What smtpd remembers of the accounts ends with the next change."""
    def code(address):
        s = open_mx(one)
        s.expect("MAIL FROM:<a@b.example>", 250)
        got = s.cmd(f"RCPT TO:<{address}>")[0]
        s.close()
        return got
    for i in range(6):
        new = f"new{i}@example.test"
        assert [code(new), code(new)] == [550, 550]
        one.run("user", "add", new, "--password-stdin", input="secret-1\n")
        assert [code(new), code(BOB), code(new)] == [250, 250, 250]
        one.run("user", "del", new)
        assert [code(new), code(new)] == [550, 550]


def test_only_auth_may_be_long(one):
    """RFC 4954 4: 12288 octets for AUTH; all other commands 2048 here."""
    s = open_mx(one)
    for line in ("NOOP ", "EHLO ", "MAIL FROM:<a@b.example> X="):
        s.expect(line + "x" * 2100, 500)
    s.expect("NOOP", 250)
    s.close()
    s = logged_in(one)
    s.close()
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(one.tls(), one.name)
    s.expect("EHLO c.example", 250)
    long = base64.b64encode(b"\0bob@example.test\0" + b"p" * 9000).decode()
    s.expect(f"AUTH PLAIN {long}", 535)
    s.expect("AUTH PLAIN " + "A" * 12300, 500)
    s.expect("NOOP", 250)
    s.close()
