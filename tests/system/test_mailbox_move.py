# SPDX-License-Identifier: ISC
"""postern mailbox import, export, restore: mail in and out of a server that
runs."""

import gzip
import mailbox
import os
import poplib
import random
import re
import subprocess
import time
from pathlib import Path

import pytest

import dovecot
from harness import Postern
from imap_client import Client

PW = "builder-22"
USER, OTHER = "u0@example.test", "u1@example.test"
EVERYTHING = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"


@pytest.fixture
def server(tmp_path):
    p = Postern(tmp_path / "a", users={USER: PW, OTHER: PW}, options={
        "virtual_mailbox_domains": "example.test",
        "mail_storage_shards": "2"})
    p.start()
    yield p
    p.stop()


def mail(n, more=b""):
    return (b"From: Person <p%d@x.example>\r\nSubject: number %d\r\n"
            b"\r\nbody %d\r\n" % (n, n, n)) + more


def boxes(c):
    return sorted(re.findall(r'LIST \([^)]*\) "/" "?([^"]+)"?$', r)[0]
                  for r in c.ok('LIST "" "*"')
                  if r.startswith("LIST"))


def sort_flags(m):
    return b"FLAGS (" + b" ".join(sorted(m[1].split())) + b")"


def elsewhere(folder):
    """As if the mail came from mailboxes of another time."""
    for path in folder.glob("**/dovecot-uidlist"):
        path.write_text(re.sub(r"^3 V\d+", f"3 V{len(str(path)) + 1000}",
                               path.read_text()))


def uidl(server, port, user, password):
    p = poplib.POP3_SSL(
        server.host, server.port[port], context=server.tls()) \
        if port == "pop3s" else poplib.POP3(server.host, server.port[port])
    p.user(user)
    p.pass_(password)
    lines = p.uidl()[1]
    p.quit()
    return lines


def state(c, *names):
    """What a client sees of the mailboxes that have something."""
    out = {}
    for name in names or boxes(c):
        c.ok(f'SELECT "{name}"')
        out[name] = [re.sub(rb"FLAGS \(([^)]*)\)", sort_flags,
                            re.sub(rb"^\d+ ", b"", r))
                     for r in c.cmd(EVERYTHING)[0]]
    return {k: v for k, v in out.items() if v}


def validity(c, name):
    return int(re.search(r"UIDVALIDITY (\d+)", c.ok(
        f'STATUS "{name}" (UIDVALIDITY)')[0])[1])


def move(server, *args, rc=0):
    r = server.run("mailbox", *map(str, args), check=False)
    assert r.returncode == rc, (r.stdout, r.stderr)
    return r


def fill(c):
    """Everything that has to come through."""
    c.append("INBOX", mail(1), r'(\Seen $Forwarded) "01-Feb-2020 03:04:05 +0000" ')
    c.append("INBOX", mail(2), r'(\Answered \Flagged Work) "02-Feb-2020 03:04:05 +0000" ')
    c.append("INBOX", mail(3, b"From the start\r\n>From quoted\r\n.\r\n\r\n\r\n"))
    c.append("INBOX", mail(4, b"x" * 90000 + b"\r\n"))
    c.append("INBOX", "Subject: Grüße\r\n\r\näöü\r\n".encode(), r"(\Draft \Deleted Later Work) ")
    c.ok('CREATE "Work/Ünï &Co/Deep"')
    c.append('"Work/Ünï &Co/Deep"', mail(6))
    c.append("Sent", mail(7), r"(\Seen) ")
    c.ok("SELECT INBOX")
    c.ok(r"STORE 3 +FLAGS (\Deleted)")
    c.ok("UID EXPUNGE 3")
    c.append("INBOX", mail(8))


def open_client(server, user):
    c = Client(server, user)
    c.ok("ENABLE IMAP4rev2")
    return c


@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_there_and_back(server, tmp_path, form):
    c, d = open_client(server, USER), open_client(server, OTHER)
    fill(c)
    target = tmp_path / "out"
    r = move(server, "export", USER, target, "--format", form)
    assert "7 messages written" in r.stdout
    r = move(server, "import", OTHER, target)
    assert "7 messages, 0 were there already\n" in r.stdout
    assert "new UIDs" not in r.stdout
    assert state(d) == state(c)
    # The account has its mailboxes already: the same names, what UIDs were
    # given elsewhere.
    for name in ("INBOX", "Sent", "Work/Ünï &Co/Deep"):
        assert validity(c, name) == validity(d, name)
    # Once more: nothing comes twice.  After a change: only what is new.
    r = move(server, "import", OTHER, target)
    assert "0 messages, 7 were there already\n" in r.stdout
    c.append("Sent", mail(9), r"(\Seen) ")
    c.ok("SELECT INBOX")
    c.ok(r"STORE 1 -FLAGS (\Seen)")
    r = move(server, "export", USER, target, "--format", form)
    r = move(server, "import", OTHER, target)
    assert "1 messages, 7 were there already\n" in r.stdout
    assert state(d, "Sent") == state(c, "Sent")
    # UIDs go on behind what came.
    before = d.append("INBOX", mail(10))
    assert before == c.append("INBOX", mail(10))
    assert server.run("mailbox", "verify").stdout.endswith("all is well\n")


def test_into_a_mailbox_that_is_in_use(server, tmp_path):
    """Its UIDVALIDITY stays, what comes gets new UIDs, nothing comes twice."""
    c, d = open_client(server, USER), open_client(server, OTHER)
    fill(c)
    d.append("INBOX", mail(100))
    old = validity(d, "INBOX")
    target = tmp_path / "out"
    move(server, "export", USER, target)
    elsewhere(target)
    r = move(server, "import", OTHER, target)
    assert "5 have new UIDs" in r.stdout
    assert validity(d, "INBOX") == old
    d.ok("SELECT INBOX")
    assert len(d.ok("FETCH 1:* UID")) == 6
    # What was deleted here does not come back.
    d.ok(r"STORE 2 +FLAGS (\Deleted)")
    d.ok("EXPUNGE")
    r = move(server, "import", OTHER, target)
    assert "0 messages, 7 were there already\n" in r.stdout


def test_who_looks_at_it_meanwhile(server, tmp_path):
    """An empty INBOX takes the UIDVALIDITY that comes: who has it open goes."""
    c = open_client(server, USER)
    fill(c)
    move(server, "export", USER, tmp_path / "out")
    elsewhere(tmp_path / "out")
    d, e = open_client(server, OTHER), open_client(server, OTHER)
    d.ok("SELECT INBOX")
    d.send(b"i1 IDLE\r\n")
    assert d.line().startswith(b"+")
    e.ok("SELECT Archive")
    move(server, "import", OTHER, tmp_path / "out")
    assert d.line().startswith(b"* BYE")
    assert e.ok("NOOP") == []
    assert state(e, "INBOX") == state(c, "INBOX")


def test_maildir_of_others(server, tmp_path):
    """Without Dovecot's files, LF or CRLF, packed, broken, directories."""
    root = tmp_path / "Maildir"
    for folder in ("", ".Old.2019", ".&AMQ-rger", ".bad*name"):
        for sub in ("cur", "new", "tmp"):
            (root / folder / sub).mkdir(parents=True)
    (root / "cur" / "1.a.host:2,FRS").write_bytes(
        mail(1).replace(b"\r\n", b"\n"))
    (root / "cur" / "2.b.host,S=10:2,DPT").write_bytes(mail(2))
    (root / "new" / "3.c.host").write_bytes(gzip.compress(mail(3)))
    (root / "cur" / "4.d.host:2,").write_bytes(b"\x1f\x8b broken")
    (root / "cur" / "5.e.host:2,").symlink_to("nowhere")
    (root / "tmp" / "6.f.host").write_bytes(mail(6))
    (root / ".Old.2019" / "cur" / "7.g.host:2,S").write_bytes(mail(7))
    (root / ".&AMQ-rger" / "new" / "8.h.host").write_bytes(mail(8)[:-2])
    (root / ".bad*name" / "new" / "9.i.host").write_bytes(mail(9))
    os.utime(root / "cur" / "1.a.host:2,FRS", (10 ** 9, 10 ** 9))
    r = move(server, "import", USER, root, rc=65)
    assert r.stderr.count("left out: ") == 2
    assert "2 were left out" in r.stdout
    c = open_client(server, USER)
    got = state(c)
    assert sorted(got) == ["INBOX", "Old/2019", "bad_name", "Ärger"]
    text = b"\n".join(got["INBOX"])
    assert rb"FLAGS (\Answered \Flagged \Seen)" in got["INBOX"][0]
    assert b'" 9-Sep-2001 01:46:40 +0000"' in got["INBOX"][0]
    assert rb"\Deleted" in got["INBOX"][1] and b"$Forwarded" in got["INBOX"][1]
    for n in (1, 2, 3):
        assert mail(n) in text
    assert b"number 6" not in text
    assert got["Ärger"][0].endswith(mail(8)[:-2] + b")")


def test_mbox_of_others(server, tmp_path):
    """Python's mailbox module, Thunderbird's tree, what is no mbox."""
    root = tmp_path / "Mail"
    root.mkdir()
    box = mailbox.mbox(root / "Inbox")
    for n in (1, 2):
        m = mailbox.mboxMessage(mail(n).replace(b"\r\n", b"\n"))
        m.set_from("p@x.example", time.gmtime(10 ** 9 + n))
        m.set_flags("ROFA" if n == 1 else "")
        box.add(m)
    box.flush()
    (root / "Inbox.msf").write_text("// <!-- <mdb:mork:z v=\"1.4\"/> -->\n")
    (root / "Inbox.sbd").mkdir()
    (root / "Inbox.sbd" / "Kept").write_bytes(
        b"From - Thu Nov 26 18:03:29 2026\r\n"
        b"X-Mozilla-Status: 0003\r\nX-Mozilla-Status2: 00000000\r\n"
        b"X-Mozilla-Keys: $label1 bad{keyword\r\n" + mail(3) +
        b">From here\r\nFrom nothing\r\n\r\nFrom nowhere to go\r\n\r\n")
    (root / "Empty").write_bytes(b"")
    r = move(server, "import", USER, root)
    assert "3 messages, 0 were there" in r.stdout
    c = open_client(server, USER)
    got = state(c)
    assert sorted(got) == ["INBOX", "Inbox/Kept"] or sorted(got) == [
        "INBOX", "INBOX/Kept"]
    kept = got[sorted(got)[1]][0]
    assert kept.endswith(
        mail(3) + b"From here\r\nFrom nothing\r\n\r\nFrom nowhere to go\r\n)")
    assert b"$label1" in kept and b"bad{" not in kept
    assert rb"\Answered" in kept and b"26-Nov-2026 18:03:29" in kept
    assert b"X-Mozilla" not in kept and b"Status:" not in got["INBOX"][0]
    assert rb"\Flagged" in got["INBOX"][0]
    assert rb"FLAGS ()" in got["INBOX"][1]
    assert b"Empty" in b" ".join(c.cmd('LIST "" *')[0])
    # One file under another name, and what is none
    move(server, "import", USER, root / "Inbox", "--mailbox", "From/Elsewhere")
    assert len(state(c, "From/Elsewhere")["From/Elsewhere"]) == 2
    (tmp_path / "text").write_text("hello\n")
    assert "no mbox" in move(
        server, "import", USER, tmp_path / "text", rc=65).stderr


def test_a_link_leads_nowhere(server, tmp_path):
    """Who runs it may read more than whose folders they are."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"From x Thu Nov 26 18:03:29 2026\nS: secret\n\nsecret\n")
    other = tmp_path / "other"
    (other / "cur").mkdir(parents=True)
    (other / "cur" / "1.x:2,").write_bytes(b"Subject: secret\n\nsecret\n")
    root = tmp_path / "Maildir"
    (root / "cur").mkdir(parents=True)
    (root / "cur" / "1.a:2,").write_bytes(mail(1))
    (root / "cur" / "2.b:2,").symlink_to(secret)
    (root / ".Sub").symlink_to(other)
    r = move(server, "import", USER, root, rc=65)
    assert "1 messages" in r.stdout and "2.b" in r.stderr
    tree = tmp_path / "Mail"
    tree.mkdir()
    (tree / "box").write_bytes(b"From x Thu Nov 26 18:03:29 2026\nS: 1\n\n1\n")
    (tree / "link").symlink_to(secret)
    (tree / "folder").symlink_to(other)
    move(server, "import", USER, tree)
    c = open_client(server, USER)
    assert sorted(state(c)) == ["INBOX", "box"]
    assert b"secret" not in b"".join(sum(state(c).values(), []))
    # Nor does an export write through one.
    out = tmp_path / "out"
    out.mkdir()
    (out / "INBOX.mbox").symlink_to(tmp_path / "victim")
    move(server, "export", USER, out, "--format", "mbox", rc=74)
    assert not (tmp_path / "victim").exists()


def test_a_folder_that_is_a_link(server, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "1.x:2,").write_bytes(b"Subject: secret\n\nsecret\n")
    (other / "list").write_text("secret\n")
    root = tmp_path / "Maildir"
    (root / "cur").mkdir(parents=True)
    (root / "cur" / "1.a:2,").write_bytes(mail(1))
    (root / "new").symlink_to(other)
    (root / "subscriptions").symlink_to(other / "list")
    r = move(server, "import", USER, root, rc=65)
    assert "1 messages" in r.stdout and "2 were left out" in r.stdout
    assert "new: no directory" in r.stderr and "a link" in r.stderr
    (root / "new").unlink()
    (root / "cur").rename(root / "was")
    (root / "cur").symlink_to(other)
    move(server, "import", USER, root)  # a tree of nothing then
    (root / "mailboxes").symlink_to(other)
    move(server, "import", USER, root)
    c = open_client(server, USER)
    assert b"secret" not in b"".join(sum(state(c).values(), []))
    assert b"secret" not in b"".join(c.cmd('LSUB "" *')[0])
    # The path itself may be one: who runs it said so.
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "cur").mkdir(parents=True)
    (tmp_path / "real" / "cur" / "9.z:2,").write_bytes(mail(9))
    assert "1 messages" in move(
        server, "import", USER, tmp_path / "link").stdout


def test_options_belong_to_their_commands(server, tmp_path):
    root = tmp_path / "Maildir"
    (root / "cur").mkdir(parents=True)
    for args, why in (
            (("export", USER, root, "--mailbox", "x"), "no --mailbox"),
            (("import", USER, root, "--format", "mbox"), "no --format"),
            (("verify", "--format", "mbox"), "no --format")):
        assert why in move(server, *args, rc=64).stderr
    assert "one mbox file" in move(server, "import", USER, root, "--mailbox",
                                   "x", rc=65).stderr


def test_large_numbers(server, tmp_path):
    """Many in batches, UIDs at the end of their range."""
    root = tmp_path / "Maildir"
    (root / "cur").mkdir(parents=True)
    lines = ["3 V4026531839 N4294967295 Gabc"]
    for n in range(1201):
        name = f"{n}.x.host"
        (root / "cur" / f"{name}:2,{'S' if n % 2 else ''}").write_bytes(mail(n))
        uid = 5 + n * 3 if n < 1200 else 4294967294
        lines.append(f"{uid} S10 :{name}:2,")
    (root / "dovecot-uidlist").write_text("\n".join(lines) + "\n")
    r = move(server, "import", USER, root)
    assert "1201 messages" in r.stdout and "1 have new UIDs" in r.stdout
    c = open_client(server, USER)
    c.ok("SELECT INBOX")
    uids = [int(re.search(r"UID (\d+)", x)[1]) for x in c.ok("FETCH 1:* UID")]
    assert uids == [5 + n * 3 for n in range(1200)] + [5 + 1199 * 3 + 1]
    assert validity(c, "INBOX") == 4026531839
    # A UIDVALIDITY that is taken here is not taken twice.
    other = root / ".Other"
    (other / "cur").mkdir(parents=True)
    (other / "cur" / "1.y.host:2,").write_bytes(mail(1))
    (other / "dovecot-uidlist").write_text("3 V4026531839 N9\n7 :1.y.host\n")
    move(server, "import", USER, root)
    assert validity(c, "Other") == 4026531840
    c.ok("CREATE fresh")
    assert validity(c, "fresh") == 4026531841
    # One that leaves none to give is not taken.
    (root / ".Edge" / "cur").mkdir(parents=True)
    (root / ".Edge" / "cur" / "1.z.host:2,").write_bytes(mail(1))
    (root / ".Edge" / "dovecot-uidlist").write_text(
        "3 V4294967295 N9\n7 :1.z.host\n")
    move(server, "import", USER, root)
    assert validity(c, "Edge") == 4026531842


def test_restore_one_account(server, tmp_path):
    c, d = open_client(server, USER), open_client(server, OTHER)
    fill(c)
    d.append("INBOX", mail(50))
    before = state(c)
    backup = tmp_path / "backup"
    server.run("mailbox", "backup", str(backup))
    c.append("INBOX", mail(60))
    c.ok("SELECT INBOX")
    c.ok(r"STORE 1,4 +FLAGS (\Deleted)")
    c.ok("EXPUNGE")
    c.ok('DELETE "Work/Ünï &Co/Deep"')
    r = move(server, "restore", USER, backup)
    assert re.search(r"(\d+) messages, (\d+) were there", r.stdout).groups() \
        == ("3", "4")
    after = state(c)
    # Messages whose UIDs are given come back under new ones, a mailbox that is
    # made anew takes everything as it was.
    assert after["Work/Ünï &Co/Deep"] == before["Work/Ünï &Co/Deep"]
    bodies = {r.partition(b"BODY[]")[2] for r in before["INBOX"]}
    assert bodies < {r.partition(b"BODY[]")[2] for r in after["INBOX"]}
    assert len(after["INBOX"]) == len(before["INBOX"]) + 1
    assert "0 messages, 7 were there" in move(
        server, "restore", USER, backup).stdout
    assert len(state(d)["INBOX"]) == 1
    assert move(server, "restore", "no@example.test", backup, rc=65)
    assert "no store" in move(
        server, "restore", USER, tmp_path / "none", rc=65).stderr
    assert server.run("mailbox", "verify").stdout.endswith("all is well\n")


def test_wrong_use(server, tmp_path):
    move(server, "import", USER, rc=64)
    move(server, "export", rc=64)
    move(server, "export", USER, tmp_path / "x", "--format", "pst", rc=64)
    move(server, "verify", "a", "b", rc=64)
    assert "no account" in move(
        server, "export", "no@example.test", tmp_path / "x", rc=65).stderr
    (tmp_path / "m" / "cur").mkdir(parents=True)
    assert "no account" in move(
        server, "import", "no@example.test", tmp_path / "m", rc=65).stderr
    server.stop()
    assert "does not run" in move(
        server, "import", USER, tmp_path / "m", rc=74).stderr
    move(server, "export", USER, tmp_path / "x")
    server.start(add_users=False)


@pytest.mark.skipif(not dovecot.possible(), reason="no Dovecot here")
@pytest.mark.parametrize("kind", ["mdbox", "sdbox"])
@pytest.mark.parametrize("many", [5, 700])
def test_dbox(server, tmp_path, kind, many):
    """What a Dovecot has in its own formats: of few messages only in a log, of
    many in an index, too."""
    d = dovecot.Dovecot(tmp_path / "dovecot", kind).start()
    chance = random.Random(many)
    words = [r"\Seen", r"\Answered", r"\Flagged", r"\Draft", "$Work", "New",
             "Later"]
    root = d.dir / "mail" / "u"
    try:
        e = Client(d, "u", "p", "imap")
        for n in range(many):
            flags = chance.sample(words, chance.randrange(4))
            e.append("INBOX", mail(n, b"y" * (n % 50) * 200),
                     f"({' '.join(flags)}) \"{n % 28 + 1:2d}-Mar-2020 04:05:06 "
                     "+0000\" ")
        e.ok("CREATE a.b/&AMQ-rger/deep")
        e.ok("CREATE empty")
        e.ok("SELECT INBOX")
        e.ok("COPY 1:* a.b/&AMQ-rger/deep")
        for n in range(0, many, 3):
            e.ok(f"STORE {n + 1} {chance.choice('+-')}FLAGS "
                 f"({chance.choice(words)})")
        e.ok(rf"STORE 2:{many // 2} +FLAGS.SILENT (\Deleted)")
        e.ok(f"UID EXPUNGE 2:{many // 3 + 2}")
        e.ok("SUBSCRIBE a.b/&AMQ-rger/deep")
        e.ok("ENABLE CONDSTORE")
        wanted = {}
        for name in ("INBOX", "a.b/&AMQ-rger/deep", "empty"):
            e.ok(f"SELECT {name}")
            wanted[name] = [sorted_flags(r) for r in e.cmd(EVERYTHING)[0]
                            if b"FETCH" in r]
            wanted[name].append(validity(e, name))
        e.close()
    finally:
        d.stop()
    assert (root / "mailboxes/INBOX/dbox-Mails/dovecot.index").exists() == \
        (many > 100)
    r = move(server, "import", USER, root)
    assert "new UIDs" not in r.stdout
    c = Client(server, USER)
    for name, rows in wanted.items():
        c.ok(f"SELECT {name}")
        got = [sorted_flags(r) for r in c.cmd(EVERYTHING)[0]]
        # An empty mailbox takes over nothing: there is nothing to keep.
        assert got + [rows[-1] if not got else validity(c, name)] == rows
    subscribed = c.ok('LSUB "" *')
    assert any("deep" in r for r in subscribed)
    assert not any("empty" in r for r in subscribed)
    # Again, and with damage: that message only
    assert "0 messages" in move(server, "import", USER, root).stdout
    files = sorted(root.glob("**/u.*" if kind == "sdbox" else "**/m.*"))
    data = bytearray(files[-1].read_bytes())
    data[data.rindex(b"\1\2N")] = 0
    files[-1].write_bytes(data)
    r = move(server, "import", OTHER, root, rc=65)
    assert 1 <= r.stderr.count("damaged") <= 2
    assert r.stdout.startswith("3 mailboxes")
    if kind == "sdbox":
        files[0].unlink()
        assert "No such file" in move(
            server, "import", OTHER, root, rc=65).stderr


def sorted_flags(row):
    row = re.sub(rb"FLAGS \(([^)]*)\)", lambda m: b"FLAGS (" + b" ".join(
        sorted(f for f in m[1].split() if f != b"\\Recent")) + b")", row)
    row = re.sub(rb" MODSEQ \(\d+\)", b"", row)
    return row.replace(b'INTERNALDATE "0', b'INTERNALDATE " ')


@pytest.mark.skipif(not dovecot.possible(), reason="no Dovecot here")
def test_dovecot_reads_what_we_write_and_we_what_it_does(server, tmp_path):
    """A Maildir of ours in a Dovecot, changed there, and back."""
    c = open_client(server, USER)
    fill(c)
    d = dovecot.Dovecot(tmp_path / "dovecot", "maildir")
    home = d.dir / "mail" / "u"
    move(server, "export", USER, home)
    subprocess.run(["chown", "-R", "mail:mail", home], check=True)
    d.start()
    try:
        e = Client(d, "u", "p", "imap")
        e.ok("SELECT INBOX")
        c.ok("SELECT INBOX")
        ask = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)"

        def rows(client):
            # The order of flags and \Recent are each server's own.
            return [(re.search(r"UID (\d+)", r)[1],
                     sorted(set(re.search(r"FLAGS \(([^)]*)", r)[1].split())
                            - {r"\Recent"}),
                     re.search(r'INTERNALDATE "([^"]*)', r)[1].lstrip(" 0"),
                     re.search(r"SIZE (\d+)", r)[1])
                    for r in client.ok(ask)]
        ours = rows(c)
        assert rows(e) == ours
        assert validity(e, "INBOX") == validity(c, "INBOX")
        # Dovecot's turn
        e.ok(r"STORE 1 FLAGS (\Seen $MDNSent New)")
        e.append("INBOX", mail(20), r"(\Flagged) ")
        e.ok("CREATE Work/More")
        e.append("Work/More", mail(21))
        wanted = rows(e)
        r = move(server, "import", OTHER, home)
        f = open_client(server, OTHER)
        f.ok("SELECT INBOX")
        assert rows(f) == wanted
        assert len(state(f)["Work/More"]) == 1
        assert validity(f, "INBOX") == validity(e, "INBOX")
        assert uidl(server, "pop3s", OTHER, PW) == [
            b"%d %08x%08x" % (i, int(row[0]), validity(e, "INBOX"))
            for i, row in enumerate(wanted, 1)]
        if Path("/usr/lib/dovecot/pop3").exists():
            assert uidl(server, "pop3s", OTHER, PW) == uidl(
                d, "pop3", "u", "p")
    finally:
        d.stop()
