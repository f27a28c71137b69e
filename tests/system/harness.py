# SPDX-License-Identifier: ISC
"""What the system tests stand on: real postern processes, a real DNS server
(knot), scripted peers.  Everything waits for an event or a deadline; nothing
sleeps and hopes."""

import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POSTERN = Path(os.environ.get("POSTERN", ROOT / "build" / "postern"))
DEADLINE = float(os.environ.get("TEST_DEADLINE", "30"))


def wait_for(what, check, deadline=DEADLINE):
    """Polls check() until it returns something true; says what was missed."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            found = check()
        except (OSError, AssertionError, KeyError, IndexError):
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {deadline} s: {what}")


_used_ports = set()


def free_port(hosts=("127.0.0.1",)):
    """A port that is free on all the addresses: below those that the system
    gives to clients, which would take it before the server starts."""
    while True:
        port = random.SystemRandom().randrange(10240, 32000)
        if port in _used_ports:
            continue
        try:
            for host in hosts:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as s:
                        s.bind((host, port))
        except OSError:
            continue
        _used_ports.add(port)
        return port


def make_certificate(directory, names, addresses):
    """A self-signed certificate; returns (chain with key, certificate)."""
    directory = Path(directory)
    key, cert = directory / "key.pem", directory / "cert.pem"
    # mbsync compares addresses with DNS names only.
    alt = ",".join([f"DNS:{n}" for n in (*names, *addresses)]
                   + [f"IP:{a}" for a in addresses])
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
         f"/CN={names[0]}", "-addext", f"subjectAltName={alt}", "-keyout",
         str(key), "-out", str(cert)],
        check=True, capture_output=True)
    chain = directory / "chain.pem"
    chain.write_text(key.read_text() + cert.read_text())
    for path in (key, chain):
        path.chmod(0o600)
    return chain, cert


class Postern:
    """One instance with its own main.cf below a directory."""

    def __init__(self, directory, host="127.0.0.1", name="mail.example.test",
                 smtp_port=None, users=(), extra="", master_extra="",
                 options=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.host, self.name = host, name
        self.users = dict(users)
        self.port = {"smtp": smtp_port or free_port((host,))}
        for service in ("submission", "submissions", "imap", "imaps", "pop3",
                        "pop3s"):
            self.port[service] = free_port((host,))
        self.chain, self.ca = make_certificate(
            self.dir, [name, "localhost"], [host])
        self.process = None
        self.extra, self.master_extra = extra, master_extra
        self.options = options or {}
        self.binary, self.account = str(POSTERN), None
        self.write_config()

    def write_config(self):
        settings = {
            "compatibility_level": "3.11",
            "myhostname": self.name,
            "mydestination": "",
            "mynetworks": "",
            "inet_protocols": "ipv4",
            "queue_directory": f"{self.dir}/spool",
            "data_directory": f"{self.dir}/data",
            "smtpd_tls_chain_files": str(self.chain),
            "smtp_tcp_port": str(self.port["smtp"]),
            "smtp_bind_address": self.host,
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "unix:passwd.byname",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "login_failure_delay": "0s",
            "smtpd_error_sleep_time": "0s",
            # The clients here are 127.0.0.1, which no sane list has.
            "dnsbl_check_interval": "0s",
            # Who they are cannot be proved without a DNS server of the test.
            "smtpd_spf_policy": "none",
            "smtpd_dkim_verify": "no",
            "smtpd_arc_verify": "no",
            "smtpd_dmarc_policy": "none",
        }
        settings.update(self.options)
        text = "".join(f"{k} = {v}\n" for k, v in settings.items())
        (self.dir / "main.cf").write_text(text + self.extra)
        lines = []

        def line(service, command, *overrides):
            args = "".join(f" -o {o}" for o in overrides)
            lines.append(f"{self.host}:{self.port[service]} inet n - n - - "
                         f"{command}{args}")

        auth = ("smtpd_sasl_auth_enable=yes",
                "smtpd_recipient_restrictions=permit_sasl_authenticated,reject")
        line("smtp", "smtpd")
        line("submission", "smtpd", "smtpd_tls_security_level=encrypt", *auth)
        line("submissions", "smtpd", "smtpd_tls_wrappermode=yes", *auth)
        line("imap", "imapd")
        line("imaps", "imapd", "imapd_tls_wrappermode=yes")
        line("pop3", "pop3d")
        line("pop3s", "pop3d", "pop3d_tls_wrappermode=yes")
        (self.dir / "master.cf").write_text(
            "\n".join(lines) + "\n" + self.master_extra)

    def run(self, *args, input=None, check=True, **kw):
        r = subprocess.run([self.binary, "-c", str(self.dir), *args],
                           input=input, user=self.account, capture_output=True, text=True,
                           timeout=600, **kw)
        if check and r.returncode != 0:
            raise AssertionError(
                f"postern {args}: {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def add_users(self):
        for address, password in self.users.items():
            self.run("user", "add", address, "--password-stdin",
                     input=password + "\n")

    def start(self, add_users=True):
        if add_users:
            self.add_users()
        self.log_file = open(self.dir / "log", "a")
        self.process = subprocess.Popen(
            [self.binary, "-c", str(self.dir), "start", "--foreground"],
            user=self.account, stdout=subprocess.PIPE, stderr=self.log_file, text=True)
        ready = threading.Event()
        ready.said = False
        threading.Thread(target=self._watch, args=(self.process, ready),
                         daemon=True).start()
        if not ready.wait(DEADLINE):
            self.kill()
            raise AssertionError("not ready:\n" + self.log())
        # Else the test would talk to whoever has the port.
        assert ready.said, "ended at start:\n" + self.log()
        return self

    @staticmethod
    def _watch(process, ready):
        # An event of each start: the end of the last process is no start.
        for text in process.stdout:
            if text == "postern: ready\n":
                ready.said = True
                ready.set()
        ready.set()

    def stop(self):
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        rc = self.process.wait(20)
        self.process = None
        self.check_log()
        return rc

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None
            self.check_log()

    def check_log(self):
        """A sanitizer, or the program itself, found a bug: whoever the test
        asked, it fails."""
        log = self.log()
        for bad in ("ERROR: AddressSanitizer", "runtime error:", "postern: bug:",
                    "WARNING: ThreadSanitizer"):
            assert bad not in log, log[-5000:]

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def queue(self):
        out = self.run("queue", "list", "--json").stdout
        return [json.loads(line) for line in out.splitlines()]

    def in_shards(self, sql):
        """Changes the store of a server that does not run."""
        for path in (self.dir / "data" / "mail").glob("mail.*.db"):
            db = sqlite3.connect(path)
            db.execute(sql)
            db.commit()
            db.close()

    def tls(self):
        return ssl.create_default_context(cafile=str(self.ca))

    def send(self, sender, recipients, password=None, check=True, service=None,
             text="hello\n", subject="test", extra=()):
        service = service or "submission"
        how = "--tls" if service == "submissions" else "--starttls"
        args = ["send", "--server", f"{self.host}:{self.port[service]}", how,
                "--ca-file", str(self.ca), "--auth-user", sender,
                "--password-stdin", "--from", sender, "--subject", subject,
                "--text", text]
        for r in recipients:
            args += ["--to", r]
        return self.run(*args, *extra, check=check,
                        input=(password or self.users[sender]) + "\n")


def fill_queue(p, messages, due=None, text=b"Subject: filled\n\nx\n",
               attempts=1):
    """Writes into the queue of a postern that is stopped, and was started
    once: (sender, recipient) for each message, all tried once and deferred to
    that time.  Returns the ids as they stand in queue.db."""
    def u32(n):
        return n.to_bytes(4, "little")

    def u64(n):
        return (n & (1 << 64) - 1).to_bytes(8, "little")

    def text_of(s):
        return u32((1 << 32) - 1) if s is None else \
            u32(len(s)) + s.encode()

    now = int(time.time())
    first = (now - 3600) * 1000000 << 12
    db = sqlite3.connect(p.dir / "spool/queue/queue.db")
    rows, states, ids = [], [], []
    for n, (sender, rcpt) in enumerate(messages):
        id_ = first + (n << 12)
        envelope = (b"\x03" + u64(id_) + u64(now - 3600) + u32(0) +
                    u64(len(text)) + text_of(sender) + text_of(None) * 2 +
                    text_of("filled") + text_of(None) + u32(0) + u64(0) * 2 +
                    u32(1) + text_of(rcpt) * 2 + text_of(None) + u32(0))
        rows.append((id_, 0, envelope, text))
        states.append((id_, 0, 0, due if due is not None else now + 86400,
                       attempts, "450 4.2.0 try again later" if attempts
                       else None))
        ids.append(id_)
        if len(rows) == 10000:
            _write_rows(db, rows, states)
    _write_rows(db, rows, states)
    db.close()
    return ids


def _write_rows(db, rows, states):
    db.executemany("INSERT INTO messages VALUES(?,?,?,?)", rows)
    db.executemany("INSERT INTO recipients VALUES(?,?,?,?,?,?)", states)
    db.commit()
    rows.clear()
    states.clear()


class Dns:
    """knotd with the given zones: {"a.test": "MX 10 mx.a.test."...}."""

    def __init__(self, directory, zones, signed=(), port=None):
        self.dir = Path(directory)
        (self.dir / "db").mkdir(parents=True, exist_ok=True)
        self.port = port or free_port(("127.0.0.1",))
        for zone, text in zones.items():
            (self.dir / f"{zone}.zone").write_text(
                f"$ORIGIN {zone}.\n$TTL 5\n"
                f"@ SOA ns hostmaster 1 60 60 600 5\n@ NS ns\n"
                f"ns A 127.0.0.1\n{text}\n")
        config = [
            "server:", f"    rundir: {self.dir}",
            f"    listen: 127.0.0.1@{self.port}", "database:",
            f"    storage: {self.dir}/db", "zone:"]
        for zone in zones:
            config += [f"  - domain: {zone or '.'}",
                       f"    file: {self.dir}/{zone}.zone"]
            if zone in signed:
                config += ["    dnssec-signing: on"]
        (self.dir / "knot.conf").write_text("\n".join(config) + "\n")
        self.process = subprocess.Popen(
            ["knotd", "-c", str(self.dir / "knot.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for zone in zones:
            wait_for("knotd", lambda: self.answers(zone))

    def anchors(self, *zones):
        """The keys of signed zones, as a trust anchor file."""
        path = self.dir / "anchors"
        path.write_text("".join(
            line.replace(" DS ", " IN DS ") + "\n" for zone in zones
            for line in subprocess.run(
                ["keymgr", "-c", str(self.dir / "knot.conf"), zone, "ds"],
                capture_output=True, text=True, check=True
            ).stdout.splitlines()))
        return path

    def answers(self, name):
        query = (b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                 + b"".join(bytes([len(p)]) + p.encode()
                            for p in name.split(".") if p)
                 + b"\x00\x00\x06\x00\x01")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.sendto(query, ("127.0.0.1", self.port))
            reply = s.recv(2000)
            return reply[3] & 15 == 0 and reply[7] > 0

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Smtp:
    """A raw dialog: what is sent is what is written."""

    def __init__(self, host, port, greet=True, source="127.0.0.1"):
        self.sock = socket.create_connection((host, port), 10, (source, 0))
        self.sock.settimeout(20)
        self.file = self.sock.makefile("rb")
        if greet:
            assert self.reply()[0] == 220

    def reply(self):
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError(b"".join(lines))
            lines.append(line)
            if line[3:4] != b"-":
                break
        text = b"".join(lines).decode("utf-8", "replace")
        return int(text[:3]), text

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def cmd(self, line):
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def expect(self, line, code):
        got = self.cmd(line)
        assert got[0] == code, (line, got)
        return got[1]

    def rcpt(self, sender, rcpt):
        """What a recipient is answered, in a session of its own."""
        self.expect("EHLO client.test", 250)
        self.expect(f"MAIL FROM:<{sender}>", 250)
        got = self.cmd(f"RCPT TO:<{rcpt}>")
        self.close()
        return got

    def mail(self, sender, rcpts, text=b"Subject: s\r\n\r\nhello\r\n",
             param=""):
        """One mail in a session of its own, taken for all of them."""
        self.expect("EHLO client.test", 250)
        self.expect(f"MAIL FROM:<{sender}>{param}".encode(), 250)
        for rcpt in rcpts:
            self.expect(f"RCPT TO:<{rcpt}>".encode(), 250)
        self.expect("DATA", 354)
        self.send(text)
        self.expect(".", 250)
        self.close()

    def starttls(self, context, name):
        self.expect("STARTTLS", 220)
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()


def relaying(sink, **options):
    """Options of one that relays all of our mail to the sink."""
    return {"relayhost": f"[127.0.0.5]:{sink.port}",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject", **options}


def stop_listening(server):
    """Wakes the thread in accept(): it would take connections of the next one
    that gets the same descriptor."""
    try:
        server.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    server.close()


class Sink:
    """A scripted SMTP server: keeps what it gets, answers as told."""

    def __init__(self, host, port, replies=None, ehlo=("PIPELINING",)):
        self.replies = replies or {}
        self.ehlo = ehlo
        self.mails = []
        self.commands = []
        self.server = socket.create_server((host, port))
        self.port = self.server.getsockname()[1]
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopped:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,),
                             daemon=True).start()

    def _answer(self, conn, verb, default):
        reply = self.replies.get(verb, default)
        if callable(reply):
            reply = reply(self)
        conn.sendall(reply if isinstance(reply, bytes) else
                     (reply + "\r\n").encode())
        return reply

    def _serve(self, conn):
        mail = {"rcpts": []}
        try:
            peer = conn.getpeername()[0]
            file = conn.makefile("rb")
            self._answer(conn, "GREETING", "220 sink ESMTP")
            for raw in file:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self.commands.append(line)
                verb = line.split(" ")[0].split(":")[0].upper()
                if verb == "EHLO" and "EHLO" in self.replies:
                    self._answer(conn, "EHLO", "")
                elif verb == "EHLO":
                    lines = ["sink", *self.ehlo]
                    conn.sendall("".join(
                        f"250{'-' if i + 1 < len(lines) else ' '}{t}\r\n"
                        for i, t in enumerate(lines)).encode())
                elif verb == "MAIL":
                    mail = {"from": line, "rcpts": [], "peer": peer}
                    self._answer(conn, "MAIL", "250 2.1.0 ok")
                elif verb == "RCPT":
                    address = re.search("<(.*?)>", line).group(1)
                    key = f"RCPT {address}"
                    reply = self._answer(
                        conn, key if key in self.replies else "RCPT",
                        "250 2.1.5 ok")
                    if str(reply).startswith("2"):
                        mail["rcpts"].append(address)
                elif verb == "DATA":
                    reply = self._answer(conn, "DATA", "354 go")
                    if not str(reply).startswith("3"):
                        continue
                    body = []
                    for data in file:
                        if data == b".\r\n":
                            break
                        body.append(data)
                    mail["data"] = b"".join(body)
                    reply = self._answer(conn, ".", "250 2.0.0 taken")
                    if str(reply).startswith("2"):
                        self.mails.append(mail)
                elif verb == "QUIT":
                    self._answer(conn, "QUIT", "221 bye")
                    break
                else:
                    self._answer(conn, verb, "250 ok")
        except OSError:
            pass
        finally:
            conn.close()

    def stop(self):
        self.stopped = True
        stop_listening(self.server)


class Server:
    """Accepts, and serves each connection in a thread by self.serve(conn)."""

    def __init__(self, path=None, address=("127.0.0.1", 0)):
        self.connections = 0
        if path:
            self.server = socket.socket(socket.AF_UNIX)
            self.server.bind(str(path))
            self.server.listen()
        else:
            self.server = socket.create_server(address)
            self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def stop(self):
        stop_listening(self.server)


def have(*programs):
    return all(shutil.which(p) for p in programs)


class Postfix:
    """A private instance of Postfix on 127.0.0.6; what it writes lies in a
    folder of its own that goes with stop()."""

    def __init__(self, settings, host="127.0.0.6"):
        self.base = Path(tempfile.mkdtemp(prefix="pf-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.settings, self.host = settings, host
        self.port = free_port((host,))

    @staticmethod
    def possible():
        return os.geteuid() == 0 and os.path.exists("/usr/sbin/postfix")

    def command(self, word):
        return subprocess.run(["/usr/sbin/postfix", "-c",
                               str(self.base / "conf"), word],
                              capture_output=True, text=True)

    def write_config(self):
        for name in ("spool", "data", "conf"):
            (self.base / name).mkdir()
        shutil.chown(self.base / "data", "postfix")
        settings = {
            "compatibility_level": "3.6", "inet_protocols": "ipv4",
            "queue_directory": self.base / "spool",
            "data_directory": self.base / "data",
            "myhostname": "pf.b.test", "mydestination": "",
            "inet_interfaces": "loopback-only",
            "alias_maps": "", "alias_database": "",
            "maillog_file": self.base / "log",
            "maillog_file_prefixes": "/var, /tmp"} | self.settings
        (self.base / "conf/main.cf").write_text(
            "".join(f"{k} = {v}\n" for k, v in settings.items()))
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist") \
                .read_text().splitlines():
            if line.startswith("smtp      inet"):
                line = f"{self.host}:{self.port} inet n - n - - smtpd"
            elif line and not line.startswith(("#", " ", "\t")):
                fields = line.split()
                fields[4] = "n"  # no chroot
                line = " ".join(fields)
            lines.append(line)
        (self.base / "conf/master.cf").write_text("\n".join(lines) + "\n")

    def start(self):
        self.write_config()
        r = self.command("start")
        log = self.base / "log"
        assert r.returncode == 0, log.read_text() if log.exists() else r
        wait_for("Postfix",
                 lambda: Smtp(self.host, self.port).close() or True)
        return self.port

    def stop(self):
        self.command("stop")
        shutil.rmtree(self.base, ignore_errors=True)


class Exim:
    """A private instance of Debian's Exim on 127.0.0.7: mail for exim.test goes
    into a Maildir, the rest to the host and port of smarthost.  $EXIM: the
    program, where it is not installed."""

    def __init__(self, smarthost=None, domains="exim.test", settings=""):
        self.base = Path(tempfile.mkdtemp(prefix="exim-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.host, self.port = "127.0.0.7", free_port(("127.0.0.7",))
        self.smarthost, self.domains = smarthost, domains
        self.settings, self.process = settings, None

    @staticmethod
    def program():
        return os.environ.get("EXIM") or shutil.which("exim4")

    @staticmethod
    def possible():
        try:
            pwd.getpwnam("Debian-exim")
        except KeyError:
            return False
        return os.geteuid() == 0 and bool(Exim.program())

    def config(self):
        route = ("" if not self.smarthost else
                 "out:\n  driver = manualroute\n  transport = remote\n"
                 "  route_list = * %s byname\n  self = send\n"
                 % self.smarthost[0])
        remote = ("" if not self.smarthost else
                  "remote:\n  driver = smtp\n  port = %d\n"
                  "  hosts_try_dane =\n" % self.smarthost[1])
        return f"""exim_path = {self.program()}
exim_user = Debian-exim
exim_group = Debian-exim
keep_environment =
deliver_drop_privilege
spool_directory = {self.base}/spool
log_file_path = {self.base}/log/%slog
primary_hostname = exim.test
daemon_smtp_ports = {self.port}
local_interfaces = {self.host}
domainlist local_domains = {self.domains}
smtp_accept_max = 200
smtp_accept_max_per_host = 0
tls_advertise_hosts =
acl_smtp_rcpt = all
acl_smtp_data = text
{self.settings}
begin acl
all:
  deny local_parts = nobody
       message = no such user here
  accept
text:
  accept
begin routers
here:
  driver = accept
  domains = +local_domains
  transport = file
{route}
begin transports
file:
  driver = appendfile
  directory = {self.base}/mail/all
  maildir_format
  create_directory
  user = Debian-exim
  group = Debian-exim
{remote}
begin retry
* * F,2h,1s
"""

    def start(self):
        for name in ("spool", "log", "mail"):
            (self.base / name).mkdir()
            shutil.chown(self.base / name, "Debian-exim")
        (self.base / "conf").write_text(self.config())
        self.process = subprocess.Popen(
            [self.program(), "-C", self.base / "conf", "-bdf", "-q1s"],
            stderr=open(self.base / "errors", "w"))
        wait_for("Exim", lambda: Smtp(self.host, self.port).close() or True)
        return self

    def mails(self):
        new = self.base / "mail/all/new"
        return [p.read_bytes() for p in new.iterdir()] if new.exists() else []

    def log(self):
        return (self.base / "log/mainlog").read_text()

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.base, ignore_errors=True)


def zone_name(name):
    """A name for a zone file: what is no letter is escaped."""
    return "".join(c if c.isalnum() or c in "-_." else f"\\{b:03d}"
                   for c in name.rstrip(".")
                   for b in c.encode("utf-8")) + "."


def zone_text(value):
    """The strings of a TXT record, of 255 bytes at most each."""
    parts = value if isinstance(value, list) else [value]
    chunks = []
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode("utf-8")
        chunks += [raw[i:i + 255] for i in range(0, len(raw), 255)] or [b""]
    return " ".join('"' + "".join(
        chr(b) if 0x20 <= b < 0x7f and b not in b'"\\;' else f"\\{b:03d}"
        for b in chunk) + '"' for chunk in chunks)


class DnsRelay:
    """Stands in front of a DNS server: counts what is asked, by name and
    type, and is silent about some names."""

    def __init__(self, upstream_port, silent=()):
        self.upstream = ("127.0.0.1", upstream_port)
        self.silent = {n.lower().rstrip(".") for n in silent}
        self.asked = []
        self.port = free_port(("127.0.0.1",))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def stop(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def _note(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        name = b".".join(labels).decode("latin-1").lower()
        self.asked.append((name, int.from_bytes(query[at + 1:at + 3], "big")))
        return name not in self.silent

    def _serve_udp(self):
        while True:
            try:
                query, client = self.udp.recvfrom(65536)
            except OSError:
                return
            if not query:
                return  # stop()
            threading.Thread(target=self._one_udp, args=(query, client),
                             daemon=True).start()

    def _one_udp(self, query, client):
        if not self._note(query):
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            s.sendto(query, self.upstream)
            try:
                self.udp.sendto(s.recv(65536), client)
            except OSError:
                pass

    def _serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._one_tcp, args=(conn,),
                             daemon=True).start()

    def _one_tcp(self, conn):
        with conn, socket.create_connection(self.upstream, 5) as up:
            conn.settimeout(10)
            client, server = conn.makefile("rb"), up.makefile("rb")
            try:
                while size := client.read(2):
                    query = client.read(int.from_bytes(size, "big"))
                    if not self._note(query):
                        return
                    up.sendall(size + query)
                    size = server.read(2)
                    conn.sendall(
                        size + server.read(int.from_bytes(size, "big")))
            except OSError:
                pass
