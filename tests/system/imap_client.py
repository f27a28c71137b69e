# SPDX-License-Identifier: ISC
"""A client that shows each line: what imaplib would hide or put in order."""

import re
import socket
import zlib


class Client:
    # Shows what is \Recent, "* 1 RECENT" too: most tests are not about it.
    recent = False

    def __init__(self, server, user=None, password="builder-22",
                 port="imaps", login=True, recent=False):
        raw = socket.create_connection((server.host, server.port[port]), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = server.tls().wrap_socket(
            raw, server_hostname="localhost") if port == "imaps" else raw
        self.data, self.n = b"", 0
        self.inflate = self.deflate = None
        self.recent = recent
        self.greeting = self.line()
        if login:
            self.ok(f'LOGIN "{user}" "{password}"')

    def _more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        self.data += self.inflate.decompress(piece) if self.inflate else piece

    def line(self):
        """One reply with its literals, without the last CRLF."""
        while True:
            line = self._line()
            if self.recent:
                return line
            if not re.fullmatch(rb"\* \d+ RECENT", line):
                return re.sub(rb"(?<=\()\\Recent ?| \\Recent(?=[ )])", b"",
                              line)

    def _line(self):
        at = 0
        while True:
            end = self.data.find(b"\r\n", at)
            if end < 0:
                self._more()
                continue
            m = re.search(rb"\{(\d+)\}$", self.data[at:end])
            if not m:
                line, self.data = self.data[:end], self.data[end + 2:]
                return line
            at = end + 2 + int(m[1])
            while len(self.data) < at:
                self._more()

    def send(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(
                zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def cmd(self, text):
        """(untagged replies without "* ", the tagged one without its tag);
        literals in text are non-synchronizing."""
        self.n += 1
        tag = f"x{self.n}"
        self.send(f"{tag} ".encode() + (
            text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag):
        out = []
        while True:
            line = self.line()
            if line.startswith(tag.encode() + b" "):
                return out, line[len(tag) + 1:].decode("latin-1")
            out.append(line[2:])

    def ok(self, text):
        replies, status = self.cmd(text)
        assert status.startswith("OK"), (text, replies, status)
        return [r.decode("utf-8", "surrogateescape") for r in replies]

    def code(self, text):
        """The response code of an OK."""
        status = self.cmd(text)[1]
        assert status.startswith("OK ["), status
        return status[4:status.index("]")]

    def no(self, text):
        status = self.cmd(text)[1]
        assert status.startswith("NO"), status
        return status

    def bad(self, text):
        status = self.cmd(text)[1]
        assert status.startswith("BAD"), status
        return status

    def append(self, box, message, extra=""):
        m = message if isinstance(message, bytes) else message.encode()
        code = self.cmd(f"APPEND {box} {extra}{{{len(m)}+}}\r\n".encode() + m)[1]
        assert code.startswith("OK [APPENDUID"), code
        return int(code.split()[3].rstrip("]"))

    def compress(self):
        self.ok("COMPRESS DEFLATE")
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(wbits=-15)

    def close(self):
        self.sock.close()
