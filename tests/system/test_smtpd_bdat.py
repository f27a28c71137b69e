# SPDX-License-Identifier: ISC
"""CHUNKING (RFC 3030): the text in chunks, and what is left of it after each
kind of error."""

import pytest

from harness import POSTERN, Smtp
from test_smtpd import BOB, LOOK_ALIKES, inbox, logged_in, open_mx

TEXT = b"Subject: chunks\r\n\r\nfirst\r\n.\r\n..\r\nlast\r\n"


def begin(s, sender="a@b.example", rcpt=BOB):
    s.expect(f"MAIL FROM:<{sender}>", 250)
    s.expect(f"RCPT TO:<{rcpt}>", 250)


def bdat(s, data, last=False):
    s.send(b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data)
    return s.reply()


@pytest.mark.parametrize("cut", [1, 7, len(TEXT)])
def test_chunks_are_joined(one, cut):
    s = open_mx(one)
    begin(s)
    for i in range(0, len(TEXT), cut):
        assert bdat(s, TEXT[i:i + cut])[0] == 250
    code, text = bdat(s, b"", last=True)
    assert code == 250 and "queued as" in text
    s.expect("QUIT", 221)
    s.close()
    mail, = inbox(one)
    assert mail.endswith(TEXT[TEXT.index(b"\r\n\r\n"):])


def test_pipelined_group_and_second_mail(one):
    s = open_mx(one)
    group = (b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + BOB.encode() +
             b">\r\nBDAT %d LAST\r\n" % len(TEXT) + TEXT)
    s.send(group + group + b"NOOP\r\n")
    assert [s.reply()[0] for _ in range(7)] == [250] * 7
    s.close()
    assert len(inbox(one)) == 2


def test_text_without_line_end_gets_one(one):
    s = open_mx(one)
    begin(s)
    assert bdat(s, b"Subject: s\r\n\r\nno end", last=True)[0] == 250
    s.close()
    assert inbox(one)[0].endswith(b"\r\n\r\nno end\r\n")


@pytest.mark.parametrize("argument", [
    "", "x", "-1", "+1", "0x10", "1 LATER", "1 LAST x", str(2**64), "1.5"])
def test_unreadable_size_ends_the_session(one, argument):
    """How many octets follow is unknown: none of them may become commands."""
    s = open_mx(one)
    begin(s)
    s.send(f"BDAT {argument}\r\nMAIL FROM:<evil@b.example>\r\n")
    assert s.reply()[0] == 501
    with pytest.raises((EOFError, ConnectionResetError)):
        s.reply()
    s.close()
    assert inbox(one) == []


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1])
def test_enormous_size(one, size):
    s = open_mx(one)
    begin(s)
    s.send(b"BDAT %d LAST\r\n" % size + b"RSET\r\n" * 1000)
    s.close()
    t = open_mx(one)
    t.expect("NOOP", 250)
    t.close()
    assert inbox(one) == []


EVIL = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@example.test>\r\n"


@pytest.mark.parametrize("before, code", [
    ([], 503), (["MAIL FROM:<a@b.example>"], 554),
    (["MAIL FROM:<a@b.example>", "RCPT TO:<nobody@example.test>"], 554)])
def test_octets_of_a_refused_chunk_are_eaten(one, before, code):
    s = open_mx(one)
    for line in before:
        s.cmd(line)
    assert bdat(s, EVIL)[0] == code
    s.expect("RSET", 250)
    s.expect("RCPT TO:<bob@example.test>", 503)
    begin(s)
    assert bdat(s, TEXT, last=True)[0] == 250
    s.close()
    assert len(inbox(one)) == 1


def test_tls_is_needed_and_octets_are_eaten(one):
    s = Smtp(one.host, one.port["submission"])
    s.expect("EHLO c.example", 250)
    assert bdat(s, EVIL, last=True)[0] == 530
    s.expect("NOOP", 250)
    s.close()


def test_commands_between_chunks(one):
    s = open_mx(one)
    begin(s)
    assert bdat(s, TEXT)[0] == 250
    s.expect("MAIL FROM:<x@b.example>", 503)
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.expect("DATA", 503)
    s.expect("NOOP", 250)
    s.expect("RSET", 250)
    # The chunk is gone with its transaction.
    s.expect("DATA", 503)
    begin(s)
    assert bdat(s, b"Subject: new\r\n\r\nx\r\n", last=True)[0] == 250
    assert bdat(s, EVIL, last=True)[0] == 503
    s.close()
    mail, = inbox(one)
    assert b"Subject: new" in mail and b"chunks" not in mail


def test_too_large_in_the_middle(postern):
    p = postern("size", users={BOB: "b"}, options={
        "message_size_limit": "20000", "mailbox_size_limit": "0"}).start()
    s = open_mx(p)
    begin(s)
    assert bdat(s, b"Subject: s\r\n\r\n" + b"x" * 15000)[0] == 250
    assert bdat(s, b"x" * 15000)[0] == 552
    assert bdat(s, EVIL, last=True)[0] == 503
    begin(s)
    assert bdat(s, TEXT, last=True)[0] == 250
    s.close()
    assert len(inbox(p)) == 1


@pytest.mark.parametrize("end", LOOK_ALIKES + [b"\n", b"\r", b"\r\r\n"],
                         ids=repr)
def test_no_smuggling_in_chunks(one, end):
    """Any cut, also inside of the look-alike: refused, one or no mail."""
    text = b"Subject: s\r\n\r\nx" + end + EVIL
    for cut in range(15, 15 + len(end) + 1):
        s = open_mx(one)
        begin(s)
        assert bdat(s, text[:cut])[0] == 250
        assert bdat(s, text[cut:], last=True)[0] == 550
        s.expect("NOOP", 250)
        s.close()
    assert inbox(one) == []


def test_many_tiny_chunks_need_no_memory(one):
    def resident():
        return sum(
            int(line.split()[1]) for role in one.status()["roles"]
            if role["role"] == "smtpd"
            for line in open(f"/proc/{role['pid']}/status")
            if line.startswith("RssAnon"))
    s = open_mx(one)
    begin(s)
    assert bdat(s, b"Subject: s\r\n\r\n")[0] == 250
    before = resident()
    for _ in range(100):
        s.send(b"BDAT 1\r\nx" * 1000)
        for _ in range(1000):
            assert s.reply()[0] == 250
    if "san" not in POSTERN.parent.name:  # which keeps freed memory
        assert resident() < before + 2048
    assert bdat(s, b"\r\n", last=True)[0] == 250
    s.close()


def test_lmtp_answers_the_last_chunk_for_each_recipient(postern):
    from harness import free_port
    port = free_port()
    p = postern("lmtp", users={BOB: "b", "eve@example.test": "e"},
                master_extra=f"127.0.0.1:{port} inet n - n - - lmtpd\n").start()
    s = Smtp(p.host, port)
    s.expect("LHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("RCPT TO:<eve@example.test>", 250)
    assert bdat(s, TEXT)[0] == 250
    assert bdat(s, b"", last=True)[0] == 250
    assert s.reply()[0] == 250
    s.expect("NOOP", 250)
    s.close()


def test_a_delay_in_front_of_a_chunk_is_no_timeout(postern):
    """A list that sleeps and lets pass: nothing is to be said before the
    octets have come, and the session must not end for that."""
    p = postern("nap", users={BOB: "b"}, options={
        "smtpd_data_restrictions": "sleep 1"}).start()
    s = open_mx(p)
    begin(s)
    assert bdat(s, TEXT[:9])[0] == 250
    assert bdat(s, TEXT[9:], last=True)[0] == 250
    begin(s)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 2
