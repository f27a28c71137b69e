# SPDX-License-Identifier: ISC
"""Restrictions that ask the DNS, against a real server."""

import pytest

from harness import Smtp, free_port, have, wait_for

BOB = "bob@example.test"
ZONES = {
    "list.test": "21.0.0.127 A 127.0.0.5\n21.0.0.127 TXT \"see list.test\\013\\010250 no\"\n"
                 "22.0.0.127 A 127.0.0.99\n23.0.0.127 A 192.0.2.1\n"
                 "bad.test A 127.0.0.2\n",
    "127.in-addr.arpa": "21.0.0 PTR good.host.test.\n"
                        "24.0.0 PTR forged.host.test.\n"
                        "25.0.0 PTR good25.host.test.\n",
    "host.test": "good A 127.0.0.21\ngood25 A 127.0.0.25\n"
                 "forged A 192.0.2.1\nonlyaddress A 192.0.2.1\n"
                 "nullmx MX 0 .\nwithmx MX 5 good\ntext TXT \"no host\"\n",
}


@pytest.fixture
def server(postern, dns):
    if not have("knotd"):
        pytest.skip("knotd is not installed")
    port = dns(ZONES).port

    def start(**options):
        return postern("dns", users={BOB: "b"}, options={
            "dns_resolvers": f"[127.0.0.1]:{port}"} | options).start()
    return start


def rcpt(p, sender="a@withmx.host.test", source="127.0.0.25", helo="x.test"):
    s = Smtp(p.host, p.port["smtp"], source=source)
    s.expect(f"EHLO {helo}", 250)
    s.expect(f"MAIL FROM:<{sender}>", 250)
    reply = s.cmd(f"RCPT TO:<{BOB}>")
    s.close()
    return reply


def test_client_lists(server):
    p = server(smtpd_client_restrictions="reject_rbl_client "
               "list.test=127.0.0.[2..10;99], "
               "reject_rbl_client silent.list.test")
    code, text = rcpt(p, source="127.0.0.21")
    assert code == 554 and text.startswith("554 5.7.1 Service unavailable; "
                                           "Client host [127.0.0.21] blocked "
                                           "using list.test; see list.test")
    assert text.count("\n") == 1
    assert rcpt(p, source="127.0.0.22")[0] == 554
    # RFC 5782 2.1: an answer outside 127/8 is none.
    assert rcpt(p, source="127.0.0.23")[0] == 250
    assert rcpt(p, source="127.0.0.25")[0] == 250


def test_client_list_filter(server):
    p = server(smtpd_client_restrictions="reject_rbl_client "
               "list.test=127.0.0.[2..4]")
    assert rcpt(p, source="127.0.0.21")[0] == 250


def test_what_a_listed_client_is_told(server):
    p = server(smtpd_client_restrictions="reject_rbl_client list.test",
               smtpd_sender_restrictions="reject_rhsbl_sender "
                                         "list.test=127.0.0.2",
               default_rbl_reply="$rbl_code no${rbl_reason?, $rbl_reason} to "
                                 "$sender by $myorigin",
               rbl_reply_maps="inline:{{list.test = 450 4.7.9 $$rbl_class "
                              "$$client_address: $$rbl_reason}}")
    code, text = rcpt(p, source="127.0.0.21")
    assert text == ("450 4.7.9 Client host 127.0.0.21: see list.test__250 no"
                    "\r\n"), text
    # No text of a sender is one of ours.
    code, text = rcpt(p, sender="$rbl_code@bad.test")
    assert text == "554 5.7.1 no to _rbl_code@bad.test by mail.example.test\r\n"


def test_domain_lists(server):
    p = server(smtpd_sender_restrictions="reject_rhsbl_sender list.test, "
               "reject_rhsbl_helo list.test")
    assert rcpt(p, sender="x@bad.test")[1].startswith(
        "554 5.7.1 Service unavailable; Sender address [x@bad.test] blocked "
        "using list.test")
    assert rcpt(p, helo="bad.test")[0] == 554
    assert rcpt(p, sender="")[0] == 250
    assert rcpt(p)[0] == 250


@pytest.mark.parametrize("sender, expected", [
    ("a@withmx.host.test", "250"),
    ("a@onlyaddress.host.test", "250"),
    ("a@nullmx.host.test", "550 5.7.27"),
    ("a@text.host.test", "450 4.1.8"),
    ("a@missing.host.test", "450 4.1.8"),
    ("", "250"),
])
def test_unknown_sender_domain(server, sender, expected):
    p = server(smtpd_sender_restrictions="reject_unknown_sender_domain")
    assert rcpt(p, sender)[1].startswith(expected)


@pytest.mark.parametrize("name, refused", [
    ("reject_unknown_client_hostname", ("127.0.0.24", "127.0.0.26")),
    ("reject_unknown_reverse_client_hostname", ("127.0.0.26",)),
])
def test_unknown_client(server, name, refused):
    p = server(smtpd_client_restrictions=name)
    for source in ("127.0.0.25", "127.0.0.24", "127.0.0.26"):
        code, text = rcpt(p, source=source)
        assert code == (450 if source in refused else 250), text
    # What was found stands in Received and in the log.
    wait_for("the names", lambda: "client_name=good25.host.test" in p.log() and
             "client_name=unknown" in p.log())


def test_dead_resolver_defers_and_blocks_nobody_for_good(postern):
    p = postern("dead", users={BOB: "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{free_port()}",
        "smtpd_client_restrictions": "reject_rbl_client list.test",
        "smtpd_sender_restrictions": "reject_unknown_sender_domain"}).start()
    assert rcpt(p)[1].startswith("450 4.")


@pytest.mark.parametrize("options, code", [
    ({}, 554), ({"reject_tempfail_action": "defer"}, 450),
    ({"unknown_address_tempfail_action": "defer"}, 450),
    ({"unknown_helo_hostname_tempfail_action": "defer"}, 554)])
def test_what_nobody_knows(postern, options, code):
    """Kept for the end, where a later rule may refuse for good; or said."""
    p = postern("dead", users={BOB: "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{free_port()}",
        "smtpd_sender_restrictions": "reject_unknown_sender_domain, reject",
    } | options).start()
    assert rcpt(p)[0] == code
