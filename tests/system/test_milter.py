# SPDX-License-Identifier: ISC
"""Mail filters: a scripted one that sees and says everything, and real ones."""

import shutil
import socket
import struct
import subprocess

import pytest

from harness import Server, Smtp, free_port, wait_for
from test_smtpd import BOB, inbox, logged_in, open_mx

CONTINUE = b"c"


def packet(data):
    return struct.pack(">I", len(data)) + data


class Milter(Server):
    """Answers each command with answers[command]; keeps what it was told."""

    def __init__(self, answers=None, steps=0, actions=0x1ff, version=6,
                 options=b""):
        self.answers = answers or {}
        self.mute = steps & 0x4000
        self.options = struct.pack(">III", version, actions, steps) + options
        self.events = []
        super().__init__()

    def serve(self, conn):
        file = conn.makefile("rb")
        try:
            while True:
                head = file.read(4)
                if len(head) < 4:
                    return
                data = file.read(struct.unpack(">I", head)[0])
                command, data = data[:1], data[1:]
                self.events.append((command.decode(), data))
                if command == b"O":
                    conn.sendall(packet(b"O" + self.options))
                elif command in b"DAQ" or (command == b"M" and self.mute):
                    continue
                else:
                    reply = self.answers.get(command.decode(), CONTINUE)
                    if callable(reply):
                        reply = reply(data)
                    if reply is None:
                        return
                    if isinstance(reply, list):
                        reply = b"".join(packet(r) for r in reply)
                    elif not isinstance(reply, bytearray):
                        reply = packet(reply)
                    conn.sendall(reply)
        except OSError:
            pass
        finally:
            file.close()
            conn.close()

    def told(self, command):
        return [data for c, data in self.events if c == command]

    def macros(self, command):
        """All macros that came with a command."""
        found = {}
        for data in self.told("D"):
            if data[:1] == command.encode():
                words = data[1:].split(b"\0")
                found.update(zip(words[::2], words[1::2]))
        return {k.decode(): v.decode() for k, v in found.items()}


def with_milters(postern, *milters, **options):
    where = ", ".join(f"inet:127.0.0.1:{m.port}" for m in milters)
    settings = {"smtpd_milters": where, "milter_default_action": "tempfail",
                **options}
    return postern("milter", users={BOB: "b", "alice@example.test": "a",
                                    "eve@example.test": "e"},
                   options=settings).start()


MAIL = b"Subject: s\r\nX-One: 1\r\nX-One: 2\r\n\r\nline\r\n..dot\r\n.\r\n"


def submit(p, *rcpts, sender="a@b.example", text=MAIL):
    s = open_mx(p)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    for r in rcpts or (BOB,):
        s.expect(f"RCPT TO:<{r}>", 250)
    s.expect("DATA", 354)
    s.send(text)
    reply = s.reply()
    s.close()
    return reply


def test_a_filter_is_told_everything(postern):
    m = Milter()
    p = with_milters(postern, m)
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("FOO bar", 500)
    s.expect("DATA", 354)
    s.send(MAIL)
    assert s.reply()[0] == 250
    s.expect("MAIL FROM:<>", 250)
    s.expect("RSET", 250)
    s.expect("QUIT", 221)
    s.close()
    wait_for("QUIT at the filter", lambda: m.told("Q"))
    order = "".join(c for c, _ in m.events if c != "D")
    # Our own Received is not shown; three header fields are.
    assert order == "OCHMRUTLLLNBEMAQ"
    version, actions, _ = struct.unpack(">III", m.told("O")[0])
    assert version == 6 and actions == 0x1ff
    connect = m.told("C")[0]
    assert connect.startswith(b"localhost\x004") and connect.endswith(
        b"127.0.0.1\0")
    assert m.told("H") == [b"client.example\0"]
    assert m.told("M") == [b"<a@b.example>\0", b"<>\0"]
    assert m.told("R") == [b"<" + BOB.encode() + b">\0"]
    assert m.told("L") == [b"Subject\0s\0", b"X-One\x001\0", b"X-One\x002\0"]
    assert m.told("B") == [b"line\r\n.dot\r\n"]
    assert m.macros("C")["j"] == p.name
    assert m.macros("C")["{daemon_name}"] == p.name
    assert m.macros("M")["{mail_addr}"] in ("a@b.example", "")
    assert m.macros("R")["{rcpt_addr}"] == BOB
    assert m.macros("R")["{rcpt_mailer}"] == "store"
    assert m.macros("E")["i"] in p.log()


def test_authentication_and_tls_macros(postern):
    m = Milter()
    p = with_milters(postern, m)
    s = logged_in(p)
    s.expect("MAIL FROM:<alice@example.test>", 250)
    s.close()
    assert m.macros("M")["{auth_authen}"] == "alice@example.test"
    assert m.macros("M")["{auth_type}"] == "PLAIN"
    assert m.macros("H")["{tls_version}"].startswith("TLSv1.")
    assert int(m.macros("H")["{cipher_bits}"]) >= 128
    assert len(m.told("C")) == 1 and len(m.told("H")) == 2


@pytest.mark.parametrize("command, reply, code, text", [
    ("M", b"r", 550, "5.7.1"), ("M", b"t", 451, "4.7.1"),
    ("M", b"y550 5.1.8 who are you\0", 550, "5.1.8 who are you"),
    ("M", b"y451 later\0", 451, "4.7.1 later"),
    ("R", b"r", 550, "5.7.1"), ("R", b"y450 4.2.1 grey\0", 450, "4.2.1 grey"),
    ("T", b"r", 550, "5.7.1"), ("L", b"r", 550, "5.7.1"),
    ("N", b"t", 451, "4.7.1"), ("B", b"r", 550, "5.7.1"),
    ("E", b"r", 550, "5.7.1"), ("E", b"y554 5.7.1 spam\0", 554, "spam")])
def test_a_filter_refuses(postern, command, reply, code, text):
    """Refused where it says so; afterwards the state is as after any refusal."""
    said = [reply]
    m = Milter({command: lambda data: said.pop() if said else CONTINUE})
    p = with_milters(postern, m)
    s = open_mx(p)
    got = s.cmd("MAIL FROM:<a@b.example>")
    if command != "M":
        assert got[0] == 250
        got = s.cmd(f"RCPT TO:<{BOB}>")
        if command != "R":
            assert got[0] == 250
            got = s.cmd("DATA")
            if command != "T":
                assert got[0] == 354
                s.send(MAIL)
                got = s.reply()
    assert got[0] == code and text in got[1]
    if command == "R":  # this recipient only
        s.expect("DATA", 554)
        s.expect("RCPT TO:<eve@example.test>", 250)
        s.expect("RSET", 250)
    else:
        s.expect("RCPT TO:<eve@example.test>", 503)
        s.expect("DATA", 503)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(MAIL)
    assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 1


@pytest.mark.parametrize("command", ["C", "H"])
def test_refused_before_mail_is_said_at_mail(postern, command):
    p = with_milters(postern, Milter({command: b"y550 5.7.1 no\0"}))
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 550)
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.close()


def test_shutdown_ends_the_session(postern):
    p = with_milters(postern, Milter({"M": b"4"}))
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 421)
    with pytest.raises(EOFError):
        s.reply()
    s.close()


def test_accept_and_discard_and_quarantine(postern):
    m = Milter({"M": lambda d: b"a" if b"accept" in d else CONTINUE,
                "R": lambda d: CONTINUE,
                "E": lambda d: [b"qvirus\0", b"c"],
                "N": lambda d: b"d" if m.told("M")[-1] == b"<drop@x>\0"
                else CONTINUE})
    p = with_milters(postern, m)
    assert submit(p, sender="accept@x")[0] == 250
    assert m.told("R") == [] and m.told("E") == []
    assert len(inbox(p)) == 1
    assert submit(p, sender="drop@x")[0] == 250
    assert submit(p, sender="hold@x")[0] == 250
    held, = p.queue()
    assert held["sender"] == "hold@x" and held["state"] == "hold"
    assert len(inbox(p)) == 1
    assert "virus" in p.log()


def u32(n):
    return struct.pack(">I", n)


def test_changes_of_header_body_and_envelope(postern):
    body = b"new body\nwithout CR\r\n.\r\nend"
    m = Milter({"E": [
        b"hX-Added\0by filter\n second line\0",
        b"i" + u32(1) + b"X-First\0f\0", b"i" + u32(0) + b"X-Top\0t\0",
        b"m" + u32(2) + b"X-One\0two\0", b"m" + u32(1) + b"x-one\0\0",
        b"m" + u32(1) + b"X-New\0n\0", b"m" + u32(7) + b"Subject\0\0",
        b"b" + body[:10], b"b" + body[10:],
        b"hBad Name\0x\0", b"hX-Smuggle\0a\r\n.\r\nX-Evil: 1\0",
        b"+<eve@example.test>\0", b"-<" + BOB.encode() + b">\0",
        b"+<<>\0", b"e<new@sender.example>\0", b"p", b"a"]})
    p = with_milters(postern, m)
    assert submit(p)[0] == 250
    assert inbox(p, BOB) == []
    mail, = inbox(p, "eve@example.test")
    assert mail.startswith(b"Return-Path: <new@sender.example>\r\n")
    head, _, rest = mail.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = [line.split(b":")[0] for line in lines if line[:1] not in b" \t"]
    at = names.index(b"X-Top")
    assert names[at:] == [b"X-Top", b"Received", b"X-First", b"Subject",
                          b"X-One", b"X-Added", b"X-New", b"X-Smuggle"]
    assert b"X-One: two" in lines and b"X-Evil: 1" not in lines
    assert b"X-Added: by filter" in lines and b" second line" in lines
    assert rest == b"new body\r\nwithout CR\r\n.\r\nend\r\n"


@pytest.mark.parametrize("changes, got", [
    ([b"-<bob@example.test>\0", b"+<eve@example.test>\0"], (0, 1)),
    ([b"+<eve@example.test>\0", b"-<bob@example.test>\0"], (0, 1)),
    ([b"-<bob@example.test>\0"], (0, 0))])
def test_recipients_are_counted_when_all_is_said(postern, changes, got):
    """Who takes the only recipient away and names another loses no mail."""
    p = with_milters(postern, Milter({"E": [*changes, b"c"]}))
    assert submit(p)[0] == 250
    assert (len(inbox(p)), len(inbox(p, "eve@example.test"))) == got


def test_another_filter_may_add_the_only_recipient(postern):
    p = with_milters(postern, Milter({"E": [b"-<bob@example.test>\0", b"c"]}),
                     Milter({"E": [b"+<eve@example.test>\0", b"c"]}))
    assert submit(p)[0] == 250
    assert len(inbox(p, "eve@example.test")) == 1


@pytest.mark.parametrize("action", ["REDIRECT eve@example.test", "HOLD",
                                    "DISCARD"])
def test_a_refused_recipient_leaves_nothing(postern, action):
    """What a list wanted for a recipient goes with the recipient."""
    m = Milter({"R": lambda d: b"r" if b"eve" in d else CONTINUE})
    p = with_milters(postern, m, smtpd_recipient_restrictions=
                     "check_recipient_access inline:{{eve@example.test="
                     f"{action}}}}}")
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<eve@example.test>", 550)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(MAIL)
    assert s.reply()[0] == 250
    s.close()
    assert len(inbox(p)) == 1 and p.queue() == []


def test_a_refusal_is_of_one_client(postern):
    """XCLIENT begins another session: the filter is asked anew."""
    m = Milter({"C": lambda d: b"y550 5.7.1 no\0" if b"127.0.0.1" in d
                else CONTINUE})
    p = with_milters(postern, m, smtpd_authorized_xclient_hosts="127.0.0.1")
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 550)
    s.expect("XCLIENT ADDR=192.0.2.1", 220)
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.close()


def test_the_real_client_behind_a_proxy_is_filtered(postern):
    """XCLIENT begins a session of somebody else: it has filters of its own,
    also where the proxy has none."""
    m = Milter({"M": b"r"})
    p = with_milters(postern, m, smtpd_authorized_xclient_hosts="127.0.0.1",
                     smtpd_milter_maps="inline:{{127.0.0.1=DISABLE}}")
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RSET", 250)
    s.expect("XCLIENT ADDR=192.0.2.1", 220)
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 550)
    s.close()
    assert b"192.0.2.1" in m.told("C")[-1]


def test_filters_of_a_client_of_its_own(postern, tmp_path):
    m, own = Milter(), Milter({"M": b"r"})
    table = tmp_path / "milters.cidr"
    table.write_text(f"127.0.0.9 {{ inet:127.0.0.1:{own.port}, "
                     "default_action=accept }\n")
    p = with_milters(postern, m, smtpd_milter_maps=f"cidr:{table}")
    assert submit(p)[0] == 250
    assert len(m.told("E")) == 1 and own.connections == 0
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.9")
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 550)
    s.close()
    assert len(m.told("E")) == 1 and own.connections == 1


@pytest.mark.parametrize("action, codes, found", [
    ("REDIRECT alice@example.test", 250, "alice"), ("DISCARD", 250, None),
    ("HOLD", 250, "hold"), ("IGNORE", 250, "without"),
    ("REPLACE X-Verdict: other", 250, "replaced"),
    ("REJECT no", 250, "unchanged")])
def test_milter_header_checks(postern, tmp_path, action, codes, found):
    table = tmp_path / "checks"
    table.write_text(f"/^X-Verdict: spam/ {action}\n")
    m = Milter({"E": [b"hX-Verdict\0spam\0", b"c"]})
    p = with_milters(postern, m, milter_header_checks=f"regexp:{table}")
    # What the client writes itself is not for this table.
    assert submit(p, text=b"X-Verdict: spam\r\nSubject: s\r\n\r\nx\r\n.\r\n")[0] \
        == codes
    bob, alice = inbox(p), inbox(p, "alice@example.test")
    if found == "alice":
        assert len(alice) == 1 and bob == []
    elif found == "hold":
        assert p.queue()[0]["state"] == "hold"
    elif found is None:
        assert bob == alice == [] and p.queue() == []
    else:
        said, = bob
        assert said.count(b"X-Verdict: spam") == \
            (2 if found == "unchanged" else 1)
        assert (b"X-Verdict: other" in said) == (found == "replaced")


def test_a_second_filter_sees_what_the_first_changed(postern):
    first = Milter({"E": [b"hX-Spam\0yes\0", b"b" + b"other\r\n", b"c"]})
    second = Milter()
    p = with_milters(postern, first, second)
    assert submit(p)[0] == 250
    assert b"X-Spam\0yes\0" in second.told("L")
    assert second.told("B") == [b"other\r\n"]


def test_large_body_in_pieces_and_skip(postern):
    text = b"Subject: s\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"y" * 70) * 5000
    pieces = []
    m = Milter({"B": lambda d: pieces.append(d) or CONTINUE})
    skip = Milter({"B": b"s", "E": [b"hX-Seen\0yes\0", b"a"]})
    p = with_milters(postern, m, skip)
    assert submit(p, text=text + b"\r\n.\r\n")[0] == 250
    assert b"".join(pieces) == text.partition(b"\r\n\r\n")[2] + b"\r\n"
    assert max(map(len, pieces)) == 65535
    assert len(skip.told("B")) == 1
    mail, = inbox(p)
    assert b"\r\nX-Seen: yes\r\n" in mail
    assert mail.endswith(text[-3000:] + b"\r\n")


def test_a_filter_that_wants_little(postern):
    """No connect, helo, headers; mute mail; macros as it likes; own blanks."""
    steps = 0x1 | 0x2 | 0x20 | 0x40 | 0x4000 | 0x100000
    m = Milter({"E": [b"hX-A\0 blank\0", b"hX-B\0none\0", b"c"]}, steps=steps,
               options=u32(5) + b"j {client_addr}\0")
    p = with_milters(postern, m)
    assert submit(p)[0] == 250
    assert "".join(c for c, _ in m.events if c not in "DQ") == "OMRTBE"
    assert m.macros("E") == {"j": p.name, "{client_addr}": "127.0.0.1"}
    mail, = inbox(p)
    assert b"\r\nX-A: blank\r\n" in mail and b"\r\nX-B:none\r\n" in mail


BROKEN = {"close": None, "garbage": b"\xff\xfe", "empty": bytearray(4),
          "huge": bytearray(b"\xff\xff\xff\xff"),
          "cut": bytearray(b"\0\0\0\x09cont"), "wrong": b"s",
          "no reply code": b"yabc\0", "no NUL": b"y550 5.7.1 x"}


@pytest.mark.parametrize("command", ["C", "M", "R", "L", "E"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_filter_gives_the_default_action(postern, command, how):
    m = Milter({command: BROKEN[how]})
    p = with_milters(postern, m, milter_command_timeout="1s",
                     milter_content_timeout="1s")
    s = open_mx(p)
    codes = [s.cmd("MAIL FROM:<a@b.example>")[0],
             s.cmd(f"RCPT TO:<{BOB}>")[0], s.cmd("DATA")[0]]
    if codes[2] == 354:
        s.send(MAIL)
        codes.append(s.reply()[0])
    assert 451 in codes and inbox(p) == []
    # It stays broken for this session, and only for this one.
    s.expect("RSET", 250)
    s.expect("MAIL FROM:<a@b.example>", 451)
    s.close()
    m.answers = {}
    assert submit(p)[0] == 250
    assert "milter failed" in p.log()


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_change_that_is_cut_changes_nothing(postern, cut):
    """The connection is lost in the middle of the changes: attack 76."""
    whole = b"".join(packet(r) for r in (
        b"hX-A\0a\0", b"b" + b"replaced body\r\n", b"-<" + BOB.encode() +
        b">\0"))
    m = Milter()

    def answer(data):
        # The bytes up to the cut, and then the end of the connection.
        return bytearray(whole[:cut])
    m.answers = {"E": answer}
    p = with_milters(postern, m, milter_default_action="accept",
                     milter_content_timeout="1s")
    assert submit(p)[0] == 250
    mail, = inbox(p)
    assert b"X-A" not in mail and mail.endswith(b"line\r\n.dot\r\n")


@pytest.mark.parametrize("action, code", [
    ("accept", 250), ("reject", 550), ("tempfail", 451), ("shutdown", 421),
    ("quarantine", 250)])
def test_default_actions_of_a_dead_filter(postern, action, code):
    port = free_port()
    p = postern("dead", users={BOB: "b"}, options={
        "smtpd_milters": f"{{ inet:127.0.0.1:{port}, default_action={action},"
                         " connect_timeout=2s }"}).start()
    s = Smtp(p.host, p.port["smtp"], greet=False)
    if action == "shutdown":
        assert s.reply()[0] == 421
        s.close()
        return
    assert s.reply()[0] == 220
    s.expect("EHLO a.example", 250)
    s.expect("MAIL FROM:<a@b.example>", code)
    s.close()
    if action == "quarantine":
        assert submit(p)[0] == 250
        assert [m["state"] for m in p.queue()] == ["hold"]


def test_milter_maps_disable(postern, tmp_path):
    table = tmp_path / "milters.cidr"
    table.write_text("127.0.0.0/8 DISABLE\n")
    m = Milter({"M": b"r"})
    p = with_milters(postern, m, smtpd_milter_maps=f"cidr:{table}")
    assert submit(p)[0] == 250
    assert m.connections == 0


def test_check_names_a_bad_filter(postern):
    p = postern("bad", options={
        "smtpd_milters": "nowhere, {inet:127.0.0.1:1, foo=3}",
        "milter_default_action": "explode"})
    r = p.run("check", check=False)
    assert r.returncode == 78
    for word in ("nowhere", "foo=3", "milter_default_action"):
        assert word in r.stderr


def test_opendkim_signs_and_verifies(postern, tmp_path):
    if not shutil.which("opendkim"):
        pytest.skip("opendkim is not installed")
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True,
                   capture_output=True)
    key.chmod(0o600)
    port = free_port()
    conf = tmp_path / "opendkim.conf"
    conf.write_text(f"Domain example.test\nSelector s1\nKeyFile {key}\n"
                    f"Socket inet:{port}@127.0.0.1\nMode s\nSyslog no\n"
                    "RequireSafeKeys no\nCanonicalization simple/simple\n")
    daemon = subprocess.Popen(["opendkim", "-f", "-x", str(conf)],
                              stderr=subprocess.DEVNULL)
    try:
        wait_for("opendkim", lambda: socket.create_connection(
            ("127.0.0.1", port), 1).close() or True)
        p = postern("dkim", users={BOB: "b", "alice@example.test": "a"},
                    options={"smtpd_milters": f"inet:127.0.0.1:{port}"}).start()
        p.send("alice@example.test", [BOB], text="signed\n")
        mail, = inbox(p)
    finally:
        daemon.terminate()
        daemon.wait(10)
    dkim = pytest.importorskip("dkim")
    public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout"],
                            check=True, capture_output=True).stdout
    record = b"v=DKIM1; k=rsa; p=" + b"".join(
        public.split(b"\n")[1:-2])
    start = mail.index(b"DKIM-Signature:")
    assert dkim.verify(mail[start:], dnsfunc=lambda name, timeout=5: record)


def test_rspamd_scans(postern, tmp_path):
    if not shutil.which("rspamd"):
        pytest.skip("rspamd is not installed")
    proxy, normal = free_port(), free_port()
    conf = tmp_path / "rspamd.conf"
    conf.write_text(f"""
options {{ pidfile = "{tmp_path}/pid"; dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }} local_addrs = []; }}
logging {{ type = "file"; filename = "{tmp_path}/rspamd.log"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{normal}"; count = 1; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{proxy}"; milter = yes; count = 1;
  upstream "local" {{ default = yes; hosts = "127.0.0.1:{normal}"; self_scan = yes; }} }}
metric {{ name = "default"; actions {{ reject = 15; add_header = 6; greylist = 4; }}
  symbol {{ name = "GTUBE"; weight = 100; }} }}
""")
    daemon = subprocess.Popen(["rspamd", "-f", "-i", "-c", str(conf)],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wait_for("rspamd", lambda: socket.create_connection(
            ("127.0.0.1", proxy), 1).close() or True)
        p = postern("rspamd", users={BOB: "b"}, options={
            "smtpd_milters": f"inet:127.0.0.1:{proxy}"}).start()
        assert submit(p)[0] == 250
        gtube = (b"Subject: s\r\n\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*"
                 b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n.\r\n")
        code, text = submit(p, text=gtube)
        assert code == 554 and "5.7.1" in text
        assert len(inbox(p)) == 1
    finally:
        daemon.terminate()
        daemon.wait(10)


def test_clamav_refuses_a_virus(postern, tmp_path):
    """clamd with one signature of our own, behind clamav-milter."""
    if not (shutil.which("clamd") and shutil.which("clamav-milter")):
        pytest.skip("clamav-milter is not installed")
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-" \
        rb"FILE!$H+H*"
    (tmp_path / "db").mkdir()
    (tmp_path / "db/own.ndb").write_text(f"Eicar-Test:0:0:{eicar.hex()}\n")
    port, clamd = free_port(), tmp_path / "clamd.conf"
    clamd.write_text(f"LocalSocket {tmp_path}/clamd.sock\n"
                     f"DatabaseDirectory {tmp_path}/db\n"
                     "Foreground yes\nUser root\n")
    milter = tmp_path / "milter.conf"
    milter.write_text(f"MilterSocket inet:{port}@127.0.0.1\n"
                      f"ClamdSocket unix:{tmp_path}/clamd.sock\n"
                      "Foreground yes\nUser root\nOnInfected Reject\n"
                      "RejectMsg virus %v\nAddHeader Replace\n")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemons = [subprocess.Popen(["clamd", "-c", str(clamd)], **quiet)]
    try:
        wait_for("clamd", lambda: (tmp_path / "clamd.sock").exists(), 60)
        daemons.append(subprocess.Popen(
            ["clamav-milter", "-c", str(milter)], **quiet))
        wait_for("clamav-milter", lambda: socket.create_connection(
            ("127.0.0.1", port), 1).close() or True)
        p = postern("clamav", users={BOB: "b"}, options={
            "smtpd_milters": f"inet:127.0.0.1:{port}"}).start()
        assert submit(p)[0] == 250
        code, text = submit(
            p, text=b"Subject: s\r\n\r\n" + eicar + b"\r\n.\r\n")
        assert code == 550 and "virus Eicar-Test" in text
        assert submit(p)[0] == 250
        mails = inbox(p)
        assert len(mails) == 2
        assert all(b"X-Virus-Status: Clean" in m for m in mails)
    finally:
        for d in daemons:
            d.terminate()
            d.wait(10)
