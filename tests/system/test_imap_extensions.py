# SPDX-License-Identifier: ISC
"""The extensions of IMAP, by their RFC."""

import poplib
import re
import sqlite3
import time

import pytest

from harness import Postern
from imap_client import Client

USERS = [f"u{i}@example.test" for i in range(4)]
PW = "builder-22"


def mail(subject="s", body="text", extra=""):
    return (f"From: A Person <a@b.example>\r\nTo: u0@example.test\r\n"
            f"Subject: {subject}\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
            f"{extra}\r\n{body}\r\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("imapx") / "a",
                users={u: PW for u in USERS},
                options={"virtual_mailbox_domains": "example.test"})
    p.start()
    yield p
    p.stop()


class Opened(list):
    def __init__(self, server):
        self.server = server

    def __call__(self, user=0, **kw):
        self.append(Client(self.server, USERS[user], **kw))
        return self[-1]


@pytest.fixture
def client(server):
    opened = Opened(server)
    yield opened
    for c in opened:
        c.close()


@pytest.fixture
def box(client, request):
    """An empty mailbox of this test, selected."""
    name = re.sub(r"\W", "-", request.node.name)
    c = client()
    c.cmd(f"DELETE {name}")
    c.ok(f"CREATE {name}")
    c.ok(f"SELECT {name}")
    c.box = name
    return c


def modseq(c):
    return int(re.search(r"HIGHESTMODSEQ (\d+)", "\n".join(
        c.ok(f"STATUS {c.box} (HIGHESTMODSEQ)")))[1])


# ---- RFC 7162 ----

def test_condstore(box):
    for i in range(3):
        box.append(box.box, mail(str(i)))
    box.ok("NOOP")
    start = modseq(box)
    assert start >= 1
    got = box.ok(r"STORE 2 +FLAGS (\Flagged)")
    assert re.fullmatch(r"2 FETCH \(FLAGS \(\\Flagged\) MODSEQ \(\d+\)\)",
                        got[0])
    changed = box.ok(f"FETCH 1:* (UID) (CHANGEDSINCE {start})")
    assert len(changed) == 1 and changed[0].startswith("2 FETCH (UID 2 MODSEQ")
    status = box.cmd(
        rf"STORE 1:3 (UNCHANGEDSINCE {start}) +FLAGS.SILENT (\Seen)")[1]
    assert "[MODIFIED 2]" in status
    assert box.ok("FETCH 1:3 (FLAGS)")[1].startswith(
        r"2 FETCH (FLAGS (\Flagged)")
    # .SILENT still tells the MODSEQ (check 27)
    got = box.ok(r"STORE 3 +FLAGS.SILENT (\Draft)")
    assert re.fullmatch(r"3 FETCH \(MODSEQ \(\d+\)\)", got[0])
    got = box.ok(f"SEARCH MODSEQ {start + 1}")
    assert got[0].startswith("SEARCH 1 2 3 (MODSEQ ")
    assert box.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq(box)})") == []


def test_a_change_of_nothing_changes_no_modseq(box):
    box.append(box.box, mail(), r"(\Seen) ")
    before = modseq(box)
    box.ok(r"STORE 1 +FLAGS (\Seen)")
    assert modseq(box) == before


def test_qresync(client, box):
    other = client()
    uids = [box.append(box.box, mail(str(i))) for i in range(6)]
    box.ok("NOOP")
    validity = int(re.search(r"UIDVALIDITY (\d+)", "\n".join(
        box.ok(f"STATUS {box.box} (UIDVALIDITY)")))[1])
    since = modseq(box)
    other.ok(f"SELECT {box.box}")
    other.ok(rf"UID STORE {uids[1]},{uids[2]},{uids[5]} +FLAGS (\Deleted)")
    other.ok("EXPUNGE")
    other.ok(rf"UID STORE {uids[3]} +FLAGS (\Answered)")
    late = client()
    assert any("ENABLED QRESYNC" in r for r in late.ok("ENABLE QRESYNC"))
    got = late.ok(f"SELECT {box.box} (QRESYNC ({validity} {since}))")
    # The highest UID that went is named, too (check 25).
    assert f"VANISHED (EARLIER) {uids[1]}:{uids[2]},{uids[5]}" in got
    assert any(re.match(
        rf"2 FETCH \(UID {uids[3]} FLAGS \(\\Answered\) MODSEQ", r)
        for r in got)
    # Only what the client says it knows (check 26).
    got = late.ok(f"SELECT {box.box} (QRESYNC ({validity} {since} "
                  f"{uids[1]}:{uids[3]}))")
    assert f"VANISHED (EARLIER) {uids[1]}:{uids[2]}" in got
    assert "OK [CLOSED] Previous mailbox closed" in got
    # Another UIDVALIDITY: nothing of it
    got = late.ok(f"SELECT {box.box} (QRESYNC ({validity + 1} {since}))")
    assert not any(r.startswith("VANISHED") for r in got)
    # VANISHED where others get EXPUNGE
    other.ok(rf"UID STORE {uids[0]} +FLAGS (\Deleted)")
    other.ok("EXPUNGE")
    assert f"VANISHED {uids[0]}" in late.ok("NOOP")
    assert "1 EXPUNGE" in box.ok("NOOP")
    got = late.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)")
    assert got[0].startswith("VANISHED (EARLIER) ")
    late.ok(rf"UID STORE {uids[3]} +FLAGS (\Deleted)")
    assert "HIGHESTMODSEQ" in late.code("EXPUNGE")


def test_numbers_are_those_the_client_knows(client, box):
    """What another session expunged is told behind the command, not before:
    its numbers are the client's."""
    other = client()
    uids = [box.append(box.box, mail(str(i))) for i in range(4)]
    box.cmd("DELETE copies")
    box.ok("CREATE copies")
    other.ok(f"SELECT {box.box}")
    other.ok(rf"UID STORE {uids[0]} +FLAGS (\Deleted)")
    other.ok("EXPUNGE")
    assert box.ok("FETCH 3 (UID)")[0] == f"3 FETCH (UID {uids[2]})"
    assert box.code("COPY 4 copies").split()[2] == str(uids[3])
    other.ok(rf"UID STORE {uids[1]} +FLAGS (\Deleted)")
    other.ok("EXPUNGE")
    replies, status = box.cmd("MOVE 2 copies")
    assert f" {uids[2]} " in replies[0].decode(), (replies, status)


def test_fetch_of_what_is_gone(client, box):
    other = client()
    for i in range(3):
        box.append(box.box, mail(str(i)))
    box.ok("NOOP")
    other.ok(f"SELECT {box.box}")
    other.ok(r"STORE 2 +FLAGS (\Deleted)")
    other.ok("EXPUNGE")
    replies, status = box.cmd("FETCH 1:3 (BODY.PEEK[])")
    assert len([r for r in replies if b"FETCH" in r]) == 2
    assert "EXPUNGEISSUED" in status
    assert "2 EXPUNGE" in box.ok("NOOP")


# ---- RFC 4731, 5182, 9394, 5032 ----

def test_esearch_and_saved_results(box):
    for i in range(10):
        box.append(box.box, mail(str(i)), r"(\Seen) " if i % 2 else "")
    box.ok("NOOP")
    got = box.ok("SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN")[0]
    assert re.fullmatch(
        r'ESEARCH \(TAG "x\d+"\) MIN 1 MAX 9 COUNT 5 ALL 1,3,5,7,9', got)
    assert "UID MIN 1" in box.ok("UID SEARCH RETURN (MIN) ALL")[0]
    assert box.ok("SEARCH RETURN (SAVE) SEEN") == []
    assert [r.split()[0] for r in box.ok("FETCH $ (UID)")] == [
        "2", "4", "6", "8", "10"]
    assert box.ok("SEARCH $ SUBJECT 3") == ["SEARCH 4"]
    box.ok("SEARCH RETURN (SAVE MIN) UNSEEN")
    assert box.ok("FETCH $ (UID)") == ["1 FETCH (UID 1)"]
    assert "PARTIAL (1:3 1:3)" in box.ok("SEARCH RETURN (PARTIAL 1:3) ALL")[0]
    assert "PARTIAL (-1:-2 9:10)" in box.ok(
        "SEARCH RETURN (PARTIAL -1:-2) ALL")[0]
    assert "PARTIAL (50:60 NIL)" in box.ok(
        "SEARCH RETURN (PARTIAL 50:60) ALL")[0]
    assert [r.split()[0] for r in box.ok(
        "UID FETCH 1:* (FLAGS) (PARTIAL -1:-3)")] == ["8", "9", "10"]
    assert box.ok("SEARCH YOUNGER 3600")[0] == "SEARCH " + " ".join(
        map(str, range(1, 11)))
    assert box.ok("SEARCH OLDER 3600") == ["SEARCH"]
    box.bad("SEARCH RETURN (NONSENSE) ALL")
    assert "BADCHARSET" in box.no("SEARCH RETURN (SAVE) CHARSET x-y ALL")
    assert box.ok("FETCH $ (UID)") == []


# ---- RFC 5256, 5957 ----

def test_sort_and_thread(box):
    def put(subject, date, mid, refs="", who="z@x.example"):
        box.append(box.box, f"From: {who}\r\nSubject: {subject}\r\n"
                   f"Date: {date}\r\nMessage-ID: <{mid}>\r\n"
                   + (f"References: {refs}\r\n" if refs else "") + "\r\nx\r\n")

    put("Bananas", "Fri, 21 Nov 1997 10:00:00 +0000", "1@x", who="zoe@x.example")
    put("=?utf-8?q?=C3=84pfel?=", "Fri, 21 Nov 1997 09:00:00 +0000", "2@x",
        who='"Bob" <q@x.example>')
    put("Re: [list] bananas", "Fri, 21 Nov 1997 12:00:00 +0000", "3@x", "<1@x>",
        who="amy@x.example")
    put("zebra", "Fri, 21 Nov 1997 11:00:00 +0000", "4@x", "<9@x> <8@x>")
    put("other", "Fri, 21 Nov 1997 13:00:00 +0000", "5@x", "<9@x>")
    box.ok("NOOP")
    assert box.ok("SORT (DATE) UTF-8 ALL") == ["SORT 2 1 4 3 5"]
    assert box.ok("SORT (REVERSE DATE) UTF-8 ALL") == ["SORT 5 3 4 1 2"]
    # i;unicode-casemap folds and decomposes: "a" + diaeresis before "b"
    assert box.ok("SORT (SUBJECT DATE) UTF-8 ALL") == ["SORT 2 1 3 5 4"]
    assert box.ok("SORT (DISPLAYFROM) UTF-8 1:3") == ["SORT 3 2 1"]
    assert box.ok("SORT RETURN (COUNT ALL) (DATE) UTF-8 1:3")[0].endswith(
        "COUNT 3 ALL 2,1,3")
    assert box.ok("SEARCH SUBJECT {6+}\r\n\u00e4PFEL") == ["SEARCH 2"]
    assert box.ok("THREAD REFERENCES UTF-8 ALL") == ["THREAD (2)(1 3)((4)(5))"]
    assert box.ok("THREAD REFS UTF-8 ALL") == ["THREAD (2)(1 3)((4)(5))"]
    assert box.ok("THREAD ORDEREDSUBJECT UTF-8 ALL") == [
        "THREAD (2)(1 3)(4)(5)"]
    box.bad("THREAD NOSUCH UTF-8 ALL")
    box.bad("SORT (NOSUCH) UTF-8 ALL")
    assert "BADCHARSET" in box.no("SORT (DATE) x-y ALL")


# ---- RFC 5258, 5819, 6154 ----

def test_list_extended(client):
    c = client(1)
    for name in ("a", "a/b", "a/b/c", "lone"):
        c.ok(f"CREATE {name}")
    c.ok("SUBSCRIBE a/b/c")

    def names(text):
        return {r.split('"/" ')[1].strip('"'): r for r in c.ok(text)
                if r.startswith("LIST")}

    assert set(names('LIST (SUBSCRIBED) "" *')) >= {"a/b/c"}
    assert "lone" not in names('LIST (SUBSCRIBED) "" *')
    got = c.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"')
    assert any('"a" (CHILDINFO ("SUBSCRIBED"))' in r for r in got)
    assert set(names('LIST "" ("a/%" "lone")')) == {"a/b", "lone"}
    got = names('LIST "" * RETURN (SUBSCRIBED CHILDREN)')
    assert "\\Subscribed" in got["a/b/c"] and "\\HasChildren" in got["a"]
    special = names('LIST (SPECIAL-USE) "" *')
    assert set(special) == {"Drafts", "Sent", "Junk", "Trash", "Archive"}
    got = c.ok('LIST "" lone RETURN (STATUS (MESSAGES UIDNEXT MAILBOXID))')
    assert len(got) == 2 and re.match(
        r'STATUS "lone" \(MESSAGES 0 UIDNEXT 1 MAILBOXID \(M\S+\)\)', got[1])
    assert any("\\Inbox" in r for r in c.ok('XLIST "" *'))
    c.ok("CREATE mine (USE (\\All))")
    assert "\\All" in names('LIST "" mine')["mine"]
    assert "USEATTR" in c.no("CREATE twice (USE (\\All))")
    assert "USEATTR" in c.no("CREATE odd (USE (\\NoSuchUse))")
    c.bad('LIST (RECURSIVEMATCH) "" *')
    c.bad('LIST "" * RETURN (NONSENSE)')


# ---- RFC 9051, 9755 ----

def test_imap4rev2(client):
    c = client(2)
    c.append("INBOX", mail("x"))
    assert "ENABLED IMAP4rev2" in c.ok("ENABLE IMAP4rev2 NONSENSE")
    got = c.ok("SELECT inbox")
    assert 'LIST () "/" "INBOX"' in got
    assert not any("RECENT" in r or "UNSEEN" in r for r in got)
    assert c.ok("SEARCH ALL")[0].endswith("ALL 1")
    c.ok('CREATE "Grüße & Küsse"')
    assert any('"Grüße & Küsse"' in r for r in c.ok('LIST "" Gr*'))
    old = client(2)
    assert any("&-" in r and "Gr&APwA3w-e" in r for r in old.ok('LIST "" Gr*'))
    assert any("DELETED 0" in r for r in c.ok("STATUS INBOX (DELETED SIZE)"))
    c.ok("SELECT INBOX")
    assert "OK [CLOSED] Previous mailbox closed" in c.ok("SELECT INBOX")


def test_uidonly(client, box):
    uids = [box.append(box.box, mail(str(i))) for i in range(3)]
    c = client()
    c.ok("ENABLE UIDONLY")
    c.ok(f"SELECT {box.box}")
    assert c.ok("UID FETCH 2 (UID FLAGS)") == ["2 UIDFETCH (FLAGS ())"]
    assert "UIDREQUIRED" in c.bad("FETCH 1 (FLAGS)")
    assert "UIDREQUIRED" in c.bad("UID SEARCH 1:2")
    box.ok("NOOP")
    box.ok(r"STORE 1 +FLAGS (\Deleted)")
    assert r"1 UIDFETCH (FLAGS (\Deleted))" in c.ok("NOOP")
    box.ok("EXPUNGE")
    assert f"VANISHED {uids[0]}" in c.ok("NOOP")


# ---- RFC 3516, 3502, 4469, 8508 ----

def test_binary(box):
    text = (b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b"
            b"\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b\r\n"
            b"Content-Transfer-Encoding: x-odd\r\n\r\nx\r\n--b--\r\n")
    box.append(box.box, text)
    box.ok("NOOP")
    assert box.cmd("FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])")[0] == [
        b"1 FETCH (BINARY[1] ~{4}\r\n\0\1\2\3 BINARY.SIZE[1] 4)"]
    assert box.cmd("FETCH 1 (BINARY.PEEK[1]<1.2>)")[0] == [
        b"1 FETCH (BINARY[1]<1> {2}\r\n\1\2)"]
    assert "UNKNOWN-CTE" in box.no("FETCH 1 (BINARY.PEEK[2])")
    # It must not fail where the text itself can be given.
    box.ok("FETCH 1 (BODY.PEEK[2])")


def test_multiappend_is_atomic(box):
    a, b = mail("one").encode(), mail("two").encode()
    status = box.cmd(
        b"APPEND %s (\\Seen) {%d+}\r\n%s {%d+}\r\n%s" % (
            box.box.encode(), len(a), a, len(b), b))[1]
    assert re.match(r"OK \[APPENDUID \d+ 1:2\]", status)
    status = box.cmd(b"APPEND %s {%d+}\r\n%s {0+}\r\n" % (
        box.box.encode(), len(a), a))[1]
    assert status.startswith("NO")
    assert any("MESSAGES 2" in r for r in box.ok(
        f"STATUS {box.box} (MESSAGES)"))
    box.cmd("DELETE atomic")
    status = box.cmd(b"APPEND atomic {%d+}\r\n%s" % (len(a), a))[1]
    assert status.startswith("NO [TRYCREATE]")


def test_a_thousand_at_once(box):
    """Each has an id of its own, however fast they come."""
    m = mail().encode()
    part = b" {%d+}\r\n%s" % (len(m), m)
    for i in range(5):
        status = box.cmd(b"APPEND " + box.box.encode() + part * 1000)[1]
        assert re.match(r"OK \[APPENDUID \d+ ", status), status
    status = box.cmd(b"APPEND " + box.box.encode() + part * 1001)[1]
    assert status.startswith("NO [LIMIT]"), status
    assert any("MESSAGES 5000" in r for r in box.ok(
        f"STATUS {box.box} (MESSAGES)"))
    assert any("MESSAGES 5000" in r for r in box.ok(
        f"STATUS {box.box} (MESSAGES)"))


def test_many_are_changed_in_parts(client, box):
    """More than one transaction's worth: all of them, told once each."""
    m = b"a: b\r\n\r\n"
    part = b" {%d+}\r\n%s" % (len(m), m)
    for _ in range(25):
        box.cmd(b"APPEND " + box.box.encode() + part * 1000)
    box.ok("NOOP")
    watcher = client()
    watcher.ok(f"SELECT {box.box}")
    watcher.ok("FETCH 1 (FLAGS)")
    since = modseq(box)
    got = box.ok(r"STORE 1:* +FLAGS (\Flagged)")
    assert len(got) == 25000
    got = box.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
    assert len(got) == 25000 and not any("FLAGS" in r for r in got)
    assert len(watcher.ok("NOOP")) == 25000
    status = box.cmd(f"STORE 1:* (UNCHANGEDSINCE {since}) +FLAGS.SILENT "
                     r"(\Seen)")[1]
    assert "[MODIFIED 1:25000]" in status
    assert len(box.ok("EXPUNGE")) == 25000
    assert len(watcher.ok("NOOP")) == 25000
    assert box.ok("SEARCH ALL") == ["SEARCH"]


def test_catenate(box):
    uid = box.append(box.box, mail("one", "the body"))
    box.ok("NOOP")
    url = f"/{box.box}/;UID={uid}/;SECTION=TEXT"
    head = "Subject: two\r\n\r\n"
    status = box.cmd(
        f'APPEND {box.box} CATENATE (TEXT {{{len(head)}+}}\r\n{head} '
        f'URL "{url}" URL ";UID={uid}/;SECTION=HEADER.FIELDS%20(SUBJECT)")')[1]
    assert status.startswith("OK [APPENDUID"), status
    got = box.cmd("FETCH 2 (BODY.PEEK[])")[0][0]
    assert got.endswith(b"Subject: two\r\n\r\nthe body\r\nSubject: one\r\n\r\n)")
    assert "BADURL" in box.no(
        f'APPEND {box.box} CATENATE (URL "/nowhere/;UID=1")')
    assert "BADURL" in box.no(
        f'APPEND {box.box} CATENATE (URL "imap://elsewhere/INBOX/;UID=1")')


def test_replace(box):
    uids = [box.append(box.box, mail(str(i))) for i in range(3)]
    box.ok("NOOP")
    text = mail("new").encode()
    replies, status = box.cmd(b"REPLACE 2 %s (\\Draft) {%d+}\r\n%s" % (
        box.box.encode(), len(text), text))
    assert status.startswith("OK")
    assert replies[0].startswith(b"OK [APPENDUID ")
    assert b"2 EXPUNGE" in replies and b"3 EXISTS" in replies
    assert box.ok("FETCH 1:* (UID)") == [
        f"1 FETCH (UID {uids[0]})", f"2 FETCH (UID {uids[2]})",
        f"3 FETCH (UID {uids[2] + 1})"]
    assert "NONEXISTENT" in box.no(f"UID REPLACE {uids[1]} {box.box} "
                                   f"{{{len(text)}+}}\r\n{text.decode()}")
    large = mail("large", "x" * 200_000).encode()
    replies, status = box.cmd(b"UID REPLACE %d %s {%d+}\r\n%s" % (
        uids[2], box.box.encode(), len(large), large))
    assert status.startswith("OK"), status
    # Nothing is lost where it cannot go.
    assert "TRYCREATE" in box.no(f"REPLACE 1 nowhere {{{len(text)}+}}\r\n"
                                 f"{text.decode()}")
    assert len(box.ok("FETCH 1:* (UID)")) == 3


# ---- RFC 8474, 8514, 8970 ----

def test_object_ids_are_stable(client, box):
    box.append(box.box, mail("x", extra="Message-ID: <root@x>\r\n"))
    box.append(box.box, mail("Re: x", extra="Message-ID: <2@x>\r\n"
                             "References: <root@x>\r\n"))
    box.ok("NOOP")

    def ids(c, n):
        got = c.ok(f"FETCH {n} (EMAILID THREADID)")[0]
        return re.search(r"EMAILID \((\S+)\) THREADID \(([^)]+)\)", got).groups()

    one, two = ids(box, 1), ids(box, 2)
    assert one[1] == two[1] and one[0] != two[0]
    box.cmd("DELETE elsewhere")
    box.ok("CREATE elsewhere")
    box.ok("COPY 1 elsewhere")
    box.ok("MOVE 2 elsewhere")
    c = client()
    got = c.ok("SELECT elsewhere")
    mailbox_id = re.search(r"MAILBOXID \((\S+)\)", "\n".join(got))[1]
    assert (ids(c, 1), ids(c, 2)) == (one, two)
    assert c.ok(f"SEARCH EMAILID {two[0]}") == ["SEARCH 2"]
    assert c.ok(f"SEARCH THREADID {one[1]}") == ["SEARCH 1 2"]
    c.ok("RENAME elsewhere moved-away")
    assert mailbox_id in "\n".join(c.ok("STATUS moved-away (MAILBOXID)"))
    c.ok("DELETE moved-away")
    fresh = c.code("CREATE moved-away")
    assert mailbox_id not in fresh


def test_preview_and_savedate(box):
    html = ("<html><head><style>p { color: red }</style></head><body><p>Hello"
            "&nbsp;&amp; welcome<br>to <b>us</b></p></body></html>")
    box.append(box.box, mail("x", html, "Content-Type: text/html\r\n"))
    box.append(box.box, mail("x", "  many   words\r\n\r\n" + "wörd " * 200,
                             "Content-Type: text/plain; charset=utf-8\r\n"))
    box.ok("NOOP")
    assert box.ok("FETCH 1 (PREVIEW)") == [
        '1 FETCH (PREVIEW "Hello & welcome to us")']
    got = box.cmd("FETCH 2 (PREVIEW (LAZY))")[0][0]
    m = re.match(rb"2 FETCH \(PREVIEW \{(\d+)\}\r\n(.*)\)$", got, re.S)
    text = m[2].decode()
    assert text.startswith("many words wörd") and len(text) <= 200
    assert re.fullmatch(r'1 FETCH \(SAVEDATE ".+ \+0000"\)',
                        box.ok("FETCH 1 (SAVEDATE)")[0])
    today = time.strftime("%d-%b-%Y", time.gmtime()).lstrip("0")
    assert box.ok("SEARCH SAVEDBEFORE 1-Jan-2020") == ["SEARCH"]
    assert box.ok(f"SEARCH SAVEDSINCE 1-Jan-2020 SAVEDATESUPPORTED") == [
        "SEARCH 1 2"]
    assert len(today) >= 10


# ---- RFC 5464, 9590 ----

def test_metadata(client, box):
    b = box.box
    box.ok(f'SETMETADATA {b} (/private/comment "mine" /shared/Comment "ours" '
           '/private/comment/deep "d" /private/comment/deep/er "e")')
    assert box.ok(f"GETMETADATA {b} /private/comment") == [
        f'METADATA "{b}" (/private/comment "mine")']
    assert box.ok(f"GETMETADATA {b} (/SHARED/comment /private/none)") == [
        f'METADATA "{b}" (/shared/comment "ours")']
    assert box.ok(f"GETMETADATA (DEPTH 1) {b} /private/comment") == [
        f'METADATA "{b}" (/private/comment "mine" /private/comment/deep "d")']
    assert "deep/er" in box.ok(
        f"GETMETADATA (DEPTH infinity) {b} /private/comment")[0]
    assert box.code(f"GETMETADATA (MAXSIZE 3) {b} /private/comment") == \
        "METADATA LONGENTRIES 4"
    other = client()
    got = other.ok(f'LIST "" {b} RETURN (METADATA (/private/comment))')
    assert got[1] == f'METADATA "{b}" (/private/comment "mine")'
    box.ok(f"SETMETADATA {b} (/private/comment NIL)")
    assert other.ok(f"GETMETADATA {b} /private/comment") == []
    # Of the account; and it ends with its mailbox
    box.ok('SETMETADATA "" (/shared/comment {3+}\r\nx"y)')
    assert box.cmd('GETMETADATA "" /shared/comment')[0] == [
        b'METADATA "" (/shared/comment {3}\r\nx"y)']
    assert client(1).ok('GETMETADATA "" /shared/comment') == []
    assert "NONEXISTENT" in box.no("GETMETADATA nowhere /private/x")
    assert "METADATA MAXSIZE" in box.no(
        f'SETMETADATA {b} (/private/a "1" /private/b {{62000+}}\r\n'
        f'{"x" * 62000})')
    assert box.ok(f"GETMETADATA {b} /private/a") == []
    many = " ".join(f'/private/n{i} "v"' for i in range(90))
    box.ok(f"SETMETADATA {b} ({many})")
    many = " ".join(f'/private/m{i} "v"' for i in range(90))
    assert "METADATA TOOMANY" in box.no(f"SETMETADATA {b} ({many})")
    assert box.ok(f"GETMETADATA {b} /private/m1") == []
    for bad in ("/other/x", "/private/x*", "/private//x", "/private/x/"):
        box.bad(f'SETMETADATA {b} ({bad} "v")')
    box.ok(f"DELETE {b}")
    box.ok(f"CREATE {b}")
    assert box.ok(f"GETMETADATA {b} /private/n1") == []


# ---- RFC 5255 ----

def test_language(box):
    assert box.ok("LANGUAGE") == ["LANGUAGE (en i-default)"]
    assert box.ok("LANGUAGE de en-GB") == ["LANGUAGE (en)"]
    box.no("LANGUAGE xx")
    assert box.ok("LANGUAGE default") == ["LANGUAGE (en)"]


# ---- RFC 4978, 8437 ----

def test_compress(client, box):
    c = client()
    c.compress()
    assert "COMPRESSIONACTIVE" in c.no("COMPRESS DEFLATE")
    c.ok(f"SELECT {box.box}")
    body = "compressible " * 50000
    uid = c.append(box.box, mail("big", body))
    got = c.cmd(f"UID FETCH {uid} (BODY.PEEK[TEXT])")[0]
    assert body.encode() in b"".join(got)
    # Commands in one packet, and one in many
    c.send(b"p1 NOOP\r\np2 NOOP\r\n")
    c.until("p1")
    c.until("p2")
    for i in range(3):
        c.send(b"p3 NOOP\r\n"[i * 3:i * 3 + 3])
    c.until("p3")


def test_a_compressed_bomb_is_bounded(client, server):
    c = client()
    c.compress()
    # A gigabyte of one line: refused as too long, in pieces, and then gone.
    line = c.deflate.compress(b"A" * (64 << 20))
    with pytest.raises(OSError):
        for _ in range(4):
            c.sock.sendall(line)
            line = c.deflate.compress(b"A" * (64 << 20))
        while True:
            c.line()
    client().ok("NOOP")


def test_unauthenticate(client):
    c = client(3)
    c.ok("SELECT INBOX")
    c.ok("UNAUTHENTICATE")
    c.bad("SELECT INBOX")
    c.ok(f'LOGIN "{USERS[1]}" "{PW}"')
    c.compress()
    c.ok("UNAUTHENTICATE")
    c.inflate = c.deflate = None
    c.ok(f'LOGIN "{USERS[3]}" "{PW}"')
    c.ok("SELECT INBOX")


# ---- what cannot be read ----

@pytest.mark.files
def test_a_search_that_cannot_read_says_so(tmp_path):
    """Half an answer is none: a client deletes what NOT found."""
    p = Postern(tmp_path / "a", users={USERS[0]: PW}, options={
        "virtual_mailbox_domains": "example.test"})
    p.start()
    try:
        c = Client(p, USERS[0])
        c.append("INBOX", mail("small", "needle"))
        c.append("INBOX", mail("large", "needle " * 20000))
        c.ok("SELECT INBOX")
        assert c.ok("SEARCH BODY needle") == ["SEARCH 1 2"]
        c.ok("SEARCH RETURN (SAVE) ALL")
        files = [f for f in (tmp_path / "a/data/mail").glob("blobs.*/*")
                 if f.is_file() and f.stat().st_size > 130000
                 and b"needle needle" in f.read_bytes()]
        assert len(files) == 1
        away = tmp_path / "away"
        files[0].rename(away)
        for text in ("SEARCH BODY needle", "SEARCH NOT BODY needle",
                     "SORT (DATE) UTF-8 NOT BODY needle",
                     "THREAD REFERENCES UTF-8 BODY needle",
                     "SEARCH RETURN (SAVE) BODY needle",
                     "FETCH 2 BODY.PEEK[]"):
            replies, status = c.cmd(text)
            assert status.startswith("NO [UNAVAILABLE]"), (text, status)
            assert not any(r.startswith(("SEARCH", "SORT", "THREAD"))
                           for r in replies)
            assert str(tmp_path) not in status  # our paths are our own
        assert c.ok("FETCH $ UID") == []
        assert c.ok("SEARCH ALL") == ["SEARCH 1 2"]
        away.rename(files[0])
        assert c.ok("SEARCH BODY needle") == ["SEARCH 1 2"]
        c.close()
    finally:
        p.stop()


# ---- a store of the version before ----

OLD_STORE = """
CREATE TABLE mailboxes(account INT, mailbox INT, name TEXT NOT NULL,
 role INT NOT NULL, subscribed INT NOT NULL, uidvalidity INT NOT NULL,
 uidnext INT NOT NULL, modseq INT NOT NULL, n_exists INT NOT NULL,
 n_unseen INT NOT NULL, bytes INT NOT NULL,
 PRIMARY KEY(account, mailbox)) WITHOUT ROWID;
CREATE TABLE messages(account INT, mailbox INT, uid INT, msg INT NOT NULL,
 modseq INT NOT NULL, flags INT NOT NULL, keywords TEXT, size INT NOT NULL,
 received INT NOT NULL, savedate INT NOT NULL, blob INT NOT NULL,
 prefix BLOB, cache BLOB, PRIMARY KEY(account, mailbox, uid)) WITHOUT ROWID;
CREATE INDEX messages_modseq ON messages(account, mailbox, modseq);
CREATE UNIQUE INDEX messages_msg ON messages(account, mailbox, msg);
CREATE TABLE vanished(account INT, mailbox INT, modseq INT, uid INT,
 PRIMARY KEY(account, mailbox, modseq, uid)) WITHOUT ROWID;
CREATE TABLE blobs(blob INTEGER PRIMARY KEY, refs INT NOT NULL,
 size INT NOT NULL, data BLOB);
INSERT INTO mailboxes VALUES(1,0,'',0,0,0,701,9,0,0,0);
INSERT INTO mailboxes VALUES(1,1,'INBOX',0,1,700,8,9,2,1,64);
INSERT INTO mailboxes VALUES(1,2,'Old',0,1,701,1,0,0,0,0);
INSERT INTO messages VALUES(1,1,5,51,8,1,'$Done',32,1000000000,1000000001,
 61,CAST('X: 1' || char(13,10) AS BLOB),CAST('?' AS BLOB));
INSERT INTO messages VALUES(1,1,7,52,7,8,NULL,26,1000000000,1000000001,
 62,NULL,NULL);
INSERT INTO vanished VALUES(1,1,9,6);
INSERT INTO blobs VALUES(61,1,26,CAST('Subject: first' || char(13,10,13,10)
 || 'one' || char(13,10) AS BLOB));
INSERT INTO blobs VALUES(62,1,26,CAST('Subject: other' || char(13,10,13,10)
 || 'two' || char(13,10) AS BLOB));
PRAGMA user_version=1;
"""


@pytest.mark.files
def test_an_old_store_is_brought_up(tmp_path):
    p = Postern(tmp_path / "a", users={USERS[0]: PW}, options={
        "virtual_mailbox_domains": "example.test"})
    store = tmp_path / "a" / "data" / "mail"
    store.mkdir(parents=True)
    (store / "shards").write_text("1\n")
    with sqlite3.connect(store / "mail.0.db") as db:
        db.executescript(OLD_STORE)
    p.start()
    try:
        c = Client(p, USERS[0])
        got = c.ok("SELECT INBOX")
        for line in ("2 EXISTS", "OK [UNSEEN 2] First unseen",
                     "OK [UIDVALIDITY 700] UIDs valid",
                     "OK [UIDNEXT 8] Predicted next UID",
                     "OK [HIGHESTMODSEQ 9] Highest"):
            assert line in got
        assert c.ok("FETCH 1:2 (UID FLAGS RFC822.SIZE PREVIEW)") == [
            r'1 FETCH (UID 5 FLAGS (\Seen $Done) RFC822.SIZE 32 PREVIEW "one")',
            r'2 FETCH (UID 7 FLAGS (\Deleted) RFC822.SIZE 26 PREVIEW "two")']
        assert c.cmd("FETCH 1 (BODY.PEEK[])")[0][0].endswith(
            b"X: 1\r\nSubject: first\r\n\r\none\r\n)")
        assert "UID 5" in c.ok("FETCH 1:* (UID) (CHANGEDSINCE 7)")[0]
        assert "1 FETCH (ENVELOPE (NIL \"first\"" in c.ok("FETCH 1 ENVELOPE")[0]
        assert c.append("INBOX", mail("new")) == 8
        assert any("DELETED 1" in r for r in c.ok("STATUS INBOX (DELETED)"))
        assert [r.rsplit(" ", 1)[1] for r in c.ok('LSUB "" *')] == [
            '"INBOX"', '"Old"']
        c.ok("DELETE Old")
        c.ok("CREATE New")
        assert "UIDVALIDITY" in "".join(c.ok("STATUS New (UIDVALIDITY)"))
        c.close()
    finally:
        p.stop()


# ---- the greeting says all of it ----

def test_capabilities_are_true(client, box):
    """What is offered answers something else than BAD."""
    words = box.ok("CAPABILITY")[0].split()
    for word in ("IMAP4rev1", "IMAP4rev2", "QRESYNC", "PARTIAL", "OBJECTID",
                 "THREAD=REFS", "SORT=DISPLAY", "COMPRESS=DEFLATE"):
        assert word in words
    assert "APPENDLIMIT=10240000" in words


def test_idle_shares_one_box(client, server):
    """A hundred sessions of one mailbox hear of a new message each."""
    watchers = [client(3) for _ in range(100)]
    for w in watchers:
        w.ok("SELECT INBOX")
        w.send(b"i1 IDLE\r\n")
        assert w.line().startswith(b"+ ")
    n = client(3)
    n.append("INBOX", mail("news"))
    for w in watchers:
        assert re.fullmatch(rb"\* \d+ EXISTS", w.line())
    n.ok("SELECT INBOX")
    n.ok(r"STORE 1 +FLAGS (\Flagged)")
    for w in watchers:
        assert rb"FLAGS (\Flagged)" in w.line()
    n.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    n.ok("EXPUNGE")
    for w in watchers:
        while w.line() != b"* 1 EXPUNGE":
            pass


# ---- UIDBATCHES: RFC 10022 ----

def test_uidbatches(client, box):
    c = box
    uids = [c.append(c.box, mail("x")) for _ in range(12)]
    c.ok(f"SELECT {c.box}")
    c.ok(f"UID STORE {uids[4]},{uids[11]} +FLAGS (\\Deleted)")
    c.ok("EXPUNGE")
    left = [u for i, u in enumerate(uids) if i not in (4, 11)]
    all_uids = [int(u) for u in c.ok("UID SEARCH ALL")[0].split()[1:]]

    def batches(args):
        got = c.ok(f"UIDBATCHES {args}")
        m = re.fullmatch(rf'UIDBATCHES \(TAG "x{c.n}"\)(?: (.*))?', got[0])
        return [tuple(int(x) for x in r.split(":"))
                for r in m[1].split(",")] if m[1] else []

    def expected(size):
        down = all_uids[::-1]
        return [(p[0], p[-1]) for p in
                (down[i:i + size] for i in range(0, len(down), size))]

    assert left == all_uids
    for size in (1, 3, 5, 2000):
        assert batches(size) == expected(size)
    assert batches("3 1:2") == expected(3)[:2]
    assert batches("3 2:2") == expected(3)[1:2]
    assert batches("3 3:4000000000") == expected(3)[2:]
    assert batches("3 100:200") == []
    assert batches("4000000000 4000000000:4000000000") == []
    for bad in ("", "0", "x", "3 0:1", "3 2:1", "3 1", "3 1:", "3 1:2 x", "-1"):
        assert c.cmd(f"UIDBATCHES {bad}".strip())[1].startswith("BAD")
    assert batches(2000) == expected(2000)
    # Where nothing is, and where nothing is selected
    c.ok("CREATE Empty")
    c.ok("SELECT Empty")
    assert batches(10) == []
    c.ok("UNSELECT")
    assert c.cmd("UIDBATCHES 10")[1].startswith("BAD")
    c.ok("DELETE Empty")


def test_what_went_before_the_first_look(client, server):
    """A session that asked for no number yet has numbers for all that it was
    told of, also for what another program took away meanwhile."""
    c, other = client(), client()
    c.ok("SELECT INBOX")
    c.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
    c.ok("CLOSE")
    uids = [c.append("INBOX", mail(str(i))) for i in range(60)]
    c.ok("SELECT INBOX")
    p = poplib.POP3_SSL(server.host, server.port["pop3s"],
                        context=server.tls())
    p.user(USERS[0])
    p.pass_(PW)
    went = {0, 1, 7, 8, 9, 30, 58, 59} | set(range(40, 50))
    for i in sorted(went, reverse=True):
        p.dele(i + 1)
    p.quit()
    new = other.append("INBOX", mail("new"))

    def seen(lines):
        return [(int(m[1]), int(m[2])) for m in (
            re.match(r"(\d+) FETCH \(UID (\d+)\)", r) for r in lines) if m]

    # By number, nothing may move: what is gone has its number still.
    assert seen(c.ok("FETCH 1:60 (UID)")) == list(enumerate(uids, 1))
    assert seen(c.ok("FETCH 8,31,41:42,60 (UID)")) == [
        (n, uids[n - 1]) for n in (8, 31, 41, 42, 60)]
    rows = list(uids)
    for r in c.ok("NOOP"):
        if m := re.fullmatch(r"(\d+) EXPUNGE", r):
            del rows[int(m[1]) - 1]
    assert rows == [u for i, u in enumerate(uids) if i not in went]
    assert seen(c.ok("FETCH 1:* (UID)")) == list(enumerate(rows + [new], 1))


@pytest.mark.files
def test_dates_of_rows_without_a_stamp(tmp_path):
    """What an older version stored is found by its Date as well."""
    dates = ["Fri, 21 Nov 1997 23:55:06 -0600", "Sat, 22 Nov 1997 01:00:00 +0900",
             "Thu, 1 Jan 1970 00:10:00 +0100", "Wed, 31 Dec 1969 12:00:00 +0000",
             "Mon, 2 Mar 2026 10:00:00 -1130", "nonsense", None,
             "Tue, 3 Mar 2026 09:00:00 +1400"]
    p = Postern(tmp_path / "a", users={USERS[0]: PW}, options={
        "virtual_mailbox_domains": "example.test"})
    p.start()

    def answers():
        c = Client(p, USERS[0])
        c.ok("SELECT INBOX")
        got = [c.ok(q)[0] for day in ("31-Dec-1969", "1-Jan-1970",
                                      "21-Nov-1997", "22-Nov-1997",
                                      "2-Mar-2026", "3-Mar-2026")
               for q in (f"SEARCH SENTON {day}", f"SEARCH SENTSINCE {day}",
                         f"SEARCH NOT SENTBEFORE {day}")]
        got += [c.ok(f"SORT ({o}) UTF-8 ALL")[0] for o in (
            "DATE", "REVERSE DATE", "SUBJECT DATE", "FROM REVERSE DATE")]
        c.close()
        return got

    try:
        c = Client(p, USERS[0])
        for i, d in enumerate(dates):
            date = f"Date: {d}\r\n" if d else ""
            c.append("INBOX", f"Subject: s{i % 3}\r\n{date}\r\nx\r\n",
                     '"01-Jan-2001 00:00:00 +0000" ')
        c.close()
        stamped = answers()
        assert stamped[0] == "SEARCH 4"
        assert stamped[3] == "SEARCH 3"
        assert stamped[6] == "SEARCH 1" and stamped[9] == "SEARCH 2"
        assert stamped[-4] == "SORT 4 3 2 1 6 7 8 5"
        p.stop()
        p.in_shards("UPDATE messages SET stamp=NULL")
        p.start(add_users=False)
        assert answers() == stamped
    finally:
        p.stop()


def test_how_many_mailboxes(tmp_path):
    p = Postern(tmp_path / "a", users={USERS[0]: PW}, options={
        "virtual_mailbox_domains": "example.test", "imap_mailbox_limit": "9"})
    p.start()
    try:
        c = Client(p, USERS[0])
        names = c.ok('LIST "" *')
        assert len(names) == 6
        c.ok("CREATE a/b")
        assert c.cmd("CREATE c/d")[1].startswith("NO [LIMIT]")
        assert len(c.ok('LIST "" *')) == 8
        assert c.cmd("RENAME a/b e/f/g")[1].startswith("NO [LIMIT]")
        c.ok("CREATE c")
        assert c.cmd("CREATE d")[1].startswith("NO [LIMIT]")
        # What makes none is no matter of how many there are.
        c.ok("RENAME c a/c")
        c.ok("RENAME a/c c")
        # Mail needs no room among them, and one that goes makes room.
        c.ok("RENAME c d")
        c.ok("DELETE d")
        c.ok("CREATE d")
        assert c.append("d", mail("x")) == 1
        c.close()
    finally:
        p.stop()


def test_how_many_keywords(client, box):
    """Unlimited in a mailbox, 8 KiB on one message: memory holds them."""
    c = box
    for i in range(2):
        c.append(c.box, mail(str(i)))
    c.ok("NOOP")
    words = [f"keyword-number-{i:04}-{'x' * 60}" for i in range(200)]
    for i in range(0, 100, 20):
        c.ok(f"STORE 1 +FLAGS.SILENT ({' '.join(words[i:i + 20])})")
    before = c.ok("FETCH 1 FLAGS")
    assert words[99] in before[0]
    # All or nothing, and the other message is as it was.
    assert c.cmd(f"STORE 1:2 +FLAGS ({' '.join(words[100:110])})")[1].startswith(
        "NO [LIMIT]")
    assert c.ok("FETCH 1 FLAGS") == before
    assert c.ok("FETCH 2 FLAGS") == ["2 FETCH (FLAGS ())"]
    c.ok(f"STORE 1 -FLAGS.SILENT ({' '.join(words[:50])})")
    c.ok(f"STORE 1 +FLAGS.SILENT ({' '.join(words[100:110])})")
    c.ok(f"STORE 2 FLAGS.SILENT ({' '.join(words[100:200])})")
    assert c.cmd(f"STORE 2 FLAGS ({' '.join(words[:150])})")[1].startswith(
        "NO [LIMIT]")
    m = mail("many").encode()
    assert c.cmd(f"APPEND {c.box} ({' '.join(words[:150])}) {{{len(m)}+}}\r\n"
                 .encode() + m)[1].startswith("NO [LIMIT]")
    assert c.ok("SEARCH ALL")[0] == "SEARCH 1 2"


def test_headers_of_all_lengths(client, box):
    """Read ahead or alone, each header is what was appended."""
    c = box
    heads = [f"Subject: s{n}\r\n" + "".join(
        f"X-Long-{i}: {'y' * 900}\r\n" for i in range(n)) for n in
        (0, 1, 70, 80, 300, 2)]
    for i, h in enumerate(heads):
        body = "z" * 100_000 if i % 2 else "short"
        c.append(c.box, f"{h}\r\n{body}\r\n")
    c.append(c.box, "Subject: alone\r\n")
    heads.append("Subject: alone\r\n")
    c.ok("NOOP")
    got = c.cmd("FETCH 1:* (UID RFC822.HEADER ENVELOPE)")[0]
    for i, h in enumerate(heads):
        whole = h + ("" if i == len(heads) - 1 else "\r\n")
        assert b"RFC822.HEADER {%d}\r\n%s" % (len(whole), whole.encode()) \
            in got[i]
    assert c.ok("SEARCH HEADER X-Long-0 y")[0] == "SEARCH 2 3 4 5 6"
    assert c.ok("SEARCH HEADER X-Long-299 y")[0] == "SEARCH 5"
    assert c.ok("SEARCH SUBJECT s300")[0] == "SEARCH 5"
    assert c.ok("SEARCH OR SUBJECT alone HEADER X-Long-75 y")[0] == \
        "SEARCH 4 5 7"
    got = c.cmd("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)] FLAGS)")[0]
    assert [re.search(rb"Subject: (\w+)", r)[1] for r in got] == [
        b"s0", b"s1", b"s70", b"s80", b"s300", b"s2", b"alone"]
