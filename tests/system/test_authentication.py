# SPDX-License-Identifier: ISC
"""SPF, DKIM and DMARC where mail comes in: what is written into the header,
what is refused, what goes to Junk, and whose verdicts are thrown away."""

import imaplib
import re
import subprocess

import pytest

from harness import (Dns, DnsRelay, Smtp, free_port, make_certificate,
                     zone_text)
from test_dkim import Key, signed
from test_smtpd import BOB, inbox, logged_in

ALICE = "alice@example.test"
ME = "127.0.0.1"
VERIFY = {"smtpd_spf_policy": "mark", "smtpd_dkim_verify": "yes",
          "smtpd_dmarc_policy": "enforce"}


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("key"))


@pytest.fixture
def relay(tmp_path, key):
    lines = []
    for domain, spf, policy in (
            ("good", f"v=spf1 ip4:{ME} -all", "v=DMARC1; p=reject"),
            ("bad", "v=spf1 -all exp=why.bad.test", "v=DMARC1; p=reject"),
            ("soft", "v=spf1 ~all", "v=DMARC1; p=quarantine"),
            ("lax", "v=spf1 -all", "v=DMARC1; p=none"),
            ("later", "v=spf1 include:slow.test -all", "v=DMARC1; p=reject"),
            ("whenever", "v=spf1 include:slow.test -all",
             "v=DMARC1; p=quarantine")):
        lines += [f"{domain} TXT \"{spf}\"", f"_dmarc.{domain} TXT {zone_text(policy)}",
                  f"sel._domainkey.{domain} TXT {zone_text(key.record())}"]
    lines += ["why.bad TXT \"%{i} is not ours\"",
              f"mx.good TXT \"v=spf1 ip4:{ME} -all\""]
    ns = Dns(tmp_path / "authdns", {"test": "\n".join(lines)})
    r = DnsRelay(ns.port, ["slow.test", "_dmarc.hidden.test"])
    yield r
    r.stop()
    ns.stop()


@pytest.fixture
def server(postern, relay):
    def make(**options):
        return postern("auth", users={BOB: "b", ALICE: "a"}, options={
            "dns_resolvers": f"[127.0.0.1]:{relay.port}", **VERIFY,
            **options}).start()
    return make


def message(author, *fields):
    return ("".join(f + "\r\n" for f in (f"From: {author}", *fields))
            + "Subject: x\r\n\r\nhello\r\n").encode()


def give(p, text, sender, helo="mx.good.test", s=None):
    s = s or Smtp(p.host, p.port["smtp"])
    s.expect(f"EHLO {helo}", 250)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    return s.reply()


def fields(mail, name):
    head = mail.partition(b"\r\n\r\n")[0].decode() + "\r\n"
    found = re.findall(rf"(?im)^{name}[ \t]*:(.*(?:\r\n[ \t].*)*)\r\n", head)
    return [re.sub(r"\s+", " ", v).strip() for v in found]


def test_the_verdict_is_written_into_the_header(server, key):
    p = server()
    text = signed(key, head=[(b"From", b" a@good.test"), (b"Subject", b" x")],
                  names=("from", "subject"), d="good.test")
    assert give(p, text, "joe@good.test")[0] == 250
    mail, = inbox(p)
    results, = fields(mail, "Authentication-Results")
    assert results.startswith("mail.example.test; spf=pass smtp.helo=mx.good.test; "
                              "spf=pass smtp.mailfrom=joe@good.test; dkim=pass "
                              "header.d=good.test header.s=sel "
                              "header.a=rsa-sha256 header.b=")
    assert results.endswith("; dmarc=pass (p=reject dis=none) "
                            "header.from=good.test")
    spf, = fields(mail, "Received-SPF")
    assert spf == (f"pass client-ip={ME}; envelope-from=joe@good.test; "
                   "helo=mx.good.test; receiver=mail.example.test; "
                   f'identity=mailfrom; mechanism="ip4:{ME}"')
    # It stands above our own Received: RFC 8601 2.
    assert mail.index(b"Authentication-Results") < mail.index(b"Received: ")


def test_a_name_that_would_break_the_field(server):
    p = server()
    odd = '"a; dkim=pass (\\"x\\")"@lax.test'
    assert give(p, message("a@lax.test"), odd, helo="[127.0.0.1]")[0] == 250
    results, = fields(inbox(p)[0], "Authentication-Results")
    assert 'smtp.mailfrom="\\"a; dkim=pass (\\\\\\"x\\\\\\")\\"@lax.test"' in results
    assert "spf=none smtp.helo=\"[127.0.0.1]\"" in results
    assert "dmarc=fail (p=none dis=none) header.from=lax.test" in results


def test_what_the_author_wants_refused_is_refused(server):
    p = server()
    s = Smtp(p.host, p.port["smtp"])
    for sender in ("a@bad.test", "a@good.test", ""):
        code, text = give(p, message("a@bad.test"), sender, s=s)
        assert code == 550 and "5.7.26 bad.test wants mail refused" in text
    # The session goes on as if nothing had been said.
    assert give(p, message("a@good.test"), "a@good.test", s=s)[0] == 250
    assert len(inbox(p)) == 1
    out = p.run("why", "a@bad.test").stdout
    assert "spf=fail (bad.test: -all)" in out and "dmarc=fail" in out


def test_quarantine_goes_to_junk(server):
    p = server()
    assert give(p, message("a@soft.test"), "a@soft.test")[0] == 250
    assert inbox(p) == []
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(BOB, "b")
    assert m.select("Junk")[1] == [b"1"]
    mail = m.fetch("1", "(BODY.PEEK[])")[1][0][1]
    assert "dmarc=fail (p=quarantine dis=quarantine)" in fields(
        mail, "Authentication-Results")[0]
    # Junk is what has that use, whatever its name.
    m.select("INBOX")
    m.rename("Junk", "Rubbish")
    assert give(p, message("a@soft.test"), "a@soft.test")[0] == 250
    assert m.select("Rubbish")[1] == [b"2"]
    m.select("INBOX")
    m.delete("Rubbish")
    assert give(p, message("a@soft.test"), "a@soft.test")[0] == 250
    assert m.select("Junk")[1] == [b"1"]
    m.logout()


def test_dns_that_fails_delays_only_what_must_be_sure(server):
    p = server()
    code, text = give(p, message("a@later.test"), "a@later.test")
    assert code == 451 and "4.7.26" in text
    assert give(p, message("a@whenever.test"), "a@whenever.test")[0] == 250
    assert give(p, message("a@hidden.test"), "a@hidden.test")[0] == 250
    first, second = inbox(p)
    assert "dmarc=temperror" in fields(first, "Authentication-Results")[0]
    assert "dmarc=temperror" in fields(second, "Authentication-Results")[0]


def test_spf_alone_refuses_where_it_is_told_to(server):
    p = server(smtpd_spf_policy="reject", smtpd_dmarc_policy="none")
    code, text = give(p, message("a@lax.test"), "a@bad.test")
    assert code == 550 and "5.7.23 bad.test does not send from 127.0.0.1" in text
    assert "it says: 127.0.0.1 is not ours" in text
    assert give(p, message("a@lax.test"), "", helo="bad.test")[0] == 550
    assert give(p, message("a@lax.test"), "a@good.test", helo="bad.test")[0] == 550
    assert give(p, message("a@lax.test"), "a@later.test")[0] == 451
    assert give(p, message("a@bad.test"), "a@soft.test")[0] == 250
    results, = fields(inbox(p)[0], "Authentication-Results")
    assert "dmarc" not in results and "spf=softfail" in results


def test_local_policy_comes_before_the_authors(server, tmp_path):
    table = tmp_path / "dmarc"
    table.write_text("bad.test mark\nlax.test enforce\n")
    p = server(smtpd_dmarc_policy_maps=f"texthash:{table}")
    assert give(p, message("a@bad.test"), "a@bad.test")[0] == 250
    assert "dmarc=fail (p=reject" in fields(
        inbox(p)[0], "Authentication-Results")[0]
    assert give(p, message("a@later.test"), "a@soft.test")[0] == 550


def test_a_table_says_it_where_all_others_are_not_asked(server, tmp_path):
    table = tmp_path / "dmarc"
    table.write_text("bad.test enforce\nlax.test refuse\n")
    p = server(smtpd_dmarc_policy="none",
               smtpd_dmarc_policy_maps=f"texthash:{table}")
    assert give(p, message("a@bad.test"), "a@bad.test")[0] == 550
    assert give(p, message("a@later.test"), "a@soft.test")[0] == 250
    assert give(p, message("a@lax.test"), "a@lax.test")[0] == 250
    assert "write none, mark or enforce" in p.log()


def test_a_table_that_cannot_be_asked_delays_the_mail(server):
    p = server(smtpd_dmarc_policy_maps=f"tcp:{ME}:{free_port()}")
    s = Smtp(p.host, p.port["smtp"])
    code, text = give(p, message("a@lax.test"), "a@lax.test", s=s)[:2]
    assert code == 451 and "smtpd_dmarc_policy_maps" in str(text)
    # The session goes on, and holds nothing of the message.
    s.expect(f"RCPT TO:<{BOB}>", 503)
    assert inbox(p) == []


FORGED = ["Authentication-Results: mail.example.test; dmarc=pass",
          "authentication-RESULTS : MAIL.example.TEST; dmarc=pass",
          "Authentication-Results:\r\n\t(x (y)) mail.example.test 1; dkim=pass",
          "Authentication-Results: \"mail\\.example.test\"; dkim=pass",
          "Authentication-Results: mail.example.test.; dkim=pass",
          "Authentication-Results: (unfinished mail.example.test; dkim=pass",
          "Authentication-Results: mail.example.test dkim=pass",
          "Authentication-Results: ; mail.example.test; dkim=pass",
          "Authentication-Results: mail.example.test"]
KEPT = "Authentication-Results: mx.elsewhere.test; dkim=pass"


def test_forged_verdicts_are_removed(server):
    p = server(mynetworks="127.0.0.9")
    assert give(p, message("a@good.test", *FORGED, KEPT), "a@good.test")[0] == 250
    own, kept = fields(inbox(p)[0], "Authentication-Results")
    assert own.startswith("mail.example.test; spf=pass")
    assert kept == "mx.elsewhere.test; dkim=pass"
    # A user has no verdicts to give, a filter of ours brings them back.
    s = logged_in(p)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(message(ALICE, *FORGED) + b".\r\n")
    assert s.reply()[0] == 250
    assert fields(inbox(p)[1], "Authentication-Results") == []
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.9")
    assert give(p, message("a@bad.test", FORGED[0]), "a@bad.test", s=s)[0] == 250
    assert fields(inbox(p)[2], "Authentication-Results") == [
        "mail.example.test; dmarc=pass"]


def test_a_large_message(server, key):
    """Beyond what stands in memory, and beyond what travels in a frame."""
    p = server()
    for size in (100_000, 1_000_000):
        body = b"0123456789abcdef\r\n" * (size // 18)
        text = signed(key, head=[(b"From", b" a@bad.test"), (b"Subject", b" x")],
                      body=body, names=("from", "subject"), d="bad.test")
        assert give(p, text, "a@lax.test")[0] == 250
        mail = inbox(p)[-1]
        assert mail.endswith(b"\r\n\r\n" + body)
        assert "dmarc=pass" in fields(mail, "Authentication-Results")[0]
        spoilt = text[:-10] + b"x" + text[-9:]
        assert give(p, spoilt, "a@lax.test")[0] == 550


def test_a_broken_signature_leaves_tls_alone(server, key):
    """OpenSSL keeps its errors by thread: that of a signature is none of the
    connection's."""
    p = server()
    text = signed(key, head=[(b"From", b" a@lax.test"), (b"Subject", b" x")],
                  names=("from", "subject"), d="lax.test")
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO x", 250)
    s.starttls(p.tls(), p.name)
    for _ in range(3):
        assert give(p, text.replace(b"Subject: x", b"Subject: y"),
                    "a@lax.test", s=s)[0] == 250
    assert "dkim=fail" in fields(inbox(p)[2], "Authentication-Results")[0]


def test_a_stranger_stays_one_where_auth_is_on_offer(server, postern, tmp_path):
    """smtpd_sasl_auth_enable in main.cf, as many have it: who does not log in is
    asked about, and not signed for."""
    p = server(smtpd_sasl_auth_enable="yes")
    assert give(p, message("a@bad.test"), "a@bad.test")[0] == 550
    assert give(p, message("a@good.test", FORGED[0]), "a@good.test")[0] == 250
    results, = fields(inbox(p)[0], "Authentication-Results")
    assert "dmarc=pass" in results and "spf=pass" in results
    # What it wrote is not completed: a signature may say that nothing is
    # missing. Bcc goes, as in Postfix (message_drop_headers).
    assert give(p, message("a@good.test", "Bcc: c@good.test"), "a@good.test")[0] == 250
    mail = inbox(p)[1]
    assert b"Bcc:" not in mail and b"Message-ID" not in mail
    # Nor has it a say in when mail goes out.
    s = Smtp(p.host, p.port["smtp"])
    assert "DELIVERBY" in s.expect("EHLO x", 250)
    s.expect("MAIL FROM:<a@good.test> BY=600;R", 530)
    s.expect("MAIL FROM:<a@good.test>", 250)
    s.close()
    s = logged_in(p)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(message("a@bad.test") + b".\r\n")
    assert s.reply()[0] == 250


def test_a_client_with_a_certificate_is_ours(server, tmp_path):
    """permit_tls_clientcerts lets it relay: it proves itself, not the author."""
    chain, cert = make_certificate(tmp_path, ["client.test"], [])
    digest = subprocess.run(
        ["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True).stdout.split("=")[1].strip()
    (tmp_path / "certs").write_text(f"{digest} yes\n")
    p = server(smtpd_tls_ask_ccert="yes", smtpd_tls_fingerprint_digest="sha256",
               relay_clientcerts=f"texthash:{tmp_path}/certs",
               smtpd_recipient_restrictions="permit_tls_clientcerts,"
               "reject_unauth_destination")
    for certified in (False, True):
        context = p.tls()
        if certified:
            context.load_cert_chain(chain)
        s = Smtp(p.host, p.port["smtp"])
        s.expect("EHLO x", 250)
        s.starttls(context, p.name)
        assert give(p, message("a@bad.test"), "a@bad.test", s=s)[0] == (
            250 if certified else 550)


# ---- internationalized mail: RFC 8616 ----

def test_names_in_utf8(postern, dns, tmp_path):
    """bücher.test is xn--bcher-kva.test wherever it is looked up or compared."""
    key = Key(tmp_path)
    ns = dns({"xn--bcher-kva.test": f"""
@ TXT "v=spf1 exists:%{{l}}.l.%{{d}} exists:%{{d}} -all"
l.l A 127.0.0.2
@ A 127.0.0.2
_dmarc TXT "v=DMARC1; p=reject"
sel._domainkey TXT {zone_text(key.record())}
"""})
    p = postern("eai", users={BOB: "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}", **VERIFY}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO x", 250)

    def give_utf8(author, sender, text=None):
        s.expect(f"MAIL FROM:<{sender}> SMTPUTF8".encode(), 250)
        s.expect(f"RCPT TO:<{BOB}>", 250)
        s.expect("DATA", 354)
        s.send((text or f"From: {author}\r\n\r\nx\r\n".encode()) + b".\r\n")
        return s.reply()[0]

    # %{l} cannot be asked about: the term matches nothing, the next one does.
    assert give_utf8("jörg@bücher.test", "jörg@bücher.test") == 250
    results = fields(inbox(p)[0], "Authentication-Results")[0]
    assert "spf=pass" in results and "dmarc=pass" in results
    assert "header.from=xn--bcher-kva.test" in results
    # A signature with d= in either form is aligned with From in the other.
    for d, author in (("xn--bcher-kva.test", "a@bücher.test"),
                      ("bücher.test", "a@xn--bcher-kva.test")):
        text = signed(key, d=d, names=("from", "subject"), head=[
            (b"From", f" {author}".encode()), (b"Subject", b" x")])
        assert give_utf8(author, "joe@elsewhere.test", text) == 250
        results = fields(inbox(p)[-1], "Authentication-Results")[0]
        assert "dkim=pass" in results and "dmarc=pass" in results
    assert give_utf8("a@bücher.test", "joe@none.xn--bcher-kva.test") == 550
