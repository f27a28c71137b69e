# SPDX-License-Identifier: ISC
"""Mailboxes of others: RFC 4314 (ACL), RFC 8440 (LIST-MYRIGHTS)."""

import re

import pytest

from harness import Postern, free_port
from imap_client import Client

PW = "builder-22"
OWNER, USER, THIRD, PUBLIC = (f"{n}@example.test"
                              for n in ("owner", "user", "third", "public"))
BOX = f"Other Users/{OWNER}/Box"
ALL = "lrswipkxtea"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("acl") / "a",
                users={u: PW for u in (OWNER, USER, THIRD, PUBLIC)}, options={
                    "virtual_mailbox_domains": "example.test",
                    "imap_public_account": PUBLIC,
                    "imap_acl_groups_maps":
                        f"inline:{{{{{USER}=staff, Sales}}, {{{THIRD}=sales}}}}",
                    "mail_storage_shards": "3",
                    "mailbox_quota_maps": f"inline:{{{{{THIRD}=0 12}}}}"})
    p.start()
    yield p
    p.stop()


@pytest.fixture
def two(server):
    """The owner with a Box of three messages, and a user without rights."""
    o, u = Client(server, OWNER), Client(server, USER)
    for c in (o, u):
        c.ok("ENABLE IMAP4rev2")
        for line in reversed(c.ok('LIST "" *')):
            name = re.search(r'"/" "?(.*?)"?$', line)[1]
            if not re.match(r"(INBOX|Drafts|Sent|Junk|Trash|Archive|"
                            r"Other Users.*|Public Folders.*)$", name):
                c.ok(f'DELETE "{name}"')
        c.ok("SELECT INBOX")
        c.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
        c.ok("CLOSE")
    for box in ("INBOX", "Sent"):
        o.ok(f"DELETEACL {box} {USER}")
    t = Client(server, THIRD)
    t.ok(f"DELETEACL INBOX {USER}")
    t.close()
    o.ok("CREATE Box")
    for n, flags in enumerate((r"\Seen $Work", r"\Flagged \Deleted", ""), 1):
        o.append("Box", f"Subject: number {n}\r\n\r\nbody {n}\r\n",
                 f"({flags}) ")
    yield o, u
    o.close()
    u.close()


def grant(o, rights, who=USER, box="Box"):
    o.ok(f'SETACL "{box}" {who} "{rights}"')


def flags(c):
    return [sorted(re.search(r"FLAGS \(([^)]*)", r)[1].split())
            for r in c.ok("FETCH 1:* FLAGS")]


# ---- the commands ----

def test_own_mailboxes(two):
    o, _ = two
    assert "ACL RIGHTS=kxte" in " ".join(o.ok("CAPABILITY"))
    assert "LIST-MYRIGHTS" in " ".join(o.ok("CAPABILITY"))
    assert o.ok("NAMESPACE") == [
        'NAMESPACE (("" "/")) (("Other Users/" "/")) '
        '(("Public Folders/" "/"))']
    assert o.ok("MYRIGHTS Box") == ['MYRIGHTS "Box" lrswipkxtecda']
    assert o.ok("GETACL Box") == [f'ACL "Box" "{OWNER}" lrswipkxtecda']
    grant(o, "lr")
    grant(o, "+sd")
    assert o.ok("GETACL Box") == [
        f'ACL "Box" "{OWNER}" lrswipkxtecda "{USER}" lrsted']
    grant(o, "-st")
    assert o.ok("GETACL Box")[0].endswith(f'"{USER}" lred')
    grant(o, "c", THIRD)
    assert f'"{THIRD}" kxc' in o.ok("GETACL Box")[0]
    assert o.ok(f"LISTRIGHTS Box {USER}") == [
        f'LISTRIGHTS "Box" "{USER}" "" l r s w i p k x t e c d a']
    assert o.ok(f"LISTRIGHTS Box {OWNER}") == [
        f'LISTRIGHTS "Box" "{OWNER}" lrswipkxtecda']
    o.ok(f"DELETEACL Box {USER}")
    o.ok(f"DELETEACL Box {USER}")
    grant(o, "", THIRD)
    assert o.ok("GETACL Box") == [f'ACL "Box" "{OWNER}" lrswipkxtecda']


def test_what_is_refused(two):
    o, _ = two
    for rights in ("q", "lrQ", "L", "+z", "l r", "1"):
        o.bad(f'SETACL Box {USER} "{rights}"')
    for who in ("nobody@example.test", "example.test", "-nobody@example.test",
                "anonymous", "anyone", "-anyone", '""', OWNER, f"-{OWNER}",
                '"x\x01"', "-", "--" + USER, "$", "-$", '"$a b"', "$a,b"):
        assert "[CANNOT]" in o.no(f"SETACL Box {who} lr"), who
    for text in ("SETACL Box", "SETACL", f"SETACL Box {USER}", "GETACL",
                 "MYRIGHTS", "LISTRIGHTS Box", "DELETEACL Box"):
        o.bad(text)
    for text in (f"SETACL None {USER} lr", "GETACL None", "MYRIGHTS None",
                 f"LISTRIGHTS None {USER}", f"DELETEACL None {USER}"):
        assert "[NONEXISTENT]" in o.no(text)
    assert o.ok("GETACL Box") == [f'ACL "Box" "{OWNER}" lrswipkxtecda']


# Each command of RFC 4314 4, the rights that it needs besides l, and what
# undoes it.
COMMANDS = [
    ("SELECT {box}", "r"), ("EXAMINE {box}", "r"),
    ("STATUS {box} (MESSAGES)", "r"), ("GETQUOTAROOT {box}", "r"),
    ('GETMETADATA {box} /shared/comment', "r"),
    ('SETMETADATA {box} (/shared/comment "x")', "rw"),
    ('SETMETADATA {box} (/private/comment "x")', "r"),
    ("APPEND {box} {{12+}}\r\nSubject: x\r\n", "i"),
    ("CREATE {box}/below", "k"), ("DELETE {box}", "x"),
    ("SETACL {box} {third} lr", "a"), ("DELETEACL {box} {third}", "a"),
    ("GETACL {box}", "a"), ("LISTRIGHTS {box} {third}", "a"),
    ("MYRIGHTS {box}", ""), ("SUBSCRIBE {box}", ""),
]
# In the selected mailbox, where r is there
SELECTED = [
    (r"STORE 3 +FLAGS (\Seen)", "s"), (r"STORE 3 +FLAGS (\Deleted)", "t"),
    (r"STORE 3 +FLAGS (\Flagged)", "w"), (r"STORE 3 +FLAGS ($X)", "w"),
    (r"STORE 3 FLAGS (\Answered)", "w"), ("EXPUNGE", "e"),
    ("UID EXPUNGE 2", "e"), ("MOVE 1 Archive", "te"),
    ("REPLACE 1 Archive {12+}\r\nSubject: y\r\n", "te"),
    ("COPY 1 Archive", ""), ("FETCH 1:* BODY[]", ""), ("CLOSE", ""),
]


@pytest.mark.parametrize("text,need", COMMANDS, ids=[c[0] for c in COMMANDS])
def test_each_command_asks_for_its_rights(two, text, need):
    o, u = two
    text = text.format(box=f'"{BOX}"', third=THIRD).replace(
        '"/below', '/below"')
    hidden = text.replace("/Box", "/None")
    # Nothing: as if it were not there, to the letter
    assert u.cmd(text)[1] == u.cmd(hidden)[1]
    for right in need:
        grant(o, (ALL).replace(right, ""))
        assert "[NOPERM]" in u.no(text), right
        # The same without l: nobody learns that it is there
        grant(o, ALL.replace(right, "").replace("l", ""))
        assert u.cmd(text)[1] == u.cmd(hidden)[1], right
    grant(o, "l" + need)
    u.ok(text)


@pytest.mark.parametrize("text,need", SELECTED, ids=[c[0] for c in SELECTED])
def test_each_command_of_the_selected_mailbox(two, text, need):
    o, u = two
    for right in need:
        grant(o, ALL.replace(right, ""))
        u.ok(f'SELECT "{BOX}"')
        before = u.ok("FETCH 1:* (UID FLAGS)")
        status = u.cmd(text)[1]
        if text.startswith("STORE 3 FLAGS"):
            continue # something else of it may be done
        assert "[NOPERM]" in status, (right, status)
        assert u.ok("FETCH 1:* (UID FLAGS)") == before
    grant(o, "lr" + need + "i")
    u.ok(f'SELECT "{BOX}"')
    u.ok(text)


# ---- flags ----

def test_flags_by_rights(two):
    o, u = two
    grant(o, "lrs")
    assert u.ok(f'SELECT "{BOX}"')
    assert any(r"PERMANENTFLAGS (\Seen)" in r for r in u.ok(f'SELECT "{BOX}"'))
    # What it may not change stays: FLAGS replaces only \Seen.
    u.ok(r"STORE 1 FLAGS ()")
    u.ok(r"STORE 2 FLAGS (\Seen \Answered)")
    assert flags(u) == [["$Work"], [r"\Deleted", r"\Flagged", r"\Seen"], []]
    u.ok(r"STORE 1:3 -FLAGS (\Seen \Flagged $Work)")
    assert flags(u) == [["$Work"], [r"\Deleted", r"\Flagged"], []]
    grant(o, "lrwt")
    r = u.ok(f'SELECT "{BOX}"')
    assert any(r"PERMANENTFLAGS (\Answered \Flagged \Deleted \Draft \*)" in x
               for x in r)
    u.ok(r"STORE 1:3 FLAGS (\Seen $New)")
    assert flags(u) == [["$New"]] * 3
    # Without s, reading sets nothing; CLOSE without e expunges nothing.
    u.ok("FETCH 1 BODY[]")
    u.ok(r"STORE 1 +FLAGS (\Deleted)")
    assert flags(u) == [["$New", r"\Deleted"]] + [["$New"]] * 2
    u.ok("CLOSE")
    grant(o, "lr")
    u.ok(f'SELECT "{BOX}"')
    assert u.cmd(f'SELECT "{BOX}"')[1].startswith("OK [READ-ONLY]")
    assert flags(u) == [["$New", r"\Deleted"]] + [["$New"]] * 2
    for right in "ieswt":
        grant(o, "lr" + right)
        assert u.cmd(f'SELECT "{BOX}"')[1].startswith("OK [READ-WRITE]")


@pytest.mark.parametrize("rights,kept", [
    ("li", []), ("lis", [r"\Seen"]), ("lit", [r"\Deleted"]),
    ("liw", ["$Work", r"\Flagged"]),
    ("liswt", ["$Work", r"\Deleted", r"\Flagged", r"\Seen"])])
def test_flags_that_come_along(two, rights, kept):
    o, u = two
    o.ok("SELECT Box")
    o.ok(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
    o.ok("EXPUNGE")
    grant(o, rights)
    every = r"(\Seen \Flagged \Deleted $Work)"
    u.append(f'"{BOX}"', "Subject: a\r\n\r\nx\r\n", every + " ")
    u.append("INBOX", "Subject: b\r\n\r\nx\r\n", every + " ")
    u.ok("SELECT INBOX")
    code = u.code(f'COPY 1 "{BOX}"')
    assert code.startswith("COPYUID ")
    assert "COPYUID" in u.ok(f'MOVE 1 "{BOX}"')[0]
    assert u.ok("UID FETCH 1:* UID") == []
    o.ok("NOOP")
    assert flags(o) == [kept] * 3


# ---- across accounts ----

def test_copy_and_move_there_and_back(two):
    o, u = two
    grant(o, "lrswite")
    body = "x" * 70000
    for n in range(30):
        u.append("INBOX", f"Subject: n{n}\r\n\r\n{body if n % 7 == 0 else n}\r\n",
                 r'($K \Seen) "03-Mar-2020 04:05:06 +0000" ')
    u.ok("SELECT INBOX")
    ask = "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[] EMAILID)"
    want = [re.sub(rb"EMAILID \([^)]*\)", b"", r.partition(b"(")[2])
            for r in u.cmd(f"FETCH 1:* {ask}")[0]]
    uids = re.match(r"COPYUID (\d+) 1:30 4:33$|COPYUID (\d+) \S+ 4:33$",
                    u.code(f'COPY 1:* "{BOX}"'))
    assert uids
    o.ok("SELECT Box")
    got = [re.sub(rb"EMAILID \([^)]*\)", b"", r.partition(b"(")[2])
           for r in o.cmd(f"FETCH 4:* {ask}")[0]]
    assert got == want
    # And back, moved: the owner's session hears of it.
    u.ok(f'SELECT "{BOX}"')
    u.ok("UID MOVE 4:33 INBOX")
    assert len(u.ok("FETCH 1:* UID")) == 3
    o.ok("NOOP")
    assert len(o.ok("FETCH 1:* UID")) == 3
    u.ok("SELECT INBOX")
    assert len(u.ok("FETCH 1:* UID")) == 60
    # REPLACE from there to here
    u.ok(f'SELECT "{BOX}"')
    r = u.ok("REPLACE 3 INBOX {20+}\r\nSubject: replaced\r\n")
    assert "APPENDUID" in r[0] and any("EXPUNGE" in x or "VANISHED" in x
                                       for x in r)


def test_the_owner_pays(server, two):
    """The quota is that of whose mailbox it is; what does not fit is undone."""
    _, u = two
    t = Client(server, THIRD)
    t.ok("SELECT INBOX")
    t.ok(r"UID STORE 1:* +FLAGS.SILENT (\Deleted)")
    t.ok("CLOSE")
    t.ok(f"SETACL INBOX {USER} lrsi")
    for n in range(20):
        u.append("INBOX", f"Subject: n{n}\r\n\r\nx\r\n")
    u.ok("SELECT INBOX")
    there = f"Other Users/{THIRD}/INBOX"
    assert "[OVERQUOTA]" in u.no(f'COPY 1:20 "{there}"')
    t.ok("SELECT INBOX")
    assert t.ok("UID FETCH 1:* UID") == []
    u.ok(f'COPY 1:10 "{there}"')
    assert "[OVERQUOTA]" in u.no(f'COPY 1:10 "{there}"')
    t.ok("NOOP")
    assert len(t.ok("FETCH 1:* UID")) == 10
    for _ in range(2):
        u.append(f'"{there}"', "Subject: x\r\n\r\nx\r\n")
    assert "[OVERQUOTA]" in u.no(
        f'APPEND "{there}" {{12+}}\r\nSubject: x\r\n')
    assert u.ok(f'GETQUOTAROOT "{there}"') == [f'QUOTAROOT "{there}"']
    assert "[TRYCREATE]" in u.no(f'COPY 1 "Other Users/{THIRD}/None"')
    assert "[TRYCREATE]" in u.no("COPY 1 None")
    t.close()


def test_idle_and_what_others_do(server, two):
    o, u = two
    grant(o, ALL)
    u.ok(f'SELECT "{BOX}"')
    o.ok("SELECT Box")
    u.send(b"i IDLE\r\n")
    assert u.line().startswith(b"+")
    o.append("Box", "Subject: new\r\n\r\nx\r\n")
    assert u.line() == b"* 4 EXISTS"
    o.ok("STORE 4 +FLAGS (\\Flagged)")
    assert b"FETCH" in u.line()
    u.send(b"DONE\r\n")
    u.until("i")
    o.send(b"i IDLE\r\n")
    while not o.line().startswith(b"+"):
        pass
    u.ok("STORE 4 +FLAGS (\\Deleted)")
    assert b"FETCH" in o.line()
    u.ok("EXPUNGE")
    assert {o.line(), o.line()} == {b"* 2 EXPUNGE", b"* 3 EXPUNGE"}
    o.send(b"DONE\r\n")
    o.until("i")
    # Own mailbox again: the bell hangs there.
    u.ok("SELECT INBOX")
    u.send(b"i IDLE\r\n")
    assert u.line().startswith(b"+")
    v = Client(server, USER)
    v.append("INBOX", "Subject: own\r\n\r\nx\r\n")
    v.close()
    assert u.line() == b"* 1 EXISTS"


def test_rights_that_are_taken_away(two):
    o, u = two
    grant(o, "lrs")
    u.ok(f'SELECT "{BOX}"')
    grant(o, "lr")
    assert "[NOPERM]" in u.no(r"STORE 3 +FLAGS (\Seen)")
    grant(o, "l")
    u.send(b"z FETCH 1 BODY[]\r\n")
    assert u.line().startswith(b"* BYE")
    with pytest.raises(ConnectionError):
        u.line()


def test_rights_that_are_taken_away_in_idle(two):
    o, u = two
    grant(o, "lr")
    u.ok(f'SELECT "{BOX}"')
    u.send(b"i IDLE\r\n")
    assert u.line().startswith(b"+")
    o.ok(f"DELETEACL Box {USER}")
    assert u.line().startswith(b"* BYE")


# ---- LIST ----

def listed(c, text='LIST "" *'):
    return [re.search(r'"/" "?(.*?)"?(?: \(.*)?$', r)[1] for r in c.ok(text)
            if r.startswith(("LIST", "LSUB"))]


def test_list(server, two):
    o, u = two
    assert not any("Other" in n for n in listed(u))
    grant(o, "r")
    assert not any("Other" in n for n in listed(u))
    grant(o, "lr")
    o.ok("CREATE Box/Hidden")
    o.ok(f"DELETEACL Box/Hidden {USER}")
    o.ok("CREATE Box/Hidden/Seen")
    o.ok(f"SETACL Box/Hidden/Seen {USER} l")
    o.ok(f"SETACL Sent {USER} lr")
    assert [n for n in listed(u) if n.startswith("Other")] == [
        "Other Users", f"Other Users/{OWNER}", BOX, BOX + "/Hidden", BOX + "/Hidden/Seen", f"Other Users/{OWNER}/Sent"]
    assert rf'LIST (\HasChildren \Noselect \NonExistent) "/" "{BOX}/Hidden"' \
        in u.ok('LIST "" *') # as if it were not there: 4
    r = u.ok('LIST "" %')
    assert r'LIST (\HasChildren \Noselect \NonExistent) "/" "Other Users"' in r
    assert listed(u, f'LIST "Other Users/" %') == [f"Other Users/{OWNER}"]
    # His Sent is not the session's.
    assert not any(r"\Sent" in x and "Other" in x for x in u.ok('LIST "" *'))
    r = [x for x in u.ok(
        f'LIST "" "{BOX}*" RETURN (MYRIGHTS STATUS (MESSAGES))')
         if "NonExistent" not in x]
    assert r == [f'LIST (\\HasChildren) "/" "{BOX}"', f'MYRIGHTS "{BOX}" lr',
                 f'STATUS "{BOX}" (MESSAGES 3)',
                 f'LIST (\\HasNoChildren) "/" "{BOX}/Hidden/Seen"',
                 f'MYRIGHTS "{BOX}/Hidden/Seen" l']
    # Subscriptions are the session's, also after the rights are gone.
    u.ok(f'SUBSCRIBE "{BOX}"')
    assert BOX in listed(u, 'LSUB "" *')
    assert any(r"\Subscribed" in x and BOX in x
               for x in u.ok('LIST (SUBSCRIBED) "" *'))
    assert BOX not in listed(o, 'LSUB "" *')
    o.ok(f"DELETEACL Box {USER}")
    assert "[NONEXISTENT]" in u.no(f'SELECT "{BOX}"')
    assert any(r"\NonExistent" in x for x in u.ok(
        f'LIST (SUBSCRIBED) "" "{BOX}"'))
    u.ok(f'UNSUBSCRIBE "{BOX}"')
    t = Client(server, THIRD)
    assert not any("Other" in n for n in listed(t))
    t.close()


def test_create_rename_delete(two):
    o, u = two
    grant(o, "lrk")
    u.ok(f'CREATE "{BOX}/a/b"')
    assert u.ok(f'MYRIGHTS "{BOX}/a/b"') == [f'MYRIGHTS "{BOX}/a/b" lrkc']
    assert "Box/a/b" in listed(o)
    assert "[NOPERM]" in u.no(f'CREATE "Other Users/{OWNER}/Top"')
    assert "[NOPERM]" in u.no(f'DELETE "{BOX}/a/b"')
    assert "[NOPERM]" in u.no(f'RENAME "{BOX}/a/b" "{BOX}/c"')
    o.ok(f"SETACL Box/a/b {USER} +x")
    u.ok(f'RENAME "{BOX}/a/b" "{BOX}/c"')
    assert "Box/c" in listed(o)
    assert "[NOPERM]" in u.no(f'RENAME "{BOX}/c" "Other Users/{OWNER}/Top"')
    assert "[CANNOT]" in u.no(f'RENAME "{BOX}/c" Mine')
    u.ok("CREATE Mine")
    assert "[CANNOT]" in u.no(f'RENAME Mine "{BOX}/Mine"')
    assert "[CANNOT]" in u.no(f'CREATE "{BOX}/a//b"')
    o.ok(f"SETACL INBOX {USER} lrx")
    for text in ("DELETE {}", "RENAME {} Mine2"):
        assert "[CANNOT]" in u.no(text.format(
            f'"Other Users/{OWNER}/INBOX"'))
    u.ok(f'SELECT "{BOX}/c"')
    u.ok(f'DELETE "{BOX}/c"')
    u.bad("FETCH 1 UID")
    assert "Box/c" not in listed(o)
    # A new one of that name is its parent's.
    o.ok("CREATE Box/c")
    assert u.ok(f'MYRIGHTS "{BOX}/c"') == [f'MYRIGHTS "{BOX}/c" lrkc']
    o.ok("DELETE Box/c")
    o.ok("DELETE Box/a")


def test_nobody_is_another_user_to_himself(two):
    o, _ = two
    assert "[NONEXISTENT]" in o.no(f'SELECT "{BOX}"')
    for name in ("Other Users", "Other Users/", f"Other Users/{OWNER}",
                 f"Other Users/{OWNER}/", "Other Users/x/Box",
                 "Other Users/nobody@example.test/Box", "Other Users//Box"):
        assert "[NONEXISTENT]" in o.no(f'STATUS "{name}" (MESSAGES)')
    # These names are for the mailboxes of others.
    for name in (BOX, "Other Users/x", "Other Users/nobody@example.test/Box",
                 "Public Folders/mine"):
        assert o.no(f'CREATE "{name}"').startswith("NO [")
        assert o.no(f'RENAME Box "{name}"').startswith("NO [")


def test_administering_for_another(server, two):
    o, u = two
    grant(o, "lra")
    u.ok(f'SETACL "{BOX}" {THIRD} lr')
    t = Client(server, THIRD)
    assert BOX in listed(t)
    assert u.ok(f'GETACL "{BOX}"') == [
        f'ACL "{BOX}" "{OWNER}" lrswipkxtecda "{THIRD}" lr "{USER}" lra']
    assert "[CANNOT]" in u.no(f'SETACL "{BOX}" {OWNER} ""')
    u.ok(f'DELETEACL "{BOX}" {THIRD}')
    assert BOX not in listed(t)
    t.close()


def test_public_folders(server, two):
    _, u = two
    p = Client(server, PUBLIC)
    p.cmd("CREATE News")
    p.ok("SETACL News anyone lrs")
    p.ok(f"SETACL News {USER} lrswit")
    t = Client(server, THIRD)
    for c in (u, t):
        assert "Public Folders/News" in listed(c)
        assert not any(PUBLIC in n for n in listed(c))
    assert t.ok('MYRIGHTS "Public Folders/News"') == [
        'MYRIGHTS "Public Folders/News" lrs']
    assert u.ok('MYRIGHTS "Public Folders/News"')[0].endswith("lrswitd")
    u.append('"Public Folders/News"', "Subject: news\r\n\r\nx\r\n")
    t.ok('SELECT "Public Folders/News"')
    assert len(t.ok("FETCH 1:* BODY[]")) >= 1
    assert "News" in listed(p) and "Public Folders/News" not in listed(p)
    assert "[NONEXISTENT]" in t.no('SELECT "Public Folders/INBOX"')
    p.ok("DELETE News")
    p.close()
    t.close()


# ---- groups, and what is taken away ----

def mine(c, box=BOX):
    """What a session may do there; nothing: there is no such mailbox."""
    r, status = c.cmd(f'MYRIGHTS "{box}"')
    return (r[0].split()[-1].decode() if status.startswith("OK")
            else status.split()[1])


def test_groups(server, two):
    o, u = two
    t = Client(server, THIRD)
    o.ok('SETACL Box $STAFF "lr"')
    assert f'"$staff" lr' in o.ok("GETACL Box")[0]
    assert BOX in listed(u) and BOX not in listed(t)
    assert (mine(u), mine(t)) == ("lr", "[NONEXISTENT]")
    # What the groups and the account have, comes together.
    o.ok('SETACL Box $sales "ls"')
    grant(o, "w")
    assert (mine(u), mine(t)) == ("lrsw", "ls")
    assert BOX in listed(t)
    o.ok(f'SETACL Box $nobodysgroup "{ALL}"')
    assert (mine(u), mine(t)) == ("lrsw", "ls")
    u.ok(f'SELECT "{BOX}"')
    assert flags(u)[0] == ["$Work", r"\Seen"]
    o.ok("DELETEACL Box $Staff")
    with pytest.raises(ConnectionError):
        u.cmd("NOOP")
    u = Client(server, USER)
    assert mine(u) == "lsw"
    o.ok("DELETEACL Box $sales")
    assert BOX not in listed(t)
    # A mailbox below has them, too; so have others after a rename.
    o.ok('SETACL Box $sales "lr"')
    o.ok("CREATE Box/below")
    o.ok("RENAME Box/below Elsewhere")
    assert mine(t, f"Other Users/{OWNER}/Elsewhere") == "lr"
    # A group is no account, and an account no group.
    assert "[CANNOT]" in o.no('SETACL Box staff "lr"')
    o.ok('SETACL Box "$user@example.test" "lra"')
    assert mine(u) == "lrw"
    assert "[NOPERM]" in u.no(f'GETACL "{BOX}"')
    t.close()
    u.close()


def test_rights_are_taken_away_by_entries(server, two):
    o, u = two
    t = Client(server, THIRD)
    o.ok('SETACL Box $sales "lrswi"')
    o.ok(f'SETACL Box -{USER} "wi"')
    assert f'"-{USER}" wi' in o.ok("GETACL Box")[0]
    assert (mine(u), mine(t)) == ("lrs", "lrswi")
    u.ok(f'SELECT "{BOX}"')
    assert "[NOPERM]" in u.no(r"STORE 1 +FLAGS (\Flagged)")
    u.ok("UNSELECT")
    # The order does not matter, nor does who gives it.
    grant(o, "wi")
    assert mine(u) == "lrs"
    o.ok(f'SETACL Box -{USER} "-w"')
    assert mine(u) == "lrsw"
    o.ok(f'SETACL Box -$SALES "lr"')
    assert (mine(u), mine(t)) == ("sw", "swi")
    assert BOX not in listed(u) and BOX not in listed(t)
    assert "[NONEXISTENT]" in u.no(f'SELECT "{BOX}"')
    o.ok(f"DELETEACL Box -$sales")
    assert BOX in listed(u) and BOX in listed(t)
    o.ok(f"DELETEACL Box -{USER}")
    assert mine(u) == "lrswi"
    # Taking away gives nothing.
    o.ok(f"DELETEACL Box {USER}")
    o.ok("DELETEACL Box $sales")
    o.ok(f'SETACL Box -{USER} "w"')
    assert BOX not in listed(u) and mine(u) == "[NONEXISTENT]"
    assert o.ok(f'LISTRIGHTS Box "-{USER}"')[0].startswith("LISTRIGHTS")
    t.close()
    p = Client(server, PUBLIC)
    p.cmd("CREATE News")
    p.ok("SETACL News anyone lrsp")
    p.ok("SETACL News -anyone p")
    p.ok('SETACL News -$staff "s"')
    assert mine(u, "Public Folders/News") == "lr"
    p.ok("DELETE News")
    p.close()


@pytest.mark.files
def test_a_table_of_groups_that_fails(tmp_path):
    table = tmp_path / "groups"
    table.write_text(f"{USER} staff\n")
    p = Postern(tmp_path / "a", users={u: PW for u in (OWNER, USER, THIRD)},
                options={"virtual_mailbox_domains": "example.test",
                         "imap_acl_groups_maps": f"texthash:{table}, "
                         f"tcp:127.0.0.1:{free_port()}"})
    p.start()
    try:
        o, u = Client(p, OWNER), Client(p, USER)
        o.ok("CREATE Box")
        o.ok("SETACL Box $staff lr")
        # The first table knows; the second is not asked.
        assert mine(u) == "lr" and BOX in listed(u)
        p.stop()
        table.write_text(f"{OWNER} staff\n")
        p.start(add_users=False)
        u, o = Client(p, USER), Client(p, OWNER)
        assert "[UNAVAILABLE]" in u.no(f'SELECT "{BOX}"')
        assert "[UNAVAILABLE]" in u.no('LIST "" *')
        u.ok("SELECT INBOX")
        o.ok("GETACL Box")
        r = p.run("check", check=False)
        assert r.returncode == 0, r.stdout + r.stderr
    finally:
        p.stop()


# ---- annotations ----

def test_annotations(two):
    o, u = two
    grant(o, "lrw")
    o.ok('SETMETADATA Box (/private/comment "owner" /shared/comment "both")')
    ask = '(DEPTH infinity) "{}" (/private /shared)'
    o.bad('SETMETADATA Box (/private "x")')
    get = "GETMETADATA " + ask
    assert u.ok(get.format(BOX)) == [
        f'METADATA "{BOX}" (/shared/comment "both")']
    u.ok(f'SETMETADATA "{BOX}" (/private/comment "user" /shared/x "y")')
    assert sorted(re.findall(r"/\S+ \"\w+\"", u.ok(get.format(BOX))[0])) == [
        '/private/comment "user"', '/shared/comment "both"', '/shared/x "y"']
    assert sorted(re.findall(r"/\S+ \"\w+\"", o.ok(get.format("Box"))[0])) == [
        '/private/comment "owner"', '/shared/comment "both"', '/shared/x "y"']


# ---- over restarts ----

@pytest.mark.files
def test_rights_last(tmp_path):
    p = Postern(tmp_path / "a", users={OWNER: PW, USER: PW}, options={
        "virtual_mailbox_domains": "example.test", "imap_acl_anyone": "yes"})
    p.start()
    try:
        o = Client(p, OWNER)
        o.ok(f"SETACL INBOX {USER} lr")
        o.ok("SETACL Archive anyone lr")
        p.stop()
        p.start(add_users=False)
        u = Client(p, USER)
        names = listed(u)
        assert f"Other Users/{OWNER}/INBOX" in names
        assert f"Other Users/{OWNER}/Archive" in names
        o = Client(p, OWNER)
        # Where it is not allowed any more, anyone is nobody.
        p.stop()
        main_cf = p.dir / "main.cf"
        main_cf.write_text(main_cf.read_text().replace(
            "imap_acl_anyone = yes", "imap_acl_anyone = no"))
        p.start(add_users=False)
        u = Client(p, USER)
        assert listed(u)[-1] != f"Other Users/{OWNER}/Archive"
        assert "[NONEXISTENT]" in u.no(
            f'SELECT "Other Users/{OWNER}/Archive"')
        u.ok(f'SELECT "Other Users/{OWNER}/INBOX"')
        o = Client(p, OWNER)
        # An account that is gone has no rights, and its entry can go.
        p.run("user", "del", USER)
        p.run("user", "add", USER, "--password-stdin", input=PW + "\n")
        p.stop()
        p.start(add_users=False)
        u = Client(p, USER)
        assert f"Other Users/{OWNER}/INBOX" not in listed(u)
        o = Client(p, OWNER)
        o.ok(f"DELETEACL INBOX {USER}")
        assert o.ok("GETACL INBOX") == [f'ACL "INBOX" "{OWNER}" lrswipkxtecda']
        assert p.run("mailbox", "verify").stdout.endswith("all is well\n")
    finally:
        p.stop()


def test_check(server):
    path = server.dir / "main.cf"
    text = path.read_text()
    try:
        path.write_text(text.replace(f"imap_public_account = {PUBLIC}",
                                     "imap_public_account = public"))
        r = server.run("check", check=False)
        assert r.returncode != 0
        assert '"public" is no address' in r.stdout + r.stderr
    finally:
        path.write_text(text)
