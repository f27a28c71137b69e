# SPDX-License-Identifier: ISC
"""ESEARCH over several mailboxes (RFC 7377), INPROGRESS (RFC 9585)."""

import re

import pytest

from harness import Postern
from imap_client import Client

PW = "builder-22"
USER, OTHER = "u0@example.test", "u1@example.test"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    p = Postern(tmp_path_factory.mktemp("multi") / "a",
                users={USER: PW, OTHER: PW}, options={
                    "virtual_mailbox_domains": "example.test",
                    "mail_storage_shards": "2",
                    "imapd_progress_interval": "1s"})
    p.start()
    c = Client(p, USER)
    for name in ("a", "a/b", "a/b/c", "d"):
        c.ok(f"CREATE {name}")
    c.ok("SUBSCRIBE d")
    for box, n in (("INBOX", 4), ("a", 3), ("a/b", 2), ("a/b/c", 1), ("d", 2)):
        for i in range(n):
            c.append(box, f"Subject: {box} {i}\r\n\r\nneedle{i} straw\r\n",
                     r"(\Seen) " if i % 2 else "")
    c.close()
    yield p
    p.stop()


@pytest.fixture
def c(server):
    c = Client(server, USER)
    yield c
    c.close()


LINE = re.compile(r'ESEARCH \(TAG "(\w+)" MAILBOX "?([^"]+?)"? UIDVALIDITY '
                  r'(\d+)\) UID ?(.*)$')


def found(c, text):
    out = {}
    for line in c.ok("ESEARCH " + text):
        tag, box, validity, rest = LINE.match(line).groups()
        assert tag == f"x{c.n}" and int(validity) > 0
        assert box not in out
        out[box] = rest
    return out


def test_sources(c):
    assert "MULTISEARCH" in " ".join(c.ok("CAPABILITY")).split()
    assert found(c, "IN (mailboxes a) ALL") == {"a": "ALL 1:3"}
    assert found(c, "IN (mailboxes (a d none)) UNSEEN") == {
        "a": "ALL 1,3", "d": "ALL 1"}
    assert found(c, "IN (subtree a) ALL") == {
        "a": "ALL 1:3", "a/b": "ALL 1:2", "a/b/c": "ALL 1"}
    assert found(c, "IN (subtree-one a) ALL") == {
        "a": "ALL 1:3", "a/b": "ALL 1:2"}
    assert found(c, "IN (subscribed) SUBJECT d") == {"d": "ALL 1:2"}
    assert set(found(c, "IN (personal) ALL")) == {
        "INBOX", "a", "a/b", "a/b/c", "d"}
    assert set(found(c, "IN (inboxes) ALL")) == set(found(c, "IN (personal) ALL"))
    # Named twice, searched once
    assert found(c, "IN (mailboxes a subtree a mailboxes (a a)) BODY needle2") \
        == {"a": "ALL 3"}
    assert found(c, "IN (personal) BODY nowhere") == {}


def test_return_options(c):
    assert found(c, "IN (subtree a) RETURN (MIN MAX COUNT) ALL") == {
        "a": "MIN 1 MAX 3 COUNT 3", "a/b": "MIN 1 MAX 2 COUNT 2",
        "a/b/c": "MIN 1 MAX 1 COUNT 1"}
    assert found(c, "IN (mailboxes a) RETURN (PARTIAL 2:2) ALL") == {
        "a": "PARTIAL (2:2 2)"}
    assert found(c, "IN (mailboxes a) RETURN () ALL") == {"a": "ALL 1:3"}
    assert "MODSEQ" in found(c, "IN (mailboxes a) MODSEQ 1")["a"]
    assert found(c, "IN (mailboxes a) CHARSET UTF-8 SUBJECT a") == {
        "a": "ALL 1:3"}


def test_selected(c):
    c.bad("ESEARCH ALL")
    c.bad("ESEARCH IN (selected) ALL")
    c.ok("SELECT a/b")
    assert found(c, "ALL") == {"a/b": "ALL 1:2"}
    assert found(c, "IN (selected) RETURN (COUNT) ALL") == {"a/b": "COUNT 2"}
    assert found(c, "IN (selected subtree a) 1") == {
        "a/b": "ALL 1", "a": "ALL 1", "a/b/c": "ALL 1"}
    # What is selected stays so; what was saved, too.
    assert found(c, "RETURN (SAVE ALL) SEEN") == {"a/b": "ALL 2"}
    assert found(c, "IN (personal) RETURN (COUNT) SEEN")["INBOX"] == "COUNT 2"
    assert c.ok("SEARCH $") == ["SEARCH 2"]
    assert len(c.ok("FETCH 1:* UID")) == 2
    c.bad("ESEARCH IN (selected personal) RETURN (SAVE) ALL")
    c.bad("ESEARCH IN (personal) RETURN (SAVE) ALL")


@pytest.mark.parametrize("text", [
    "", "IN ALL", "IN () ALL", "IN (nonsense) ALL", "IN (selected-delayed) ALL",
    "IN (mailboxes) ALL", "IN (mailboxes ()) ALL", "IN (mailboxes a)",
    "IN (mailboxes a) NONSENSE", "IN (mailboxes a) RETURN (NONSENSE) ALL",
    "IN (personal ALL", "RETURN (ALL"])
def test_what_is_malformed(c, text):
    c.ok("SELECT a")
    c.bad("ESEARCH " + text)
    assert "[BADCHARSET" in c.no("ESEARCH IN (personal) CHARSET X ALL")
    assert len(c.ok("FETCH 1:* UID")) == 3


def test_only_what_may_be_read(server, c):
    o = Client(server, OTHER)
    o.ok("CREATE Box")
    o.append("Box", "Subject: x\r\n\r\nneedle0\r\n")
    box = f"Other Users/{OTHER}/Box"
    for rights, there in (("", False), ("l", False), ("lr", True)):
        o.ok(f'SETACL Box {USER} "{rights}"')
        for source in (f'mailboxes "{box}"', 'subtree "Other Users"'):
            assert (box in found(c, f"IN ({source}) ALL")) == there
        assert box not in found(c, "IN (personal) ALL")
    o.ok("DELETE Box")
    o.close()


def test_progress(server):
    """A long search says how far it is; the reply is as ever."""
    c = Client(server, OTHER)
    text = "lorem ipsum dolor sit amet, consetetur sadipscing elitr " * 20
    body = (text.strip() + "\r\n") * 400
    for _ in range(5):
        m = f"Subject: long\r\n\r\n{body}".encode()
        one = b" {%d+}\r\n%s" % (len(m), m)
        assert c.cmd(b"APPEND INBOX" + one * 8)[1].startswith("OK")
    c.ok("SELECT INBOX")
    assert "INPROGRESS" in " ".join(c.ok("CAPABILITY")).split()
    keys = " ".join(f"OR BODY nothing{i}" for i in range(40)) + " BODY none"
    n, progress = 40, []
    # Twice as many each time, until a second is not enough
    while not progress and n < 10000:
        replies = c.ok(f"SEARCH OR {keys} BODY dolor")
        assert replies[-1] == "SEARCH " + " ".join(map(str, range(1, n + 1)))
        progress = [r for r in replies if "INPROGRESS" in r]
        if not progress:
            c.ok("COPY 1:* INBOX")
            n *= 2
    for line in progress:
        done, total = re.match(
            rf'OK \[INPROGRESS \("x{c.n}" (\d+) (\d+)\)\] Searching$',
            line).groups()
        assert 0 < int(done) <= int(total) == n
    assert progress
    c.close()
