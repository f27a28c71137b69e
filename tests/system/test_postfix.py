# SPDX-License-Identifier: ISC
"""The same message through a real Postfix as the other server."""

import pytest

from harness import Postfix, wait_for

ALICE = "alice@a.test"


@pytest.fixture
def postfix():
    """A private instance on 127.0.0.6 that relays everything to us."""
    if not Postfix.possible():
        pytest.skip("a private Postfix needs root and the package postfix")
    made = []

    def start(relay):
        made.append(Postfix({
            "relay_domains": "b.test, a.test", "relayhost": relay,
            "mynetworks": "127.0.0.0/8", "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "may",
            "smtp_bind_address": "127.0.0.6"}))
        return made[-1].start()

    yield start
    for p in made:
        p.stop()


def test_out_through_postfix_and_back_in(postern, postfix, tmp_path):
    """postern A -> Postfix -> postern B: both directions in one way."""
    b = postern("b", host="127.0.0.3", name="mx.b.test",
                users={"bob@b.test": "pw"}).start()
    port = postfix(f"[127.0.0.3]:{b.port['smtp']}")
    a = postern("a", host="127.0.0.2", name="mx.a.test", users={ALICE: "pw"},
                options={"relayhost": f"[127.0.0.6]:{port}"}).start()
    body = "Zeile mit Umlaut ü\n.punkt\n" + "y" * 500 + "\n"
    a.send(ALICE, ["bob@b.test"], text=body, subject="through Postfix")
    import email
    import email.policy
    import imaplib

    def mail():
        m = imaplib.IMAP4_SSL(b.host, b.port["imaps"], ssl_context=b.tls())
        m.login("bob@b.test", "pw")
        n = int(m.select("INBOX", readonly=True)[1][0])
        text = m.fetch("1", "(BODY.PEEK[])")[1][0][1] if n else None
        m.logout()
        return text

    whole = wait_for("mail through Postfix", mail)
    parsed = email.message_from_bytes(whole, policy=email.policy.default)
    received = parsed.get_all("received")
    assert len(received) == 3 and "Postfix" in received[1]
    assert parsed.get_content().replace("\r\n", "\n") == body
