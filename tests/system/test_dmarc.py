# SPDX-License-Identifier: ISC
"""DMARC, RFC 9989: the tree walk, alignment and what is to be done, asked of
the program with the policies in a real DNS server."""

import json

import pytest

from harness import Dns, DnsRelay, Postern, zone_text
from test_dkim import Key, signed

ME = "127.0.0.1"

RECORDS = {
    # p=reject, sp and np of its own
    "_dmarc.org": "v=DMARC1; p=reject; sp=quarantine; np=reject; t=n",
    "_dmarc.testing": "v=DMARC1; p=reject; t=y",
    "_dmarc.testing2": "v=DMARC1; p=quarantine; t=y",
    "_dmarc.strict": "v=DMARC1; p=reject; adkim=s; aspf=s",
    "_dmarc.old": "v=DMARC1; p=quarantine; pct=20; rf=afrf; ri=3600; fo=1",
    "_dmarc.none": "v=DMARC1; p=none",
    "_dmarc.onlyrua": "v=DMARC1; rua=mailto:x@onlyrua.test",
    "_dmarc.nothing": "v=DMARC1",
    "_dmarc.broken": "v=DMARC2; p=reject",
    "_dmarc.case": "v=DMARC1; p=REJECT",
    "_dmarc.odd": "V=DMARC1; p=reject",
    # a public suffix with its own policy, below it a domain without
    "_dmarc.bank": "v=DMARC1; p=none; sp=reject; np=reject; psd=y",
    "_dmarc.own.bank": "v=DMARC1; p=quarantine",
    # psd=n: an organization below another one
    "_dmarc.uni": "v=DMARC1; p=none",
    "_dmarc.dept.uni": "v=DMARC1; p=reject; psd=n",
    "_dmarc.deep": "v=DMARC1; p=reject",
}


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def world(tmp_path_factory, key):
    directory = tmp_path_factory.mktemp("dmarc")
    lines = [f"{name} TXT {zone_text(text)}"
             for name, text in RECORDS.items()]
    lines += ["_dmarc.two TXT \"v=DMARC1; p=reject\"",
              "_dmarc.two TXT \"v=DMARC1; p=none\""]
    for domain in ("org", "sub.org", "other", "strict", "sub.strict", "none",
                   "a.bank", "b.bank", "own.bank", "x.dept.uni", "dept.uni",
                   "uni", "old", "testing"):
        lines += [f"{domain} TXT \"v=spf1 ip4:{ME} -all\"",
                  f"sel._domainkey.{domain} TXT {zone_text(key.record())}"]
    lines += ["nospf.org A 127.0.0.1", "mx.org MX 10 mail.org",
              "slowkey.org A 127.0.0.1",
              "a.b.c.d.e.f.g.h.i.j.deep A 127.0.0.1"]
    ns = Dns(directory / "dns", {"test": "\n".join(lines)})
    relay = DnsRelay(ns.port, ["_dmarc.slow.test",
                               "slow._domainkey.org.test", "slowspf.org.test"])
    p = Postern(directory / "p", options={
        "dns_resolvers": f"[127.0.0.1]:{relay.port}"})
    file = directory / "m.eml"

    def ask(message, sender="", client=ME, helo="helo.invalid"):
        file.write_bytes(message)
        relay.asked.clear()
        out = json.loads(p.run("authenticate", "--json", "--client", client,
                               "--helo", helo, "--from", sender,
                               str(file)).stdout)
        return out["dmarc"]
    ask.relay = relay
    yield ask
    relay.stop()
    ns.stop()


def plain(*fields):
    return "".join(f + "\r\n" for f in fields).encode() + b"\r\nhello\r\n"


def of(domain):
    return plain(f"From: a@{domain}", "Subject: x")


@pytest.mark.parametrize("domain,result,policy,disposition,at", [
    ("org.test", "fail", "reject", "reject", "org.test"),
    ("ORG.Test", "fail", "reject", "reject", "org.test"),
    ("nospf.org.test", "fail", "quarantine", "quarantine", "org.test"),
    ("mx.org.test", "fail", "quarantine", "quarantine", "org.test"),
    ("missing.org.test", "fail", "reject", "reject", "org.test"),
    ("testing.test", "fail", "reject", "quarantine", "testing.test"),
    ("testing2.test", "fail", "quarantine", "none", "testing2.test"),
    ("old.test", "fail", "quarantine", "quarantine", "old.test"),
    ("none.test", "fail", "none", "none", "none.test"),
    ("onlyrua.test", "fail", "none", "none", "onlyrua.test"),
    ("nothing.test", "none", "none", "none", None),
    ("broken.test", "none", "none", "none", None),
    ("case.test", "fail", "reject", "reject", "case.test"),
    ("two.test", "none", "none", "none", None),
    ("unknown.test", "none", "none", "none", None),
    ("bank.test", "fail", "none", "none", "bank.test"),
    ("a.bank.test", "fail", "reject", "reject", "bank.test"),
    ("own.bank.test", "fail", "quarantine", "quarantine", "own.bank.test"),
    ("x.own.bank.test", "fail", "quarantine", "quarantine", "own.bank.test"),
    ("dept.uni.test", "fail", "reject", "reject", "dept.uni.test"),
    ("x.dept.uni.test", "fail", "reject", "reject", "dept.uni.test"),
    ("x.uni.test", "fail", "none", "none", "uni.test"),
    ("slow.test", "temperror", "none", "none", None),
])
def test_the_policy_of_a_domain(world, domain, result, policy, disposition,
                                at):
    got = world(of(domain))
    assert (got["result"], got["policy"], got["disposition"],
            got["policy_domain"]) == (result, policy, disposition, at), got


def test_the_walk_asks_eight_times_at_most(world):
    got = world(of("a.b.c.d.e.f.g.h.i.j.deep.test"))
    assert got["policy_domain"] == "deep.test"
    walk = [n for n, _ in world.relay.asked if n.startswith("_dmarc.")]
    # RFC 9989 4.10: the name itself, then what its last seven labels are.
    assert walk[0] == "_dmarc.a.b.c.d.e.f.g.h.i.j.deep.test"
    assert walk[1] == "_dmarc.f.g.h.i.j.deep.test"
    assert len(walk) == 8, walk


@pytest.mark.parametrize("author,sender,result", [
    ("org.test", "x@org.test", "pass"),
    ("org.test", "x@sub.org.test", "pass"),
    ("sub.org.test", "x@org.test", "pass"),
    ("nospf.org.test", "x@sub.org.test", "pass"),
    ("org.test", "x@other.test", "fail"),
    ("strict.test", "x@strict.test", "pass"),
    ("strict.test", "x@sub.strict.test", "fail"),
    ("a.bank.test", "x@b.bank.test", "fail"),
    ("a.bank.test", "x@a.bank.test", "pass"),
    ("x.dept.uni.test", "x@dept.uni.test", "pass"),
    ("x.dept.uni.test", "x@uni.test", "fail"),
    ("uni.test", "x@dept.uni.test", "fail"),
])
def test_spf_is_aligned(world, author, sender, result):
    assert world(of(author), sender)["result"] == result


def test_the_null_sender_counts_by_its_helo_name(world):
    assert world(of("org.test"), "", helo="sub.org.test")["result"] == "pass"
    # With a sender, the HELO name proves nothing.
    assert world(of("org.test"), "x@other.test",
                 helo="org.test")["result"] == "fail"


@pytest.mark.parametrize("author,d,result", [
    ("org.test", "org.test", "pass"),
    ("org.test", "sub.org.test", "pass"),
    ("sub.org.test", "org.test", "pass"),
    ("org.test", "other.test", "fail"),
    ("strict.test", "strict.test", "pass"),
    ("strict.test", "sub.strict.test", "fail"),
    ("a.bank.test", "b.bank.test", "fail"),
    ("xorg.test", "org.test", "none"),
])
def test_dkim_is_aligned(world, key, author, d, result):
    head = [(b"From", f" a@{author}".encode()), (b"Subject", b" x")]
    got = world(signed(key, head=head, names=("from", "subject"), d=d),
                client="192.0.2.9")
    assert got["result"] == result


def test_what_dns_hides_is_no_certain_fail(world, key):
    head = [(b"From", b" a@org.test"), (b"Subject", b" x")]
    got = world(signed(key, head=head, names=("from", "subject"),
                       d="org.test", s="slow"), "x@other.test")
    assert (got["result"], got["disposition"]) == ("temperror", "reject")
    got = world(of("org.test"), "x@slowspf.org.test")
    assert got["result"] == "temperror"
    # One that passes is enough.
    got = world(signed(key, head=head, names=("from", "subject"),
                       d="org.test", s="slow"), "x@org.test")
    assert got["result"] == "pass"


@pytest.mark.parametrize("fields", [
    ["From: a@org.test", "From: a@none.test"],
    ["From: a@none.test", "FROM : a@org.test"],
    ["From: a@none.test, b@org.test"],
    ["From: group: a@none.test, b@org.test;"],
    ["From: <@none.test:a@org.test>"],
    ["From: \"a@none.test\" <b@org.test>"],
    ["From: a@none.test <b@org.test>"],
    ["From: =?utf-8?q?a=40none.test?= <b@org.test>"],
    ["From: (a@none.test) b@org.test"],
    ["From: b@\r\n org.test"],
    ["From: \"b\\\"x\"@org.test"],
    ["From : b@org.test"],
    ["from:b@ORG.test"],
    ["From: b@org.test."],
])
def test_nobody_is_mistaken_for_the_author(world, fields):
    """attacks.md row 69: SPF passes for a domain that is not the one shown."""
    got = world(plain(*fields), "x@none.test")
    assert got["result"] != "pass", got
    assert got["disposition"] == "reject", got


@pytest.mark.parametrize("fields", [
    ["Subject: no author"],
    ["From:", "Subject: x"],
    ["From: nobody", "Subject: x"],
    ["From: group:;"],
    ["From: =?utf-8?q?a=40org.test?="],
    ["From: a@\"org.test\""],
    ["From: <a@org.test\0.none.test>"],
    ["From: a@[192.0.2.1]"],
])
def test_an_author_that_cannot_be_read_is_not_authenticated(world, fields):
    got = world(plain(*fields), "x@org.test")
    assert got["result"] in ("permerror", "fail"), got
    assert got["why"]
