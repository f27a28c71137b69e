# SPDX-License-Identifier: ISC
"""Debian's Exim as the other end, in both directions."""
import email
import imaplib

import pytest
from harness import Exim, wait_for

ALICE = "alice@example.test"

pytestmark = pytest.mark.skipif(
    not Exim.possible(), reason="needs root, exim4 and its account")


@pytest.fixture
def exim():
    made = []

    def make(**kw):
        made.append(Exim(**kw).start())
        return made[-1]

    yield make
    for e in made:
        e.stop()


def inbox(p, user):
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(user, p.users[user])
    n = int(m.select("INBOX", readonly=True)[1][0])
    mails = [m.fetch(str(i + 1), "(BODY.PEEK[])")[1][0][1] for i in range(n)]
    m.logout()
    return mails


def test_mail_to_exim(exim, postern):
    """In chunks, as it offers them; byte for byte."""
    e = exim()
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": f"[{e.host}]:{e.port}", "smtp_bind_address": ""}).start()
    text = ".dot\n..\n" + "gr\u00e5 " * 2000 + "\n"
    p.send(ALICE, ["a@exim.test", "b@exim.test"], text=text)
    mails = wait_for("both", lambda: len(e.mails()) == 2 and e.mails())
    for mail in mails:
        got = email.message_from_bytes(mail).get_payload(decode=True)
        assert got.decode().replace("\r\n", "\n").split() == text.split()
    assert " K " in e.log()  # CHUNKING
    wait_for("an empty queue", lambda: p.queue() == [])


def test_a_refusal_of_exim_comes_back(exim, postern):
    e = exim()
    p = postern("p", users={ALICE: "pw"}, options={
        "relayhost": f"[{e.host}]:{e.port}", "smtp_bind_address": "",
        "virtual_mailbox_domains": "example.test"}).start()
    p.send(ALICE, ["nobody@exim.test", "a@exim.test"])
    bounce, = wait_for("the bounce", lambda: inbox(p, ALICE))
    assert b"no such user here" in bounce and b"a@exim.test>" not in bounce
    wait_for("the other", lambda: len(e.mails()) == 1)
    wait_for("an empty queue", lambda: p.queue() == [])


def test_mail_from_exim(exim, postern):
    p = postern("p", users={ALICE: "pw"}, options={
        "virtual_mailbox_domains": "example.test"}).start()
    e = exim(smarthost=(p.host, p.port["smtp"]))
    from harness import Smtp
    for n in range(5):
        s = Smtp(e.host, e.port)
        s.expect("EHLO client.test", 250)
        s.expect("MAIL FROM:<x@exim.test>", 250)
        s.expect(f"RCPT TO:<{ALICE}>", 250)
        s.expect("DATA", 354)
        s.send(b"Subject: %d\r\n\r\n..hello\r\n" % n)
        s.expect(".", 250)
        s.close()
    mails = wait_for("the mails", lambda: len(inbox(p, ALICE)) == 5 and
                     inbox(p, ALICE))
    assert all(b"\r\n\r\n.hello\r\n" in m for m in mails)
