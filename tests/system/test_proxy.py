# SPDX-License-Identifier: ISC
"""Who is behind a proxy: the PROXY protocol, XCLIENT, XFORWARD."""

import socket
import struct

import pytest

from harness import Smtp, wait_for
from test_smtpd import BOB, inbox

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(client="192.0.2.7", server="192.0.2.8", command=0x21, family=0x11,
       tail=b""):
    kind = socket.AF_INET if family == 0x11 else socket.AF_INET6
    body = (socket.inet_pton(kind, client) + socket.inet_pton(kind, server)
            + struct.pack(">HH", 4321, 25) + tail)
    return V2 + bytes([command, family]) + struct.pack(">H", len(body)) + body


@pytest.fixture
def behind(postern):
    return postern("behind", users={BOB: "b"}, options={
        "smtpd_upstream_proxy_protocol": "haproxy",
        "smtpd_upstream_proxy_timeout": "1s",
        "mynetworks": "192.0.2.0/24"}).start()


def dial(p, data, port="smtp", pieces=1):
    s = Smtp(p.host, p.port[port], greet=False)
    step = max(1, len(data) // pieces)
    for i in range(0, len(data), step):
        s.send(data[i:i + step])
    return s


@pytest.mark.parametrize("header, client", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 25\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::8 4321 25\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (v2(), "192.0.2.7"),
    (v2("2001:db8::7", "::1", family=0x21), "2001:db8::7"),
    (v2(command=0x20), "127.0.0.1"), (v2(tail=b"\x04\0\x02xx"), "192.0.2.7")])
@pytest.mark.parametrize("pieces", [1, 1000])
def test_the_client_behind(behind, header, client, pieces):
    s = dial(behind, header, pieces=pieces)
    assert s.reply()[0] == 220
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    # Relaying follows the client, not the proxy.
    s.expect("RCPT TO:<x@far.example>",
             250 if client == "192.0.2.7" else 454)
    s.close()
    assert f"connect client={client} " in behind.log()


def test_header_and_commands_in_one_packet(behind):
    s = dial(behind, v2() + b"EHLO x\r\n")
    assert s.reply()[0] == 220 and s.reply()[0] == 250
    s.close()


def test_tls_behind_the_header(behind):
    s = dial(behind, v2(), port="submissions")
    s.sock = behind.tls().wrap_socket(s.sock, server_hostname=behind.name)
    s.file = s.sock.makefile("rb")
    assert s.reply()[0] == 220
    s.close()


@pytest.mark.parametrize("header", [
    b"EHLO x\r\n", b"PROXY TCP4 192.0.2.7\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 99999 25\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.8 1 25\r\n", b"PROXY TCP4 " + b"1" * 200,
    b"PROXY TCP4 192.0.2.7 192.0.2.8 1 25\n", V2 + b"\x11\x11\0\x0c" + b"x" * 12,
    V2 + b"\x21\x11\0\x04abcd", V2 + b"\x21\x11\xff\xff" + b"x" * 1000,
    b"PROXY ", b""])
def test_a_bad_header_ends_the_session(behind, header):
    s = dial(behind, header)
    with pytest.raises((EOFError, ConnectionResetError)):
        s.reply()
    s.close()
    assert "no good PROXY header" in behind.log()


# ---- XCLIENT ----

@pytest.fixture
def trusting(postern):
    return postern("trusting", users={BOB: "b"}, options={
        "smtpd_authorized_xclient_hosts": "127.0.0.1",
        "smtpd_authorized_xforward_hosts": "127.0.0.1",
        "mynetworks": "192.0.2.0/24"}).start()


def test_xclient_makes_another_session(trusting):
    s = Smtp(trusting.host, trusting.port["smtp"])
    text = s.expect("EHLO c.example", 250)
    assert "XCLIENT NAME ADDR" in text and "XFORWARD NAME" in text
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 454)
    s.expect("XCLIENT ADDR=192.0.2.9", 503)
    s.expect("RSET", 250)
    s.expect("XCLIENT ADDR=192.0.2.9 NAME=host.example PORT=99 "
             "HELO=helo.example PROTO=ESMTP", 220)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 250)
    s.expect("RSET", 250)
    # It may be said again, by the real client's right.
    s.expect("XCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] "
             "LOGIN=alice@example.test", 220)
    s.expect("EHLO d.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 250)  # by its login
    s.expect("RSET", 250)
    s.expect("XCLIENT LOGIN=[UNAVAILABLE]", 220)
    s.expect("EHLO d.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 454)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    mail, = inbox(trusting)
    assert b"from d.example (unknown [IPv6:2001:db8::1])" in mail


@pytest.mark.parametrize("args", [
    "", "ADDR", "ADDR=999.1.1.1", "ADDR=host", "PORT=70000", "PORT=x",
    "PROTO=HTTP", "NAME=-bad-", "FOO=bar", "ADDR=1.2.3.4+0D+0A",
    "LOGIN=a+0ARCPT", "SOURCE=LOCAL", "HELO=" + "x" * 300])
def test_bad_xclient_changes_nothing(trusting, args):
    s = Smtp(trusting.host, trusting.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect(f"XCLIENT {args}", 501)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 454)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()


def test_xclient_is_for_listed_hosts(trusting):
    s = Smtp(trusting.host, trusting.port["smtp"], source="127.0.0.2")
    assert "XCLIENT" not in s.expect("EHLO c.example", 250)
    s.expect("XCLIENT ADDR=192.0.2.9", 550)
    s.expect("XFORWARD ADDR=192.0.2.9", 550)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<x@far.example>", 454)
    s.close()


def test_xforward_is_for_the_log(trusting):
    s = Smtp(trusting.host, trusting.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("XFORWARD NAME=spike.example ADDR=192.0.2.3 PROTO=ESMTP", 250)
    s.expect("XFORWARD HELO=spike.example IDENT=ABC SOURCE=REMOTE", 250)
    s.expect("XFORWARD LOGIN=x", 501)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("XFORWARD ADDR=192.0.2.3", 503)
    s.expect("RCPT TO:<x@far.example>", 454)
    s.close()
    wait_for("the log", lambda: "addr=192.0.2.3" in trusting.log())
