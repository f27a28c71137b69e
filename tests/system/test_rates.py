# SPDX-License-Identifier: ISC
"""smtpd_client_*_limit: counted for all smtpd processes together."""

import os
import signal

import pytest

from harness import Smtp, wait_for
from test_smtpd import BOB, logged_in, open_mx


def limited(postern, **options):
    return postern("rates", users={BOB: "b", "alice@example.test": "a"},
                   options={"smtpd_client_event_limit_exceptions":
                            "127.0.0.9/32", "smtpd_processes": "3",
                            **options}).start()


def greeting(p, source="127.0.0.1", port="smtp"):
    s = Smtp(p.host, p.port[port], greet=False, source=source)
    return s, s.reply()


def test_connections_at_a_time(postern):
    p = limited(postern, smtpd_client_connection_count_limit="3")
    held = [greeting(p) for _ in range(3)]
    assert [r[0] for _, r in held] == [220] * 3
    s, reply = greeting(p)
    assert reply[0] == 421 and "4.7.0" in reply[1]
    assert "too many connections from 127.0.0.1" in reply[1]
    s.close()
    # Another client, another port and an exception are not concerned.
    for source, port in (("127.0.0.2", "smtp"), ("127.0.0.1", "submission")):
        s, reply = greeting(p, source, port)
        assert reply[0] == 220
        s.close()
    for _ in range(5):
        held.append(greeting(p, "127.0.0.9"))
        assert held[-1][1][0] == 220
    held[0][0].close()

    def again():
        t, r = greeting(p)
        t.close()
        return r[0] == 220
    wait_for("a free place", again)


def test_a_killed_process_leaves_no_count(postern):
    p = limited(postern, smtpd_client_connection_count_limit="4")
    held = [greeting(p) for _ in range(4)]
    for role in p.status()["roles"]:
        if role["role"] == "smtpd":
            os.kill(role["pid"], signal.SIGKILL)

    def all_new():
        fresh = [greeting(p) for _ in range(4)]
        ok = all(r[0] == 220 for _, r in fresh)
        for s, _ in fresh:
            s.close()
        return ok
    wait_for("four new connections", all_new)
    for s, _ in held:
        s.close()


def test_rates_of_messages_and_recipients(postern):
    p = limited(postern, smtpd_client_message_rate_limit="3",
                smtpd_client_recipient_rate_limit="4")
    s = open_mx(p)
    for i in range(3):
        s.expect("MAIL FROM:<a@b.example>", 250)
        s.expect("RSET", 250)
    text = s.expect("MAIL FROM:<a@b.example>", 450)
    assert "too much mail from 127.0.0.1" in text
    s.expect(f"RCPT TO:<{BOB}>", 503)
    s.close()
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.2")
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for i in range(4):
        s.expect(f"RCPT TO:<{BOB}>", 250)
    assert "too many recipients" in s.expect(f"RCPT TO:<{BOB}>", 450)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()


def test_the_window_ends(postern):
    p = limited(postern, smtpd_client_connection_rate_limit="2",
                anvil_rate_time_unit="1s")

    def burst():
        codes = []
        for _ in range(4):
            s, reply = greeting(p)
            codes.append(reply[0])
            s.close()
        return codes
    assert wait_for("a refusal", lambda: 421 in burst())

    def open_again():
        s, reply = greeting(p)
        s.close()
        return reply[0] == 220
    wait_for("the next window", open_again)


def test_networks_count_together(postern):
    p = limited(postern, smtpd_client_connection_rate_limit="2",
                smtpd_client_ipv4_prefix_length="24")
    codes = []
    for i in (1, 2, 3):
        s, reply = greeting(p, f"127.0.0.{i}")
        codes.append(reply[0])
        s.close()
    s, reply = greeting(p, "127.0.1.1")
    s.close()
    assert codes == [220, 220, 421] and reply[0] == 220


def test_auth_and_new_tls_sessions(postern):
    p = limited(postern, smtpd_client_auth_rate_limit="2",
                smtpd_client_new_tls_session_rate_limit="3")
    logged_in(p).close()
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO c.example", 250)
    s.expect("AUTH PLAIN AGEAYg==", 535)
    assert "too many AUTH" in s.expect("AUTH PLAIN AGEAYg==", 450)
    s.close()
    codes = []
    for _ in range(2):
        s = Smtp(p.host, p.port["submissions"], greet=False)
        s.sock = p.tls().wrap_socket(s.sock, server_hostname=p.name)
        s.file = s.sock.makefile("rb")
        codes.append(s.reply()[0])
        s.close()
    # The counts are of each port: these are its first two.
    assert codes == [220, 220]
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    s.expect("EHLO c.example", 250)
    s.close()
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    assert s.reply()[0] == 421
    s.close()
