# SPDX-License-Identifier: ISC
"""DKIM signing: what leaves is signed with the keys that `postern dkim` made,
verified by the program itself and by dkimpy; and the life of a key."""

import json
import os
import random
import re
import shutil
import socket
import subprocess

import pytest

from harness import Sink, Smtp, free_port, wait_for, zone_text
from test_dkim import Key
from test_smtpd import inbox, logged_in

ALICE, EVE = "alice@a.test", "eve@b.test"
FAR = "x@far.example"


def generate(p, *domains):
    """The zone lines of new keys, by domain."""
    return {d: "\n".join(line for line in p.run("dkim", "generate", d)
                         .stdout.splitlines() if not line.startswith(";"))
            for d in domains}


class World:
    def __init__(self, postern, dns, domains=("a.test",), ehlo=("8BITMIME",),
                 zones=True, **options):
        self.sink = Sink("127.0.0.5", 0, ehlo=ehlo)
        port = free_port()
        self.p = postern("sign", users={ALICE: "a", EVE: "e"}, options={
            "relayhost": f"[127.0.0.5]:{self.sink.port}",
            "mynetworks": "127.0.0.9",
            "relay_domains": "far.example",
            "dns_resolvers": f"[127.0.0.1]:{port}", **options})
        lines = generate(self.p, *domains)
        self.ns = dns({d: text if zones else "" for d, text in lines.items()},
                      port=port)
        self.p.start()

    def send(self, author=ALICE, sender=None, login=ALICE, source=None,
             fields=(), body="hello\r\n", rcpt=FAR):
        """As a user, or from another address without a login."""
        n = len(self.sink.mails)
        s = (Smtp(self.p.host, self.p.port["smtp"], source=source) if source
             else logged_in(self.p, login))
        s.expect("EHLO x", 250)
        s.expect(f"MAIL FROM:<{sender or login}> BODY=8BITMIME", 250)
        s.expect(f"RCPT TO:<{rcpt}>", 250)
        s.expect("DATA", 354)
        head = "".join(f + "\r\n" for f in (
            f"From: {author}", f"To: {rcpt}", "Subject: a subject",
            "Date: Thu, 26 Nov 2026 08:00:00 +0000", *fields))
        s.send((head + "\r\n" + body + ".\r\n").encode())
        assert s.reply()[0] == 250
        s.close()
        wait_for("the mail", lambda: len(self.sink.mails) > n)
        return self.sink.mails[-1]["data"].replace(b"\r\n..", b"\r\n.")

    def verdicts(self, message):
        file = self.p.dir / "m.eml"
        file.write_bytes(message)
        out = self.p.run("authenticate", "--json", str(file)).stdout
        return [(d["domain"], d["result"]) for d in json.loads(out)["dkim"]]


BOTH = [("a.test", "pass")] * 2


@pytest.fixture
def world(postern, dns):
    made = []

    def make(*args, **kw):
        made.append(World(postern, dns, *args, **kw))
        return made[-1]
    yield make
    for w in made:
        w.sink.stop()


def signatures(message):
    head = message.partition(b"\r\n\r\n")[0].decode() + "\r\n"
    return [re.sub(r"\s+", "", v) for v in re.findall(
        r"DKIM-Signature:((?:.*\r\n[ \t])*.*)\r\n", head)]


def test_a_users_mail_is_signed_with_both_keys(world):
    w = world()
    message = w.send(body="a  line \r\n..dot\r\n\r\n\r\n")
    assert w.verdicts(message) == BOTH
    ed, rsa = signatures(message)
    assert "a=ed25519-sha256;c=relaxed/relaxed;d=a.test;s=ed-" in ed
    assert "a=rsa-sha256;" in rsa
    for s in (ed, rsa):
        at, end = (int(re.search(rf";{t}=(\d+);", s).group(1)) for t in "tx")
        assert end - at == 15 * 86400
        names = re.search(";h=([^;]*);", s).group(1).lower().split(":")
        assert names.count("from") == 2 and names.count("subject") == 2
        assert names.count("reply-to") == 1 and "received" not in names
    assert max(map(len, message.split(b"\r\n"))) < 100
    out = w.p.run("why", ALICE).stdout
    assert "signed" in out and "a.test" in out


def test_what_is_added_afterwards_breaks_it(world):
    w = world()
    message = w.send(fields=["Reply-To: alice@a.test"])
    assert w.verdicts(message) == BOTH
    broken = [("a.test", "fail")] * 2
    for field in (b"From: eve@b.test", b"Subject: other", b"To: all@b.test",
                  b"Reply-To: eve@b.test", b"Content-Type: text/html",
                  b"Date: Thu, 26 Nov 2026 09:00:00 +0000"):
        assert w.verdicts(field + b"\r\n" + message) == broken, field
    # What a relay adds does not.
    assert w.verdicts(b"Received: by x\r\nX-Spam: no\r\n" + message) == BOTH


def test_dkimpy_verifies_it(world):
    w = world()
    if subprocess.run(["/usr/bin/python3", "-c", "import dkim, nacl"],
                      capture_output=True).returncode:
        pytest.skip("dkimpy is not installed")
    records = {}
    for line in w.p.run("dkim", "zone", "a.test").stdout.splitlines():
        name, text = line.split(" 3600 IN TXT ")
        records[name] = "".join(re.findall('"([^"]*)"', text))
    messages = [w.send(),
                w.send(fields=["Subject: twice", "List-Id: <l.a.test>",
                               "List-Unsubscribe: <https://a.test/>",
                               "X-Long: " + "word " * 100]),
                w.send(body="\r\n" * 5), w.send(body=""),
                w.send(body="  lead\r\ntab\t \r\n\t\r\n\r\n")]
    out = w.p.dir / "out"
    out.mkdir()
    for i, m in enumerate(messages):
        (out / f"{i}.eml").write_bytes(m)
    (out / "records").write_text(json.dumps(records))
    got = subprocess.run(["/usr/bin/python3", "-c", """
import dkim, glob, json, sys
records = json.load(open(sys.argv[1] + "/records"))
for name in sorted(glob.glob(sys.argv[1] + "/*.eml")):
    d = dkim.DKIM(open(name, "rb").read())
    for i in range(2):
        print(d.verify(idx=i, dnsfunc=lambda n, timeout=5:
                       records[n.decode()].encode()))
""", str(out)], capture_output=True, text=True, check=True).stdout
    assert got.split() == ["True"] * 2 * len(messages)


def test_who_is_signed_for(world, tmp_path):
    table = tmp_path / "signing"
    table.write_text("news@a.test none\nlist@c.test a.test\nx@a.test d.test\n")
    w = world(["a.test", "b.test"],
              dkim_signing_table=f"texthash:{table}")
    # From the name of a domain below.
    assert w.verdicts(w.send("alice@sub.deep.a.test")) == BOTH
    assert w.verdicts(w.send("Alice <ALICE@A.test>")) == BOTH
    # Nobody signs as somebody else.
    assert w.verdicts(w.send(EVE)) == []
    assert "alice@a.test is not of b.test" in w.p.log()
    assert w.verdicts(w.send("who@other.test")) == []
    assert w.verdicts(w.send(EVE, login=EVE)) == [("b.test", "pass")] * 2
    # The table has the last word.
    assert w.verdicts(w.send("news@a.test")) == []
    assert w.verdicts(w.send("list@c.test", login=EVE)) == BOTH
    assert w.verdicts(w.send("x@a.test")) == []
    assert "d.test, of dkim_signing_table, has no keys" in w.p.log()
    # Our own networks, and nobody else.
    assert w.verdicts(w.send(source="127.0.0.9")) == BOTH
    assert w.verdicts(w.send(source="127.0.0.1")) == []
    # An author that cannot be told.
    assert w.verdicts(w.send(fields=["From: eve@b.test"])) == []


def test_who_does_not_log_in_is_not_signed_for(world):
    """Though the port offers AUTH, and the relay is one of ours."""
    w = world(smtpd_sasl_auth_enable="yes")
    assert w.verdicts(w.send(source="127.0.0.1")) == []
    assert w.verdicts(w.send()) == BOTH


def test_what_a_filter_brings_back_is_not_ours(world):
    """It comes from mynetworks, and has the verdict that strangers get."""
    w = world()
    assert w.verdicts(w.send(source="127.0.0.9", fields=[
        "Authentication-Results: mail.example.test; spf=softfail"])) == []
    assert w.verdicts(w.send(source="127.0.0.9", fields=[
        "Authentication-Results: elsewhere.test; spf=softfail"])) == BOTH


def test_a_bounce_is_signed(world):
    w = world(["a.test"], myhostname="mx.a.test")
    w.sink.replies[f"RCPT {FAR}"] = "550 5.1.1 nobody"
    s = Smtp(w.p.host, w.p.port["smtp"], source="127.0.0.9")
    s.expect("EHLO x", 250)
    s.expect("MAIL FROM:<back@far.example>", 250)
    s.expect(f"RCPT TO:<{FAR}>", 250)
    s.expect("DATA", 354)
    s.send(b"From: a@a.test\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    wait_for("the bounce", lambda: w.sink.mails)
    bounce = w.sink.mails[0]["data"]
    assert b"@mx.a.test" in re.search(b"(?m)^From: .*$", bounce).group(0)
    assert w.verdicts(bounce) == BOTH


def test_a_server_without_8bitmime_gets_what_was_signed(world):
    w = world(ehlo=())
    message = w.send(fields=["MIME-Version: 1.0",
                             "Content-Type: text/plain; charset=utf-8"],
                     body="grüße\r\n" * 50)
    assert message.isascii()
    assert w.verdicts(message) == BOTH


def test_it_is_not_signed_twice(world):
    w = world()
    message = w.send()
    n = len(w.sink.mails)
    s = Smtp(w.p.host, w.p.port["smtp"], source="127.0.0.9")
    s.expect("EHLO x", 250)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect(f"RCPT TO:<{FAR}>", 250)
    s.expect("DATA", 354)
    s.send(message + b".\r\n")
    assert s.reply()[0] == 250
    wait_for("the mail", lambda: len(w.sink.mails) > n)
    again = w.sink.mails[-1]["data"]
    assert len(signatures(again)) == 2 and w.verdicts(again) == BOTH


def test_keys_wait_for_dns(world):
    w = world(zones=False)
    assert signatures(w.send()) == []
    assert "the keys of a.test are not in DNS yet" in w.p.log()
    r = w.p.run("dkim", "rotate", "a.test", check=False)
    assert r.returncode == os.EX_TEMPFAIL and "_domainkey.a.test." in r.stdout
    assert "not in DNS" in w.p.run("dkim", "list").stdout


def test_a_key_that_cannot_be_read_delays_the_mail(world):
    w = world()
    path, = (w.p.dir / "data/dkim/a.test").glob("rsa-*.new")
    pem = path.read_bytes()
    fresh = path.with_name("x")
    fresh.write_text("no key")
    fresh.rename(path)
    n = len(w.sink.mails)
    w.p.send(ALICE, [FAR])
    wait_for("the delay", lambda: "not signed" in w.p.log())
    assert len(w.sink.mails) == n
    fresh.write_bytes(pem)
    fresh.chmod(0o600)
    fresh.rename(path)
    w.p.run("queue", "flush", "ALL")
    wait_for("the mail", lambda: len(w.sink.mails) > n)
    assert w.verdicts(w.sink.mails[-1]["data"]) == BOTH


def test_a_directory_that_cannot_be_looked_into_delays_the_mail(world):
    """No keys is an answer; not to know whether there are any is none."""
    w = world()
    keys = w.p.dir / "data/dkim/a.test"
    keys.rename(keys.with_name("aside"))
    keys.symlink_to(keys.name)  # to itself: ELOOP, for root too
    n = len(w.sink.mails)
    w.p.send(ALICE, [FAR])
    wait_for("the delay", lambda: "not signed" in w.p.log())
    assert len(w.sink.mails) == n
    keys.unlink()
    keys.with_name("aside").rename(keys)
    w.p.run("queue", "flush", "ALL")
    wait_for("the mail", lambda: len(w.sink.mails) > n)
    assert w.verdicts(w.sink.mails[-1]["data"]) == BOTH


def test_only_old_keys_sign_nothing_and_it_says_so(world):
    w = world()
    for path in (w.p.dir / "data/dkim/a.test").glob("*.new"):
        path.rename(path.with_suffix(".old"))
    assert signatures(w.send()) == []
    assert "a.test has no key in use, only old ones" in w.p.log()


def test_the_life_of_a_key(postern, dns):
    p = postern("life", options={"dns_resolvers": "[127.0.0.1]:1"})
    lines = generate(p, "a.test")["a.test"]
    assert generate(p, "a.test")["a.test"] == lines
    for path in (p.dir / "data/dkim/a.test").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600

    def states():
        return sorted(line.split()[1:6:4] for line in p.run(
            "dkim", "list", "--no-dns").stdout.splitlines())

    def with_zone(text, *args):
        ns = dns({"a.test": text})
        p.options["dns_resolvers"] = f"[127.0.0.1]:{ns.port}"
        p.write_config()
        return p.run("dkim", "rotate", *args, check=False)

    first = [line.split("._")[0] for line in lines.splitlines()]
    assert with_zone("", "a.test").returncode == os.EX_TEMPFAIL
    assert "in use" in with_zone(lines, "a.test").stdout
    assert p.run("dkim", "generate", "a.test",
                 check=False).returncode == os.EX_DATAERR
    # Nothing is due.
    assert "young enough" in p.run("dkim", "rotate", "--older-than", "90").stdout
    second = "\n".join(line for line in with_zone(lines).stdout.splitlines()
                       if not line.startswith(";"))
    assert with_zone(lines).returncode == os.EX_TEMPFAIL
    out = with_zone(lines + "\n" + second).stdout
    assert f"{first[0]}: old" in out and "in use" in out
    # Needed while a signature may be looked at, then wanted out of DNS.
    assert "is needed until" in with_zone(lines + "\n" + second).stdout
    then = os.stat(p.dir / "data/dkim/a.test").st_mtime - 16 * 86400
    for path in (p.dir / "data/dkim/a.test").glob("*.old"):
        os.utime(path, (then, then))
    assert "out of DNS" in with_zone(lines + "\n" + second).stdout
    assert f"{first[0]}: removed" in with_zone(second).stdout
    assert [s for s, _ in states()] == [
        line.split("._")[0] for line in second.splitlines()]


@pytest.mark.parametrize("args,code,text", [
    ([], 64, "generate, rotate, list or zone?"),
    (["generate"], 64, "a domain is missing"),
    (["generate", "../x"], 64, "is no domain"),
    (["rotate", "unknown.test", "--no-dns"], 65, "has no keys"),
])
def test_wrong_usage(postern, args, code, text):
    r = postern("u").run("dkim", *args, check=False)
    assert r.returncode == code and text in r.stderr


def test_check_says_what_is_wrong(postern):
    p = postern("check", options={"dkim_sign_headers": "To Subject",
                                  "smtpd_dmarc_policy": "enforced",
                                  "smtpd_spf_policy": "fail",
                                  "dmarc_report_interval": "0",
                                  "dmarc_report_address": "postmaster",
                                  "smtpd_authentication_timeout": "0"})
    generate(p, "a.test")
    (p.dir / "data/dkim/a.test/other.key").write_text("nothing")
    out = p.run("check", check=False).stderr
    assert "a signature without From is none" in out
    assert "other.key: no RSA or Ed25519 key in PEM" in out
    assert "mail of a.test waits" in out
    assert "unknown word enforced" in out and "did you mean enforce?" in out
    assert "smtpd_spf_policy: unknown word fail" in out
    assert "dmarc_report_interval is no time" in out
    assert 'dmarc_report_address: "postmaster" is no address' in out
    assert "smtpd_authentication_timeout is no time" in out


# ---- the other implementations ----

CHECKER = """
import dkim, glob, json, sys
records = json.load(open(sys.argv[1] + "/records"))
for name in sorted(glob.glob(sys.argv[1] + "/*.eml")):
    d = dkim.DKIM(open(name, "rb").read())
    for i in range(2):
        if not d.verify(idx=i, dnsfunc=lambda n, timeout=5:
                        records[n.decode()].encode()):
            print(name, i)
"""


def odd_message(r):
    """Folds, blanks, empty and doubled fields, dots, long and empty lines."""
    def word():
        return "".join(r.choice("abcdefgh=?.-\"():;") for _ in range(
            r.choice([1, 3, 8, 70])))

    def value():
        return "".join(r.choice([" ", "  ", "\t", "\r\n ", "\r\n\t "]) + word()
                       for _ in range(r.randint(0, 9))) + r.choice(["", " ", "\t"])

    names = ["To", "Cc", "Subject", "subject", "X-Note", "List-Id", "Comments",
             "MIME-Version", "List-Unsubscribe", "References", "Sender"]
    head = [f"{n}:{value()}" for n in r.choices(names, k=r.randint(0, 12))]
    head.insert(r.randint(0, len(head)), "From: Alice <alice@a.test>")
    body = [r.choice(["", "", ".", "..", " ", "\t ", word(), " " + word() + "  ",
                      "x" * 500]) for _ in range(r.randint(0, 20))]
    return "\r\n".join(head), body


def test_dkimpy_verifies_generated_messages(world):
    w = world()
    if subprocess.run(["/usr/bin/python3", "-c", "import dkim, nacl"],
                      capture_output=True).returncode:
        pytest.skip("dkimpy is not installed")
    count = int(os.environ.get("DKIM_SIGN_COUNT", "150"))
    r = random.Random(int(os.environ.get("DKIM_SEED", "1")))
    s = Smtp(w.p.host, w.p.port["smtp"], source="127.0.0.9")
    s.expect("EHLO x", 250)
    for _ in range(count):
        head, body = odd_message(r)
        s.expect(f"MAIL FROM:<{ALICE}>", 250)
        s.expect(f"RCPT TO:<{FAR}>", 250)
        s.expect("DATA", 354)
        s.send((head + "\r\n\r\n" + "".join(
            ("." if line.startswith(".") else "") + line + "\r\n"
            for line in body) + ".\r\n").encode())
        assert s.reply()[0] == 250
    wait_for("all of them", lambda: len(w.sink.mails) == count)
    records = {}
    for line in w.p.run("dkim", "zone", "a.test").stdout.splitlines():
        name, text = line.split(" 3600 IN TXT ")
        records[name] = "".join(re.findall('"([^"]*)"', text))
    out = w.p.dir / "out"
    out.mkdir()
    for i, m in enumerate(w.sink.mails):
        data = re.sub(rb"(?m)^\.\.", b".", m["data"])
        assert len(signatures(data)) == 2
        (out / f"{i}.eml").write_bytes(data)
    (out / "records").write_text(json.dumps(records))
    bad = subprocess.run(["/usr/bin/python3", "-c", CHECKER, str(out)],
                         capture_output=True, text=True, check=True).stdout
    assert bad == ""


class OpenDkim:
    def __init__(self, directory, *lines):
        if not shutil.which("opendkim"):
            pytest.skip("opendkim is not installed")
        self.port = free_port()
        conf = directory / "opendkim.conf"
        conf.write_text("\n".join([
            f"Socket inet:{self.port}@127.0.0.1", "Syslog no",
            "RequireSafeKeys no", "AuthservID opendkim.test", *lines]) + "\n")
        self.process = subprocess.Popen(["opendkim", "-f", "-x", str(conf)],
                                        stderr=subprocess.DEVNULL)
        wait_for("opendkim", lambda: socket.create_connection(
            ("127.0.0.1", self.port), 1).close() or True)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def test_opendkim_verifies_what_we_sign(world, postern, tmp_path):
    w = world()
    zone = w.p.run("dkim", "zone", "a.test").stdout
    rsa, = [line for line in zone.splitlines() if line.startswith("rsa-")]
    name, text = rsa.split(". 3600 IN TXT ")
    keys = tmp_path / "keys"
    text = "".join(re.findall('"([^"]*)"', text))
    keys.write_text(f"{name} {text}\n")
    daemon = OpenDkim(tmp_path, "Mode v", f"TestPublicKeys {keys}",
                      "AlwaysAddARHeader yes")
    try:
        b = postern("b", name="mx.far.test", users={"bob@far.example": "b"},
                    options={"smtpd_milters": f"inet:127.0.0.1:{daemon.port}"})
        b.start()
        message = w.send(rcpt="bob@far.example", fields=["List-Id: <l.a.test>"],
                         body="one \r\n\r\n two\t\r\n\r\n\r\n")
        s = Smtp(b.host, b.port["smtp"])
        s.expect("EHLO x", 250)
        s.expect(f"MAIL FROM:<{ALICE}>", 250)
        s.expect("RCPT TO:<bob@far.example>", 250)
        s.expect("DATA", 354)
        s.send(message + b".\r\n")
        assert s.reply()[0] == 250
        mail, = inbox(b, "bob@far.example")
        results = re.search(rb"(?m)^Authentication-Results: opendkim\.test;"
                            rb"((?:.*\r\n[ \t])*.*)", mail).group(1)
        assert b"dkim=pass" in results and b"header.d=a.test" in results, mail
    finally:
        daemon.stop()


def test_we_verify_what_opendkim_signs(postern, dns, tmp_path):
    key = Key(tmp_path, bits=2048)
    key.path.chmod(0o600)
    ns = dns({"a.test": f"sel._domainkey TXT {zone_text(key.record())}"})
    for canon in ("simple/simple", "relaxed/relaxed", "relaxed/simple"):
        daemon = OpenDkim(tmp_path, "Mode s", "Domain a.test", "Selector sel",
                          f"KeyFile {key.path}", f"Canonicalization {canon}",
                          "OversignHeaders From")
        try:
            p = postern("o" + canon.replace("/", ""),
                        users={ALICE: "a", "bob@a.test": "b"}, options={
                            "smtpd_milters": f"inet:127.0.0.1:{daemon.port}",
                            "dns_resolvers": f"[127.0.0.1]:{ns.port}"}).start()
            p.send(ALICE, ["bob@a.test"], text="one \n\n two\t\n\n\n")
            mail, = inbox(p, "bob@a.test")
        finally:
            daemon.stop()
        file = tmp_path / "m.eml"
        file.write_bytes(mail)
        got, = json.loads(p.run("authenticate", "--json",
                                str(file)).stdout)["dkim"]
        assert (got["result"], got["domain"]) == ("pass", "a.test"), canon


def test_lines_that_are_broken_are_signed_as_they_go_out(world):
    """smtp_line_length_limit comes first."""
    w = world()
    mail = w.send(body="x" * 3000 + "\r\nend\r\n")
    assert b"x" * 3000 not in mail and b"x" * 998 + b"\r\n x" in mail
    assert w.verdicts(mail) == BOTH
