# SPDX-License-Identifier: ISC
"""NOTIFY: RFC 5465."""

import re
import socket

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USERS = [f"u{i}@example.test" for i in range(3)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("notify") / "a",
                users={u: PW for u in USERS}, options={
                    "virtual_mailbox_domains": "example.test"})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def two(server):
    """Two sessions of one user, whose mailboxes are as after his birth."""
    c, d = Client(server, USERS[0]), Client(server, USERS[0])
    for line in reversed(c.ok('LIST "" *')):
        name = re.search(r'"/" "?(.*?)"?$', line)[1]
        if not re.match(r"(INBOX|Drafts|Sent|Junk|Trash|Archive|Other.*)$",
                        name):
            c.ok(f'DELETE "{name}"')
    for name in ("INBOX", "Archive"):
        c.ok(f"SELECT {name}")
        c.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
        c.ok("CLOSE")
    yield c, d
    c.close()
    d.close()


def mail(n=0):
    return f"Subject: number {n}\r\n\r\nbody {n}\r\n"


def heard(c):
    """What c was told before the reply to a command that changes nothing."""
    return c.ok("LANGUAGE")[:-1]


def told(c, n=1):
    """The next n lines, unasked."""
    return [c.line().decode("utf-8")[2:] for _ in range(n)]


def silent(c):
    c.sock.settimeout(0.3)
    try:
        with pytest.raises(socket.timeout):
            c.line()
    finally:
        c.sock.settimeout(30)


# ---- the command ----

@pytest.mark.parametrize("text", [
    "NOTIFY", "NOTIFY SET", "NOTIFY NONE x", "NOTIFY SET STATUS",
    "NOTIFY SET ()", "NOTIFY SET (selected)", "NOTIFY SET (selected MessageNew)",
    "NOTIFY SET (selected (MessageNew))",
    "NOTIFY SET (selected (MessageExpunge))",
    "NOTIFY SET (personal (FlagChange))",
    "NOTIFY SET (personal (MessageNew FlagChange))",
    "NOTIFY SET (selected (MessageNew MessageExpunge MailboxName))",
    "NOTIFY SET (selected NONE) (selected-delayed NONE)",
    "NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
    "NOTIFY SET (subtree (MessageNew MessageExpunge))",
    "NOTIFY SET (subtree-one INBOX (MessageNew MessageExpunge))",
    "NOTIFY SET (mailboxes () NONE)", "NOTIFY SET (personal NONE",
    "NOTIFY SET (selected (MessageNew (nonsense) MessageExpunge))",
    "NOTIFY SET (personal ())"])
def test_what_is_malformed(two, text):
    c, d = two
    c.bad(text)
    # Nothing is in force.
    d.append("Archive", mail())
    assert heard(c) == []


def test_events_that_are_not_known(two):
    c, _ = two
    status = c.no("NOTIFY SET (personal (MessageNew MessageExpunge "
                  "AnnotationChange))")
    assert status.startswith("NO [BADEVENT (MessageNew MessageExpunge "
                             "FlagChange MailboxName SubscriptionChange "
                             "MailboxMetadataChange ServerMetadataChange)]")
    assert "NOTIFY" in " ".join(c.ok("CAPABILITY")).split()


# ---- the selected mailbox ----

def test_selected(two):
    c, d = two
    c.ok("SELECT INBOX")
    d.ok("SELECT INBOX")
    c.ok("NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS "
         "(SUBJECT)]) MessageExpunge FlagChange))")
    uid = d.append("INBOX", mail(1), r"(\Seen) ")
    assert told(c, 2) == [
        "1 EXISTS", f"1 FETCH (UID {uid} BODY[HEADER.FIELDS (SUBJECT)] "
        "{21}\r\nSubject: number 1\r\n\r\n)"]
    d.ok(r"STORE 1 +FLAGS (\Flagged)")
    assert told(c) == [f"1 FETCH (UID {uid} FLAGS (\\Seen \\Flagged))"]
    d.append("INBOX", mail(2))
    told(c, 2)
    d.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    told(c)
    d.ok("EXPUNGE")
    assert told(c) == ["1 EXPUNGE"]
    # What it does itself is told once, and without a FETCH.
    assert c.cmd(b"APPEND INBOX {%d+}\r\n%s" % (
        len(mail(3)), mail(3).encode()))[0] == [b"2 EXISTS"]
    assert [x for x in c.ok("COPY 1:2 INBOX") if "FETCH" in x] == []
    assert heard(c) == []
    # In the same packet as a command, and in IDLE, it is the same.
    c.send(b"i IDLE\r\n")
    assert c.line().startswith(b"+")
    uid = d.append("INBOX", mail(4))
    lines = told(c, 2)
    assert lines[0] == "5 EXISTS" and f"UID {uid}" in lines[1]
    c.send(b"DONE\r\n")
    c.until("i")


def test_selected_events_that_are_not_wanted(two):
    c, d = two
    c.ok("SELECT INBOX")
    c.ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
    d.append("INBOX", mail())
    assert told(c) == ["1 EXISTS"]
    d.ok("SELECT INBOX")
    d.ok(r"STORE 1 +FLAGS (\Flagged)")
    silent(c)
    assert c.ok("NOOP") == []
    for text in ("NOTIFY SET (personal (MailboxName))", "NOTIFY NONE",
                 "NOTIFY SET (selected NONE)"):
        c.ok(text)
        d.append("INBOX", mail())
        d.ok(r"STORE 1 -FLAGS (\Flagged)")
        silent(c)
        assert c.ok("NOOP") == []
    # Its own EXPUNGE is answered all the same.
    c.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    assert "1 EXPUNGE" in c.ok("EXPUNGE")


def test_selected_delayed(two):
    c, d = two
    c.ok("SELECT INBOX")
    d.ok("SELECT INBOX")
    for n in range(3):
        d.append("INBOX", mail(n))
    c.ok("NOOP")
    c.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))")
    d.ok("NOOP")
    d.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    assert "FETCH (UID" in told(c)[0]
    d.ok("EXPUNGE")
    silent(c)
    d.append("INBOX", mail(9))
    assert told(c) == ["4 EXISTS"]
    # Numbers stand until a command that lets them go.
    assert len(c.ok("FETCH 2:3 UID")) == 2
    assert c.ok("NOOP") == ["1 EXPUNGE"]


def test_vanished_for_qresync(two):
    c, d = two
    c.ok("ENABLE QRESYNC")
    c.ok("SELECT INBOX")
    d.ok("SELECT INBOX")
    uid = d.append("INBOX", mail())
    c.ok("NOOP")
    c.ok("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))")
    d.ok("NOOP")
    d.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    assert "MODSEQ" in told(c)[0]
    d.ok("EXPUNGE")
    assert told(c) == [f"VANISHED {uid}"]


# ---- others ----

STATUS = re.compile(r'STATUS "?([^"]*?)"? \((.*)\)$')


def status(line):
    name, items = STATUS.match(line).groups()
    words = items.split()
    return name, dict(zip(words[::2], map(int, words[1::2])))


def test_status_at_once(two):
    c, d = two
    d.append("Archive", mail())
    c.ok("SELECT INBOX")
    lines = c.ok("NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) "
                 "(personal (MessageNew MessageExpunge))")
    found = dict(map(status, lines))
    assert sorted(found) == ["Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert {"MESSAGES", "UIDNEXT", "UIDVALIDITY"} <= set(found["Archive"])
    assert found["Archive"]["MESSAGES"] == 1
    lines = c.ok("NOTIFY SET STATUS (mailboxes (Sent None) "
                 "(MessageNew MessageExpunge FlagChange))")
    assert [status(x)[0] for x in lines] == ["Sent"]
    assert "HIGHESTMODSEQ" in status(lines[0])[1]
    assert c.ok("NOTIFY SET (personal (MessageNew MessageExpunge))") == []


def test_messages_of_other_mailboxes(two):
    c, d = two
    c.ok("SELECT INBOX")
    c.ok("NOTIFY SET (selected (MessageNew MessageExpunge)) "
         "(mailboxes Archive (MessageNew MessageExpunge FlagChange)) "
         "(mailboxes Sent (MessageNew MessageExpunge))")
    uid = d.append("Archive", mail())
    name, items = status(told(c)[0])
    assert name == "Archive" and items["MESSAGES"] == 1 \
        and items["UIDNEXT"] == uid + 1
    d.append("Trash", mail()) # nobody asked
    d.ok("SELECT Archive")
    d.ok(r"STORE 1 +FLAGS (\Seen)")
    name, items = status(told(c)[0])
    assert name == "Archive" and items["UNSEEN"] == 0
    d.ok(r"STORE 1 +FLAGS (\Flagged)") # nothing to tell without CONDSTORE
    d.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    silent(c)
    d.ok("EXPUNGE")
    assert status(told(c)[0])[1]["MESSAGES"] == 0
    c.ok("ENABLE CONDSTORE")
    d.append("Sent", mail())
    assert "HIGHESTMODSEQ" in status(told(c)[0])[1]
    d.ok("SELECT Sent")
    d.ok(r"STORE 1 +FLAGS (\Flagged)") # FlagChange is not asked of Sent
    silent(c)
    # The selected mailbox is told as such, whatever else names it.
    d.append("INBOX", mail())
    assert told(c) == ["1 EXISTS"]
    c.ok("SELECT Archive")
    d.append("INBOX", mail())
    silent(c)


def test_delivery_is_heard(server, two):
    c, _ = two
    c.ok("NOTIFY SET (inboxes (MessageNew MessageExpunge))")
    import smtplib
    with smtplib.SMTP(server.host, server.port["smtp"]) as s:
        s.sendmail("a@far.example", [USERS[0]], mail())
    name, items = status(told(c)[0])
    assert name == "INBOX" and items["MESSAGES"] == 1


def test_names(two):
    c, d = two
    c.ok("NOTIFY SET (personal (MailboxName))")
    d.ok("CREATE one")
    assert told(c) == [r'LIST (\HasNoChildren) "/" "one"']
    d.ok("CREATE one/two/three")
    assert sorted(told(c, 2)) == [
        r'LIST (\HasChildren) "/" "one/two"',
        r'LIST (\HasNoChildren) "/" "one/two/three"']
    d.ok("RENAME one eins")
    assert told(c) == [r'LIST (\HasChildren) "/" "eins" ("OLDNAME" ("one"))']
    d.ok("RENAME eins/two/three zwei")
    assert told(c) == [
        r'LIST (\HasNoChildren) "/" "zwei" ("OLDNAME" ("eins/two/three"))']
    d.ok("DELETE zwei")
    assert told(c) == [r'LIST (\NonExistent) "/" "zwei"']
    # What it does itself it knows.
    c.ok("CREATE mine")
    c.ok("RENAME mine yours")
    c.ok("DELETE yours")
    silent(c)
    assert heard(c) == []
    # A subtree: also when something comes into it, or leaves it
    d.ok("CREATE other")
    c.ok("NOTIFY SET (subtree eins (MailboxName))")
    d.ok("RENAME other eins/other")
    assert told(c) == [
        r'LIST (\HasNoChildren) "/" "eins/other" ("OLDNAME" ("other"))']
    d.ok("RENAME eins/other away")
    assert "OLDNAME" in told(c)[0]
    d.ok("DELETE away")
    silent(c)


def test_subscriptions(two):
    c, d = two
    d.ok("CREATE box")
    c.ok("NOTIFY SET (personal (SubscriptionChange))")
    d.ok("SUBSCRIBE box")
    assert told(c) == [r'LIST (\HasNoChildren \Subscribed) "/" "box"']
    d.ok("UNSUBSCRIBE box")
    assert told(c) == [r'LIST (\HasNoChildren) "/" "box"']
    c.ok("SUBSCRIBE box")
    silent(c)
    d.ok("DELETE box") # the subscription stays
    silent(c)
    d.ok("UNSUBSCRIBE box")
    assert told(c) == [r'LIST (\NonExistent) "/" "box"']
    # Subscribed mailboxes are what they are now.
    d.ok("CREATE late")
    c.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge))")
    d.append("late", mail())
    silent(c)
    d.ok("SUBSCRIBE late")
    d.append("late", mail())
    assert status(told(c)[0])[1]["MESSAGES"] == 2
    d.ok("UNSUBSCRIBE late")


def test_metadata(two):
    c, d = two
    d.ok('SETMETADATA INBOX (/shared/a "1" /private/b "2")')
    c.ok("NOTIFY SET (personal (MailboxMetadataChange)) "
         "(mailboxes INBOX (ServerMetadataChange))")
    d.ok('SETMETADATA INBOX (/shared/a "3")')
    assert told(c) == ['METADATA "INBOX" /shared/a']
    d.ok('SETMETADATA INBOX (/private/b NIL /shared/new "x")')
    assert sorted(told(c)[0].split()[2:]) == ["/private/b", "/shared/new"]
    d.ok('SETMETADATA "" (/private/x "y")')
    assert told(c) == ['METADATA "" /private/x']
    c.ok('SETMETADATA INBOX (/shared/a "4")')
    silent(c)
    d.ok('SETMETADATA INBOX (/shared/a NIL /shared/new NIL)')
    d.ok('SETMETADATA "" (/private/x NIL)')


# ---- mailboxes of others ----

def test_what_others_share(server, two):
    c, _ = two
    o = Client(server, USERS[1])
    o.cmd("CREATE Shared")
    o.ok(f"DELETEACL Shared {USERS[0]}")
    box = f"Other Users/{USERS[1]}/Shared"
    c.ok(f'NOTIFY SET (subtree "Other Users" (MailboxName MessageNew '
         'MessageExpunge))')
    o.ok(f"SETACL Shared {USERS[0]} lr")
    assert told(c) == [f'LIST (\\HasNoChildren) "/" "{box}"']
    o.append("Shared", mail())
    name, items = status(told(c)[0])
    assert name == box and items["MESSAGES"] == 1
    o.ok(f"SETACL Shared {USERS[0]} l")
    o.append("Shared", mail())
    silent(c)
    assert c.ok('NOTIFY SET STATUS (subtree "Other Users" (MessageNew '
                'MessageExpunge MailboxName))') == [
        f'LIST (\\HasNoChildren \\NoAccess) "/" "{box}"']
    o.ok(f"DELETEACL Shared {USERS[0]}")
    assert told(c) == [f'LIST (\\NonExistent) "/" "{box}"']
    # The selected mailbox of somebody else
    o.ok(f"SETACL Shared {USERS[0]} lr")
    told(c)
    c.ok(f'SELECT "{box}"')
    c.ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
    o.append("Shared", mail())
    assert told(c)[0].endswith("EXISTS")
    o.ok(f"DELETEACL Shared {USERS[0]}")
    assert c.line().startswith(b"* BYE")
    o.close()


def test_lasts_until_the_next(two):
    c, d = two
    c.ok("NOTIFY SET (personal (MessageNew MessageExpunge))")
    c.bad("NOTIFY SET (nonsense NONE)")
    c.no("NOTIFY SET (personal (AnnotationChange))")
    d.append("Archive", mail())
    assert status(told(c)[0])[0] == "Archive"
    c.ok("SELECT INBOX")
    c.ok("UNSELECT")
    d.append("INBOX", mail())
    assert status(told(c)[0])[0] == "INBOX"
    c.ok("NOTIFY NONE")
    d.append("INBOX", mail())
    silent(c)
    # Nobody's again: it forgets.
    c.ok("NOTIFY SET (personal (MessageNew MessageExpunge))")
    c.ok("UNAUTHENTICATE")
    c.ok(f'LOGIN "{USERS[2]}" "{PW}"')
    d.append("INBOX", mail())
    silent(c)
