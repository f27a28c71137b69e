# SPDX-License-Identifier: ISC
"""postscreen lines of master.cf: strangers are tested before the greeting."""

import time

import pytest

from harness import Smtp, free_port, wait_for
from test_smtpd import BOB, inbox


def screened(postern, master="", folder="scr", **options):
    port = free_port(("127.0.0.1",))
    p = postern(folder, users={BOB: "b"}, options={
        "postscreen_greet_wait": "1s", **options},
        master_extra=f"127.0.0.1:{port} inet n - n - 1 postscreen\n" + master)
    p.port["screen"] = port
    return p.start()


def connect(p, source="127.0.0.1"):
    return Smtp(p.host, p.port["screen"], greet=False, source=source)


def greeted(p, source="127.0.0.1"):
    """The greeting, and how long it took."""
    start = time.monotonic()
    s = connect(p, source)
    code, text = s.reply()
    return s, code, text, time.monotonic() - start


def test_a_quiet_client_waits_once(postern):
    p = screened(postern, postscreen_greet_action="drop")
    s, code, text, first = greeted(p)
    assert code == 220 and text.startswith("220-") and "\r\n220 " in text
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.close()
    # The second time nothing is tested: one line, at once.
    s, code, text, second = greeted(p)
    assert code == 220 and text.count("220") == 1
    assert first >= 0.9 and second < first
    s.close()


@pytest.mark.parametrize("action, codes", [
    ("drop", [521]), ("enforce", [220, 250, 250, 550]),
    ("ignore", [220, 250, 250, 250])])
def test_who_talks_first(postern, action, codes):
    p = screened(postern, postscreen_greet_action=action,
                 smtpd_forbid_unauth_pipelining="no")
    s = connect(p)
    line = s.file.readline()
    assert line.startswith(b"220-")
    s.send(b"EHLO bot\r\nMAIL FROM:<a@b.example>\r\n"
           b"RCPT TO:<bob@example.test>\r\n")
    assert [s.reply()[0] for _ in codes] == codes
    if action == "drop":
        try:  # what it had sent was not read: that may reset
            assert s.file.readline() == b""
        except ConnectionResetError:
            pass
    s.close()
    assert "test=pregreet" in p.log()
    # Who failed has not passed.
    s = connect(p)
    assert s.file.readline().startswith(b"220-")
    s.close()
    assert inbox(p) == []


def test_waiting_costs_no_thread(postern):
    """More strangers than threads wait, and a known client is served."""
    p = screened(postern, postscreen_greet_wait="30s", smtpd_processes="1",
                 smtpd_threads="2", postscreen_access_list=
                 "permit_mynetworks", mynetworks="127.0.0.9/32",
                 smtpd_client_connection_count_limit="0")
    held = [connect(p) for _ in range(20)]
    for s in held:
        assert s.file.readline().startswith(b"220-")
    s, code, text, _ = greeted(p, "127.0.0.9")
    assert code == 220
    s.expect("EHLO c.example", 250)
    s.close()
    for s in held:
        s.close()


@pytest.mark.parametrize("value, action, first", [
    ("reject", "drop", 521), ("reject", "ignore", 220), ("permit", "drop", 220),
    ("dunno", "drop", 220)])
def test_access_list(postern, tmp_path, value, action, first):
    table = tmp_path / "access"
    table.write_text(f"127.0.0.0/8 {value}\n")
    p = screened(postern, postscreen_access_list=f"cidr:{table}",
                 postscreen_denylist_action=action)
    s, code, text, _ = greeted(p)
    assert code == first
    # Who is permitted is not tested; who is not waits behind the teaser.
    assert text.startswith("220 ") == (value == "permit")
    s.close()


@pytest.mark.parametrize("sites, threshold, blocked", [
    ("bl.test", "1", True), ("bl.test*2", "3", False),
    ("bl.test*2 other.test*1", "3", True),
    ("bl.test=127.0.0.[3..9]", "1", False),
    ("bl.test=127.0.0.[2;4]*3 white.test*-2", "2", False),
    ("empty.test", "1", False)])
def test_dns_lists_with_weights(postern, dns, sites, threshold, blocked):
    server = dns({"bl.test": "1.0.0.127 A 127.0.0.2",
                  "other.test": "1.0.0.127 A 127.0.0.7",
                  "white.test": "1.0.0.127 A 127.0.0.9",
                  "empty.test": ""})
    p = screened(postern, postscreen_dnsbl_sites=sites,
                 postscreen_dnsbl_threshold=threshold,
                 postscreen_dnsbl_action="enforce",
                 dns_resolvers=f"[127.0.0.1]:{server.port}",
                 postscreen_greet_wait="0s")
    s, code, text, _ = greeted(p)
    assert code == 220
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    got = s.cmd(f"RCPT TO:<{BOB}>")
    assert got[0] == (550 if blocked else 250)
    if blocked:
        assert "client [127.0.0.1] blocked using bl.test" in got[1]
    s.close()
    assert ("test=dnsbl" in p.log()) == blocked


def test_dns_list_drops(postern, dns):
    server = dns({"bl.test": "1.0.0.127 A 127.0.0.2"})
    p = screened(postern, postscreen_dnsbl_sites="bl.test",
                 postscreen_dnsbl_action="drop",
                 dns_resolvers=f"[127.0.0.1]:{server.port}")
    s, code, text, _ = greeted(p)
    assert code == 521 and "blocked using bl.test" in text
    s.close()


def test_settings_of_the_pass_line_count(postern):
    p = screened(postern, folder="pass", postscreen_greet_wait="0s",
                 master="smtpd pass - - n - - smtpd\n"
                        "  -o smtpd_banner=behind_the_screen\n")
    s, code, text, _ = greeted(p)
    assert "behind_the_screen" in text
    s.close()


def test_hanging_up_while_waiting(postern):
    p = screened(postern, postscreen_greet_action="drop")
    for _ in range(5):
        s = connect(p)
        s.file.readline()
        s.close()
    wait_for("all gone", lambda: p.log().count("disconnect client=127.0.0.1")
             >= 5)
    s, code, _, _ = greeted(p)
    assert code == 220
    s.close()
