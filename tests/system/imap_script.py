# SPDX-License-Identifier: ISC
"""Runs the scripts of a public IMAP test suite: header lines, a blank line,
then `[connection] ok|no|bad command` with `* expected` and `! forbidden`
replies below it.  A `$name` takes what it meets first; `$3` is the message
that had number 3 when the command began."""

import re
import socket
import ssl
from pathlib import Path


class Failure(AssertionError):
    pass


def tokens(data):
    """A reply line with its literals as nested lists of bytes; NIL is None."""
    pos, stack = 0, [[]]
    while pos < len(data):
        c = data[pos:pos + 1]
        if c == b" ":
            pos += 1
        elif c == b"(":
            stack.append([])
            pos += 1
        elif c == b")":
            done = stack.pop()
            stack[-1].append(done)
            pos += 1
        elif c == b'"':
            end, out = pos + 1, b""
            while data[end:end + 1] != b'"':
                if data[end:end + 1] == b"\\":
                    end += 1
                out += data[end:end + 1]
                end += 1
            stack[-1].append(("s", out))
            pos = end + 1
        elif (m := re.compile(rb"~?\{(\d+)\}\r\n").match(data, pos)):
            n = int(m[1])
            stack[-1].append(("s", data[m.end():m.end() + n]))
            pos = m.end() + n
        else:
            depth, end = 0, pos
            while end < len(data):
                ch = data[end:end + 1]
                if ch == b"[":
                    depth += 1
                elif ch == b"]":
                    depth -= 1
                elif depth == 0 and ch in (b" ", b"(", b")"):
                    break
                end += 1
            word = data[pos:end]
            stack[-1].append(None if word.upper() == b"NIL" else ("a", word))
            pos = end
    if len(stack) != 1:
        raise Failure(f"unbalanced: {data!r}")
    return stack[0]


class Connection:
    def __init__(self, server, tls, user, password, login=True):
        raw = socket.create_connection((server.host, server.port["imaps"]), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = tls.wrap_socket(raw, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        self.tag, self.exists, self.untagged = 0, 0, []
        self.file.readline()
        if login:
            self.command(f'LOGIN "{user}" "{password}"'.encode())

    def line(self):
        out = b""
        while True:
            piece = self.file.readline()
            if not piece:
                raise Failure("the connection was closed")
            out += piece
            m = re.search(rb"\{(\d+)\}\r\n$", piece)
            if not m:
                return out[:-2]
            out += self.file.read(int(m[1]))

    def send(self, tag, text, literals):
        """literals: what {{{ }}} stood for, sent synchronized"""
        parts = text.split(b"\0")
        for i, part in enumerate(parts):
            self.sock.sendall((tag + b" " if i == 0 else b"") + part)
            if i < len(literals):
                self.sock.sendall(b"{%d}\r\n" % len(literals[i]))
                self.file.readline()
                self.sock.sendall(literals[i])
        self.sock.sendall(b"\r\n")

    def read_until(self, tag):
        """Its status line; what comes before is kept in self.untagged."""
        numbers = list(range(1, self.exists + 1))
        while True:
            line = self.line()
            if line.startswith(tag + b" "):
                return line[len(tag) + 1:]
            m = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)", line, re.I)
            was = None
            if m:
                n, kind = int(m[1]), m[2].upper()
                if kind == b"EXISTS":
                    numbers += range(len(numbers) + 1, n + 1)
                    self.exists = n
                elif n <= len(numbers):
                    was = numbers[n - 1]
                    if kind == b"EXPUNGE":
                        del numbers[n - 1]
                        self.exists -= 1
            self.untagged.append((line[2:], was))

    def command(self, text, literals=()):
        self.tag += 1
        tag = b"t%d" % self.tag
        self.untagged = []
        if re.match(rb"(select|examine|close|unselect)\b", text, re.I):
            self.exists = 0
        self.send(tag, text, literals)
        return self.read_until(tag)

    def close(self):
        self.sock.close()


def read_mbox(path):
    """[(when it arrived, the message)]"""
    data = Path(path).read_bytes().replace(b"\r\n", b"\n")
    out = re.split(rb"(?:\A|(?<=\n))From \S* *([^\n]*)\n", data)[1:]
    return [(arrived(when.decode()), m.replace(b"\n", b"\r\n"))
            for when, m in zip(out[::2], out[1::2])]


def arrived(when):
    """Fri Feb 22 17:06:23 2008 [+0200]"""
    _, month, day, clock, year, *zone = when.split()
    return f'"{int(day):2}-{month}-{year} {clock} {(zone or ["+0000"])[0]}"'


def logical_lines(text):
    """Lines with their {{{ }}} blocks as literals: (line, [literal])."""
    lines, i = text.split(b"\n"), 0
    while i < len(lines):
        line, literals = lines[i].removesuffix(b"\r"), []
        i += 1
        while line.endswith(b"{{{"):
            block = []
            while not lines[i].startswith(b"}}}"):
                block.append(lines[i])
                i += 1
            # A literal8 is as it stands.
            if not line.endswith(b"~{{{"):
                block = [b.removesuffix(b"\r") for b in block]
            end = b"\n" if line.endswith(b"~{{{") else b"\r\n"
            literals.append(end.join(block))
            line = line[:-3] + b"\0" + lines[i][3:]
            i += 1
        yield line, literals


class Script:
    def __init__(self, path, server, tls, user, password):
        self.path, self.server, self.tls = Path(path), server, tls
        self.user, self.password = user, password
        text = self.path.read_bytes()
        head, _, self.body = text.partition(b"\n\n")
        self.head = {}
        for line in head.split(b"\n"):
            if b":" in line and not line.startswith(b"#"):
                k, v = line.split(b":", 1)
                self.head[k.strip().decode()] = v.strip().decode()
        self.vars = {b"mailbox": b"t-" + self.path.name.encode(),
                     b"user": user.encode(), b"password": password.encode()}
        mbox = self.path.with_name(self.path.name + ".mbox")
        if not mbox.exists():
            mbox = self.path.with_name("default.mbox")
        if not mbox.exists():
            mbox = self.path.parent.parent / "default.mbox"
        self.messages, self.next_message = read_mbox(mbox), 0

    # ---- words ----

    def expand(self, text):
        def one(m):
            if m[0] == b"$$":
                return b"$"
            name = m[1] or m[2]
            if name in self.vars:
                value = self.vars[name]
                if not re.fullmatch(rb"[^\s(){%*\"\\]+", value):
                    return b'"' + value + b'"'
                return value
            return m[0]
        return re.sub(rb"\$\$|\$\{(\w+)\}|\$(\w+)", one, text)

    def pattern(self, line, literals):
        quoted = iter(literals)

        def one(m):
            text = next(quoted)
            return b"{%d}\r\n%s" % (len(text), text)

        return tokens(re.sub(rb"~?\0", one, line))

    def word(self, want, got):
        """A variable takes what it meets first."""
        m = re.fullmatch(rb"\$\{?(\w+)\}?", want)
        value = got[1] if isinstance(got, tuple) else got
        if m and not want.startswith(b"$$"):
            if m[1] in self.vars:
                return self.vars[m[1]] == value
            if value is None or isinstance(value, list):
                return False
            self.taken[m[1]] = value
            return self.taken[m[1]] == value
        text = self.expand(want)
        if len(text) > 1 and text[:1] == text[-1:] == b'"':
            text = text[1:-1]
        return value is not None and not isinstance(value, list) and \
            text.lower() == value.lower()

    def fits(self, want, got, loose=False):
        if want is None:
            return got is None or got == ("s", b"NIL")
        if isinstance(want, tuple):
            if want[0] == "s":
                text = self.expand(want[1])
                # The suite is of two minds about the last line end of a
                # literal8.
                return isinstance(got, tuple) and (
                    got[1] in (text, text + b"\n") or
                    got[1].lower() == text.lower())
            return self.word(want[1], got)
        if not isinstance(got, list):
            return False
        if want and want[0] == ("a", b"$!unordered"):
            want, loose = want[1:], True
        want = [w for w in want if w != ("a", b"\\recent")]
        if loose:
            left = list(got)
            for w in want:
                for g in left:
                    if self.fits(w, g):
                        left.remove(g)
                        break
                else:
                    return False
            return True
        return len(want) == len(got) and all(
            self.fits(w, g) for w, g in zip(want, got))

    def fits_fetch(self, want, got):
        have = {}
        for k, v in zip(got[::2], got[1::2]):
            have[k[1].lower()] = v
        # Which session is told of a message first is not the script's.
        if isinstance(have.get(b"flags"), list):
            have[b"flags"] = [w for w in have[b"flags"]
                              if w != ("a", b"\\Recent")]
        for k, v in zip(want[::2], want[1::2]):
            name = k[1].lower()
            if name not in have:
                return False
            loose = name == b"flags"
            if not self.fits(v, have[name], loose):
                return False
            if loose and len([w for w in v if w != ("a", b"\\recent")]) != \
                    len(have[name]):
                return False
        return True

    def fits_line(self, want, line, was):
        self.taken = {}
        try:
            got = tokens(line)
        except (Failure, IndexError):
            got = [("a", w) for w in line.split()]
        ok = self.fits_reply(want, got, was)
        if ok:
            self.vars.update(self.taken)
        return ok

    def fits_reply(self, want, got, was):
        number = want[0][1] if isinstance(want[0], tuple) else b""
        if re.fullmatch(rb"\$\d+", number):
            if was is None or int(number[1:]) != was:
                return False
            want, got = want[1:], got[1:]
        name = want[0][1].lower() if isinstance(want[0], tuple) else b""
        kind = want[1][1].lower() if len(want) > 1 and isinstance(
            want[1], tuple) else b""
        if b"fetch" in (name, kind):
            at = 0 if name == b"fetch" else 1
            return len(got) > at + 1 and isinstance(got[at + 1], list) and \
                all(self.fits(w, g) for w, g in zip(
                    want[:at + 1], got[:at + 1])) and \
                self.fits_fetch(want[at + 1], got[at + 1])
        if name in (b"list", b"lsub"):
            return len(got) == len(want) and self.fits(want[0], got[0]) and \
                self.fits([w for w in want[1] if w != ("a", b"\\noselect")],
                          got[1], loose=True) and \
                self.fits(want[2], got[2]) and self.fits(want[3], got[3])
        if name == b"status":
            return len(got) == 3 and self.fits(want[:2], got[:2]) and \
                self.fits_fetch(want[2], got[2])
        if name in (b"ok", b"no", b"bad", b"bye", b"preauth"):
            return self.fits_status(want, got)
        return self.fits(want, got)

    def fits_status(self, want, got):
        if not self.fits(want[0], got[0]):
            return False
        if len(want) == 1:
            return True
        w, g = want[1][1], got[1][1] if len(got) > 1 else b""
        if not (g.startswith(b"[") and g.endswith(b"]")):
            return False
        w, g = tokens(w[1:-1]), tokens(g[1:-1])
        return len(g) >= len(w) and all(self.fits(a, b) for a, b in zip(w, g))

    # ---- running ----

    def prepare(self):
        state = self.head.get("state", "selected")
        n = self.head.get("messages", "0")
        count = len(self.messages) if n == "all" else int(n)
        box = self.vars[b"mailbox"]
        first = Connection(self.server, self.tls, self.user, self.password)
        for name in (box, box + b"2", box + b"3", box + b"4"):
            first.command(b"DELETE " + name)
        if state in ("created", "selected", "appended"):
            first.command(b"CREATE " + box)
        for i in range(count):
            m = self.messages[i % len(self.messages)]
            got = first.command(
                b"APPEND %s %s \0" % (box, m[0].encode()), [m[1]])
            if not got.startswith(b"OK"):
                raise Failure(got)
        first.close()
        self.connections = []
        for _ in range(int(self.head.get("connections", 1))):
            c = Connection(self.server, self.tls, self.user, self.password,
                           state != "nonauth")
            if state == "selected":
                c.command(b"SELECT " + box)
            self.connections.append(c)

    def run(self):
        self.prepare()
        try:
            self.run_lines()
        finally:
            for c in self.connections:
                c.close()

    def run_lines(self):
        blocks, current = [], None
        for line, literals in logical_lines(self.body):
            if not line.strip() or line.startswith(b"#"):
                continue
            if re.search(rb"search (new|old|recent)$", line, re.I):
                current = dict(kind="skipped", replies=[])
                continue
            if line[:2] in (b"* ", b"! "):
                current["replies"].append((line, literals))
                continue
            current = self.start(line, literals, blocks, current)
        for b in blocks:
            self.run_block(b)

    STATUS = re.compile(rb'(ok|no|bad|"")(?: |$)', re.I)

    def start(self, line, literals, blocks, current):
        rest, connection, tag = line, 0, None
        m = re.match(rb"(\d+) ", rest)
        if m:
            connection, rest = int(m[1]) - 1, rest[m.end():]
        m = re.match(rb"(tag\w*) ", rest)
        if m:
            tag, rest = m[1], rest[m.end():]
        m = self.STATUS.match(rest)
        status = m[1].lower() if m else None
        behind = rest[m.end():] if m else rest
        # The status of what was sent above
        if m and (not behind or behind.startswith(b"[")):
            if tag:
                blocks.append(dict(kind="await", tag=tag, status=status,
                                   code=behind, connection=connection,
                                   replies=current["replies"]
                                   if current["kind"] == "send" else []))
                current["replies"] = []
                return blocks[-1]
            current.update(status=status, code=behind)
            return current
        blocks.append(dict(kind="send" if tag else "command", tag=tag,
                           status=status, code=b"", text=behind,
                           literals=literals, connection=connection,
                           replies=[], line=line))
        return blocks[-1]

    def text_of(self, b):
        text, literals = b["text"], b["literals"]
        if re.match(rb"append\b", text, re.I) and not literals:
            m = self.messages[self.next_message % len(self.messages)]
            self.next_message += 1
            words = text.split(b" ", 1)
            args = words[1] if len(words) > 1 else b"$mailbox"
            return self.expand(b"append " + args) + b" %s \0" % \
                m[0].encode(), [m[1]]
        return self.expand(text), literals

    def run_block(self, b):
        c = self.connections[b["connection"]]
        if b["kind"] == "send":
            text, literals = self.text_of(b)
            c.send(b["tag"], text, literals)
            return
        if b["kind"] == "await":
            c.untagged = []
            got = c.read_until(b["tag"])
        else:
            text, literals = self.text_of(b)
            got = c.command(text, literals)
        self.check(b, c, got)

    def check(self, b, c, got):
        where = f"{self.path.name}: {b.get('line', b.get('tag'))!r}"
        if b["status"] not in (None, b'""') and \
                not got.lower().startswith(b["status"]):
            raise Failure(f"{where}: {got!r}")
        if b["code"]:
            want = tokens(b["status"] + b" " + b["code"])
            if not self.fits_line(want, got, None):
                raise Failure(f"{where}: wanted {b['code']!r}, got {got!r}")
        left = list(c.untagged)
        for line, literals in b["replies"]:
            if b"recent" in line.lower().split():
                continue
            want = self.pattern(re.sub(rb" recent \d", b"", line[2:]), literals)
            # Two expectations may meet in one reply.
            hit = next((u for u in left + c.untagged
                        if self.fits_line(want, *u)), None)
            if line.startswith(b"!"):
                if hit:
                    raise Failure(f"{where}: forbidden {hit[0]!r}")
            elif hit is None:
                raise Failure(f"{where}: no {line!r} in {left!r}")
            elif hit in left:
                left.remove(hit)
