# SPDX-License-Identifier: ISC
"""Thunderbird reads, flags, moves, appends, searches and waits."""

import re
import shutil

import pytest

from harness import Postern
from imap_client import Client
from thunderbird import Thunderbird

PW = "builder-22"
USER = "u0@example.test"

pytestmark = pytest.mark.skipif(shutil.which("thunderbird") is None,
                                reason="thunderbird is not installed")


def mail(n, body="text"):
    return (f"From: A Person <a@b.example>\r\nTo: {USER}\r\n"
            f"Subject: number {n}\r\nMessage-ID: <{n}@b.example>\r\n"
            f"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n\r\n{body} {n}\r\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("thunderbird") / "a",
                users={USER: PW},
                options={"virtual_mailbox_domains": "example.test"})
    p.start()
    yield p
    p.stop()


@pytest.fixture(scope="module")
def box(server):
    c = Client(server, USER)
    for i in range(6):
        c.append("INBOX", mail(i, "needle" if i == 4 else "text"))
    yield c
    c.close()


@pytest.fixture(scope="module")
def bird(server, box, tmp_path_factory):
    t = Thunderbird(tmp_path_factory.mktemp("profile") / "p", server.ca)
    try:
        t.account("localhost", server.port["imaps"], USER, PW)
        t.script("server().performExpand(null); done(1);")
        t.until("!!folder('INBOX')")
        t.update("INBOX")
        t.until("[...folder('INBOX').messages].length == 6")
        yield t
    finally:
        t.stop()


def subjects(bird, name):
    return bird.script("done([...folder(arguments[0]).messages].map("
                       "m => m.subject).sort());", name)


def in_box(box, name, what):
    box.ok(f"SELECT {name}")
    return box.ok(f"SEARCH {what}")[0].split()[1:]


def told(box, name, what, want):
    """What Thunderbird does, it does behind its answer."""
    for _ in range(200):
        got = in_box(box, name, what)
        if got == want:
            return
        box.sock.settimeout(5)
        box.send(b"w IDLE\r\n")
        box.line()
        try:
            box.line()
        except TimeoutError:
            pass
        box.sock.settimeout(30)
        box.send(b"DONE\r\n")
        box.until("w")
    raise AssertionError((name, what, got, want))


def test_reads(bird):
    assert subjects(bird, "INBOX") == [f"number {i}" for i in range(6)]
    names = bird.script("done(server().rootFolder.subFolders.map("
                        "f => f.name).sort());")
    assert names == ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
    # It knows what they are for.
    assert bird.script("""
        const use = {Sent: "SentMail", Drafts: "Drafts", Trash: "Trash",
                     Junk: "Junk", Archive: "Archive"};
        done(Object.keys(use).filter(n => !(folder(n).flags &
          Ci.nsMsgFolderFlags[use[n]])));""") == []
    text = bird.script("""
        const f = folder("INBOX"), m = find(f, "number 4");
        const uri = f.getUriForMsg(m);
        let text = "";
        MailServices.messageServiceFromURI(uri).streamMessage(uri, {
          QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
          onStartRequest() {},
          onDataAvailable(r, s, o, n) {
            const i = Cc["@mozilla.org/scriptableinputstream;1"]
              .createInstance(Ci.nsIScriptableInputStream);
            i.init(s);
            text += i.read(n);
          },
          onStopRequest(r, code) { code ? fail(code) : done(text); },
        }, null, null, false, "");""")
    assert "Subject: number 4" in text and "needle 4" in text


def test_flags(bird, box):
    bird.script("""
        const f = folder("INBOX");
        f.markMessagesRead([find(f, "number 1")], true);
        f.markMessagesFlagged([find(f, "number 2")], true);
        f.addKeywordsToMessages([find(f, "number 3")], "$label1");
        done(1);""")
    told(box, "INBOX", "SEEN", ["2"])
    told(box, "INBOX", "FLAGGED", ["3"])
    told(box, "INBOX", "KEYWORD $label1", ["4"])
    # And what another client sets
    box.ok("SELECT INBOX")
    box.ok(r"STORE 6 +FLAGS (\Flagged \Answered)")
    bird.update("INBOX")
    bird.until("find(folder('INBOX'), 'number 5').isFlagged")


def test_moves_and_copies(bird, box):
    for move, n in ((True, 0), (False, 1)):
        bird.script("""
            const f = folder("INBOX"), [n, move] = arguments;
            MailServices.copy.copyMessages(f, [find(f, "number " + n)],
              folder("Archive"), move, heard(() => done(1)), null, false);
            """, n, move)
    told(box, "INBOX", 'SUBJECT "number 0"', [])
    told(box, "Archive", "ALL", ["1", "2"])
    bird.update("Archive")
    bird.until("[...folder('Archive').messages].length == 2")
    bird.until("[...folder('INBOX').messages].length == 5")


def test_deletes(bird, box):
    bird.script("""
        const f = folder("INBOX");
        f.deleteMessages([find(f, "number 2")], null, false, false,
          heard(() => done(1)), false);""")
    told(box, "INBOX", 'SUBJECT "number 2"', [])
    told(box, "Trash", 'SUBJECT "number 2"', ["1"])


def test_appends(bird, box, tmp_path):
    path = tmp_path / "m.eml"
    path.write_text(mail(77), newline="")
    bird.script("""
        const file = Cc["@mozilla.org/file/local;1"]
          .createInstance(Ci.nsIFile);
        file.initWithPath(arguments[0]);
        MailServices.copy.copyFileMessage(file, folder("Sent"), null, false,
          Ci.nsMsgMessageFlags.Read, "", heard(() => done(1)), null);
        """, str(path))
    told(box, "Sent", 'SEEN SUBJECT "number 77"', ["1"])
    box.ok("SELECT Sent")
    assert box.cmd("FETCH 1 BODY.PEEK[]")[0][0].split(b"}\r\n", 1)[1][
        :-1].decode() == mail(77)


def test_folders(bird, box):
    name = "Grüße & Öl"
    bird.script("""
        server().rootFolder.createSubfolder(arguments[0], null); done(1);
        """, name)
    bird.until("!!folder(args[0])", name)
    listed = box.ok('LIST "" "Gr*"')
    assert len(listed) == 1 and re.search(
        r'"Gr&APwA3w-e &- &ANY-l"$', listed[0]), listed
    bird.script("""
        const f = folder("INBOX");
        MailServices.copy.copyMessages(f, [find(f, "number 5")],
          folder(arguments[0]), false, heard(() => done(1)), null, false);
        """, name)
    told(box, '"Gr&APwA3w-e &- &ANY-l"', "ALL", ["1"])


def test_waits(bird, box):
    """It is told by IDLE, without asking."""
    box.append("INBOX", mail(100))
    bird.until("!!find(folder('INBOX'), 'number 100')")
    box.ok("SELECT INBOX")
    n = in_box(box, "INBOX", 'SUBJECT "number 100"')[0]
    box.ok(rf"STORE {n} +FLAGS (\Deleted)")
    box.ok("EXPUNGE")
    bird.until("!find(folder('INBOX'), 'number 100')")


def test_searches_on_the_server(bird):
    assert bird.script("""
        const f = folder("INBOX"), found = [];
        const s = Cc["@mozilla.org/messenger/searchSession;1"]
          .createInstance(Ci.nsIMsgSearchSession);
        s.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, f);
        const t = s.createTerm();
        t.attrib = Ci.nsMsgSearchAttrib.Body;
        t.op = Ci.nsMsgSearchOp.Contains;
        const v = t.value;
        v.attrib = t.attrib;
        v.str = "needle";
        t.value = v;
        s.appendTerm(t);
        s.registerListener({
          QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
          onSearchHit(m) { found.push(m.subject); },
          onSearchDone(code) { code ? fail(code) : done(found); },
          onNewSearch() {},
        });
        s.search(null);""") == ["number 4"]
