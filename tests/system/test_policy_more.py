# SPDX-License-Identifier: ISC
"""Servers behind a name, lists of the good, moved users, copies, and the
commands that an administrator changes."""

import pytest

from harness import Smtp
from test_smtpd import BOB, inbox, open_mx

ZONE = """@ MX 10 mx
mx A 192.0.2.66
@ A 192.0.2.10
nomx A 192.0.2.66
"""


@pytest.fixture
def named(postern, dns, tmp_path):
    """A server that knows evil.test, whose exchanger is 192.0.2.66."""
    server = dns({"evil.test": ZONE, "good.test": "@ MX 10 mx\nmx A 192.0.2.1\n",
                  "wl.test": "1.0.0.127 A 127.0.0.2\n"})

    def make(restrictions, table="", stage="recipient", **options):
        (tmp_path / "access").write_text(table)
        return postern("named", users={BOB: "b", "eve@example.test": "e"},
                       options={
            f"smtpd_{stage}_restrictions": restrictions.replace(
                "TABLE", f"hash:{tmp_path}/access"),
            "dns_resolvers": f"[127.0.0.1]:{server.port}", **options}).start()
    return make


def answer(p, sender="a@good.test", helo="c.example", rcpt=BOB):
    s = Smtp(p.host, p.port["smtp"])
    s.expect(f"EHLO {helo}", 250)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    got = s.cmd(f"RCPT TO:<{rcpt}>")
    s.close()
    return got


@pytest.mark.parametrize("rule, table, sender, helo, code", [
    ("check_sender_mx_access", "192.0.2.66 REJECT", "a@evil.test", "x.y", 554),
    ("check_sender_mx_access", "192.0.2.66 REJECT", "a@good.test", "x.y", 250),
    ("check_sender_mx_access", "mx.evil.test REJECT", "a@evil.test", "x.y",
     554),
    ("check_sender_mx_access", "192.0.2.66 REJECT", "a@nomx.evil.test", "x.y",
     554),
    ("check_sender_mx_access", "192.0.2.66 OK\n", "a@evil.test", "x.y", 250),
    ("check_sender_mx_access", "192.0.2.66 REJECT", "", "x.y", 250),
    ("check_sender_a_access", "192.0.2.10 REJECT", "a@evil.test", "x.y", 554),
    ("check_sender_ns_access", "ns.evil.test REJECT", "a@sub.evil.test", "x.y",
     554),
    ("check_helo_mx_access", "192.0.2.66 REJECT", "a@good.test", "evil.test",
     554),
    ("check_helo_a_access", "192.0.2.66 450 later", "a@b.c", "nomx.evil.test",
     450),
    ("check_reverse_client_hostname_access", "localhost REJECT", "a@b.c",
     "x.y", 554)])
def test_servers_behind_a_name(named, rule, table, sender, helo, code):
    p = named(f"{rule} TABLE", table + "\n")
    assert answer(p, sender, helo)[0] == code


def test_ok_of_a_servers_table_lets_nobody_in(named):
    p = named("check_sender_mx_access TABLE, reject", "192.0.2.66 OK\n")
    assert answer(p, "a@evil.test")[0] == 554


@pytest.mark.parametrize("rcpt, code", [(BOB, 250), ("x@far.example", 554)])
def test_a_list_of_the_good_is_no_licence_to_relay(named, rcpt, code):
    p = named("permit_dnswl_client wl.test, reject",
              smtpd_relay_restrictions="permit_dnswl_client wl.test, "
              "reject_unauth_destination")
    assert answer(p, rcpt=rcpt)[0] == code


def test_relocated(postern, tmp_path):
    (tmp_path / "moved").write_text("old@example.test new@there.example\n"
                                    "@gone.test nowhere, sorry\n")
    p = postern("reloc", users={BOB: "b"}, options={
        "relocated_maps": f"hash:{tmp_path}/moved",
        "virtual_alias_maps": "inline:{ex@example.test=old@example.test}",
        "mynetworks": "127.0.0.0/8"}).start()
    s = open_mx(p)
    s.expect(f"MAIL FROM:<{BOB}>", 250)
    text = s.expect("RCPT TO:<old@example.test>", 550)
    assert "5.1.6" in text and "User has moved to new@there.example" in text
    assert "nowhere, sorry" in s.expect("RCPT TO:<any@gone.test>", 550)
    # Behind an alias it is found later, and bounces.
    s.expect("RCPT TO:<ex@example.test>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    from harness import wait_for
    mail, = wait_for("a bounce", lambda: inbox(p))
    assert b"Status: 5.1.6" in mail and b"new@there.example" in mail


@pytest.mark.parametrize("delay", ["yes", "no"])
def test_what_the_sender_list_wants_is_kept(named, delay):
    p = named("check_sender_access TABLE", "a@good.test HOLD\n",
              stage="sender", smtpd_delay_reject=delay)
    s = open_mx(p)
    s.expect("MAIL FROM:<a@good.test>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert [m["state"] for m in p.queue()] == ["hold"]


def test_blind_copies(postern):
    users = {BOB: "b", "eve@example.test": "e", "log@example.test": "l",
             "sent@example.test": "s", "got@example.test": "g"}
    p = postern("bcc", users=users, options={
        "always_bcc": "log@example.test",
        "sender_bcc_maps": "inline:{a@b.example=sent@example.test}",
        "recipient_bcc_maps": f"inline:{{{BOB}=got@example.test}}"}).start()
    for sender, rcpt in (("a@b.example", "eve@example.test"), ("c@d.example",
                                                               BOB)):
        s = open_mx(p)
        s.expect(f"MAIL FROM:<{sender}>", 250)
        s.expect(f"RCPT TO:<{rcpt}>", 250)
        s.expect("DATA", 354)
        s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
        s.close()
    count = {u: len(inbox(p, u)) for u in users}
    assert count == {BOB: 1, "eve@example.test": 1, "log@example.test": 2,
                     "sent@example.test": 1, "got@example.test": 1}
    assert b"log@example.test" not in inbox(p)[0]


def test_commands_of_the_administrator(postern):
    p = postern("words", users={BOB: "b"}, options={
        "smtpd_noop_commands": "XNOP, XPING", "smtpd_forbidden_commands":
        "XBAD", "smtpd_command_filter":
        "pcre:{{/^HELLO (.*)/ EHLO $$1} {/^XFIX$$/ NOOP}}",
        "smtpd_discard_ehlo_keyword_address_maps":
        "cidr:{{127.0.0.2 dsn, chunking}}"}).start()
    s = Smtp(p.host, p.port["smtp"])
    text = s.expect("HELLO there.example", 250)
    assert "DSN" in text and "LIMITS RCPTMAX=1000" in text
    s.expect("XPING x", 250)
    s.expect("XFIX", 250)
    s.expect("XOTHER", 500)
    s.expect("XBAD", 221)
    assert s.file.readline() == b""
    s.close()
    s = Smtp(p.host, p.port["smtp"], source="127.0.0.2")
    text = s.expect("EHLO c.example", 250)
    assert "DSN" not in text and "CHUNKING" not in text and "SIZE" in text
    s.close()


@pytest.mark.parametrize("networks, rcpt, code", [
    ("", "x@second.test", 250), ("192.0.2.0/24", "x@second.test", 250),
    ("198.51.100.0/24", "x@second.test", 454),
    ("", "x@first.test", 454), ("", "x@none.test", 454),
    ("", "x%y@second.test", 454), ("", "x@missing.test", 454), ("", BOB, 250)])
def test_permit_mx_backup(postern, dns, networks, rcpt, code):
    """We are the second exchanger of second.test and the first of first.test.
    """
    server = dns({
        "second.test": "@ MX 5 mx\n@ MX 10 us\nmx A 192.0.2.1\n"
                       "us A 127.0.0.1\n",
        "first.test": "@ MX 5 us\n@ MX 10 mx\nmx A 192.0.2.1\n"
                      "us A 127.0.0.1\n",
        "none.test": "@ MX 5 mx\nmx A 192.0.2.1\n"})
    p = postern("mxb", users={BOB: "b"}, options={
        "smtpd_relay_restrictions":
            "permit_mx_backup, defer_unauth_destination",
        "permit_mx_backup_networks": networks,
        "dns_resolvers": f"[127.0.0.1]:{server.port}"}).start()
    got = answer(p, rcpt=rcpt)
    assert got[0] == code, got


# ---- the footer of refusals ----

def test_reject_footer(postern, tmp_path):
    table = tmp_path / "footers"
    table.write_text("/Relay access denied/ \\c. Ask $$recipient's postmaster\n")
    p = postern("foot", users={BOB: "b"}, options={
        "smtpd_reject_footer": "For help call 555-0101.\\nYou are "
                               "$client_address:$client_port at $server_name",
        "smtpd_reject_footer_maps": f"regexp:{table}",
        "smtpd_helo_required": "yes"}).start()
    s = Smtp(p.host, p.port["smtp"])
    code, text = s.cmd("MAIL FROM:<a@b.example>")
    port = s.sock.getsockname()[1]
    assert text == (
        "503-5.5.1 Error: send HELO/EHLO first\r\n"
        "503-5.5.1 For help call 555-0101.\r\n"
        f"503 5.5.1 You are 127.0.0.1:{port} at {p.name}\r\n")
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@b.example>", 250)
    assert s.cmd("RCPT TO:<x@far.example>")[1] == (
        "454 4.7.1 <x@far.example>: Relay access denied. Ask "
        "x@far.example's postmaster\r\n")
    # A stranger's bytes end no line and name no macro.
    assert s.cmd("RCPT TO:<$localtime@far.example>")[1].count("\r\n") == 1
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("QUIT", 221)
    s.close()


def test_actions_that_come_too_early_are_told_of(postern, tmp_path):
    table = tmp_path / "clients"
    table.write_text("127.0.0.1 HOLD\n")
    p = postern("early", users={BOB: "b"}, options={
        "smtpd_delay_reject": "no",
        "smtpd_client_restrictions": f"check_client_access hash:{table}",
        "smtpd_helo_restrictions": f"check_client_access hash:{table}",
    }).start()
    assert answer(p)[0] == 250
    log = p.log()
    for name in ("smtpd_client_restrictions", "smtpd_helo_restrictions"):
        assert any("are skipped" in t and f"list={name}" in t
                   for t in log.splitlines()), name
