# SPDX-License-Identifier: ISC
"""The same message through a real Postfix as the other server."""

import os
import shutil
import subprocess
import time

import pytest

from harness import Sink, Smtp, free_port, have, wait_for

ALICE = "alice@a.test"


@pytest.fixture
def postfix(tmp_path):
    """A private instance on 127.0.0.6 that relays everything to us."""
    if os.geteuid() != 0 or not os.path.exists("/usr/sbin/postfix"):
        pytest.skip("a private Postfix needs root and the package postfix")
    from pathlib import Path
    import tempfile
    base = Path(tempfile.mkdtemp(prefix="pf-", dir="/var/tmp"))
    base.chmod(0o755)
    port = free_port(("127.0.0.6",))
    for name in ("spool", "data", "conf"):
        (base / name).mkdir()
    shutil.chown(base / "data", "postfix")

    def start(relay):
        (base / "conf" / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {base}/spool\n"
            f"data_directory = {base}/data\nmyhostname = pf.b.test\n"
            f"mydestination =\nrelay_domains = b.test, a.test\n"
            f"inet_interfaces = loopback-only\ninet_protocols = ipv4\n"
            f"mynetworks = 127.0.0.0/8\nrelayhost = {relay}\n"
            f"smtp_tls_security_level = may\nmaillog_file = {base}/log\n"
            f"smtp_host_lookup = native\ndisable_dns_lookups = yes\n"
            f"alias_maps =\nalias_database =\n"
            f"maillog_file_prefixes = /var, /tmp\n"
            f"smtp_bind_address = 127.0.0.6\n")
        text = open("/usr/share/postfix/master.cf.dist").read()
        lines = []
        for line in text.splitlines():
            if line.startswith("smtp      inet"):
                line = f"127.0.0.6:{port} inet n - n - - smtpd"
            elif not line.startswith(("#", " ", "\t")) and line:
                f = line.split()
                f[4] = "n"
                line = " ".join(f)
            lines.append(line)
        (base / "conf" / "master.cf").write_text("\n".join(lines) + "\n")
        r = subprocess.run(["/usr/sbin/postfix", "-c", str(base / "conf"),
                            "start"], capture_output=True, text=True)
        log = base / "log"
        assert r.returncode == 0, log.read_text() if log.exists() else r
        wait_for("Postfix", lambda: Smtp("127.0.0.6", port).close() or True)
        return port

    yield start
    subprocess.run(["/usr/sbin/postfix", "-c", str(base / "conf"), "stop"],
                   capture_output=True)
    shutil.rmtree(base, ignore_errors=True)


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
