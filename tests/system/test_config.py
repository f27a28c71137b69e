# SPDX-License-Identifier: ISC
"""Configuration: read as Postfix reads it, refused before start when wrong."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import POSTERN, Smtp, wait_for

SEED = """smtpd_banner = ESMTP Server
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 2
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
myhostname = mail1.inlanefreight.htb
alias_maps = hash:%(dir)s/aliases
alias_database = hash:%(dir)s/aliases
smtp_generic_maps = hash:%(dir)s/generic
mydestination = $myhostname, localhost
masquerade_domains = $myhostname
mynetworks = 127.0.0.0/8 10.129.0.0/16
mailbox_size_limit = 0
recipient_delimiter = +
smtp_bind_address = 0.0.0.0
inet_protocols = ipv4
smtpd_helo_restrictions = reject_invalid_hostname
home_mailbox = /home/postfix
"""


def run(directory, *args, check=False):
    r = subprocess.run([str(POSTERN), "-c", str(directory), *args],
                       capture_output=True, text=True, timeout=60)
    assert not check or r.returncode == 0, r.stderr
    return r


def config(tmp_path, text, master="127.0.0.1:0 inet n - n - - smtpd\n"):
    (tmp_path / "main.cf").write_text(
        f"queue_directory = {tmp_path}/q\ndata_directory = {tmp_path}/d\n"
        "alias_maps =\nalias_database =\nmyhostname = m.example.test\n" + text)
    (tmp_path / "master.cf").write_text(
        "127.0.0.1:2525 inet n - n - - smtpd\n" if master is None else
        master.replace(":0 ", ":2525 "))
    return tmp_path


@pytest.mark.parametrize("text, line, word", [
    ("mynetworks = 0.0.0.0/0\n", 6, "open relay"),
    ("mynetworks = ::/0\n", 6, "open relay"),
    ("mynetworks = 10.1.2.3/8\n", 6, "write 10.0.0.0/8"),
    ("smtpd_relay_restrictions = permit\n", 6, "open relay"),
    ("smtpd_relay_restrictions = permit_mynetworks\n", 6, "open relay"),
    ("nonsense\n", 6, "missing '='"),
    ("biff = $biff\nmyorigin = $myorigin\n", 7, "uses itself"),
    ("smtpd_helo_required = maybe\n", 6, "write yes or no"),
    ("message_size_limit = 10M\n", 6, "whole number"),
    ("minimal_backoff_time = 5x\n", 6, "s m h d w"),
    ("virtual_alias_maps = hash:/nonexistent/table\n", 6, "No such file"),
    ("virtual_alias_maps = foo:/x\n", 6, "not supported"),
    ("smtpd_recipient_restrictions = reject_unauth_destinaton\n", 6,
     "reject_unauth_destination"),
    ("inet_protocols = IPv4\n", 6, "ipv4, ipv6"),
    ("relayhost = $myhostname\n", 6, "loop"),
    ("mailbox_size_limit = 5\n", 6, "message_size_limit"),
    ("smtp_bind_address = abc\n", 6, "numeric"),
    ("smtpd_tls_chain_files = /nonexistent.pem\n", 6, "certificate"),
    ("postscreen_greet_action = enfroce\n", 6, "did you mean enforce"),
    ("unverified_sender_tempfail_action = permit\n", 6, "unknown word"),
    ("smtpd_proxy_filter = nonsense\n", 6, "inet:host:port"),
    ("mailbox_transport = local:\n", 6, "to itself"),
    ("smtp_dns_support_level = dnsec\n", 6, "did you mean dnssec"),
    ("oauth2_introspection_url = http://as.example/x\n", 6, "https"),
    ("tls_server_sni_maps = inline:{{a.example = /none.pem}}\n", 6,
     "/none.pem"),
])
def test_wrong_configuration_is_refused(tmp_path, text, line, word):
    config(tmp_path, text)
    for command in (["check"], ["start", "--foreground"]):
        r = run(tmp_path, *command)
        assert r.returncode == 78, r.stderr
        wanted = f"main.cf:{line}: error: "
        assert any(wanted in out and word in out
                   for out in r.stderr.splitlines()), r.stderr


@pytest.mark.parametrize("text, word", [
    ("compatibility_level = 3.6\nsmtpd_banr = x\n", "did you mean smtpd_banner"),
    ("mynetworks = 64.0.0.0/2\n", "very wide"),
    ("virtual_alias_domains = m.example.test\n", "the first one wins"),
    ("myhostname = other.example.test\n", "overrides the earlier entry"),
    ("receive_override_options = no_milter\n", "did you mean"),
    ("smtpd_relay_restrictions = permit_mx_backup, reject\n", "may relay"),
    ("", "compatibility_level is missing"),
    ("myorigin = a.example # comment\n", "part of the value"),
])
def test_warnings(tmp_path, text, word):
    config(tmp_path, text)
    r = run(tmp_path, "check")
    assert r.returncode == 0, r.stderr
    assert any("warning: " in out and word in out
               for out in r.stderr.splitlines()), r.stderr


def test_open_relay_only_when_said_twice(tmp_path):
    config(tmp_path, "mynetworks = 0.0.0.0/0\n"
                     "postern_allow_open_relay = yes\n")
    assert run(tmp_path, "check").returncode == 0


def test_auth_without_tls_is_refused(tmp_path):
    config(tmp_path, "", "127.0.0.1:0 inet n - n - - smtpd "
           "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=no\n")
    r = run(tmp_path, "check")
    assert r.returncode == 78 and "master.cf:1: error" in r.stderr


def test_conf_n_is_what_the_pipeline_wanted(tmp_path):
    text = ("# comment\n\nmyhostname = a.example  \n  # inside\n\n"
            "mynetworks = 127.0.0.0/8\n\t10.0.0.0/8\nmyorigin=$myhostname\n"
            "user_defined = x#y\n")
    (tmp_path / "main.cf").write_text(text)
    out = run(tmp_path, "conf", "-n", check=True).stdout
    assert out.splitlines() == [
        "myhostname = a.example", "mynetworks = 127.0.0.0/8\t10.0.0.0/8",
        "myorigin = $myhostname", "user_defined = x#y"]
    assert run(tmp_path, "conf", "-x", "myorigin").stdout == \
        "myorigin = a.example\n"
    assert run(tmp_path, "conf", "-h", "myorigin").stdout == "$myhostname\n"
    assert run(tmp_path, "conf", "-d", "smtpd_timeout").stdout == \
        "smtpd_timeout = 300s\n"
    assert run(tmp_path, "conf", "nonsense").returncode == 65


def test_conf_e_keeps_everything_else(tmp_path):
    (tmp_path / "main.cf").write_text(
        "# top\na = 1\n  more\n# mid\nb = 2\na = 3\n")
    run(tmp_path, "conf", "-e", "a=new value", "c=4", check=True)
    assert (tmp_path / "main.cf").read_text() == \
        "# top\n# mid\nb = 2\na = new value\nc = 4\n"


def test_who_moves_here_has_accounts_to_make(postern):
    """Nobody's mail bounces meanwhile."""
    p = postern("p", users={"real@example.test": "x-1"}, options={
        "virtual_mailbox_domains": "example.test",
        "virtual_mailbox_maps": "inline:{ghost@example.test=x/, "
                                "real@example.test=y/, @other.test=z/}",
        "virtual_mailbox_base": "/var/vmail", "recipient_delimiter": "+"})
    p.start()
    said = p.run("check", check=False).stderr
    assert "1 addresses have no account, ghost@example.test is one" in said
    assert "virtual_mailbox_base has no effect here" in said
    assert "postern mailbox import" in said
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<none@example.test>", 550)
    for name in ("ghost", "ghost+tag", "real"):
        s.expect(f"RCPT TO:<{name}@example.test>", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    def reasons():
        return [r["reason"] for m in p.queue() for r in m["recipients"]
                if r["attempts"] > 0]
    found = wait_for("two that wait", lambda: len(reasons()) == 2 and reasons())
    assert all("has no account yet" in r for r in found)
    p.run("user", "add", "ghost@example.test", "--password-stdin",
          input="x-1\n")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert "have no account" not in p.run("check", check=False).stderr
    # What cannot be read says nothing about anybody.
    p.stop()
    accounts = p.dir / "data/accounts/accounts.db"
    for tail in ("-wal", "-shm"):
        Path(f"{accounts}{tail}").unlink(missing_ok=True)
    accounts.write_bytes(b"x" * 8192)
    assert "have no account" not in p.run("check", check=False).stderr


def test_a_table_that_fails_bounces_nobody(postern):
    """Is it an address that waits for its account?  Nobody knows now."""
    p = postern("p", options={
        "virtual_mailbox_domains": "example.test",
        "virtual_mailbox_maps": "fail:now",
        "receive_override_options": "no_unknown_recipient_checks",
        "smtpd_reject_unlisted_recipient": "no"}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<>", 250)
    s.expect("RCPT TO:<who@example.test>", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    waiting = wait_for("a try", lambda: [
        r for m in p.queue() for r in m["recipients"] if r["attempts"]])
    assert "always fails" in waiting[0]["reason"]


def test_each_name_is_listed_with_what_becomes_of_it(tmp_path):
    listed = dict(line.split()[:2] for line in run(
        tmp_path, "check", "--list-parameters").stdout.splitlines()
        if not line.startswith("#"))
    assert set(listed.values()) == {"acts", "never", "other"}
    for name in ("myhostname", "lmtp_tls_security_level"):
        assert listed[name] == "acts", name
    # The same is said where they are set.
    other = {n for n, k in listed.items() if k == "other"}
    r = run(config(tmp_path, "".join(f"{n} = x\n" for n in sorted(other))),
            "check")
    assert set(re.findall(r"(\S+) has no effect here: ", r.stderr)) == other


def test_what_the_queue_of_postfix_is_told_of_a_transport(tmp_path):
    r = run(config(tmp_path, "relay_recipient_refill_limit = 9\n"), "check")
    assert r.returncode == 0 and \
        "note: relay_recipient_refill_limit has no effect here" in r.stderr


def test_every_postfix_name_is_known(tmp_path):
    shared = Path(__file__).resolve().parents[3] / "shared"
    table = shared / "reference" / "postfix-params.tsv"
    if not table.exists():
        pytest.skip("the list of Postfix's names is not at hand")
    names = [line.split("\t")[0] for line in
             table.read_text().splitlines()[1:]]
    assert len(names) == 958
    listed = {line.split()[0] for line in run(
        tmp_path, "check", "--list-parameters").stdout.splitlines()
        if not line.startswith("#")}
    assert set(names) <= listed


def test_unknown_command_gets_a_suggestion(tmp_path):
    r = run(tmp_path, "quue")
    assert r.returncode == 64 and 'did you mean "queue"' in r.stderr
    for command in ("start", "stop", "reload", "status", "check", "conf",
                    "user", "queue", "send"):
        r = run(tmp_path, command, "--help")
        assert r.returncode == 0 and "usage:" in r.stdout


def test_users(postern):
    p = postern("users")
    p.run("user", "add", "A@Example.test", "--password-stdin", input="pw1\n")
    assert p.run("user", "list").stdout == "a@example.test\n"
    assert p.run("user", "add", "a@example.test", "--password-stdin",
                 input="x\n", check=False).returncode == 65
    assert p.run("user", "add", "not an address", "--password-stdin",
                 input="x\n", check=False).returncode == 64
    p.run("user", "passwd", "a@example.test", "--password-stdin",
          input="pw2\n")
    p.run("user", "del", "a@example.test")
    assert p.run("user", "del", "a@example.test",
                 check=False).returncode == 65
    for path in p.dir.rglob("*"):
        if path.is_file() and path.name.startswith("accounts"):
            assert b"pw1" not in path.read_bytes()


# ---- the seed configuration ----

@pytest.fixture
def seed(postern):
    p = postern("seed")
    (p.dir / "aliases").write_text(
        "postmaster: carrie\nteam: carrie, outside@elsewhere.example\n"
        "loop: loop\n")
    (p.dir / "generic").write_text(
        "carrie@mail1.inlanefreight.htb carrie@example.com\n")
    (p.dir / "main.cf").write_text(
        SEED % {"dir": p.dir}
        + f"queue_directory = {p.dir}/spool\ndata_directory = {p.dir}/data\n"
          f"minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\n"
          f"disable_dns_lookups = yes\nsmtp_tcp_port = {p.port['smtp']}\n")
    (p.dir / "master.cf").write_text(
        f"{p.host}:{p.port['smtp']} inet n - n - - smtpd\n")
    p.name = "mail1.inlanefreight.htb"
    return p


def test_seed_configuration_loads_and_runs(seed):
    r = seed.run("check")
    assert "error" not in r.stderr
    assert "relative to each user's home" in r.stderr
    seed.start(add_users=False)
    s = Smtp(seed.host, seed.port["smtp"])
    s.expect("EHLO -foo", 250)
    s.expect("MAIL FROM:<x@sub.mail1.inlanefreight.htb>", 250)
    text = s.expect("RCPT TO:<nobody-here@localhost>", 501)
    assert "Invalid name" in text
    s.expect("EHLO good.example", 250)
    s.expect("MAIL FROM:<x@sub.mail1.inlanefreight.htb>", 250)
    text = s.expect("RCPT TO:<nobody-here@localhost>", 550)
    assert "User unknown in local recipient table" in text
    s.expect("RCPT TO:<postmaster>", 250)
    s.expect("RCPT TO:<elsewhere@example.com>", 250)  # mynetworks
    s.close()
    s = Smtp(seed.host, seed.port["smtp"], greet=False)
    assert s.reply()[1] == "220 ESMTP Server\r\n"
    s.close()


@pytest.fixture
def strangers_home():
    """A folder that belongs to an account without any privilege."""
    if os.geteuid() != 0:
        pytest.skip("only root can become someone else")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        shutil.copy(POSTERN, d + "/postern")
        os.chmod(d, 0o755)
        yield Path(d)


def test_runs_as_any_user(strangers_home, postern):
    p = postern(strangers_home / "any", users={"u@example.test": "pw"})
    p.binary, p.account = str(strangers_home / "postern"), "nobody"
    for path in (p.dir, *p.dir.rglob("*")):
        shutil.chown(path, "nobody")
    p.start()
    uid = pwd.getpwnam("nobody").pw_uid
    for role in p.status()["roles"]:
        status = Path(f"/proc/{role['pid']}/status").read_text()
        # A role is the user's own, without a way to more, and filtered.
        assert f"Uid:\t{uid}\t{uid}" in status
        assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    s = Smtp(p.host, p.port["smtp"])
    for line, code in (("EHLO c.example", 250), ("MAIL FROM:<a@b.example>", 250),
                       ("RCPT TO:<u@example.test>", 250), ("DATA", 354),
                       ("Subject: s\r\n\r\nx\r\n.", 250)):
        s.expect(line, code)
    s.close()
    assert "sandbox is incomplete" not in p.log()


@pytest.mark.parametrize("home_mailbox, kind", [
    ("Maildir/", "maildir"), ("/deep/er/mbox", "mbox")])
def test_local_user_gets_mail_at_home(postern, tmp_path, home_mailbox, kind):
    if os.geteuid() == 0:
        user = "postern-test"
        try:
            pwd.getpwnam(user)
        except KeyError:
            subprocess.run(["useradd", "--system", "--create-home", "--home",
                            f"/var/tmp/{user}", user], check=True)
    else:
        user = pwd.getpwuid(os.geteuid()).pw_name
        pytest.skip("would write into the home of who runs the tests")
    home = Path(pwd.getpwnam(user).pw_dir)
    target = home / home_mailbox.strip("/")
    subprocess.run(["rm", "-rf", str(home / home_mailbox.split("/")[
        1 if home_mailbox.startswith("/") else 0])], check=True)
    aliases = tmp_path / "aliases"
    aliases.write_text(f'team: "{user}"\nboss: team\n')
    p = postern("local", options={
        "mydestination": "localhost, mail.example.test",
        "alias_maps": f"hash:{aliases}", "home_mailbox": home_mailbox,
        "local_recipient_maps": "unix:passwd.byname $alias_maps",
        "recipient_delimiter": "+"}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO a.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for to in (f"{user}+x@localhost", "boss@mail.example.test"):
        s.expect(f"RCPT TO:<{to}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: home\r\n\r\nFrom the start\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    wait_for("an empty queue", lambda: p.queue() == [])
    if kind == "maildir":
        mails = [f.read_text() for f in (target / "new").iterdir()]
        assert len(mails) == 2
        assert all(m.startswith("Return-Path: <a@b.example>\n") for m in mails)
        assert f"Delivered-To: {user}+x@localhost\n" in "".join(mails)
        owner = (target / "new").stat().st_uid
    else:
        text = target.read_text()
        assert text.count("\nSubject: home\n") == 2
        assert text.startswith("From a@b.example  ")
        assert "\n>From the start\n\n" in text
        owner = target.stat().st_uid
    assert owner == pwd.getpwnam(user).pw_uid


def test_masquerade_and_generic(postern, tmp_path):
    from harness import Sink, free_port
    sink = Sink("127.0.0.5", 0)
    generic = tmp_path / "generic"
    generic.write_text("alice@example.test sales@shop.example\n")
    p = postern("mg", users={"alice@example.test": "pw"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}", "mynetworks": "127.0.0.0/8",
        "masquerade_domains": "example.test",
        "smtp_generic_maps": f"hash:{generic}"}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO a.example", 250)
    s.expect("MAIL FROM:<alice@host.example.test>", 250)
    s.expect("RCPT TO:<you@far.example>", 250)
    s.expect("DATA", 354)
    s.send(b"From: Alice <alice@host.example.test>\r\nTo: you@far.example,\r\n"
           b"\tBob <bob@host.example.test>\r\nSubject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    mail = wait_for("mail at the sink", lambda: sink.mails)[0]
    sink.stop()
    assert mail["from"].startswith("MAIL FROM:<sales@shop.example>")
    assert b"From: Alice <sales@shop.example>\r\n" in mail["data"]
    assert b"\tBob <bob@example.test>\r\n" in mail["data"]
