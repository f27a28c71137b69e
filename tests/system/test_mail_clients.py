# SPDX-License-Identifier: ISC
"""Real clients read, flag, move, append and wait.  Each skips where it is not
installed."""

import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from imap_client import Client

PW = "builder-22"
USER = "u0@example.test"


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None,
                              reason=f"{program} is not installed")


@pytest.fixture
def box(server):
    c = Client(server, USER)
    c.ok("SELECT INBOX")
    yield c
    c.close()


def mail(n, body="text"):
    return (f"From: a@b.example\r\nTo: {USER}\r\nSubject: number {n}\r\n"
            f"Message-ID: <{n}@b.example>\r\nDate: Fri, 21 Nov 1997 09:55:06 "
            f"-0600\r\n\r\n{body} {n}\r\n.dot\r\n")


def run(args, tmp_path, **kw):
    env = dict(os.environ, HOME=str(tmp_path), TERM="vt100")
    return subprocess.run(args, cwd=tmp_path, env=env, capture_output=True,
                          timeout=120, **kw)


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


# ---- POP3 ----

@needs("fetchmail")
def test_fetchmail(server, box, tmp_path):
    for i in range(3):
        box.append("INBOX", mail(i))
    rc = private(tmp_path / "rc", f"""
poll localhost proto pop3 port {server.port['pop3']} uidl
  user "{USER}" password "{PW}"
  sslproto "TLS1.2+" sslcertck sslcertfile "{server.ca}"
  keep mda "cat >> {tmp_path}/got"
""")
    args = ["fetchmail", "-f", str(rc), "--pidfile", str(tmp_path / "pid"),
            "--idfile", str(tmp_path / "ids"), "-v"]
    r = run(args, tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr
    assert (tmp_path / "got").read_bytes().count(b"\n.dot\n") == 3
    # UIDL: nothing of it again, only what is new
    assert run(args, tmp_path).returncode == 1
    box.append("INBOX", mail(9))
    assert run(args, tmp_path).returncode == 0
    assert (tmp_path / "got").read_bytes().count(b"Subject: number") == 4


@needs("mpop")
def test_mpop(server, box, tmp_path):
    for i in range(5):
        box.append("INBOX", mail(i))
    maildir = tmp_path / "md"
    for d in ("cur", "new", "tmp"):
        (maildir / d).mkdir(parents=True)
    rc = private(tmp_path / "rc", f"""
account t
host localhost
port {server.port['pop3']}
user {USER}
password {PW}
tls on
tls_starttls on
tls_trust_file {server.ca}
delivery maildir {maildir}
keep off
uidls_file {tmp_path}/uidls
""")
    r = run(["mpop", "-C", str(rc), "t"], tmp_path)
    assert r.returncode == 0, r.stderr
    got = sorted(p.read_text() for p in (maildir / "new").iterdir())
    assert len(got) == 5 and all(".dot\n" in g for g in got)
    box.ok("NOOP")
    assert any("MESSAGES 0" in r for r in box.ok("STATUS INBOX (MESSAGES)"))


@needs("getmail")
def test_getmail(server, box, tmp_path):
    for i in range(3):
        box.append("INBOX", mail(i))
    folder = tmp_path / "gm"
    for d in ("cur", "new", "tmp"):
        (folder / d).mkdir(parents=True)
    tmp_path.chmod(0o755)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, "nobody")
    for path in tmp_path.parents:
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    rc = private(folder / "rc", f"""
[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {server.port['pop3s']}
username = {USER}
password = {PW}
ca_certs = {server.ca}
[destination]
type = Maildir
path = {folder}/
user = nobody
[options]
delete = false
read_all = false
""")
    r = run(["getmail", f"--getmaildir={folder}", f"--rcfile={rc}"], tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr
    assert len(list((folder / "new").iterdir())) == 3
    r = run(["getmail", f"--getmaildir={folder}", f"--rcfile={rc}"], tmp_path)
    assert len(list((folder / "new").iterdir())) == 3


# ---- IMAP ----

def mbsync_rc(server, tmp_path):
    return private(tmp_path / "mbsyncrc", f"""
IMAPAccount p
Host localhost
Port {server.port['imaps']}
User {USER}
Pass {PW}
SSLType IMAPS
CertificateFile {server.ca}

IMAPStore far
Account p

MaildirStore near
Path {tmp_path}/near/
Inbox {tmp_path}/near/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")


def far_state(box, name="INBOX"):
    """{Message-ID: flags} of a mailbox."""
    box.ok(f"EXAMINE {name}")
    out = {}
    for r in box.cmd("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[0]:
        m = re.search(rb"FLAGS \(([^)]*)\).*?<([^>]*)>", r, re.S)
        if m:
            out[m[2].decode()] = frozenset(
                f for f in m[1].decode().split() if f.startswith("\\"))
    return out


def near_state(folder):
    letters = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered",
               "D": "\\Draft", "T": "\\Deleted"}
    out = {}
    for path in [*(folder / "cur").iterdir(), *(folder / "new").iterdir()]:
        m = re.search(rb"(?i)^message-id: <([^>]*)>", path.read_bytes(), re.M)
        flags = path.name.partition(":2,")[2]
        out[m[1].decode()] = frozenset(letters[x] for x in flags)
    return out


@needs("mbsync")
def test_mbsync_both_ways(server, box, tmp_path):
    """Both sides change at random, the far one while mbsync runs; in the end
    they are the same."""
    chance = random.Random(11)
    (tmp_path / "near").mkdir()
    rc = mbsync_rc(server, tmp_path)
    box.ok("CREATE work")
    for i in range(40):
        box.append("INBOX", mail(i))

    def sync():
        r = run(["mbsync", "-c", str(rc), "c"], tmp_path)
        assert r.returncode == 0, r.stderr
        return r

    sync()
    near = tmp_path / "near" / "INBOX"
    assert near_state(near) == far_state(box)
    stop = threading.Event()
    made = [40]

    def meddle():
        c = Client(server, USER)
        c.ok("SELECT INBOX")
        mine = random.Random(12)
        while not stop.is_set():
            c.ok("NOOP")
            uids = c.ok("UID SEARCH ALL")[-1].split()[1:]
            what = mine.random()
            if what < .3 or len(uids) < 10:
                c.append("INBOX", mail(made[0]))
                made[0] += 1
            elif what < .8:
                c.ok("UID STORE %s %sFLAGS (%s)" % (
                    mine.choice(uids), mine.choice("+-"),
                    mine.choice(["\\Seen", "\\Flagged", "\\Answered"])))
            else:
                c.ok(f"UID STORE {mine.choice(uids)} +FLAGS (\\Deleted)")
                c.ok("EXPUNGE")
            stop.wait(.01)
        c.close()

    seconds = float(os.environ.get("MBSYNC_SECONDS", "5"))
    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for path in list((near / "cur").iterdir()):
                if chance.random() < .1:
                    base, _, flags = path.name.partition(":2,")
                    flags = "".join(sorted(set(flags) ^ {chance.choice("SF")}))
                    path.rename(path.with_name(f"{base}:2,{flags}"))
            (near / "new" / f"1.{made[0]}_{chance.random()}.x").write_text(
                mail(f"near{chance.random()}").replace("\r\n", "\n"))
            sync()
    finally:
        stop.set()
        thread.join()
    sync()
    sync()
    assert near_state(near) == far_state(box)
    assert len(near_state(near)) > 30
    assert (tmp_path / "near" / "work").is_dir()


@needs("offlineimap")
def test_offlineimap(server, box, tmp_path):
    for i in range(4):
        box.append("INBOX", mail(i))
    rc = private(tmp_path / "rc", f"""
[general]
accounts = a
metadata = {tmp_path}/meta
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = {tmp_path}/local
[Repository r]
type = IMAP
remotehost = localhost
remoteport = {server.port['imaps']}
remoteuser = {USER}
remotepass = {PW}
ssl = yes
sslcacertfile = {server.ca}
""")
    r = run(["offlineimap", "-c", str(rc), "-o", "-1"], tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr
    inbox = tmp_path / "local" / "INBOX"
    found = [*(inbox / "cur").iterdir(), *(inbox / "new").iterdir()]
    assert len(found) == 4
    # A local flag and a local message go up.
    target = found[0]
    name = target.name.partition(":2,")[0] + ":2,FS"
    target.rename(inbox / "cur" / name)
    (inbox / "new" / "9.local.x").write_text(
        mail("local").replace("\r\n", "\n"))
    r = run(["offlineimap", "-c", str(rc), "-o", "-1"], tmp_path)
    assert r.returncode == 0, r.stdout + r.stderr
    state = far_state(box)
    assert "local@b.example" in state
    assert frozenset({"\\Flagged", "\\Seen"}) in state.values()


@pytest.mark.parametrize("mutt", ["mutt", "neomutt"])
def test_mutt(server, box, tmp_path, mutt):
    if shutil.which(mutt) is None or shutil.which("script") is None:
        pytest.skip(f"{mutt} or script is not installed")
    for i in range(3):
        box.append("INBOX", mail(i))
    rc = private(tmp_path / "rc", f"""
set imap_user="{USER}"
set imap_pass="{PW}"
set ssl_force_tls=yes
set certificate_file="{server.ca}"
set ssl_verify_host=no
set folder="imaps://localhost:{server.port['imaps']}/"
set header_cache=""
set record=""
set confirmcreate=no confirmappend=no
set quit=yes delete=yes move=no
""")
    url = f"imaps://localhost:{server.port['imaps']}/INBOX"
    keys = ("push '<first-entry><flag-message><next-entry><save-message>=Trash"
            "<enter><sync-mailbox><quit>'")
    run(["script", "-qec", f'{mutt} -n -F {rc} -f {url} -e "{keys}"',
         "/dev/null"], tmp_path, input=b"")
    inbox = far_state(box)
    assert "\\Flagged" in inbox["0@b.example"]
    # Flagging moves on by itself.
    assert "2@b.example" not in inbox
    assert "2@b.example" in far_state(box, "Trash")


@needs("s-nail")
def test_s_nail(server, box, tmp_path):
    for i in range(3):
        box.append("INBOX", mail(i))
    user = USER.replace("@", "%40")
    url = f"imaps://{user}:{PW}@localhost:{server.port['imaps']}/INBOX"
    r = run(["s-nail", "-:/", "-S", "v15-compat", "-S",
             f"tls-ca-file={server.ca}", "-S", "tls-ca-no-defaults",
             "-S", "tls-verify=strict", "-R", "-H", "-f", url], tmp_path)
    assert r.stdout.count(b"number") == 3, r.stdout + r.stderr


@needs("curl")
def test_curl(server, box, tmp_path):
    box.append("INBOX", mail(1))
    base = f"imaps://localhost:{server.port['imaps']}"
    common = ["curl", "-s", "--cacert", str(server.ca), "--user",
              f"{USER}:{PW}"]
    assert b".dot\r\n" in run([*common, f"{base}/INBOX;MAILINDEX=1"],
                              tmp_path).stdout
    assert run([*common, f"{base}/INBOX?SUBJECT%20number"],
               tmp_path).stdout == b"* SEARCH 1\r\n"
    (tmp_path / "new").write_text(mail("up"))
    run([*common, "-T", str(tmp_path / "new"), f"{base}/Drafts"], tmp_path)
    assert "up@b.example" in far_state(box, "Drafts")
    run([*common, "-X", "CREATE fresh", base], tmp_path)
    assert any('"fresh"' in r for r in box.ok('LIST "" fresh'))


# ---- imapflow ----

IMAPFLOW = r"""
const { ImapFlow } = require('imapflow');
const [host, port, ca, user, pass] = process.argv.slice(2);
const client = new ImapFlow({ host, port: Number(port), secure: true,
  auth: { user, pass }, logger: false, qresync: true,
  tls: { ca: require('fs').readFileSync(ca), servername: 'localhost' } });
const out = {};
(async () => {
  await client.connect();
  out.capabilities = [...client.capabilities.keys()];
  const lock = await client.getMailboxLock('INBOX');
  try {
    out.exists = client.mailbox.exists;
    out.subjects = [];
    for await (const m of client.fetch('1:*', { envelope: true, flags: true,
        source: true, bodyStructure: true, uid: true }))
      out.subjects.push([m.uid, m.envelope.subject, m.source.length,
                         m.bodyStructure.type]);
    await client.messageFlagsAdd('1', ['\\Flagged', 'flow']);
    out.found = await client.search({ keyword: 'flow' }, { uid: true });
    const copied = await client.messageCopy('1', 'Archive');
    out.copied = [...copied.uidMap.entries()];
    const moved = await client.messageMove('2', 'Trash');
    out.moved = [...moved.uidMap.entries()];
    const appended = await client.append('Drafts',
      Buffer.from('Subject: Gr\u00fc\u00dfe\r\n\r\nt\u00ebxt\r\n'),
      ['\\Draft'], new Date(1e12));
    out.appended = appended.uid;
    await client.mailboxCreate(['Flow', 'Unter']);
    await client.mailboxRename('Flow/Unter', 'Flow/\u00dcber');
    out.list = (await client.list()).map(b => [b.path, b.specialUse]);
    out.status = await client.status('Drafts', { messages: true, unseen: true,
      uidNext: true, highestModseq: true });
    const came = new Promise(done => client.once('exists', done));
    console.log('WAITING');
    client.idle();
    out.came = (await came).count;
    await client.messageDelete('1');
    await client.mailboxDelete('Flow/\u00dcber');
  } finally { lock.release(); }
  await client.logout();
  console.log(JSON.stringify(out, (k, v) =>
    typeof v === 'bigint' ? Number(v) : v));
})().catch(e => { console.error(e); process.exit(1); });
"""


@pytest.fixture(scope="module")
def imapflow(tmp_path_factory):
    """A folder with it: $IMAPFLOW, or from npm."""
    if os.environ.get("IMAPFLOW"):
        return os.environ["IMAPFLOW"]
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("imapflow")
    try:
        r = subprocess.run(["npm", "install", "--no-audit", "--no-fund",
                            "imapflow"], cwd=folder, capture_output=True,
                           timeout=60)
    except subprocess.TimeoutExpired:
        r = None
    if r is None or r.returncode != 0:
        pytest.skip("npm has no imapflow here")
    return str(folder)


def test_imapflow(server, box, imapflow, tmp_path):
    for n in range(3):
        box.append("INBOX", mail(n))
    script = tmp_path / "flow.js"
    script.write_text(IMAPFLOW)
    p = subprocess.Popen(
        ["node", str(script), server.host, str(server.port["imaps"]),
         str(server.ca), USER, PW], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, NODE_PATH=f"{imapflow}/node_modules"))
    assert p.stdout.readline() == "WAITING\n", p.communicate(timeout=30)
    box.append("INBOX", mail(9))
    text, err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    out = json.loads(text)
    assert "QRESYNC" in out["capabilities"]
    assert out["exists"] == 3
    assert out["subjects"] == [
        [n + 1, f"number {n}", len(mail(n)), "text/plain"] for n in range(3)]
    assert out["found"] == [1]
    assert out["copied"] == [[1, 1]] and out["moved"] == [[2, 1]]
    assert out["appended"] == 1 and out["came"] == 3
    assert ["Flow/Über", None] in out["list"] or ["Flow/Über"] in [
        x[:1] for x in out["list"]]
    assert ["Trash", "\\Trash"] in out["list"]
    assert out["status"]["messages"] == out["status"]["unseen"] == 1
    box.ok("NOOP")
    assert [re.search(r"UID (\d+)", r)[1] for r in box.ok("FETCH 1:* UID")] == [
        "3", "4"]


# ---- imaplib, offlineimap: a literal, and its CRLF in a write of its own ----

def unacknowledged(sock):
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("I", info, 24)[0]


def test_a_literal_is_acknowledged_at_once(box):
    """Their CRLF waits for it (RFC 1122 4.2.3.4); it came 40 ms late, so that
    they appended 23 messages a second.  The best of many is not for the
    machine's load to decide."""
    times, m = [], mail(0).encode()
    for _ in range(60):
        box.n += 1
        box.send(b"x%d APPEND INBOX {%d}\r\n" % (box.n, len(m)))
        assert box.line().startswith(b"+")
        start = time.monotonic()
        box.send(m)
        while unacknowledged(box.sock):
            assert time.monotonic() < start + 10
        times.append(time.monotonic() - start)
        box.send(b"\r\n")
        assert box.until(f"x{box.n}")[1].startswith("OK")
    assert min(times[30:]) < .02


# ---- alpine ----

PINERC = """\
personal-name=U
user-domain=example.test
inbox-path={{localhost:{port}/imap/ssl/novalidate-cert/user={user}}}INBOX
feature-list=disable-password-file-saving,disable-password-caching,
    expunge-without-confirm,quit-without-confirm,no-enable-newmail-sound
default-saved-msg-folder=Archive
folder-collections={{localhost:{port}/imap/ssl/novalidate-cert/user={user}}}[]
last-version-used=9.99
"""


@needs("alpine")
def test_alpine(server, box, tmp_path):
    """The dialect of c-client: it reads, flags, deletes and sees what comes."""
    pexpect = pytest.importorskip("pexpect")
    for n in range(3):
        box.append("INBOX", mail(n))
    rc = private(tmp_path / "pinerc",
                 PINERC.format(port=server.port["imaps"], user=USER))
    a = pexpect.spawn("alpine", ["-p", str(rc), "-i"], timeout=30,
                      dimensions=(40, 120), cwd=str(tmp_path),
                      env=dict(os.environ, HOME=str(tmp_path), TERM="vt100"))
    try:
        a.expect("(?i)password:")
        a.send(PW + "\r")
        a.expect("number 2")
        a.send("d")  # deletes the current one, goes to the next
        a.send("x")  # expunges
        a.expect("number 1")
        a.send("\r")  # reads
        a.expect("text 1")
        a.send("s")  # saves it to the default folder, which marks it
        a.expect("(?i)save")
        a.send("\r")
        a.send("<")
        box.append("INBOX", mail(7))
        a.send("\x0c")
        a.expect("number 7")
        a.send("q")
        a.expect(pexpect.EOF)
    finally:
        a.close(force=True)
    box.ok("NOOP")
    rows = box.ok("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert len(rows) == 2 and sum("number 7" in r for r in rows) == 1
    box.ok("SELECT Archive")
    assert "number 1" in box.ok(
        "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[0]
