# SPDX-License-Identifier: ISC
"""The whole way: two servers, a real DNS server, real clients."""

import imaplib
import poplib
import subprocess

import pytest

from harness import Postern, free_port, have, wait_for

BODY = "Grüße!\n.leading dot\nFrom here\n" + "x" * 900 + "\n\nend\n"


def zones(port_hosts):
    return {domain: f"@ MX 10 mx\nmx A {host}"
            for domain, host in port_hosts.items()}


@pytest.fixture
def two(postern, dns):
    """A (a.test on 127.0.0.2) and B (b.test on 127.0.0.3) with MX records."""
    if not have("knotd"):
        pytest.skip("knotd is not installed")
    port = free_port(("127.0.0.2", "127.0.0.3"))
    server = dns(zones({"a.test": "127.0.0.2", "b.test": "127.0.0.3"}))
    options = {"dns_resolvers": f"[127.0.0.1]:{server.port}",
               "smtpd_tls_received_header": "yes"}
    a = postern("a", host="127.0.0.2", name="mx.a.test", smtp_port=port,
                users={"alice@a.test": "secret-alice"}, options=options)
    b = postern("b", host="127.0.0.3", name="mx.b.test", smtp_port=port,
                users={"bob@b.test": "secret-bob"}, options=options)
    return a.start(), b.start()


def imap(p, user):
    m = imaplib.IMAP4_SSL(p.host, p.port["imaps"], ssl_context=p.tls())
    m.login(user, p.users[user])
    return m


def arrived(p, user):
    def check():
        m = imap(p, user)
        try:
            return int(m.select("INBOX", readonly=True)[1][0]) > 0
        finally:
            m.logout()
    wait_for(f"mail for {user}", check)


def body_of(message):
    return message.split(b"\r\n\r\n", 1)[1]


def test_two_servers_and_six_readers(two, tmp_path):
    a, b = two
    a.send("alice@a.test", ["bob@b.test"], text=BODY, subject="Grüße über MX")
    arrived(b, "bob@b.test")
    m = imap(b, "bob@b.test")
    m.select("INBOX", readonly=True)
    whole = m.fetch("1", "(BODY.PEEK[])")[1][0][1]
    envelope = m.fetch("1", "(ENVELOPE)")[1][0]
    m.logout()
    assert b"=?UTF-8?B?" in envelope
    assert whole.count(b"\r\nReceived: ") == 2
    assert whole.startswith(b"Return-Path: <alice@a.test>\r\n")
    assert b"using TLSv1.3" in whole

    import email
    import email.policy
    parsed = email.message_from_bytes(whole, policy=email.policy.default)
    assert parsed["subject"] == "Grüße über MX"
    assert parsed.get_content().replace("\r\n", "\n") == BODY

    # The same bytes for everybody.
    pop = poplib.POP3_SSL(b.host, b.port["pop3s"], context=b.tls())
    pop.user("bob@b.test")
    pop.pass_("secret-bob")
    assert pop.stat()[0] == 1
    assert b"\r\n".join(pop.retr(1)[1]) + b"\r\n" == whole
    pop.quit()

    if have("curl"):
        for url in (f"imaps://{b.host}:{b.port['imaps']}/INBOX;MAILINDEX=1",
                    f"pop3s://{b.host}:{b.port['pop3s']}/1",
                    f"pop3://{b.host}:{b.port['pop3']}/1"):
            got = subprocess.run(
                ["curl", "-s", "--ssl-reqd", "--cacert", str(b.ca), "--user",
                 "bob@b.test:secret-bob", url],
                capture_output=True, timeout=30, check=True).stdout
            assert got == whole, url

    if have("mbsync"):
        rc = tmp_path / "mbsyncrc"
        (tmp_path / "md").mkdir()
        rc.write_text(
            f"IMAPAccount b\nHost {b.host}\nPort {b.port['imaps']}\n"
            f"User bob@b.test\nPass secret-bob\nSSLType IMAPS\n"
            f"CertificateFile {b.ca}\n\nIMAPStore far\nAccount b\n\n"
            f"MaildirStore near\nPath {tmp_path}/md/\n"
            f"Inbox {tmp_path}/md/INBOX\nSubFolders Verbatim\n\n"
            f"Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Near\n"
            f"SyncState *\n")
        r = subprocess.run(["mbsync", "-c", str(rc), "-a"],
                           capture_output=True, timeout=60)
        assert r.returncode == 0, r.stderr
        files = list((tmp_path / "md" / "INBOX").glob("*/*"))
        stored = [f for f in files if f.is_file()
                  and f.parent.name in ("new", "cur")]
        assert len(stored) == 1
        # mbsync writes LF lines and adds a header of its own.
        text = stored[0].read_bytes().replace(b"\n", b"\r\n")
        assert body_of(text) == body_of(whole)

    if have("mutt", "script"):
        rc = tmp_path / "muttrc"
        rc.write_text(
            f'set imap_user="bob@b.test"\nset imap_pass="secret-bob"\n'
            f'set folder="{tmp_path}"\nset spoolfile="{tmp_path}/none"\n'
            f'set certificate_file="{b.ca}"\nset imap_check_subscribed=no\n'
            f'set quit=yes\nset move=no\nset wait_key=no\n')
        r = subprocess.run(
            ["script", "-qec",
             f"mutt -n -F {rc} -f imaps://{b.host}:{b.port['imaps']}/INBOX "
             "-e 'push <flag-message><sync-mailbox><quit>'", "/dev/null"],
            capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
            env={"TERM": "vt100", "PATH": "/usr/bin:/bin",
                 "HOME": str(tmp_path)})
        m = imap(b, "bob@b.test")
        m.select("INBOX", readonly=True)
        flags = m.fetch("1", "(FLAGS)")[1][0]
        m.logout()
        assert b"\\Flagged" in flags, r.stdout[-2000:]


def test_bounce_comes_back_as_dsn(two):
    a, b = two
    r = a.send("alice@a.test", ["nobody@b.test"])
    assert "queued as" in r.stdout
    arrived(a, "alice@a.test")
    m = imap(a, "alice@a.test")
    m.select("INBOX")
    import email
    whole = email.message_from_bytes(m.fetch("1", "(BODY[])")[1][0][1])
    m.logout()
    assert whole.get_content_type() == "multipart/report"
    assert whole["Return-Path"] == "<>"
    assert whole["Auto-Submitted"] == "auto-replied"
    text, status, original = whole.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    fields = status.get_payload()
    assert fields[0]["Reporting-MTA"] == "dns; mx.a.test"
    assert fields[1]["Final-Recipient"] == "rfc822; nobody@b.test"
    assert fields[1]["Action"] == "failed"
    assert fields[1]["Status"] == "5.1.1"
    assert fields[1]["Diagnostic-Code"].startswith("smtp; 550 5.1.1")
    assert original.get_content_type() == "message/rfc822"
    assert wait_for("empty queue", lambda: a.queue() == [])


def test_deferred_mail_waits_and_goes_when_the_site_is_back(two):
    a, b = two
    b.stop()
    a.send("alice@a.test", ["bob@b.test"])
    waiting = wait_for("a deferral", lambda: [
        m for m in a.queue() if m["recipients"][0]["attempts"] > 0])
    assert waiting[0]["state"] in ("deferred", "active")
    assert "refused" in waiting[0]["recipients"][0]["reason"]
    b.start(add_users=False)
    a.run("queue", "flush")
    arrived(b, "bob@b.test")
    wait_for("empty queue", lambda: a.queue() == [])


def test_null_mx_bounces_at_once(two, postern, dns):
    a, _ = two
    server = dns({"null.test": "@ MX 0 ."})
    c = postern("c", host="127.0.0.4", name="mx.c.test",
                users={"carol@c.test": "secret-carol"},
                options={"dns_resolvers": f"[127.0.0.1]:{server.port}"})
    c.start()
    c.send("carol@c.test", ["x@null.test"])
    arrived(c, "carol@c.test")
    m = imap(c, "carol@c.test")
    m.select("INBOX")
    assert b"Status: 5.1.10" in m.fetch("1", "(BODY[])")[1][0][1]
    m.logout()
