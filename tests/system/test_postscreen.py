# SPDX-License-Identifier: ISC
"""postscreen lines of master.cf: strangers are tested before the greeting."""

import socket
import threading
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


def deliver(s):
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    code, text = s.cmd(f"RCPT TO:<{BOB}>")
    if code == 250:
        s.expect("DATA", 354)
        s.send("Subject: s\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
    return code, text


def test_who_passed_is_known_after_a_restart(postern):
    p = screened(postern)
    s, *_ = greeted(p)
    deliver(s)
    s.close()
    p.stop()
    p.start(add_users=False)
    s, code, text, _ = greeted(p)
    assert text.count("220") == 1
    s.close()
    # Nor does a file of another kind stop anything.
    p.stop()
    (p.dir / "data/anvil").write_bytes(b"\xff" * 100000)
    p.start(add_users=False)
    s, code, text, _ = greeted(p)
    assert code == 220 and text.startswith("220-")
    s.close()


DEEP = {"pipelining": b"DATA\r\nNOOP\r\n", "bare_newline": b"NOOP\n",
        "non_smtp_command": b"From: you\r\n"}


@pytest.mark.parametrize("test, lines", DEEP.items())
@pytest.mark.parametrize("action, rcpt", [
    ("enforce", 550), ("ignore", 250), ("drop", None)])
def test_tests_behind_the_greeting(postern, test, lines, action, rcpt):
    p = screened(postern, **{
        f"postscreen_{test}_enable": "yes",
        f"postscreen_{test}_action": action,
        "postscreen_greet_wait": "0s",
        "smtpd_forbid_unauth_pipelining": "no"})
    s, *_ = greeted(p)
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.send(lines)
    code, text = s.reply()
    if action == "drop":
        assert code == 521
        try:
            assert s.file.readline() == b""
        except ConnectionResetError:
            pass
    else:
        if test == "pipelining":
            s.reply()
        s.expect(f"RCPT TO:<{BOB}>", rcpt)
    s.close()
    assert f"test={test}" in p.log()
    # A good client notices nothing, and is not tested again.
    s, *_ = greeted(p, "127.0.0.7")
    assert deliver(s)[0] == 250
    s.expect("QUIT", 221)
    s.close()
    wait_for("its end", lambda: "mails=1" in p.log())
    s, *_ = greeted(p, "127.0.0.7")
    s.expect("EHLO c.example", 250)
    s.send(lines)
    assert s.reply()[0] != 521
    s.close()


def test_greylisting_by_network(postern):
    p = screened(postern, postscreen_greylist_enable="yes",
                 postscreen_greylist_delay="2s", postscreen_greet_wait="0s",
                 postscreen_access_list="permit_mynetworks",
                 mynetworks="127.9.0.0/16")
    s, *_ = greeted(p, "127.0.3.1")
    code, text = deliver(s)
    assert code == 450 and "4.7.1 Greylisted" in text
    # Each recipient of the session; asking at once does not help.
    assert s.cmd(f"RCPT TO:<{BOB}>")[0] == 450
    s.close()
    s, *_ = greeted(p, "127.9.0.1")  # our own network
    assert deliver(s)[0] == 250
    s.close()

    def again():
        s, *_ = greeted(p, "127.0.3.77")  # a neighbour in the same network
        code = deliver(s)[0]
        s.close()
        return code == 250
    wait_for("the network to be let in", again)
    s, *_ = greeted(p, "127.0.4.1")
    assert deliver(s)[0] == 450
    s.close()
    assert len(inbox(p)) == 2
    assert "postscreen_greylist_enable" in p.run("why", "127.0.4.1").stdout


class SlowDns:
    """Knows nobody, takes its time, and counts whom it keeps waiting."""

    def __init__(self, delay):
        self.delay, self.waiting, self.most = delay, set(), 0
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(2000)
            except OSError:
                return
            name = query[12:]
            with self.lock:
                if name.startswith(b"\x011\x010"):  # of the client
                    self.waiting.add(name[:20])
                self.most = max(self.most, len(self.waiting))
            threading.Timer(self.delay, self._answer, (query, peer)).start()

    def _answer(self, query, peer):
        with self.lock:
            self.waiting.discard(query[12:32])
        try:  # NXDOMAIN, the question repeated
            self.socket.sendto(query[:2] + b"\x81\x83\x00\x01" + b"\0" * 6
                               + query[12:].split(b"\0\x01\0\x01")[0]
                               + b"\0\x01\0\x01", peer)
        except OSError:
            pass

    def stop(self):
        self.socket.close()


def test_dns_lists_are_asked_at_once(postern):
    """Eight lists behind a server that takes its time cost the time of one."""
    server = SlowDns(0.4)
    sites = " ".join(f"l{i}.test" for i in range(8))
    p = screened(postern, postscreen_dnsbl_sites=sites,
                 postscreen_greet_wait="0s", smtpd_peername_lookup="no",
                 dns_resolvers=f"[127.0.0.1]:{server.port}",
                 dnsbl_check_interval="1h")
    s, code, _, _ = greeted(p)
    s.close()
    assert code == 220
    assert server.most >= 8
    server.stop()


def test_a_list_that_answers_everything_does_not_count(postern, dns):
    server = dns({"all.test": "* A 127.0.0.2",
                  "none.test": "9.9.9.9 A 127.0.0.2",
                  "good.test": "2.0.0.127 A 127.0.0.2"})
    p = postern("w", users={BOB: "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{server.port}",
        "dnsbl_check_interval": "1s", "smtpd_processes": "1",
        "smtpd_recipient_restrictions":
            "reject_rbl_client all.test, reject_rbl_client none.test, "
            "reject_rbl_client good.test, permit"}).start()

    def accepted():
        s = Smtp(p.host, p.port["smtp"])
        code, _ = deliver(s)
        s.close()
        return code == 250
    wait_for("the list to be ignored", accepted)
    wait_for("the words", lambda: "list=none.test" in p.log())
    log = p.log()
    assert "list=all.test reason=\"the DNS list answers everything" in log
    assert "list=good.test" not in log
    assert log.count("list=all.test reason") == 1


# ---- parameters that stand in for smtpd's ----

@pytest.mark.parametrize("value", ["$smtpd_reject_footer",
                                   "${smtpd_reject_footer}",
                                   "$(smtpd_reject_footer)"])
def test_the_footer_of_the_other(postern, value):
    """What is filled in for each client is not filled in before."""
    p = screened(postern, postscreen_greet_wait="0s",
                 postscreen_reject_footer=value,
                 smtpd_reject_footer="\\c ask about $helo_name")
    s = Smtp(p.host, p.port["screen"])
    s.expect("EHLO c.example", 250)
    assert "ask about c.example" in s.expect("RCPT TO:<x>", 503)
    s.close()


def test_postscreen_x_counts_before_smtpd_x(postern):
    """On a postscreen line; -o of the line before main.cf."""
    port = free_port(("127.0.0.1",))
    p = screened(postern, postscreen_greet_wait="0s",
                 postscreen_discard_ehlo_keywords="chunking, vrfy",
                 postscreen_disable_vrfy_command="$disable_vrfy_command",
                 postscreen_helo_required="yes",
                 postscreen_reject_footer="\\c ask postscreen, $helo_name",
                 postscreen_expansion_filter="cxe$%",
                 smtpd_reject_footer="\\c ask smtpd, $helo_name",
                 master=f"127.0.0.1:{port} inet n - n - 1 postscreen "
                        "-o postscreen_discard_ehlo_keywords=pipelining "
                        "-o smtpd_reject_footer=\\c\n")
    r = p.run("check", check=False)
    assert "does not act" not in r.stderr and "unused" not in r.stderr, r.stderr
    offers = {}
    for name, number in (("screen", p.port["screen"]), ("own", port),
                         ("smtpd", p.port["smtp"])):
        s = Smtp(p.host, number)
        if name != "smtpd":
            s.expect("MAIL FROM:<a@b.example>", 503)
        offers[name] = s.expect("EHLO c.example", 250)
        said = s.expect("RCPT TO:<x>", 503)
        assert ("ask postscreen, c_ex____e" in said) == (name == "screen"), \
            said
        assert ("ask smtpd" in said) == (name == "smtpd"), said
        s.close()
    assert "CHUNKING" not in offers["screen"]
    assert "PIPELINING" in offers["screen"] and "CHUNKING" in offers["own"]
    assert "PIPELINING" not in offers["own"]
    assert "PIPELINING" in offers["smtpd"] and "CHUNKING" in offers["smtpd"]


def rcpt(host, port, source):
    """The reply to RCPT TO."""
    s = Smtp(host, port, source=source)
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    reply = s.cmd(f"RCPT TO:<{BOB}>")
    s.close()
    return reply


def test_where_one_may_pass(postern):
    """postscreen_allowlist_interfaces: who comes to a backup MX first is asked
    to come again, until the primary has seen it."""
    port = free_port(("127.0.0.4",))
    p = screened(postern, postscreen_allowlist_interfaces="!127.0.0.4, "
                 "static:all", postscreen_greet_wait="1s",
                 master=f"127.0.0.4:{port} inet n - n - 1 postscreen\n")

    backup, primary = ("127.0.0.4", port), (p.host, p.port["screen"])
    for _ in range(2):
        code, text = rcpt(*backup, "127.0.0.8")
        assert code == 450 and "4.3.2" in text
    assert rcpt(*primary, "127.0.0.8")[0] == 250
    assert rcpt(*backup, "127.0.0.8")[0] == 250
    assert "test=allowlist_interfaces" in p.log()


@pytest.mark.parametrize("ttl", ["1h", "1s"])
def test_whom_no_list_knew_is_not_looked_up_again(postern, dns, ttl):
    """postscreen_dnsbl_max_ttl: but who was refused is."""
    listed = {n: f"{n}.0.0.127 A 127.0.0.2\n" for n in (9, 10, 11)}
    ns = dns({"list.test": listed[9] + listed[11]})
    p = screened(postern, dns_resolvers=f"[127.0.0.1]:{ns.port}",
                 postscreen_greet_wait="0s",
                 postscreen_dnsbl_sites="list.test",
                 postscreen_dnsbl_action="enforce",
                 postscreen_dnsbl_max_ttl=ttl)

    def code(n):
        return rcpt(p.host, p.port["screen"], f"127.0.0.{n}")[0]

    assert code(10) == 250 and code(9) == 550
    ns.stop()
    dns({"list.test": listed[10] + listed[11]}, port=ns.port)
    # The records of both are too old now to be taken from memory, and the new
    # server is heard.
    wait_for("another answer", lambda: code(9) == 250)
    assert code(11) == 550
    if ttl == "1h":
        assert code(10) == 250
    else:
        wait_for("the look", lambda: code(10) == 550)


def test_the_name_of_a_list_is_not_told(postern, dns):
    """postscreen_dnsbl_reply_map"""
    ns = dns({"secret.test": "9.0.0.127 A 127.0.0.2\n"})
    p = screened(postern, dns_resolvers=f"[127.0.0.1]:{ns.port}",
                 postscreen_greet_wait="0s",
                 postscreen_dnsbl_sites="secret.test",
                 postscreen_dnsbl_action="enforce",
                 postscreen_dnsbl_reply_map=
                 "inline:{{secret.test=a list of ours}}")
    code, text = rcpt(p.host, p.port["screen"], "127.0.0.9")
    assert code == 550 and "a list of ours" in text and "secret" not in text


def test_check_looks_at_the_tables_of_postscreen(postern):
    port = free_port(("127.0.0.1",))
    p = postern("scr", options={
        "postscreen_access_list": "permit_mynetworks, cidr:/no/such/list",
        "postscreen_dnsbl_reply_map": "texthash:/no/such/map"},
        master_extra=f"127.0.0.1:{port} inet n - n - 1 postscreen\n")
    r = p.run("check", check=False)
    assert r.returncode == 78
    assert "/no/such/list" in r.stderr and "/no/such/map" in r.stderr
