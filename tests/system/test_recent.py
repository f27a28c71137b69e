# SPDX-License-Identifier: ISC
r"""\Recent: RFC 3501 2.3.2, 6.3.10, 6.4.4, 7.3.2."""

import re

import pytest

from imap_client import Client

USER = "u0@example.test"


def mail(n=0):
    return f"Subject: number {n}\r\n\r\nbody {n}\r\n"


@pytest.fixture
def three(server):
    c = Client(server, USER, recent=True)
    for i in range(3):
        c.append("INBOX", mail(i))
    yield c
    c.close()


def recent(got):
    return [r for r in got if r.endswith(" RECENT")]


def flags(c):
    return [re.search(r"FLAGS \((.*?)\)", r)[1] for r in c.ok("FETCH 1:* FLAGS")
            if "FETCH" in r]


def found(c, what):
    return c.ok(f"SEARCH {what}")[0].removeprefix("SEARCH").split()


def status(c, name="INBOX"):
    return c.ok(f"STATUS {name} (RECENT)")[0].split(" ", 2)[2]


def test_only_the_first_session_is_told(three, server):
    c = three
    assert status(c) == "(RECENT 3)"
    assert recent(c.ok("SELECT INBOX")) == ["3 RECENT"]
    assert flags(c) == [r"\Recent"] * 3
    # It stays so for as long as the mailbox is selected.
    assert status(c) == "(RECENT 0)"
    assert flags(c) == [r"\Recent"] * 3
    d = Client(server, USER, recent=True)
    assert recent(d.ok("SELECT INBOX")) == ["0 RECENT"]
    assert flags(d) == [""] * 3
    d.close()
    assert recent(c.ok("SELECT INBOX")) == ["0 RECENT"]
    assert flags(c) == [""] * 3


def test_examine_takes_nothing(three, server):
    c = three
    for _ in range(2):
        assert recent(c.ok("EXAMINE INBOX")) == ["3 RECENT"]
        assert flags(c) == [r"\Recent"] * 3
    d = Client(server, USER, recent=True)
    d.append("INBOX", mail(3))
    assert c.ok("NOOP")[:2] == ["4 EXISTS", "4 RECENT"]
    assert recent(d.ok("SELECT INBOX")) == ["4 RECENT"]
    d.close()
    assert recent(c.ok("EXAMINE INBOX")) == ["0 RECENT"]


def test_search(three):
    c = three
    c.ok("SELECT INBOX")
    c.ok("CLOSE")
    c.append("INBOX", mail(3))
    c.append("INBOX", mail(4))
    c.ok("SELECT INBOX")
    c.ok(r"STORE 2,4 +FLAGS (\Seen)")
    assert found(c, "RECENT") == ["4", "5"]
    assert found(c, "NEW") == ["5"]
    assert found(c, "OLD") == ["1", "2", "3"]
    assert found(c, "NOT NEW") == ["1", "2", "3", "4"]
    assert found(c, "OLD UNSEEN") == ["1", "3"]
    assert found(c, "OR NEW SEEN") == ["2", "4", "5"]


def test_one_of_two_that_wait_is_told(three, server):
    c, d = three, Client(server, USER, recent=True)
    for one in (c, d):
        one.ok("SELECT INBOX")
    e = Client(server, USER, recent=True)
    for i in range(4):
        e.append("INBOX", mail(9))
        # Each time another one asks first.
        for one in ((c, d) if i % 2 == 0 else (d, c)):
            one.ok("NOOP")
    assert flags(c) == [r"\Recent"] * 3 + [r"\Recent", "", r"\Recent", ""]
    assert flags(d) == [""] * 3 + ["", r"\Recent", "", r"\Recent"]
    assert found(d, "RECENT") == ["5", "7"]
    # The number follows what goes.
    e.ok("SELECT INBOX")
    e.ok(r"STORE 1,4,5 +FLAGS (\Deleted)")
    e.ok("EXPUNGE")
    assert recent(c.ok("NOOP")) == ["3 RECENT"]
    assert recent(d.ok("NOOP")) == ["1 RECENT"]
    e.ok("UNSELECT")
    e.append("INBOX", mail(10))
    c.ok("NOOP")
    assert flags(c) == [r"\Recent", r"\Recent", r"\Recent", "", r"\Recent"]
    d.close()
    e.close()


def test_idle(three, server):
    c = three
    c.ok("SELECT INBOX")
    c.send(b"i1 IDLE\r\n")
    assert c.line().startswith(b"+ ")
    d = Client(server, USER, recent=True)
    d.append("INBOX", mail(3))
    assert [c.line(), c.line()] == [b"* 4 EXISTS", b"* 4 RECENT"]
    c.send(b"DONE\r\n")
    c.until("i1")
    d.close()


def test_a_client_of_rev2_is_told_nothing(three, server):
    c = three
    c.ok("ENABLE IMAP4rev2")
    assert recent(c.ok("SELECT INBOX")) == []
    assert flags(c) == [""] * 3
    c.append("INBOX", mail(3))
    assert c.ok("NOOP")[:-1] == []
    # It was told of them all the same.
    d = Client(server, USER, recent=True)
    assert recent(d.ok("SELECT INBOX")) == ["0 RECENT"]
    d.close()


def test_nobody_sets_it(three):
    c = three
    c.ok("SELECT INBOX")
    c.ok("SELECT INBOX")
    c.ok(r"STORE 1 +FLAGS (\Recent \Flagged)")
    assert flags(c) == [r"\Flagged", "", ""]
    c.ok("SELECT INBOX")
    c.append("INBOX", mail(3), r"(\Recent \Seen) ")
    c.ok("NOOP")
    c.ok(r"STORE 4 -FLAGS (\Recent)")
    assert flags(c)[3] == r"\Seen \Recent"
    assert c.ok(r"STORE 4 FLAGS ()")[0] == r"4 FETCH (FLAGS (\Recent))"


def test_copies_are_recent(three):
    c = three
    c.ok("SELECT INBOX")
    c.ok("COPY 2 Archive")
    c.ok("MOVE 1 Archive")
    assert status(c, "Archive") == "(RECENT 2)"
    assert recent(c.ok("SELECT Archive")) == ["2 RECENT"]


def test_it_is_known_after_a_restart(three, server):
    c = three
    c.ok("SELECT INBOX")
    c.ok("UNSELECT")
    server.stop()
    server.start(add_users=False)
    d = Client(server, USER, recent=True)
    assert status(d) == "(RECENT 0)"
    d.append("INBOX", mail(3))
    assert status(d) == "(RECENT 1)"
    assert recent(d.ok("SELECT INBOX")) == ["1 RECENT"]
    assert flags(d) == ["", "", "", r"\Recent"]
    # One that goes with the mailbox selected takes nothing back.
    server.stop()
    server.start(add_users=False)
    d = Client(server, USER, recent=True)
    assert recent(d.ok("SELECT INBOX")) == ["0 RECENT"]
    d.close()
