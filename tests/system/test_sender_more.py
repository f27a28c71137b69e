# SPDX-License-Identifier: ISC
"""Smaller parameters of the way out: what a server offers, how we log in, what
it is called, and hosts without an address."""

import re

import pytest

from harness import Sink, Smtp, make_certificate, relaying, wait_for
from test_sender import ALICE, TlsSink

WIDE = ("PIPELINING", "SIZE 1000000", "DSN", "8BITMIME")


def mail_line(sink):
    return next(c for c in sink.commands if c.startswith("MAIL"))


@pytest.mark.parametrize("options, sized", [
    ({}, True),
    ({"smtp_discard_ehlo_keywords": "SIZE"}, False),
    ({"smtp_discard_ehlo_keyword_address_maps":
      "cidr:{{127.0.0.5/32 size, dsn}}"}, False),
    # The table stands for the list, and not beside it.
    ({"smtp_discard_ehlo_keyword_address_maps": "inline:{127.0.0.5=dsn}",
      "smtp_discard_ehlo_keywords": "size"}, True),
    ({"smtp_discard_ehlo_keyword_address_maps": "inline:{127.0.0.6=size}",
      "smtp_discard_ehlo_keywords": "dsn"}, True)])
def test_what_a_server_offers(postern, options, sized):
    sink = Sink("127.0.0.5", 0, ehlo=WIDE)
    p = postern("p", users={ALICE: "a"},
                options=relaying(sink, **options)).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    assert ("SIZE=" in mail_line(sink)) == sized
    sink.stop()


def test_what_a_server_of_lmtp_offers(postern):
    sink = Sink("127.0.0.5", 0, ehlo=WIDE)
    p = postern("p", users={ALICE: "a"}, options=relaying(
        sink, default_transport="lmtp", lmtp_discard_lhlo_keyword_address_maps=
        "inline:{127.0.0.5=size}"), master_extra=(
            "lmtp unix - - n - - lmtp\n")).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    assert "SIZE=" not in mail_line(sink)
    sink.stop()


# ---- logging in ----

@pytest.fixture
def inside(postern, tmp_path):
    """A relay that offers AUTH inside of TLS."""
    chain, cert = make_certificate(tmp_path, ["sink.test"], ["127.0.0.5"])
    sink = TlsSink(chain)

    def make(**options):
        return postern("p", users={ALICE: "a"}, options=relaying(sink, **{
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": "static:user:right:pw",
            "smtp_tls_CAfile": str(cert), "smtp_tls_security_level": "encrypt",
            "smtp_sasl_tls_security_options": "noanonymous",
            **options})).start(), sink
    yield make
    sink.stop()


@pytest.mark.parametrize("dummy", ["yes", "no"])
def test_auth_of_the_sender_that_says_nothing(inside, dummy):
    p, sink = inside(smtp_send_dummy_mail_auth=dummy)
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    assert (" AUTH=<>" in mail_line(sink)) == (dummy == "yes")


def test_nobody_has_logged_in(postern):
    sink = Sink("127.0.0.5", 0, ehlo=("AUTH PLAIN",))
    p = postern("p", users={ALICE: "a"}, options=relaying(
        sink, smtp_send_dummy_mail_auth="yes")).start()
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    assert "AUTH" not in mail_line(sink)
    sink.stop()


@pytest.mark.parametrize("quote, said", [
    ("yes", '"john \\"x\\" doe"@far.example'),
    ("no", 'john "x" doe@far.example')])
def test_quotes_that_other_servers_do_not_know(inside, quote, said):
    p, sink = inside(smtp_quote_rfc821_envelope=quote)
    p.send(ALICE, ['"john \\"x\\" doe"@far.example'])
    wait_for("the mail", lambda: sink.mails)
    assert f"RCPT TO:<{said}>" in sink.commands


def test_what_stands_behind_the_name(inside):
    p, sink = inside(smtp_sasl_password_maps="static:user:a|right:pw",
                     smtp_sasl_password_result_delimiter="|")
    p.send(ALICE, ["x@far.example"])
    wait_for("the mail", lambda: sink.mails)
    assert sink.logins == [[b"user:a", b"right:pw"]]


@pytest.mark.parametrize("match, status", [("sink.test", "sent"),
                                           (None, "deferred")])
def test_a_password_for_who_has_shown_himself(inside, match, status):
    options = {"smtp_tls_security_level": "verify",
               "smtp_tls_verify_cert_match": match} if match else {}
    p, sink = inside(smtp_sasl_tls_security_options="noplaintext, noanonymous",
                     smtp_sasl_tls_verified_security_options="noanonymous",
                     **options)
    p.send(ALICE, ["x@far.example"])
    wait_for(status, lambda: f"status={status}" in p.log())
    assert len(sink.logins) == (status == "sent")
    p.run("queue", "delete", "ALL")


def tries(p, n):
    """That many deliveries have been tried, and none has gone."""
    wait_for("the tries", lambda: p.log().count("status=deferred") >= n)


@pytest.mark.parametrize("options, asked", [
    ({}, 3), ({"smtp_sasl_auth_cache_name": "proxy:btree:/x"}, 1),
    ({"smtp_sasl_auth_cache_name": "x", "smtp_sasl_auth_cache_time": "0s"}, 3)])
def test_a_password_that_was_refused(inside, options, asked):
    p, sink = inside(smtp_sasl_password_maps="static:user:wrong",
                     smtp_destination_concurrency_limit="1", **options)
    for i in range(3):
        p.send(ALICE, [f"x{i}@far.example"])
        tries(p, i + 1)
        p.run("queue", "delete", "ALL")
    assert len(sink.logins) == asked
    assert len(re.findall(r"status=deferred.*535 5\.7\.8 no", p.log())) >= 3


# ---- the best MX is this server ----

@pytest.mark.parametrize("transport, status", [
    ("", "status=bounced"), ("lmtp:[127.0.0.6]:PORT", "status=sent"),
    ("smtp:[127.0.0.6]:PORT", "status=sent")])
def test_mail_for_a_domain_that_leads_here(postern, dns, transport, status):
    sink = Sink("127.0.0.6", 0)
    d = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.1"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "best_mx_transport": transport.replace("PORT", str(sink.port)),
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"},
        master_extra="lmtp unix - - n - - lmtp\n")
    p.run("conf", "-e", f"smtp_tcp_port={p.port['smtp']}")
    p.start()
    p.send(ALICE, ["x@a.test"])
    wait_for("the outcome", lambda: status in p.log())
    if transport:
        mail, = wait_for("the mail", lambda: sink.mails)
        assert mail["rcpts"] == ["x@a.test"]
        assert "the best MX is this server" in p.log()
    else:
        assert "loops back to myself" in p.log()
    wait_for("an empty queue", lambda: p.queue() == [])
    sink.stop()


# ---- names that are not all there ----

@pytest.mark.parametrize("options, hop, found", [
    ("", "[mail]", False), ("res_defnames", "[mail]", True),
    ("res_defnames", "mail", True), ("res_defnames", "[upper]", False),
    ("res_dnsrch", "[upper]", True), ("res_dnsrch", "[a.upper]", True),
    ("res_defnames", "[a.upper]", False)])
def test_where_a_host_is_looked_for(postern, dns, options, hop, found):
    sink = Sink("127.0.0.6", 0)
    d = dns({"in.far.test": "mail A 127.0.0.6", "far.test":
             "upper A 127.0.0.6\na.upper A 127.0.0.6",
             "upper": "b A 127.0.0.6", "mail": "b A 127.0.0.6"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}", "mydomain": "in.far.test",
        "relayhost": f"{hop}:{sink.port}",
        "smtp_dns_resolver_options": options,
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}).start()
    p.send(ALICE, ["x@b.test"])
    if found:
        wait_for("the mail", lambda: sink.mails)
    else:
        tries(p, 1)
        p.run("queue", "delete", "ALL")
    sink.stop()


# ---- whom we trust ----

@pytest.mark.parametrize("good", [True, False])
def test_an_anchor_is_all_that_is_trusted(postern, tmp_path, good):
    chain, cert = make_certificate(tmp_path, ["sink.test"], ["127.0.0.5"])
    (tmp_path / "o").mkdir()
    _, other = make_certificate(tmp_path / "o", ["other.test"], ["127.0.0.5"])
    sink = TlsSink(chain)
    p = postern("p", users={ALICE: "a"}, options=relaying(sink, **{
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": "sink.test",
        "smtp_tls_CAfile": str(other if good else cert),
        "smtp_tls_trust_anchor_file":
            f"{other}, {cert}" if good else str(other)})).start()
    p.send(ALICE, ["x@far.example"])
    if good:
        wait_for("the mail", lambda: sink.mails)
    else:
        tries(p, 1)
        assert not sink.mails
        p.run("queue", "delete", "ALL")
    sink.stop()


def test_an_anchor_that_is_no_certificate(postern):
    p = postern("p", users={ALICE: "a"}, options={
        "smtp_tls_trust_anchor_file": "/etc/hostname"})
    r = p.run("check", check=False)
    assert r.returncode == 78 and "smtp_tls_trust_anchor_file" in r.stderr


# ---- names ----

@pytest.mark.parametrize("override, called", [("no", "mail.a.test"),
                                              ("yes", "host.b.test")])
def test_what_an_alias_is_called(postern, dns, override, called):
    sink = Sink("127.0.0.5", 0)
    d = dns({"a.test": "@ MX 10 mail\nmail CNAME host.b.test.",
             "b.test": "host A 127.0.0.5"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtp_tcp_port": str(sink.port),
        "smtp_cname_overrides_servername": override}).start()
    p.send(ALICE, ["x@a.test"])
    wait_for("the mail", lambda: sink.mails)
    assert f"relay={called}[127.0.0.5]" in p.log()
    sink.stop()


@pytest.mark.parametrize("defer, status", [("yes", "deferred"),
                                           ("no", "bounced")])
def test_mail_exchangers_without_an_address(postern, dns, defer, status):
    d = dns({"a.test": "@ MX 10 mx1\n@ MX 20 mx2\nmx1 TXT x"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtp_defer_if_no_mx_address_found": defer}).start()
    p.send(ALICE, ["x@a.test", "y@none.a.test"])
    wait_for(status, lambda: re.search(
        rf" to=x@a\.test .*status={status}", p.log()))
    # A domain that is not there is another matter.
    wait_for("bounced", lambda: re.search(
        r" to=y@none\.a\.test .*status=bounced", p.log()))
    p.run("queue", "delete", "ALL")


@pytest.mark.parametrize("rule, status", [
    (r"/^a\.test\. 0 IN MX 10 mx1\.a\.test\.$/ IGNORE", "second"),
    (r"/^mx1\.a\.test\.\s+\S+\s+IN\s+A\s+127\.0\.0\.5$/ ignore", "second"),
    (r"/ IN AAAA / IGNORE", "first"), ("/ IN A / DUNNO", "first"),
    (r"/^a\.test\. .* MX / IGNORE", "deferred")])
@pytest.mark.parametrize("filter_", ["smtp_dns_reply_filter",
                                     "-o smtp_dns_reply_filter"])
def test_records_that_are_passed_over(postern, dns, tmp_path, rule, status,
                                      filter_):
    first = Sink("127.0.0.5", 0)
    second = Sink("127.0.0.6", first.port)
    d = dns({"a.test": "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.5\n"
             "mx2 A 127.0.0.6"})
    table = tmp_path / "dns"
    table.write_text(rule + "\n")
    options = {"dns_resolvers": f"[127.0.0.1]:{d.port}",
               "smtp_tcp_port": str(first.port)}
    more = ""
    if filter_.startswith("-o"):
        more = f"smtp unix - - n - - smtp {filter_}=pcre:{table}\n"
    else:
        options[filter_] = f"pcre:{table}"
    p = postern("p", users={ALICE: "a"}, options=options,
                master_extra=more).start()
    p.send(ALICE, ["x@a.test"])
    if status == "deferred":
        wait_for(status, lambda: "the DNS reply filter drops all of its MX "
                 "records" in p.log())
        assert "status=deferred" in p.log()
        p.run("queue", "delete", "ALL")
    else:
        wait_for("the mail", lambda: first.mails or second.mails)
        assert bool(second.mails) == (status == "second")
    assert ("not IGNORE" in p.log()) == ("DUNNO" in rule)
    first.stop()
    second.stop()


def test_what_the_server_asks_about_a_client(postern, dns):
    d = dns({"far.test": "@ MX 10 mx\nmx A 127.0.0.9\nlist A 127.0.0.2"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtpd_sender_restrictions": "reject_unknown_sender_domain",
        "smtpd_dns_reply_filter": r"pcre:{{/^far\.test\. .* MX / IGNORE}}"}).start()
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO c.example", 250)
    s.expect("MAIL FROM:<a@list.far.test>", 250)
    s.expect(f"RCPT TO:<{ALICE}>", 250)
    s.expect("RSET", 250)
    s.expect("MAIL FROM:<a@far.test>", 250)
    assert s.cmd(f"RCPT TO:<{ALICE}>")[0] == 450
    s.close()


@pytest.mark.parametrize("many, status", [("yes", "sent"), ("no", "deferred")])
def test_a_star_for_two_labels(postern, tmp_path, many, status):
    chain, cert = make_certificate(tmp_path, ["*.b.test"], [])
    sink = TlsSink(chain)
    p = postern("p", users={ALICE: "a"}, options=relaying(
        sink, smtp_tls_security_level="verify", smtp_tls_CAfile=str(cert),
        tls_wildcard_matches_multiple_labels=many,
        smtp_tls_verify_cert_match="x.y.b.test")).start()
    p.send(ALICE, ["x@far.example"])
    wait_for(status, lambda: f"status={status}" in p.log())
    p.run("queue", "delete", "ALL")
    sink.stop()
