# SPDX-License-Identifier: ISC
"""postern dns prints the zone of a domain; postern dns check compares it with
a real DNS server."""

import os
import re

import pytest

from harness import free_port

REVERSE = {"2.0.192.in-addr.arpa": "10 PTR mail.a.test.\n"}


class World:
    def __init__(self, postern, dns, **options):
        self.dns = dns
        port = free_port()
        self.p = postern("dns", name="mail.a.test", options={
            "proxy_interfaces": "192.0.2.10", "inet_interfaces": "127.0.0.1",
            "dns_resolvers": f"[127.0.0.1]:{port}", **options})
        self.port = port
        self.p.run("dkim", "generate", "a.test")
        self.zone = self.p.run("dns", "a.test").stdout

    def check(self, zone, reverse=REVERSE):
        """The exit code and what it says, by topic."""
        ns = self.dns({"a.test": zone, **reverse}, port=self.port)
        r = self.p.run("dns", "check", "a.test", check=False)
        ns.stop()
        return r.returncode, r.stdout


@pytest.fixture
def world(postern, dns):
    return lambda **options: World(postern, dns, **options)


def test_what_it_prints_is_what_it_wants(world):
    w = world()
    for line in (r"a\.test\. 3600 IN MX 10 mail\.a\.test\.",
                 r"mail\.a\.test\. 3600 IN A 192\.0\.2\.10",
                 r'a\.test\. 3600 IN TXT "v=spf1 mx -all"',
                 r'mail\.a\.test\. 3600 IN TXT "v=spf1 a -all"',
                 r'ed-\d+\._domainkey\.a\.test\. 3600 IN TXT "v=DKIM1; k=ed',
                 r'rsa-\d+\._domainkey\.a\.test\. 3600 IN TXT "v=DKIM1; k=rsa',
                 r'_dmarc\.a\.test\. 3600 IN TXT "v=DMARC1; p=reject; rua=',
                 r"_25\._tcp\.mail\.a\.test\. 3600 IN TLSA 3 1 1 [0-9a-f]{64}$",
                 r'_smtp\._tls\.a\.test\. 3600 IN TXT "v=TLSRPTv1; rua=',
                 rf"_submissions\._tcp\.a\.test\. 3600 IN SRV 0 1 "
                 rf"{w.p.port['submissions']} mail\.a\.test\.",
                 rf"_imaps\._tcp\.a\.test\. 3600 IN SRV 0 1 "
                 rf"{w.p.port['imaps']} mail\.a\.test\.",
                 r"; 10\.2\.0\.192\.in-addr\.arpa\. 3600 IN PTR mail\.a\.test\."):
        assert re.search(f"(?m)^{line}", w.zone), line
    code, out = w.check(w.zone)
    assert code == 0 and "WRONG" not in out, out
    for topic in ("MX", "address", "reverse name", "SPF", "SPF of the host",
                  "DKIM", "DMARC", "TLS-RPT", "service"):
        assert f"ok     {topic}: " in out, (topic, out)
    # Without DNSSEC nobody heeds TLSA.
    assert "hint   DANE: no records that DNSSEC protects" in out


@pytest.mark.parametrize("pattern,instead,topic,text", [
    (r"a\.test\. .* MX .*", "a.test. 9 IN MX 10 other.a.test.", "MX",
     "does not come here"),
    (r"mail\.a\.test\. .* A .*", "mail.a.test. 9 IN A 192.0.2.99", "address",
     "mail.a.test is not 192.0.2.10"),
    (r"a\.test\. .*v=spf1 mx.*", "", "SPF", "none"),
    (r"a\.test\. .*v=spf1 mx.*", 'a.test. 9 IN TXT "v=spf1 ip4:192.0.2.1 -all"',
     "SPF", "a.test from 192.0.2.10: fail"),
    (r"a\.test\. .*v=spf1 mx.*", 'a.test. 9 IN TXT "v=spf1 mxx -all"',
     "SPF", "permerror"),
    (r"mail\.a\.test\. .*v=spf1.*", "", "SPF of the host", "none"),
    (r"ed-.*_domainkey.*", "", "DKIM", "DNS does not show ed-"),
    (r"_dmarc.*", "", "DMARC", "there is no policy"),
    (r"_dmarc.*", '_dmarc.a.test. 9 IN TXT "v=DMARC1; p=often"', "DMARC",
     "is no policy"),
    (r"_imaps.*", "_imaps._tcp.a.test. 9 IN SRV 0 1 993 x.a.test.", "service",
     "says something else"),
])
def test_it_says_what_to_change(world, pattern, instead, topic, text):
    w = world()
    zone, n = re.subn(f"(?m)^{pattern}$", instead, w.zone, count=1)
    assert n == 1
    code, out = w.check(zone)
    assert code == os.EX_DATAERR
    wrong = re.search(f"(?m)^WRONG  {topic}: (.*)\n       write: (.*)$", out)
    assert wrong and text in wrong.group(1), out
    # What it says to write is the line that was taken away.
    assert wrong.group(2) in w.zone
    # SPF by mx and a follows where they lead.
    others = set(re.findall("(?m)^WRONG  ([^:]*):", out)) - {topic}
    assert others <= ({"SPF", "SPF of the host"}
                      if topic in ("MX", "address") else set())


def test_the_reverse_name(world):
    w = world()
    code, out = w.check(w.zone, {"2.0.192.in-addr.arpa": "10 PTR dsl.isp.test.\n"})
    assert code == os.EX_DATAERR
    assert "192.0.2.10 is dsl.isp.test, not mail.a.test" in out


def test_hints(world):
    w = world()
    zone = re.sub(r"(?m)^_smtp\._tls.*$", "", w.zone)
    zone = zone.replace("p=reject", "p=none") + "a.test. 9 IN MX 20 other.a.test.\n"
    code, out = w.check(zone)
    assert code == 0
    assert "hint   TLS-RPT: _smtp._tls.a.test has no v=TLSRPTv1" in out
    assert "hint   DMARC: p=none" in out
    assert "hint   MX: mail goes to other.a.test, too" in out


def test_a_domain_on_another_host(postern):
    p = postern("other", name="mail.isp.test", options={
        "relayhost": "[relay.isp.test]"})
    out = p.run("dns", "b.test").stdout
    assert "b.test. 3600 IN MX 10 mail.isp.test." in out
    assert "; There are no DKIM keys: postern dkim generate b.test" in out
    assert "; No address here can be reached" in out or " IN A " in out
    assert "; Mail goes out through relayhost" in out
    for args in ([], ["check"], ["a.test", "b.test"], ["a..test"]):
        assert p.run("dns", *args, check=False).returncode == os.EX_USAGE
