# SPDX-License-Identifier: ISC
"""The same mail in postern and in Debian's Dovecot: the same answers, but for
what docs/differences-from-dovecot.md explains."""

import random
import re
import socket

import pytest

import dovecot
from harness import Postern, ROOT
from imap_client import Client
from imap_script import tokens

HOME = ROOT.parent / "shared" / "testdata"
TOTAL = 2000

pytestmark = [
    pytest.mark.skipif(not dovecot.possible(),
                       reason="dovecot-imapd is not installed, or no root"),
    pytest.mark.skipif(not HOME.is_dir(), reason="no public test mail here")]


class DovecotClient(Client):
    def __init__(self, server):
        self.sock = socket.create_connection(
            (server.host, server.port["imap"]), 30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.n = b"", 0
        self.inflate = self.deflate = None
        self.greeting = self.line()
        self.ok("LOGIN u p")


def public_mail():
    for path in sorted(HOME.rglob("*")):
        kinds = ("messages", "mime", "bounces", "spam")
        if path.is_file() and any(k in path.parts for k in kinds) and \
                path.suffix in ("", ".eml", ".msg", ".txt") and \
                path.name not in ("LICENSE", "COPYING", "README"):
            data = path.read_bytes()
            if 20 < len(data) < 200_000 and b"\0" not in data:
                yield str(path.relative_to(HOME)), data


def damaged(data, chance):
    head, rest = bytearray(data[:4000]), data[4000:]
    for _ in range(chance.randint(1, 6)):
        at, kind = chance.randrange(len(head)), chance.random()
        if kind < .3:
            del head[at:at + chance.randint(1, 20)]
        elif kind < .6:
            head[at:at] = bytes(chance.choice(b'":;,<>()[]\\=?@ \t\r\n-')
                                for _ in range(chance.randint(1, 4)))
        elif kind < .8:
            head[at] = chance.randrange(1, 256)
        else:
            other = chance.randrange(len(head))
            head[at:at] = head[other:other + chance.randint(1, 80)]
        if len(head) < 2:
            break
    return bytes(head) + rest


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dovecot")
    chance = random.Random(5)
    sound = list(public_mail())
    mail = list(sound)
    while len(mail) < TOTAL:
        name, data = chance.choice(sound)
        mail.append((name + " (damaged)", damaged(data, chance)))
    mail = [(n, re.sub(rb"\r?\n", b"\r\n", d).rstrip(b"\r") or b"x")
            for n, d in mail]
    theirs = dovecot.Dovecot(folder / "theirs").start()
    ours = Postern(folder / "ours", users={"u0@example.test": "builder-22"},
                   options={"virtual_mailbox_domains": "example.test"}).start()
    clients = DovecotClient(theirs), Client(ours, "u0@example.test")
    for c in clients:
        for _, data in mail:
            status = c.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(data), data))[1]
            assert status.startswith("OK"), status
        c.ok("SELECT INBOX")
    yield clients, mail
    for c in clients:
        c.close()
    ours.stop()
    theirs.stop()


def fetch(client, item):
    out = {}
    for reply in client.cmd(f"FETCH 1:* ({item})")[0]:
        m = re.match(rb"(\d+) FETCH ", reply)
        if m:
            out[int(m[1])] = tokens(reply)[2]
    return out


def value(v):
    """Without the difference between quoted and literal, NIL and empty."""
    if isinstance(v, list):
        return [value(i) for i in v]
    return v[1] if isinstance(v, tuple) else b""


@pytest.mark.parametrize("item", [
    "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "RFC822.SIZE",
    "BODY.PEEK[HEADER.FIELDS (TO FROM)]", "BODY.PEEK[]<7.30>"])
def test_the_same_bytes(both, item):
    (theirs, ours), mail = both
    a, b = fetch(theirs, item), fetch(ours, item)
    assert len(a) == len(b) == len(mail)
    # A lone CR in front of a CRLF is one octet more than Dovecot keeps.
    wrong = [mail[n - 1][0] for n in a
             if value(a[n]) != value(b[n])
             and b"\r\r\n" not in mail[n - 1][1]]
    assert wrong == []


# ---- ENVELOPE ----

INVENTED = (b"MISSING_DOMAIN", b"MISSING_MAILBOX", b"SYNTAX_ERROR")
FIELDS = ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc",
          "in-reply-to", "message-id"]


def once(data, field):
    head = data.split(b"\r\n\r\n")[0]
    return len(re.findall(rb"(?im)^" + field.encode() + rb"[ \t]*:",
                          head)) <= 1


def squeezed(text):
    return re.sub(rb"\s+", b" ", text).strip()


def invented(v):
    return any(w in INVENTED or isinstance(w, list) and invented(w)
               for w in v)


def same_field(index, a, b):
    if 2 <= index <= 7:
        return invented(a) or [[squeezed(w) for w in p] for p in a] == [
            [squeezed(w) for w in p] for p in b]
    return squeezed(a) == squeezed(b)


def test_the_same_envelopes(both):
    (theirs, ours), mail = both
    a, b = fetch(theirs, "ENVELOPE"), fetch(ours, "ENVELOPE")
    wrong = []
    for n in a:
        name, data = mail[n - 1]
        if name.endswith("(damaged)"):
            continue
        x, y = value(a[n])[1], value(b[n])[1]
        for i, field in enumerate(FIELDS):
            others = ["from"] if field in ("sender", "reply-to") else []
            if all(once(data, f) for f in [field, *others]) and \
                    not same_field(i, x[i], y[i]):
                wrong.append((name, field, x[i], y[i]))
    # Two addresses without a comma; a name with a bare "@".
    known = ("raw_email_multiple_from.eml", "raw_email_with_at_display_name")
    assert [w for w in wrong if not any(k in w[0] for k in known)] == []


# ---- BODYSTRUCTURE ----

STRUCTURES = {
    "bounces/lhost-courier-01.eml": "a message of a header alone",
    "messages/attachment_emails/attachment_message_rfc822_inline_image.eml":
        "the CRLF in front of a delimiter",
    "messages/error_emails/content_transfer_encoding_qp_with_space.eml":
        "an encoding that is none",
    "messages/error_emails/content_transfer_encoding_text-html.eml":
        "an encoding that is none",
    "messages/error_emails/content_transfer_encoding_with_semi_colon.eml":
        "an encoding with a parameter",
    "messages/error_emails/missing_content_disposition.eml":
        "a Content-Disposition that does not read",
    "messages/error_emails/multiple_invalid_content_dispositions.eml":
        "a Content-Disposition that does not read",
    "messages/mime_emails/raw_email4.eml": "no close delimiter",
    "messages/mime_emails/raw_email_with_binary_encoded.eml":
        "no close delimiter",
    "messages/mime_emails/raw_email_with_illegal_boundary.eml":
        "a boundary that is no boundary",
    "messages/mime_emails/raw_email_with_quoted_illegal_boundary.eml":
        "a boundary that is no boundary",
    "spam/nice/mime8": "a Content-Type that does not read",
    "spam/spam/003": "an encoding without MIME-Version",
    "messages/multi_charset/japanese_attachment_long_name.eml":
        "RFC 2231 parameters in pieces",
    "messages/plain_emails/raw_email_bad_time.eml": "no close delimiter",
    "mime/legacy/049.eml": "a lone CR",
    "mime/rfc/008.eml": "message/rfc822 in base64",
    "spam/spam/badctype1": "a Content-Type that does not read",
    "spam/spam/utf16.eml": "no close delimiter",
}


def skeleton(v):
    """What is inside of a message in it has its own comparison."""
    v = value(v)
    if isinstance(v, list):
        return [skeleton_of(i) for i in v]
    return v


def skeleton_of(v):
    if not isinstance(v, list):
        return v.lower()
    # An envelope: ten fields, lists of addresses in them
    if len(v) == 10 and isinstance(v[2], (list, bytes)) and all(
            isinstance(i, (list, bytes)) for i in v[2:8]) and any(
            isinstance(i, list) for i in v[2:8]):
        return "envelope"
    return [skeleton_of(i) for i in v]


def test_the_same_structures(both):
    (theirs, ours), mail = both
    a, b = fetch(theirs, "BODYSTRUCTURE"), fetch(ours, "BODYSTRUCTURE")
    wrong = {mail[n - 1][0] for n in a
             if not mail[n - 1][0].endswith("(damaged)")
             and skeleton(a[n]) != skeleton(b[n])}
    assert wrong - set(STRUCTURES) == set()


# ---- SEARCH and SORT ----

def numbers(client, command):
    for reply in client.cmd(command)[0]:
        if reply.startswith((b"SEARCH", b"SORT")):
            return reply.decode().split()[1:]
    raise AssertionError(command)


@pytest.mark.parametrize("keys", [
    "HEADER Received from", 'HEADER X-Mailer ""', "LARGER 3000", "SMALLER 900",
    "SENTON 30-Apr-2003", "HEADER Return-Path a"])
def test_the_same_search(both, keys):
    (theirs, ours), _ = both
    assert numbers(ours, f"SEARCH {keys}") == numbers(
        theirs, f"SEARCH {keys}")


@pytest.mark.parametrize("keys", [
    "BODY the", "TEXT the", "TEXT html", "BODY mikel", "SUBJECT re",
    "TO com", "CC @", "SENTSINCE 1-Jan-1971 SENTBEFORE 1-Jan-2010"])
def test_nothing_is_missed(both, keys):
    """What Dovecot finds is found; more may be."""
    (theirs, ours), mail = both
    missed = set(numbers(theirs, f"SEARCH {keys}")) - set(
        numbers(ours, f"SEARCH {keys}"))
    assert [mail[int(n) - 1][0] for n in missed
            if not mail[int(n) - 1][0].endswith("(damaged)")
            # Sent in the year 3609: Dovecot reads another one.
            and "raw_email_bad_time" not in mail[int(n) - 1][0]] == []


def test_the_same_order(both):
    (theirs, ours), _ = both
    for criteria in ("CC", "ARRIVAL REVERSE SIZE"):
        command = f"SORT ({criteria}) UTF-8 1:400"
        x, y = numbers(theirs, command), numbers(ours, command)
        if criteria == "CC":
            assert x == y
        assert sorted(x) == sorted(y)
    # By date, what both of them date
    command = ("SORT (DATE) UTF-8 1:400 SENTSINCE 1-Jan-1980 "
               "SENTBEFORE 1-Jan-2030")
    x, y = numbers(theirs, command), numbers(ours, command)
    common = set(x) & set(y)
    assert len(common) > 200
    assert [n for n in x if n in common] == [n for n in y if n in common]
