# SPDX-License-Identifier: ISC
"""Local delivery with the rights of an account: aliases, .forward, :include:,
|command, /file, mailbox_command, the mail spool."""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import Sink, Smtp, wait_for
from imap_client import Client

USER = "postern-test"


@pytest.fixture
def home():
    """The home of a system user, empty."""
    if os.geteuid() != 0:
        pytest.skip("only root can deliver as someone else")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--create-home", "--home",
                        f"/var/tmp/{USER}", USER], check=True)
    h = Path(pwd.getpwnam(USER).pw_dir)
    shutil.rmtree(h, ignore_errors=True)
    h.mkdir(mode=0o700)
    shutil.chown(h, USER, USER)
    yield h
    shutil.rmtree(h, ignore_errors=True)


@pytest.fixture
def public():
    """A folder that every account can write into."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        os.chmod(d, 0o1777)
        yield Path(d)


@pytest.fixture
def local(postern, public, home):
    """A server whose aliases are public/aliases; home_mailbox = mbox."""
    made = []

    def make(aliases, **options):
        (public / "aliases").write_text(aliases)
        settings = {"mydestination": "localhost, mail.example.test",
                    "alias_maps": f"hash:{public}/aliases",
                    "home_mailbox": "mbox", "recipient_delimiter": "+",
                    "local_recipient_maps": "unix:passwd.byname $alias_maps",
                    "minimal_backoff_time": "300s"}
        settings.update(options)
        sink = Sink("127.0.0.5", 0)
        made.append(sink)
        hop = f"[127.0.0.5]:{sink.port}"
        settings = {k: v.replace("SINK", hop) for k, v in settings.items()}
        p = postern("local", options={"relayhost": hop} | settings)
        p.sink = sink
        return p.start()
    yield make
    for sink in made:
        sink.stop()


def deliver(p, *to, sender="a@b.example", text="Subject: s\r\n\r\nFrom me\r\n"):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    for address in to:
        s.expect(f"RCPT TO:<{address}>", 250)
    s.expect("DATA", 354)
    s.send(text + ".\r\n")
    assert s.reply()[0] == 250
    s.close()


def settled(p):
    """All that is left in the queue was tried."""
    def check():
        rcpts = [r for m in p.queue() for r in m["recipients"]]
        return all(r["attempts"] > 0 for r in rcpts) and (rcpts or [None])
    found = wait_for("a settled queue", check)
    return [] if found == [None] else found


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_alias_to_a_command(local, public, home):
    prog = script(public / "prog", f"""
umask 022
{{ id -un; pwd; printf '%s\\n' "$@"; env | sort; }} > {public}/args
ls /proc/$$/fd > {public}/fds
cat > {public}/mail
""")
    p = local(f'robot: "|{prog} \'a b\' $SENDER $EXTENSION ${{RECIPIENT}} ;x"\n'
              .replace(" ;x", ""))
    deliver(p, "robot+`id`@localhost", sender="\"x;$(id)\"@b.example")
    assert settled(p) == []
    args = (public / "args").read_text().splitlines()
    assert args[0] == "nobody"  # default_privs: root owns the aliases
    # One argument each, and nothing that a careless script could run.
    assert args[2:6] == ["a b", "_x___id__@b.example", "_id_",
                         "robot+_id_@localhost"]
    env = dict(a.split("=", 1) for a in args[6:] if "=" in a)
    assert env["LOCAL"] == "robot+_id_" and env["DOMAIN"] == "localhost"
    assert env["USER"] == "nobody" and "CLIENT_ADDRESS" in env
    # 0 1 2, and what sh itself holds. Without a pipe: sh keeps its end of one
    # until it made the second process, which may be after ls looked.
    fds = (public / "fds").read_text().split()
    assert {"0", "1", "2"} < set(fds) and len(fds) <= 5, fds
    mail = (public / "mail").read_text()
    assert mail.startswith('From "x;$(id)"@b.example  ')
    assert "\nDelivered-To: robot+`id`@localhost\n" in mail
    assert "\r" not in mail and mail.endswith("\n\nFrom me\n")


@pytest.mark.parametrize("status, state, enhanced", [
    (0, None, ""), (75, "deferred", "4.3.0"), (67, "bounced", "5.1.1"),
    (1, "bounced", "5.3.0")])
def test_the_exit_status_of_a_command_decides(local, public, status, state,
                                              enhanced):
    prog = script(public / "prog", f"echo sorry, no; exit {status}\n")
    p = local(f'robot: "|{prog}"\n')
    deliver(p, "robot@localhost")
    if state == "bounced":
        mail = wait_for("a bounce", lambda: p.sink.mails)[0]
        assert f"Status: {enhanced}".encode() in mail["data"]
        assert b"sorry, no" in mail["data"]
        assert mail["rcpts"] == ["a@b.example"]
        wait_for("an empty queue", lambda: p.queue() == [])
    else:
        rest = settled(p)
        assert [r["state"] for r in rest] == ([state] if state else [])
        assert all("sorry, no" in r["reason"] for r in rest)
        assert not rest or f"dsn={enhanced}" in p.log()
    p.sink.stop()


@pytest.mark.parametrize("alias, reason", [
    ('"|/nonexistent/program"', "cannot run /nonexistent/program"),
    ('"|/bin/cat | /bin/cat"', "need a shell"),
    (":include:/nonexistent/list", "open /nonexistent/list"),
    ("/nonexistent/secret/", "")])
def test_our_own_mistakes_defer(local, alias, reason):
    p = local(f"broken: {alias}\n")
    assert (reason == "") == ("warning" not in "".join(
        line for line in p.run("check").stderr.splitlines()
        if "aliases" in line))
    deliver(p, "broken@localhost")
    rest = settled(p)
    assert [r["state"] for r in rest] == ["deferred"]
    assert reason in rest[0]["reason"]


def test_a_command_may_not_run_for_ever(local, public):
    prog = script(public / "prog", f"echo $$ > {public}/pid; sleep 600 & wait\n")
    p = local(f'robot: "|{prog}"\n', command_time_limit="1s")
    deliver(p, "robot@localhost")
    mail = wait_for("a bounce", lambda: p.sink.mails)[0]
    assert b"command time limit exceeded" in mail["data"]
    pid = int((public / "pid").read_text())
    wait_for("the end of all its children", lambda: subprocess.run(
        ["pgrep", "-s", str(pid)], capture_output=True).returncode == 1)


def test_include_owner_and_nesting(local, public):
    (public / "list").write_text(
        f"# members\nx@far.example, y@far.example\n  , x@far.example\n"
        f":include:{public}/more\nteam\n")
    (public / "more").write_text(f'z@far.example\n:include:{public}/list\n')
    p = local(f"team: :include:{public}/list\nowner-team: boss@far.example\n"
              f"both: team, other\nother: team, w@far.example\n")
    deliver(p, "both@localhost")
    wait_for("mail at the sink", lambda: len(p.sink.mails) == 2)
    wait_for("an empty queue", lambda: p.queue() == [])
    # Those of the list are its owner's, the other one is the sender's.
    assert {m["from"].split()[1]: sorted(m["rcpts"])
            for m in p.sink.mails} == {
        "FROM:<owner-team@mail.example.test>":
            [f"{c}@far.example" for c in "xyz"],
        "FROM:<a@b.example>": ["w@far.example"]}
    deliver(p, "team@localhost")
    mail = wait_for("mail at the sink",
                    lambda: p.sink.mails[2:] or None)[0]
    assert mail["from"].startswith("MAIL FROM:<owner-team@mail.example.test>")


def test_include_may_not_run_commands(local, public):
    (public / "list").write_text('"|/bin/cat"\n')
    p = local(f"team: :include:{public}/list\n")
    deliver(p, "team@localhost")
    mail = wait_for("a bounce", lambda: p.sink.mails)[0]
    assert b"mail to commands is restricted (include)" in mail["data"]


def test_commands_run_as_the_owner_of_the_alias_file(local, public, home):
    prog = script(public / "prog", f"id -un > {public}/who\n")
    (public / "own").write_text(f'robot: "|{prog}"\n')
    shutil.chown(public / "own", USER)
    p = local("x: y\n", alias_maps=f"hash:{public}/own")
    deliver(p, "robot@localhost")
    assert settled(p) == []
    assert (public / "who").read_text() == USER + "\n"


def test_forward(local, public, home):
    prog = script(public / "prog", f"umask 022; id -un > {public}/who; cat > {public}/mail\n")
    forward = home / ".forward"
    forward.write_text(f'\\{USER}, far@far.example\n"|{prog} $EXTENSION"\n'
                       f"{home}/copy\n")
    shutil.chown(forward, USER)
    p = local("alias: " + USER + "\n")
    deliver(p, f"alias@localhost")
    mail = wait_for("mail at the sink", lambda: p.sink.mails)[0]
    wait_for("an empty queue", lambda: p.queue() == [])
    assert mail["rcpts"] == ["far@far.example"]
    assert (public / "who").read_text() == USER + "\n"
    for name in ("mbox", "copy"):
        text = (home / name).read_text()
        assert text.count("\nSubject: s\n") == 1
        assert (home / name).stat().st_uid == pwd.getpwnam(USER).pw_uid
    # One for an extension comes before the general one.
    special = home / ".forward+news"
    special.write_text("news@far.example\n")
    deliver(p, f"{USER}+news@localhost")
    mail = wait_for("mail at the sink", lambda: p.sink.mails[1:])[0]
    assert mail["rcpts"] == ["news@far.example"]
    # Who could have written it counts: then the mailbox gets the mail.
    special.unlink()
    forward.chmod(0o666)
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    assert (home / "mbox").read_text().count("\nSubject: s\n") == 2
    assert len(p.sink.mails) == 2
    p.sink.stop()


def test_mailbox_command(local, public, home):
    prog = script(public / "prog", f"umask 022; echo \"$1|$USER|$HOME\" > {public}/who\n")
    p = local("", mailbox_command=f'{prog} "$EXTENSION"')
    deliver(p, f"{USER}+a.b@localhost")
    assert settled(p) == []
    assert (public / "who").read_text() == f"a.b|{USER}|{home}\n"
    assert not (home / "mbox").exists()


def test_mailbox_command_of_some(local, public, home):
    prog = script(public / "prog", f"umask 022; echo \"$1\" > {public}/who\n")
    table = public / "commands"
    table.write_text(f"{USER} {prog} $USER\n")
    p = local("", mailbox_command=f"{prog} all",
              mailbox_command_maps=f"texthash:{table}")
    deliver(p, f"{USER}+a.b@localhost")
    assert settled(p) == []
    assert (public / "who").read_text() == f"{USER}\n"
    table.write_text("somebody x\n")
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    assert (public / "who").read_text() == "all\n"
    # A table that cannot be read keeps the mail.
    table.unlink()
    deliver(p, f"{USER}@localhost")
    waiting, = settled(p)
    assert (public / "who").read_text() == "all\n"
    assert not (home / "mbox").exists()
    p.run("queue", "delete", "ALL")


@pytest.mark.parametrize("required", ["yes", "no"])
def test_a_home_that_is_not_there(local, public, home, required):
    prog = script(public / "prog", f"umask 022; echo \"$1\" > {public}/who\n")
    p = local("", mailbox_command=f"{prog} here",
              require_home_directory=required)
    home.rmdir()
    deliver(p, f"{USER}@localhost")
    waiting = settled(p)
    assert len(waiting) == (required == "yes")
    assert (public / "who").exists() == (required == "no")
    if waiting:
        assert f"the home of {USER} is not there" in str(waiting)
        p.run("queue", "delete", "ALL")


def sent(p):
    """Who got mail at the sink."""
    return sorted(r for m in p.sink.mails for r in m["rcpts"])


def test_mailbox_transport(local, home):
    """Aliases and .forward first; accounts are not asked for."""
    p = local(f"list: {USER}, nobody-here, far@far.example\n",
              mailbox_transport="smtp:SINK",
              mailbox_transport_maps="inline:{other=smtp:SINK}",
              local_recipient_maps="")
    deliver(p, f"{USER}+ext@localhost", "other@localhost")
    deliver(p, "list@localhost")
    assert settled(p) == []
    assert sent(p) == [
        "far@far.example", "nobody-here@mail.example.test", "other@localhost",
        f"{USER}+ext@localhost", f"{USER}@mail.example.test"]
    assert not (home / "mbox").exists()
    p.sink.mails.clear()
    (home / ".forward").write_text(f"\\{USER}, away@far.example\n")
    shutil.chown(home / ".forward", USER)
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    assert sent(p) == ["away@far.example", f"{USER}@localhost"]


def test_nobody_gets_twice_what_is_tried_again(local, public, home):
    """A member of the list fails for a while."""
    script(public / "prog", "exit 75\n")
    p = local(f"list: {USER}, other, \"|{public}/prog\"\n",
              mailbox_transport="smtp:SINK", local_recipient_maps="",
              minimal_backoff_time="1s")
    deliver(p, "list@localhost")
    wait_for("two tries", lambda: any(
        r["attempts"] > 1 for m in p.queue() for r in m["recipients"]))
    assert sent(p) == []
    script(public / "prog", "exit 0\n")
    wait_for("an empty queue", lambda: p.queue() == [])
    assert sent(p) == ["other@mail.example.test",
                       f"{USER}@mail.example.test"]


@pytest.mark.parametrize("spec", ["local", "local:x"])
def test_mail_that_is_handed_to_where_it_comes_from(local, home, spec):
    p = local("", mailbox_transport_maps="inline:{%s=%s}" % (USER, spec))
    deliver(p, f"{USER}@localhost", sender="")
    wait_for("an end", lambda: "loop" in p.log() and p.queue() == [])
    assert p.log().count(" passed on ") <= 1


def test_mailbox_transport_is_the_built_in_store(local, home):
    """Users of the system read their mail by IMAP."""
    p = local("", mailbox_transport="virtual")
    p.run("user", "add", f"{USER}@localhost", "--password-stdin", input="x-1\n")
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    c = Client(p, f"{USER}@localhost", "x-1")
    assert b"1 EXISTS" in c.cmd("SELECT INBOX")[0]
    c.close()
    assert not (home / "mbox").exists()


@pytest.mark.parametrize("options, rcpt", [
    ({"fallback_transport": "smtp:SINK"}, "who+x@localhost"),
    ({"fallback_transport_maps": "inline:{who=smtp:SINK}"}, "who+x@localhost"),
    ({"luser_relay": "$user@far.example"}, "who@far.example"),
    ({"luser_relay": "catch.$domain+$extension@far.example"},
     "catch.localhost+x@far.example")])
def test_users_without_an_account(local, home, options, rcpt):
    p = local("", local_recipient_maps="", **options)
    deliver(p, "who+x@localhost")
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    assert sent(p) == [rcpt]
    assert "\nSubject: s\n" in (home / "mbox").read_text()


def test_luser_relay_of_many(local, home):
    """Once for all."""
    p = local("two: no-one, no-body\n", local_recipient_maps="",
              luser_relay="catch@far.example")
    deliver(p, "two@localhost")
    assert settled(p) == []
    assert sent(p) == ["catch@far.example"]


def test_a_catcher_that_is_not_there(local, home):
    p = local("", local_recipient_maps="", luser_relay="gone@localhost")
    deliver(p, "no-one@localhost", sender="a@far.example")
    wait_for("the report", lambda: "a@far.example" in sent(p))
    assert b'unknown user: "gone"' in p.sink.mails[-1]["data"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_mail_spool(local, public, home, slash):
    spool = public / "mail"
    spool.mkdir()
    shutil.chown(spool, "root", "mail")
    spool.chmod(0o2775)
    p = local("", home_mailbox="", mail_spool_directory=f"{spool}{slash}")
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    box = spool / USER
    st = box.stat()
    assert (st.st_uid, st.st_gid) == (pwd.getpwnam(USER).pw_uid,
                                      grp.getgrnam("mail").gr_gid)
    text = (next((box / "new").iterdir()) if slash else box).read_text()
    assert "\nSubject: s\n" in text
    assert [f.name for f in spool.iterdir()] == [USER]  # no lock is left


def ask_master(p, action, user, target):
    """What a role that was taken over could send to master."""
    def text(s):
        return (b"\xff\xff\xff\xff" if s is None else
                len(s).to_bytes(4, "little") + s.encode())
    payload = bytes([action]) + b"".join(
        text(s) for s in (user, target, "", "a@b", "r@x", "r@x", "", "", "",
                          "", "", "", ""))
    payload += (25).to_bytes(4, "little") + text("ID") + text("x")
    payload += (1).to_bytes(4, "little") + b"".join(
        text(s) for s in ("r@x", "r@x", "r", ""))
    body = os.memfd_create("body")
    os.write(body, b"Subject: s\r\n\r\nx\r\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect(f"{p.dir}/spool/run/master.sock")
        socket.send_fds(s, [len(payload).to_bytes(4, "little")
                            + (81).to_bytes(4, "little") + payload], [body])
        answer = s.recv(4096)
    os.close(body)
    return int.from_bytes(answer[4:8], "little"), answer


@pytest.mark.parametrize("action", [2, 3, 4])  # file, command, read
def test_master_does_not_take_a_roles_word(local, public, home, action):
    (home / "secret").write_text("x@y\n")
    shutil.chown(home / "secret", USER)
    prog = script(public / "prog", f"id -un > {public}/who\n")
    target = {2: f"{home}/secret", 3: str(prog), 4: f"{home}/secret"}[action]
    p = local("x: y\n")
    assert p.run("status")
    kind, answer = ask_master(p, action, USER, target)
    assert kind == 2 and b"does not stand in the .forward" in answer
    assert (home / "secret").read_text() == "x@y\n"
    assert not (public / "who").exists()
    kind, answer = ask_master(p, action, "root", target)
    assert kind == 2 and b"root" in answer
    # With the user's own word it works.
    (home / ".forward").write_text(
        {2: target, 3: f'"|{target}"', 4: f":include:{target}"}[action] + "\n")
    shutil.chown(home / ".forward", USER)
    assert ask_master(p, action, USER, target)[0] == 1


def test_a_role_names_pipe_transports_only(local, public, home):
    p = local("x: y\n")
    for target in ("/bin/sh", "smtp", "prog", ""):
        kind, answer = ask_master(p, 5, USER, target)
        assert kind == 2 and b"no pipe transport" in answer
    assert ask_master(p, 7, USER, "x")[0] == 2
