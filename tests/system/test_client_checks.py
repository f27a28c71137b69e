# SPDX-License-Identifier: ISC
"""What broke for the users of other servers, a check each: named by the client
and its number in our list of them (47, over quota: test_quota.py)."""

import poplib
import re
import socket

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"
TWO = (b"From: a@b.example\r\nTo: u0@example.test\r\nSubject: two parts\r\n"
       b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
       b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n"
       b"Content-Type: text/plain\r\n\r\n\r\n--b--\r\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("checks") / "a", users={USER: PW},
                options={"virtual_mailbox_domains": "example.test"})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def c(server):
    c = Client(server, USER)
    for line in c.ok('LIST "" "*"'):
        name = line.split('"/" ')[1].strip('"')
        if name not in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"):
            c.cmd(f'DELETE "{name}"')
    if "0 EXISTS" not in c.ok("SELECT INBOX"):
        c.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
        c.ok("EXPUNGE")
    yield c
    c.close()


@pytest.fixture
def other(server):
    c = Client(server, USER)
    yield c
    c.close()


def put(c, data=TWO, extra="", box="INBOX"):
    uid = c.append(box, data, extra)
    c.ok("NOOP")
    return uid


def fetch(c, text):
    replies, status = c.cmd(text)
    assert status.startswith("OK"), status
    return b"\n".join(replies)


# ---- iOS, Apple Mail ----

def test_01_apple_empty_string_is_no_literal(c):
    put(c)
    for item in ("BODY[2]", "BODY[7]", "BODY.PEEK[]<99999.10>",
                 "BODY.PEEK[1]<500.5>", "BINARY.PEEK[2]"):
        got = fetch(c, f"FETCH 1 ({item})")
        assert b'""' in got and b"{0}" not in got, item


def test_02_apple_partial_on_a_shorter_part(c):
    put(c)
    assert fetch(c, "FETCH 1 (BODY.PEEK[1]<0.393216>)") == \
        b"1 FETCH (BODY[1]<0> {5}\r\nhello)"
    assert b'BODY[1]<9> ""' in fetch(c, "FETCH 1 (BODY.PEEK[1]<9.5>)")


def test_03_apple_internaldate(c):
    put(c, extra='" 1-Feb-2024 03:04:05 +0200" ')
    got = fetch(c, "FETCH 1 (INTERNALDATE)")
    assert got == b'1 FETCH (INTERNALDATE " 1-Feb-2024 01:04:05 +0000")'


def test_04_apple_commands_behind_idle_in_one_packet(c):
    c.send(b"i1 IDLE\r\nDONE\r\ni2 NOOP\r\ni3 IDLE\r\n")
    c.until("i1")
    c.until("i2")
    assert c.line().startswith(b"+ ")
    c.send(b"DONE\r\n")
    c.until("i3")


def test_05_apple_changedsince_zero(c):
    put(c)
    assert b"1 FETCH (UID" in fetch(c, "FETCH 1:* (UID) (CHANGEDSINCE 0)")


def test_06_apple_inbox_in_inbox(c):
    for name in ("INBOX/INBOX", "inbox/Inbox", "INBOX"):
        assert c.cmd(f"CREATE {name}")[1].startswith("NO")


def test_07_apple_replies_in_the_order_of_commands(c):
    c.send(b"".join(b"o%d NOOP\r\n" % i for i in range(30)))
    for i in range(30):
        assert c.line().startswith(b"o%d OK" % i)


def test_08_apple_search_is_exact(c):
    put(c)
    assert c.ok('SEARCH TEXT "ello"') == ["SEARCH 1"]


def test_09_apple_list_is_complete(c):
    got = c.ok('LIST "" "*"')
    assert any(re.fullmatch(r'LIST \(\\HasNoChildren\) "/" "INBOX"', r)
               for r in got)
    for use in ("Drafts", "Sent", "Junk", "Trash", "Archive"):
        assert any(f"\\{use}" in r and "\\HasNoChildren" in r for r in got)


# ---- Outlook ----

def test_10_outlook_xlist_and_lsub_uses(c):
    assert any("\\Sent" in r for r in c.ok('XLIST "" "*"'))
    assert any("\\Inbox" in r for r in c.ok('XLIST "" "*"'))
    assert any("\\Sent" in r for r in c.ok('LSUB "" "*"'))


def test_11_outlook_peek_forms(c):
    put(c)
    for item in ("RFC822.PEEK", "BODY.PEEK[]", "BODY.PEEK[HEADER]"):
        fetch(c, f"FETCH 1 ({item})")
    assert b"\\Seen" not in fetch(c, "FETCH 1 (FLAGS)")


def test_12_outlook_select_has_exists_and_uidvalidity(c):
    c.recent = True
    got = c.ok("SELECT INBOX")
    assert "0 EXISTS" in got and "0 RECENT" in got
    assert any(re.match(r"OK \[UIDVALIDITY \d+\] \w", r) for r in got)


def pop3(server):
    raw = socket.create_connection((server.host, server.port["pop3s"]), 30)
    f = server.tls().wrap_socket(
        raw, server_hostname="localhost").makefile("rwb")
    f.readline()
    return f


def test_13_outlook_bare_auth_lists_mechanisms(server):
    f = pop3(server)
    f.write(b"AUTH\r\n")
    f.flush()
    assert f.readline().startswith(b"+OK")
    lines = []
    while (line := f.readline()) != b".\r\n":
        lines.append(line)
    assert b"PLAIN\r\n" in lines


def test_14_outlook_no_nul(c, server):
    c.cmd(b"APPEND INBOX ~{%d+}\r\n%s" % (
        len(m := b"Subject: a\0b\r\n\r\nx\0y\r\n"), m))
    put(c, TWO)
    assert b"\0" not in fetch(c, "FETCH 1:* (BODY.PEEK[] ENVELOPE)")
    m = poplib.POP3_SSL(server.host, server.port["pop3s"],
                        context=server.tls())
    m.user(USER)
    m.pass_(PW)
    for i in range(m.stat()[0]):
        assert not any(b"\0" in line for line in m.retr(i + 1)[1])
    m.quit()


def test_15_outlook_no_alert(c, server):
    for text in ("SELECT nowhere", "CREATE INBOX", "DELETE INBOX",
                 "RENAME INBOX INBOX/x/INBOX", "COPY 1 nowhere"):
        assert "[ALERT]" not in c.cmd(text)[1]
    assert b"[ALERT]" not in Client(server, USER).greeting


def test_16_outlook_idle_is_kept(c):
    # That the server talks into it every two minutes: session.c.
    c.send(b"i1 IDLE\r\n")
    assert c.line().startswith(b"+ ")
    c.send(b"DONE\r\n")
    c.until("i1")


def test_17_outlook_blanks_in_names(c):
    for name in ("trailing ", "two  blanks"):
        c.ok(f'CREATE "{name}"')
        assert any(r.endswith(f'"{name}"') for r in c.ok('LIST "" "*"'))
        assert c.cmd(f'STATUS "{name}" (MESSAGES)')[1].startswith("OK")
        c.ok(f'DELETE "{name}"')


# ---- Thunderbird ----

def test_18_thunderbird_many_connections(server):
    many = [Client(server, USER) for _ in range(60)]
    for m in many:
        m.ok("SELECT INBOX")
    for m in many:
        m.close()


def test_19_thunderbird_bare_ampersand(c):
    c.ok("ENABLE UTF8=ACCEPT")
    c.ok('CREATE "R&D & more"')
    assert any(r.endswith('"R&D & more"') for r in c.ok('LIST "" "R*"'))
    c.ok('SELECT "R&D & more"')


def test_20_thunderbird_trailing_separator_and_noselect(c):
    c.ok("CREATE parent/")
    c.ok("CREATE parent/child")
    c.ok("SUBSCRIBE parent/child")
    assert any("\\Noselect" in r and r.endswith('"parent"')
               for r in c.ok('LSUB "" "%"'))


def test_21_thunderbird_keywords_without_limit(c):
    put(c)
    words = [f"$label{i}" for i in range(200)] + ["Junk", "NonJunk"]
    c.ok(f"STORE 1 +FLAGS ({' '.join(words)})")
    got = fetch(c, "FETCH 1 (FLAGS)").decode()
    assert all(f"{w}" in got for w in words)
    assert any("PERMANENTFLAGS" in r and "\\*" in r
               for r in c.ok("SELECT INBOX"))


def test_22_thunderbird_client_certificate(server):
    # EXTERNAL is offered by SMTP only; a certificate harms nothing here.
    assert Client(server, USER).ok("NOOP") == []


# ---- QRESYNC clients ----

def test_23_horde_highestmodseq_of_an_empty_mailbox(c):
    c.ok("CREATE empty")
    m = re.search(r"HIGHESTMODSEQ (\d+)", "\n".join(c.ok("SELECT empty")))
    assert int(m[1]) >= 1


def test_24_sogo_enabled_is_always_sent(c):
    assert any(r.startswith("ENABLED") for r in c.ok("ENABLE CONDSTORE"))
    assert "ENABLED" in c.ok("ENABLE X-NOTHING")[0]


def resync(c, other):
    uids = [put(c) for _ in range(4)]
    validity = re.search(r"UIDVALIDITY (\d+)", "\n".join(
        c.ok("STATUS INBOX (UIDVALIDITY)")))[1]
    since = re.search(r"HIGHESTMODSEQ (\d+)", "\n".join(
        c.ok("STATUS INBOX (HIGHESTMODSEQ)")))[1]
    c.ok(rf"UID STORE {uids[1]},{uids[3]} +FLAGS.SILENT (\Deleted)")
    c.ok("EXPUNGE")
    other.ok("ENABLE QRESYNC")
    return uids, f"{validity} {since}"


def test_25_sogo_vanished_above_the_highest(c, other):
    uids, state = resync(c, other)
    other.ok("SELECT INBOX")
    got = other.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {state.split()[1]} "
                   "VANISHED)")
    assert got[0] == f"VANISHED (EARLIER) {uids[1]},{uids[3]}"


def test_26_nextcloud_vanished_of_known_uids_only(c, other):
    uids, state = resync(c, other)
    got = other.ok(f"SELECT INBOX (QRESYNC ({state} {uids[0]}:{uids[1]}))")
    assert f"VANISHED (EARLIER) {uids[1]}" in got
    got = other.ok(f"SELECT INBOX (QRESYNC ({state} 1:999999))")
    assert f"VANISHED (EARLIER) {uids[1]},{uids[3]}" in got


def test_27_horde_store_silent_tells_modseq(c):
    put(c)
    c.ok("ENABLE CONDSTORE")
    assert re.fullmatch(r"1 FETCH \(MODSEQ \(\d+\)\)", c.ok(
        r"STORE 1 +FLAGS.SILENT (\Flagged)")[0])


def test_28_mailspring_text_behind_each_code(c):
    put(c)
    replies = c.ok("SELECT INBOX")
    status = c.cmd("COPY 1 Trash")[1]
    for line in [*replies, status, c.cmd("SELECT INBOX")[1],
                 c.cmd("SELECT nowhere")[1]]:
        if "[" in line:
            assert re.search(r"\] \S", line), line


# ---- mbsync, offlineimap, mutt ----

def test_29_mbsync_uid_codes_in_order(c):
    validity = re.search(r"UIDVALIDITY (\d+)", "\n".join(
        c.ok("STATUS Trash (UIDVALIDITY UIDNEXT)")))[1]
    m = TWO
    status = c.cmd(b"APPEND Trash {%d+}\r\n%s {%d+}\r\n%s" % (
        len(m), m, len(m), m))[1]
    assert re.match(rf"OK \[APPENDUID {validity} \d+:\d+\] ", status)
    uid = put(c)
    assert re.match(rf"COPYUID {validity} {uid} \d+$", c.code("COPY 1 Trash"))
    replies, _ = c.cmd("MOVE 1 Trash")
    assert re.match(rb"OK \[COPYUID %s %d \d+\] " % (validity.encode(), uid),
                    replies[0])


def test_30_neomutt_uidvalidity(c):
    m = re.search(r"UIDVALIDITY (\d+)", "\n".join(c.ok("SELECT INBOX")))
    assert 0 < int(m[1]) < 2 ** 32


def test_31_mbsync_literals(c, server):
    put(c, b"Subject: x\r\n\r\n" + b"y" * 300000)
    g = Client(server, login=False)
    g.send(b"a LOGIN {5000+}\r\n")
    assert b"BYE" in g.line()
    g.close()


def test_32_mutt_uid_expunge_spares_others(c):
    a, b = put(c), put(c)
    c.ok(r"STORE 1:2 +FLAGS (\Deleted)")
    c.ok(f"UID EXPUNGE {a}")
    assert c.ok("FETCH 1:* (UID)") == [f"1 FETCH (UID {b})"]


def test_33_mbsync_uids_are_never_reused(c):
    a = put(c)
    c.ok(r"STORE 1 +FLAGS (\Deleted)")
    c.ok("EXPUNGE")
    assert put(c) > a
    c.ok("CREATE again")
    first = c.ok("STATUS again (UIDVALIDITY)")
    c.ok("DELETE again")
    c.ok("CREATE again")
    assert c.ok("STATUS again (UIDVALIDITY)") != first


# ---- K-9, Thunderbird for Android ----

def test_34_k9_idle_on_examine(c, other):
    c.ok("EXAMINE INBOX")
    c.send(b"i1 IDLE\r\n")
    assert c.line().startswith(b"+ ")
    other.append("INBOX", TWO)
    assert c.line() == b"* 1 EXISTS"
    c.send(b"DONE\r\n")
    c.until("i1")


def test_35_k9_idling_with_text(c):
    c.send(b"i1 IDLE\r\n")
    assert re.fullmatch(rb"\+ \w.*", c.line())
    c.send(b"DONE\r\n")
    c.until("i1")


# ---- all ----

def test_36_order_as_asked_uid_first(c):
    put(c)
    got = fetch(c, "UID FETCH 1:* (RFC822.SIZE FLAGS)").decode()
    assert re.fullmatch(r"1 FETCH \(UID \d+ RFC822.SIZE \d+ FLAGS \(\)\)", got)
    got = fetch(c, "FETCH 1 (FLAGS UID RFC822.SIZE)").decode()
    assert re.fullmatch(r"1 FETCH \(FLAGS \(\) UID \d+ RFC822.SIZE \d+\)", got)


def test_37_continuations_have_text(c):
    c.send(b"a APPEND INBOX {%d}\r\n" % len(TWO))
    assert re.fullmatch(rb"\+ \S.*", c.line())
    c.send(TWO + b"\r\n")
    c.until("a")


def test_38_broken_mail_is_no_error(c):
    for data in (b"\r\n", b"no header at all", b"Content-Type: multipart/x\r\n",
                 b":\r\n:\r\n\r\n", b"\xff\xfe: \xff\r\n\r\n\xff",
                 b"Content-Type: message/rfc822\r\n\r\n"):
        put(c, data)
    fetch(c, "FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[1] "
             "BODY.PEEK[1.MIME] BODY.PEEK[HEADER] PREVIEW THREADID)")
    c.ok("SORT (SUBJECT DATE) UTF-8 ALL")
    c.ok("THREAD REFERENCES UTF-8 ALL")


def test_39_a_deleted_mailbox_says_bye(c, other):
    c.ok("CREATE doomed")
    other.ok("SELECT doomed")
    c.ok("DELETE doomed")
    other.send(b"a NOOP\r\n")
    lines = []
    with pytest.raises(ConnectionError):
        while True:
            lines.append(other.line())
    assert any(line.startswith(b"* BYE") for line in lines)


def test_40_sets_reversed_and_with_star(c):
    for _ in range(4):
        put(c)
    for text, want in (("3:1", "123"), ("*:3", "34"), ("*", "4"),
                       ("2,*:4,1", "124"), ("4:*", "4")):
        got = [r.split()[0] for r in c.ok(f"FETCH {text} (UID)")]
        assert "".join(got) == want, text


def test_41_strings_that_need_care(c):
    put(c, 'Subject: say "hi" \\ there\r\nFrom: "A \\"B\\" C" <a@b>\r\n'
           "\r\nx\r\n")
    got = fetch(c, "FETCH 1 (ENVELOPE)")
    assert b'{16}\r\nsay "hi" \\ there' in got
    assert b'{7}\r\nA "B" C' in got


def test_42_structure_numbers(c):
    put(c, b"Content-Type: text/plain\r\nContent-Transfer-Encoding:\r\n\r\n")
    got = fetch(c, "FETCH 1 (BODYSTRUCTURE)").decode()
    assert '"7bit" 0 0' in got and "-1" not in got


def test_43_long_command_lines(c):
    put(c)
    uids = ",".join(str(i) for i in range(1, 12000))
    assert len(uids) > 55000
    got = c.cmd(f"UID FETCH {uids} (FLAGS)")[1]
    assert got.startswith(("OK", "BAD")), got
    text = " ".join(["OR SEEN UNSEEN"] * 400)
    assert c.cmd(f"SEARCH {text}")[1].startswith(("OK", "BAD"))
    c.ok("NOOP")


def test_44_idle_in_the_greeting(server):
    assert b" IDLE" in Client(server, login=False).greeting


def test_45_capability_repeated(c):
    assert c.ok("CAPABILITY") == c.ok("CAPABILITY")


def test_46_rename_into_its_own_child(c):
    c.ok("CREATE tree")
    assert c.cmd("RENAME tree tree/inner")[1].startswith("NO")
    assert any('"tree"' in r for r in c.ok('LIST "" tree'))


def test_48_expunge_never_during_commands_by_number(c, other):
    for _ in range(3):
        put(c)
    other.ok("SELECT INBOX")
    c.ok(r"STORE 1 +FLAGS (\Deleted)")
    c.ok("EXPUNGE")
    for text in ("FETCH 1:3 (FLAGS)", r"STORE 2 +FLAGS (\Flagged)",
                 "SEARCH ALL", "SORT (SIZE) UTF-8 ALL",
                 "THREAD REFS UTF-8 ALL"):
        assert not any("EXPUNGE" in r for r in other.ok(text)), text
    assert "1 EXPUNGE" in other.ok("NOOP")


def test_49_size_is_what_body_has(c):
    for data in (TWO, b"a: b\n\nlines\nwith\nLF\n", b"x", b"a: b\r\n\r\nno end"):
        put(c, data)
        n = len(c.ok("FETCH 1:* (UID)"))
        size = int(re.search(rb"SIZE (\d+)", fetch(
            c, f"FETCH {n} (RFC822.SIZE)"))[1])
        got = fetch(c, f"FETCH {n} (BODY.PEEK[])")
        assert b"{%d}" % size in got


def test_50_inbox_in_one_spelling(c):
    c.ok("SUBSCRIBE inbox")
    for text in ('LIST "" inbox', 'LSUB "" InBox', 'LIST "" "*"'):
        assert any(r.endswith('"INBOX"') for r in c.ok(text)), text
    assert any('"INBOX"' in r for r in c.ok("STATUS iNbOx (MESSAGES)"))
