# SPDX-License-Identifier: ISC
"""The programs that scripts know Postfix by: sendmail, mailq, postqueue,
postsuper, postmap, postalias, newaliases, postconf."""

import json
import email
import email.utils
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from harness import POSTERN, Postern, Sink, wait_for
from test_smtpd import BOB, inbox


@pytest.fixture
def names(tmp_path):
    """Links in a folder, as make install-postfix-names makes them."""
    for name in ("sendmail", "mailq", "newaliases", "postqueue", "postsuper",
                 "postmap", "postalias", "postconf"):
        (tmp_path / name).symlink_to(POSTERN)
    return tmp_path


@pytest.fixture
def run(names):
    def call(p, name, *args, input="", **kw):
        r = subprocess.run(
            [str(names / name), *args], input=input, text=True,
            capture_output=True, timeout=60,
            env={**os.environ, "MAIL_CONFIG": str(p.dir)}, **kw)
        return r
    return call


@pytest.fixture
def one(postern):
    return postern("one", users={BOB: "b", "eve@example.test": "e"},
                   options={"myorigin": "example.test"}).start()


TEXT = "To: Bob <bob@example.test>\nSubject: hello\n\nfirst\n"


def test_sendmail_delivers(one, run):
    me = pwd.getpwuid(os.geteuid())
    assert run(one, "sendmail", BOB, input=TEXT).returncode == 0
    mail, = inbox(one)
    text = mail.decode()
    assert f"Return-Path: <{me.pw_name}@example.test>\r\n" in text
    assert re.search(r"Received: by mail\.example\.test \(postern, from userid "
                     rf"{me.pw_uid}\)\r\n\tid ", text)
    assert f"{me.pw_name}@example.test" in re.search(r"From: (.*)\r\n", text)[1]
    for field in ("Date: ", "Message-ID: <"):
        assert f"\r\n{field}" in text
    assert text.endswith("Subject: hello\r\n\r\nfirst\r\n") or \
        text.endswith("\r\n\r\nfirst\r\n")


def test_sendmail_t_takes_recipients_and_drops_bcc(one, run):
    r = run(one, "sendmail", "-t", "-oi", "-f", "news@example.test", "-F",
            "The News", input=(
                "To: bob@example.test,\n\t\"Group\": eve@example.test;\n"
                "Cc: bob@example.test\nBcc: eve@example.test\n"
                "Subject: x\n\na\n.\nb\n"))
    assert r.returncode == 0, r.stderr
    for user in (BOB, "eve@example.test"):
        mail, = inbox(one, user)
        assert b"Return-Path: <news@example.test>\r\n" in mail
        assert b"\r\nFrom: The News <news@example.test>\r\n" in mail
        assert b"Bcc" not in mail and mail.endswith(b"\r\n\r\na\r\n.\r\nb\r\n")


def test_a_lone_dot_ends_without_i(one, run):
    assert run(one, "sendmail", BOB, input=TEXT + ".\nnever\n").returncode == 0
    mail, = inbox(one)
    assert mail.endswith(b"\r\n\r\nfirst\r\n")


@pytest.mark.parametrize("args, text, code", [
    (["-t"], "Subject: s\n\nx\n", 64), ([], "x\n", 64),
    (["--", "-oX@example.test"], TEXT, 67), (["-bd"], "", 64),
    (["-f", "<>", BOB], TEXT, 0), (["a@x>\nRSET\n@example.test"], TEXT, 65),
    (["a\x7fb@example.test"], TEXT, 65),
    (["-f", "x\ny@example.test", BOB], TEXT, 65),
    (["-V", "a\r\nb", BOB], TEXT, 65), (["@@"], TEXT, 67)])
def test_sendmail_exit_codes(one, run, args, text, code):
    r = run(one, "sendmail", *args, input=text)
    assert r.returncode == code, r.stderr
    one.run("status")


def test_sendmail_without_a_server_is_temporary(one, run):
    one.stop()
    r = run(one, "sendmail", BOB, input=TEXT)
    assert r.returncode == 75 and "not running" in r.stderr


def test_any_user_may_submit_unless_forbidden(postern, run, names):
    if os.geteuid() != 0:
        pytest.skip("only root can become someone else")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        os.chmod(d, 0o755)
        shutil.copy(POSTERN, d + "/sendmail")
        p = postern(d + "/any", users={BOB: "b"}, options={
            "authorized_submit_users": "!games, static:anyone"})
        p.dir.chmod(0o755)
        (p.dir / "main.cf").chmod(0o644)
        (p.dir / "master.cf").chmod(0o644)
        p.start()

        def submit(user):
            return subprocess.run(
                [d + "/sendmail", BOB], input=TEXT, text=True, user=user,
                group=user if user != "nobody" else "nogroup",
                extra_groups=[], capture_output=True,
                env={**os.environ, "MAIL_CONFIG": str(p.dir)})
        r = submit("nobody")
        assert r.returncode == 0, r.stderr
        assert b"(postern, from userid 65534)" in inbox(p)[0]
        r = submit("games")
        assert r.returncode == 77 and "may not submit" in r.stderr
        assert len(inbox(p)) == 1
        p.stop()


@pytest.mark.parametrize("form, line", [
    ("standard", b"From: A Person <a@b.test>\r\n"),
    ("obsolete", b"From: a@b.test (A Person)\r\n")])
def test_the_form_of_from(postern, run, form, line):
    p = postern("one", users={BOB: "b"},
                options={"header_from_format": form}).start()
    run(p, "sendmail", "-f", "a@b.test", "-F", "A Person", BOB,
        input="Subject: s\n\nhello\n")
    assert line in inbox(p)[0]
    p.run("conf", "-e", "header_from_format=modern")
    r = p.run("check", check=False)
    assert r.returncode == 78 and "write standard" in r.stderr


def from_of(mail):
    value = email.message_from_bytes(mail)["From"]
    return email.utils.parseaddr(str(make_header(decode_header(value))))


@pytest.mark.parametrize("name, charset, want", [
    ('Dr. "X" Who', "utf-8", 'Dr. "X" Who'),
    ("J\u00fcrgen M\u00fcller", "utf-8", "J\u00fcrgen M\u00fcller"),
    (b"J\xfcrgen", "iso-8859-1", "J\u00fcrgen"),
    ("Eve\nBcc: all@example.test", "utf-8", "Eve Bcc: all@example.test")])
def test_names_of_all_kinds(postern, run, name, charset, want):
    p = postern("one", users={BOB: "b"},
                options={"full_name_encoding_charset": charset}).start()
    r = run(p, "sendmail", "-f", "a@b.test", "-F", name, BOB,
            input="Subject: s\n\nhello\n")
    assert r.returncode == 0, r.stderr
    mail, = inbox(p)
    assert from_of(mail) == (want, "a@b.test")
    assert mail.isascii() and b"\nBcc" not in mail


@pytest.mark.parametrize("how, lines", [
    ("always", [b"one", b"two"]), ("strict", [b"one", b"two"]),
    ("never", [b"one ", b"two"])])
def test_lines_that_end_in_crlf(postern, run, how, lines):
    p = postern("one", users={BOB: "b"},
                options={"sendmail_fix_line_endings": how}).start()
    # By the first line, for strict; a CR that is none of the end is a space.
    r = run(p, "sendmail", BOB, input="Subject: s\r\n\r\none\r\ntwo\n"
            if how != "never" else "Subject: s\n\none\r\ntwo\n")
    assert r.returncode == 0, r.stderr
    assert inbox(p)[0].split(b"\r\n\r\n")[-1].split(b"\r\n") == [*lines, b""]


@pytest.mark.parametrize("rcpt", ["", "<>"])
def test_the_empty_address(postern, run, rcpt):
    p = postern("one", users={BOB: "b"},
                options={"empty_address_recipient": BOB}).start()
    r = run(p, "sendmail", "-f", "a@b.test", rcpt, input="Subject: s\n\nx\n")
    assert r.returncode == 0, r.stderr
    assert len(inbox(p)) == 1


def test_as_whom_a_user_may_send(postern, run):
    me = pwd.getpwuid(os.geteuid()).pw_name
    p = postern("one", users={BOB: "b"}, options={
        "myorigin": "example.test", "local_login_sender_maps":
        f"inline:{{{{{me} = {me}, news@example.test @lists.test}}}}"}).start()

    def change(maps):
        p.stop()
        p.run("conf", "-e", f"local_login_sender_maps={maps}")
        p.start(add_users=False)

    for sender, may in (("NEWS@example.test", True), ("a@lists.test", True),
                        (f"{me}@example.test", True), (me, True),
                        ("a@example.test", False), ("<>", False),
                        (f"{me}@elsewhere.test", False)):
        r = run(p, "sendmail", "-f", sender, BOB, input=TEXT)
        assert (r.returncode == 0) == may, (sender, r.stderr)
        if not may:
            assert r.returncode == 77 and "may not send as" in r.stderr
    assert run(p, "sendmail", BOB, input=TEXT).returncode == 0
    assert len(inbox(p)) == 5
    # Nobody else is in the table; other ways in know nothing of it.
    change("inline:{{nobody-at-all = *}}")
    assert run(p, "sendmail", BOB, input=TEXT).returncode == 77
    change("")
    assert run(p, "sendmail", "-f", "x@y.test", BOB, input=TEXT).returncode == 0
    change(f"inline:{{{{{me} = <>}}}}")
    assert run(p, "sendmail", "-f", "<>", BOB, input=TEXT).returncode == 0
    assert run(p, "sendmail", BOB, input=TEXT).returncode == 77


def test_unknown_recipient_comes_back_as_a_bounce(one, run):
    assert run(one, "sendmail", "-f", BOB, "nobody-here@example.test",
               input=TEXT).returncode == 0
    mail, = wait_for("a bounce", lambda: inbox(one))
    assert b"nobody-here@example.test" in mail
    assert b"Content-Type: multipart/report" in mail


def test_sendmail_bs_speaks_smtp(one, run):
    r = run(one, "sendmail", "-bs", input=(
        f"EHLO x\r\nMAIL FROM:<{BOB}>\r\nRCPT TO:<{BOB}>\r\n"
        "BDAT 17\r\nSubject: s\r\n\r\nx\r\nBDAT 0 LAST\r\nQUIT\r\n"))
    codes = [line[:4] for line in r.stdout.splitlines() if line[3] == " "]
    assert codes == ["220 ", "250 ", "250 ", "250 ", "250 ", "250 ", "221 "]
    assert len(inbox(one)) == 1


def test_hostile_bytes_on_the_socket(one):
    """Attack 32: random bytes from a user of the machine."""
    path = f"{one.dir}/spool/public/pickup"
    pids = [r["pid"] for r in one.status()["roles"]]
    for data in (os.urandom(100000), b"\0" * 70000, b"A" * 100000,
                 b"BDAT 99999999999999999999\r\n", b""):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            try:
                s.sendall(data)
            except OSError:
                pass
    assert [r["pid"] for r in one.status()["roles"]] == pids


# ---- the queue ----

@pytest.fixture
def waiting(postern, run):
    """Two messages that cannot leave."""
    sink = Sink("127.0.0.5", 0, replies={"RCPT": "450 4.2.0 not now"})
    p = postern("queue", options={
        "relayhost": f"[127.0.0.5]:{sink.port}", "minimal_backoff_time": "300s",
        "maximal_backoff_time": "300s"}).start()
    p.sink = sink
    for to in ("x@far.example", "y@far.example"):
        assert run(p, "sendmail", "-f", "me@example.test", to,
                   input=TEXT).returncode == 0
    wait_for("two deferred", lambda: len([
        m for m in p.queue() if m["recipients"][0]["attempts"] > 0]) == 2)
    yield p
    sink.stop()


def test_mailq_and_postqueue(waiting, run):
    for command in (["mailq"], ["postqueue", "-p"], ["sendmail", "-bp"]):
        out = run(waiting, *command).stdout
        lines = out.splitlines()
        assert lines[0].startswith("-Queue ID-  --Size--")
        assert re.match(r"[0-9A-Z]+  +\d+ \w{3} \w{3} [ \d]\d [\d:]{8}  "
                        r"me@example.test$", lines[1])
        assert "not now" in lines[2] and lines[2].strip().startswith("(")
        assert lines[3] == " " * 41 + "x@far.example"
        assert re.match(r"-- \d+ Kbytes in 2 Requests\.", lines[-1])
    rows = [json.loads(line) for line in run(
        waiting, "postqueue", "-j").stdout.splitlines()]
    assert [r["queue_name"] for r in rows] == ["deferred"] * 2
    assert rows[0]["recipients"][0]["address"] == "x@far.example"
    assert "not now" in rows[0]["recipients"][0]["delay_reason"]


def test_postsuper(waiting, run):
    ids = [m["id"] for m in waiting.queue()]
    r = run(waiting, "postsuper", "-h", "ALL")
    assert r.returncode == 0 and "Placed on hold: 2 messages" in r.stderr
    assert f"{ids[0]}!" in run(waiting, "mailq").stdout
    waiting.sink.replies.clear()
    # Released, a message is tried at once.
    assert run(waiting, "postsuper", "-H", ids[0]).returncode == 0
    wait_for("mail at the sink", lambda: waiting.sink.mails)
    r = run(waiting, "postsuper", "-d", "-", input=ids[1] + "\n")
    assert r.returncode == 0 and "Deleted: 1 message" in r.stderr
    r = run(waiting, "postsuper", "-f", "ALL")
    assert r.returncode == 0 and "not supported" not in r.stderr
    wait_for("an empty queue", lambda: waiting.queue() == [])
    assert len(waiting.sink.mails) == 1
    assert run(waiting, "mailq").stdout == "Mail queue is empty\n"
    assert run(waiting, "postsuper").returncode == 64


def test_postqueue_flushes_one(waiting, run):
    ids = [m["id"] for m in waiting.queue()]
    waiting.sink.replies.clear()
    assert run(waiting, "postqueue", "-i", ids[0]).returncode == 0
    wait_for("mail at the sink", lambda: waiting.sink.mails)
    wait_for("one left", lambda: [m["id"] for m in waiting.queue()] == ids[1:])
    assert run(waiting, "sendmail", "-q").returncode == 0
    wait_for("an empty queue", lambda: waiting.queue() == [])


# ---- tables and parameters ----

def test_postmap(one, run, tmp_path):
    (tmp_path / "map").write_text("a@x.test one, two\nb three\n")
    spec = f"hash:{tmp_path}/map"
    r = run(one, "postmap", "-q", "A@x.test", spec)
    assert (r.returncode, r.stdout) == (0, "one, two\n")
    assert run(one, "postmap", "-q", "none", spec).returncode == 1
    r = run(one, "postmap", "-q", "-", spec, input="b\nnone\na@x.test\n")
    assert r.stdout == "b\tthree\na@x.test\tone, two\n"
    assert run(one, "postmap", str(tmp_path / "map")).returncode == 0
    assert not (tmp_path / "map.db").exists()
    r = run(one, "postmap", "-s", spec)
    assert r.stdout == "a@x.test\tone, two\nb\tthree\n"
    r = run(one, "postmap", "-q", "x", "hash:/nonexistent")
    assert r.returncode == 1 and "nonexistent" in r.stderr
    r = run(one, "postmap", "-q", "10.1.2.3", "cidr:{{10.0.0.0/8 yes}}")
    assert r.stdout == "yes\n"
    rules = "pcre:{{/^a/ first}, {/^(b)$/ second-$1} {/^c{2}$/ third}}"
    for key, value in (("ax", "first"), ("b", "second-b"), ("cc", "third")):
        assert run(one, "postmap", "-q", key, rules).stdout == value + "\n"


def test_postalias_newaliases_postconf(postern, run, tmp_path):
    (tmp_path / "aliases").write_text("team: a, b\nbroken\n")
    p = postern("conf", options={
        "alias_database": f"hash:{tmp_path}/aliases"})
    r = run(p, "postalias", "-q", "team", f"hash:{tmp_path}/aliases")
    assert r.stdout == "a, b\n"
    r = run(p, "newaliases")
    assert r.returncode == 0 and "line 2" in r.stderr
    assert run(p, "sendmail", "-bi").returncode == 0
    assert run(p, "postconf", "-h", "myhostname").stdout == p.name + "\n"
    assert run(p, "postconf", "-c", str(p.dir), "-e",
               "myorigin=x.test").returncode == 0
    assert run(p, "postconf", "myorigin").stdout == "myorigin = x.test\n"


# ---- users of the machine ----

@pytest.fixture
def shared():
    """A folder that every account can enter, and a server in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    made = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        os.chmod(d, 0o755)

        def make(**options):
            sink = Sink("127.0.0.5", 0, replies={"MAIL": "450 4.2.1 later"})
            made.append(sink)
            p = Postern(Path(d) / "p", users={BOB: "b"}, options={
                "relayhost": f"[127.0.0.5]:{sink.port}",
                "minimal_backoff_time": "600s",
                "maximal_backoff_time": "600s",
                "mynetworks": "127.0.0.0/8", **options})
            made.append(p)
            os.chmod(p.dir, 0o755)
            p.sink, p.for_all = sink, shutil.copy(POSTERN, d)
            p.start()
            for path in (p.dir, *p.dir.glob("*.cf")):
                os.chmod(path, 0o755)
            p.send(BOB, ["x@far.example"])
            wait_for("a try", lambda: p.queue()[0]["recipients"][0]["attempts"])
            return p
        yield make
        for x in reversed(made):
            x.stop()


def as_nobody(p, name, *args):
    return subprocess.run(
        [name, *args], executable=p.for_all, capture_output=True, text=True,
        timeout=60, user="nobody", group="nogroup", extra_groups=[],
        cwd="/", env={**os.environ, "MAIL_CONFIG": str(p.dir)})


def test_any_user_may_see_the_queue(shared):
    """Without a set-gid bit: who monitors a queue is not root."""
    p = shared()
    r = as_nobody(p, "mailq")
    assert r.returncode == 0 and "x@far.example" in r.stdout, r.stderr
    r = as_nobody(p, "postqueue", "-j")
    assert '"x@far.example"' in r.stdout, r.stderr
    assert as_nobody(p, "postqueue", "-p").stdout == as_nobody(
        p, "mailq").stdout
    # And have it tried; nothing else.
    assert as_nobody(p, "postqueue", "-i",
                     p.queue()[0]["id"]).returncode == 0
    p.sink.replies.clear()
    assert as_nobody(p, "postqueue", "-f").returncode == 0
    wait_for("the mail", lambda: p.sink.mails)
    for option in "dhHr":
        r = as_nobody(p, "postsuper", f"-{option}", "ALL")
        assert r.returncode != 0 and "root" in r.stderr, (option, r)


def test_users_who_may_not(shared):
    p = shared(authorized_mailq_users="root, operator",
               authorized_flush_users="!nobody, static:all")
    for name, args, param in (("mailq", (), "authorized_mailq_users"),
                              ("postqueue", ("-f",),
                               "authorized_flush_users"),
                              ("postqueue", ("-s", "far.example"),
                               "authorized_flush_users")):
        r = as_nobody(p, name, *args)
        assert r.returncode != 0 and f"{param} does not name nobody" in \
            r.stderr, r
    assert subprocess.run(["mailq"], executable=p.binary, text=True,
                          env={**os.environ, "MAIL_CONFIG": str(p.dir)},
                          capture_output=True).returncode == 0


def test_who_is_slow_at_that_door_delays_nobody(shared):
    """Half frames, frames that are too large, listings that nobody reads."""
    p = shared()
    path = next(p.dir.rglob("public/showq"))
    held = []
    for data in (b"\0", struct.pack("<II", 1 << 24, 45),
                 b"\xff" * 8, b"") * 8:
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        s.sendall(data)
        held.append(s)
    p.sink.replies.clear()
    p.send(BOB, ["y@far.example"])
    wait_for("the mail", lambda: [m for m in p.sink.mails
                                  if m["rcpts"] == ["y@far.example"]])
    assert p.queue()
    for s in held:
        s.close()
    wait_for("the door", lambda: as_nobody(p, "mailq").returncode == 0, 60)
    assert all(r["restarts"] == 0 for r in p.status()["roles"])


def test_that_door_is_not_for_crowds(shared):
    """Who is not root takes no descriptors from the queue, and no room from
    others for long."""
    p = shared()
    path = str(next(p.dir.rglob("public/showq")))
    pid = next(r["pid"] for r in p.status()["roles"] if r["role"] == "queue")
    open_files = Path(f"/proc/{pid}/fd")
    before = len(list(open_files.iterdir()))
    held = []
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(path)
        held.append(s)
    # The last one is sent away, so all before it were looked at.
    assert held[-1].recv(1) == b""
    assert len(list(open_files.iterdir())) <= before + 64 + 8
    p.queue()
    # Quiet ones go by themselves.
    s = held[0]
    s.settimeout(60)
    assert s.recv(1) == b""
    wait_for("the door", lambda: as_nobody(p, "mailq").returncode == 0, 60)
    for s in held:
        s.close()
