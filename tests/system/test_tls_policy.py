# SPDX-License-Identifier: ISC
"""How safe the way to the next server must be: smtp_tls_policy_maps, levels,
fingerprints, and DANE with a signed zone: RFC 7672."""

import hashlib
import subprocess

import pytest

from harness import Sink, free_port, make_certificate, wait_for
from test_sender import ALICE, TlsSink


@pytest.fixture
def keys(tmp_path):
    """(chain, certificate) for mx.a.test and its address."""
    return make_certificate(tmp_path, ["mx.a.test"], ["127.0.0.5"])


def der(cert, *args):
    return subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER",
                           *args], capture_output=True, check=True).stdout


def key_digest(cert):
    pub = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"],
                         capture_output=True, check=True).stdout
    return hashlib.sha256(subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=pub,
        capture_output=True, check=True).stdout).hexdigest()


def colons(digest):
    return ":".join(digest[i:i + 2] for i in range(0, len(digest), 2)).upper()


def reason(p):
    return wait_for("a deferral", lambda: p.queue()[0]["recipients"][0][
        "attempts"] and p.queue()[0]["recipients"][0]["reason"])


def sent(p, sink, n=1):
    wait_for("the mail", lambda: len(sink.mails) == n and p.queue() == [])


def nexthop(sink):
    return f"[127.0.0.5]:{sink.port}"


# ---- the table ----

def test_table_over_main_cf(postern, keys, tmp_path):
    """The next hop as routed, brackets and port too."""
    sink = TlsSink(keys[0])
    table = tmp_path / "policy"
    table.write_text(f"{nexthop(sink)} verify\n")
    p = postern("p", users={ALICE: "a"}, options={
        "relayhost": nexthop(sink), "smtp_tls_security_level": "none",
        "smtp_tls_policy_maps": f"hash:{table}"}).start()
    p.send(ALICE, ["x@far.example"])
    assert "certificate not trusted" in reason(p)
    # The table is read anew, and a safe way is not fallen back from.
    table.write_text(f"{nexthop(sink)} encrypt\n")
    p.run("queue", "flush")
    wait_for("the mail", lambda: p.run("queue", "flush") and sink.mails)
    assert "level=encrypt" in p.log()
    sink.stop()


@pytest.mark.parametrize("policy, names, good", [
    ("verify", ["mx.a.test"], True), ("verify", ["other.test"], False),
    ("secure", ["a.test"], True), ("secure", ["mx.a.test"], True),
    ("secure", ["mx.b.test"], False),
    ("secure match=nexthop", ["mx.a.test"], False),
    ("secure match=nexthop:mx.b.test", ["mx.b.test"], True),
    ("verify match=.b.test", ["x.b.test"], True),
    ("verify match=hostname protocols=TLSv1.3", ["mx.a.test"], True)])
def test_names(postern, dns, tmp_path, policy, names, good):
    """A domain by MX; what the certificate names decides."""
    chain, cert = make_certificate(tmp_path, names, [])
    sink = TlsSink(chain)
    d = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtp_tcp_port": str(sink.port), "smtp_tls_CAfile": str(cert),
        "smtp_tls_policy_maps": f"inline:{{{{a.test = {policy}}}}}"}).start()
    p.send(ALICE, ["x@a.test"])
    if good:
        sent(p, sink)
        assert "verified=yes" in p.log()
    else:
        assert "certificate not trusted" in reason(p)
        assert sink.mails == []
    sink.stop()


@pytest.mark.parametrize("depth, good", [("1", False), ("2", True)])
def test_depth_of_the_chain(postern, tmp_path, depth, good):
    """Theirs is signed by one that our authority has signed."""
    chain, ca = issued(tmp_path / "issued", "mx.a.test", between="Middle")
    sink = TlsSink(chain)
    p = postern("p", users={ALICE: "a"}, options={
        "relayhost": nexthop(sink), "smtp_tls_CAfile": ca,
        "smtp_tls_scert_verifydepth": depth, "tls_append_default_CA": "yes",
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": "mx.a.test"}).start()
    p.send(ALICE, ["x@a.test"])
    if good:
        sent(p, sink)
        assert "verified=yes" in p.log()
    else:
        assert "certificate not trusted" in reason(p)
        p.run("queue", "delete", "ALL")
    sink.stop()


def test_subdomains_of_the_table(postern, dns, keys):
    sink = TlsSink(keys[0])
    d = dns({"a.test": "sub MX 10 mx\nmx A 127.0.0.5"})
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "smtp_tcp_port": str(sink.port),
        "smtp_tls_policy_maps": "inline:{{.a.test = verify}}"}).start()
    p.send(ALICE, ["x@sub.a.test"])
    assert "certificate not trusted" in reason(p)
    sink.stop()


def test_fingerprint(postern, keys):
    """The certificate's or the key's; no authority is asked."""
    for digest, good in ((hashlib.sha256(der(keys[1])).hexdigest(), True),
                         (key_digest(keys[1]), True), ("00" * 32, False)):
        sink = TlsSink(keys[0])
        p = postern(f"p{digest[:6]}", users={ALICE: "a"}, options={
            "relayhost": nexthop(sink),
            "smtp_tls_security_level": "fingerprint",
            "smtp_tls_fingerprint_cert_match": f"{colons('11' * 32)}, "
                                               f"{colons(digest)}"}).start()
        p.send(ALICE, ["x@far.example"])
        if good:
            sent(p, sink)
        else:
            assert "another fingerprint" in reason(p)
            assert sink.mails == []
        p.stop()
        sink.stop()


def test_encrypt_without_starttls_waits(postern):
    sink = Sink("127.0.0.5", 0)
    p = postern("p", users={ALICE: "a"}, options={
        "relayhost": nexthop(sink), "smtp_tls_policy_maps":
            f"inline:{{{{{nexthop(sink)} = encrypt}}}}"}).start()
    p.send(ALICE, ["x@far.example"])
    assert "does not offer STARTTLS" in reason(p)
    sink.stop()


@pytest.mark.parametrize("options, word", [
    ({"smtp_tls_security_level": "strong"}, "no such level"),
    ({"smtp_tls_policy_maps": "inline:{{a.test = verfy}}"}, "no TLS level"),
    ({"smtp_tls_policy_maps": "inline:{{a.test = may match=x}}"},
     "needs level encrypt"),
    ({"smtp_tls_policy_maps": "inline:{{a.test = verify foo=x}}"},
     "not known"),
    ({"smtp_tls_security_level": "dane-only"}, "no mail would leave"),
    ({"smtp_tls_fingerprint_digest": "sha0815"}, "no such digest")])
def test_check(postern, options, word):
    p = postern("bad", options=options)
    r = p.run("check", check=False)
    assert r.returncode == 78 and word in r.stderr


def test_check_warns_of_dane_without_dnssec(postern):
    p = postern("p", options={"smtp_tls_security_level": "dane"})
    r = p.run("check")
    assert "dns_trust_anchor_file" in r.stderr


# ---- DANE ----

@pytest.fixture
def dane(postern, dns, keys):
    """make(records, ...): one mail to x@a.test, whose zone has them."""
    sinks = []

    def make(tlsa, signed=("a.test",), sink=None, zone="@ MX 10 mx\n"
             "mx A 127.0.0.5\n", chain=keys[0], **options):
        sink = sink or TlsSink(chain)
        sinks.append(sink)
        records = "".join(f"_{sink.port}._tcp.mx TLSA {t}\n" for t in tlsa)
        d = dns({"a.test": zone + records}, signed)
        p = postern(f"dane{len(sinks)}", users={ALICE: "a"}, options={
            "dns_resolvers": f"[127.0.0.1]:{d.port}",
            "dns_trust_anchor_file": str(d.anchors("a.test"))
            if signed else "", "smtp_tcp_port": str(sink.port),
            "smtp_tls_security_level": "dane", **options}).start()
        p.send(ALICE, ["x@a.test"])
        return p, sink

    yield make
    for sink in sinks:
        sink.stop()


BAD = "3 1 1 " + "00" * 32


def test_dane_ee(dane, keys):
    p, sink = dane([BAD, f"3 1 1 {key_digest(keys[1])}"])
    sent(p, sink)
    assert "level=dane" in p.log() and "verified=yes" in p.log()


@pytest.mark.parametrize("force, level", [("yes", "dane"), ("no", "may")])
def test_dane_of_a_host_whose_address_nobody_protects(postern, dns, keys, force,
                                                      level):
    """Behind an alias into a zone without DNSSEC."""
    sink = TlsSink(keys[0])
    d = dns({"a.test": "@ MX 10 mx\nmx CNAME host.b.test.\n"
             f"_{sink.port}._tcp.mx TLSA 3 1 1 {key_digest(keys[1])}\n",
             "b.test": "host A 127.0.0.5"}, ("a.test",))
    p = postern("p", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{d.port}",
        "dns_trust_anchor_file": str(d.anchors("a.test")),
        "smtp_tcp_port": str(sink.port), "smtp_tls_security_level": "dane",
        "smtp_tls_force_insecure_host_tlsa_lookup": force}).start()
    p.send(ALICE, ["x@a.test"])
    sent(p, sink)
    assert f"level={level}" in p.log()
    assert ("verified=yes" in p.log()) == (force == "yes")
    sink.stop()


def test_dane_ee_needs_no_name_and_no_date(dane, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    chain, cert = make_certificate(other, ["else.test"], [])
    p, sink = dane([f"3 1 1 {key_digest(cert)}"], chain=chain)
    sent(p, sink)


def issued(directory, name, between=None):
    """(chain, authority) of a certificate for the name; with one of an authority
    between."""
    directory.mkdir()

    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True,
                       cwd=directory)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
          "-nodes"]

    def sign(file, by, subject, extension):
        run("req", *ec, "-subj", f"/CN={subject}", "-addext", extension,
            "-keyout", f"{file}.key", "-out", "csr")
        run("x509", "-req", "-in", "csr", "-CA", f"{by}.pem", "-CAkey",
            f"{by}.key", "-copy_extensions", "copy", "-days", "9", "-out",
            f"{file}.pem")

    run("req", "-x509", *ec, "-days", "9", "-subj", "/CN=Their CA", "-keyout",
        "ca.key", "-out", "ca.pem")
    if between:
        sign("between", "ca", between, "basicConstraints=critical,CA:TRUE")
    sign("cert", "between" if between else "ca", name,
         f"subjectAltName=DNS:{name}")
    chain = directory / "chain.pem"
    chain.write_text("".join(
        (directory / file).read_text() for file in
        ("cert.key", "cert.pem", "between.pem" if between else "ca.pem")))
    return chain, directory / "ca.pem"


@pytest.mark.parametrize("name, good", [
    ("mx.a.test", True), ("a.test", True), ("else.test", False)])
def test_dane_ta_needs_the_name(dane, tmp_path, name, good):
    """The host's, or the domain's where its MX is protected."""
    chain, ca = issued(tmp_path / "issued", name)
    p, sink = dane([f"2 0 1 {hashlib.sha256(der(ca)).hexdigest()}"],
                   chain=chain)
    if good:
        sent(p, sink)
        assert "verified=yes" in p.log()
    else:
        assert "certificate not trusted" in reason(p)
        assert sink.mails == []


def test_dane_wrong_key_waits(dane):
    p, sink = dane([BAD])
    assert "certificate not trusted" in reason(p)
    assert sink.mails == []


def test_dane_stripped_starttls_waits(dane, keys):
    p, sink = dane([f"3 1 1 {key_digest(keys[1])}"],
                   sink=Sink("127.0.0.5", 0))
    assert "does not offer STARTTLS" in reason(p)


def test_dane_unusable_records_encrypt(dane):
    """RFC 7672 2.2: TLS is promised; 1 is a usage that SMTP has no use for."""
    p, sink = dane(["1 1 1 " + "00" * 32])
    sent(p, sink)
    assert "level=encrypt" in p.log() and "verified=no" in p.log()


def test_no_records_or_no_dnssec_is_may(dane):
    p, sink = dane([])
    sent(p, sink)
    assert "level=may" in p.log()
    # What nobody signed says nothing, not even a wrong key.
    p, sink = dane([BAD], signed=())
    sent(p, sink)
    assert "level=may" in p.log()


def test_dane_only_waits_without_records(dane):
    p, sink = dane([], smtp_tls_security_level="dane-only")
    assert "no TLSA records" in reason(p)
    assert sink.mails == []


def test_bogus_answers_wait(postern, dns, keys):
    """Signed by another key than the anchor's: nothing is believed."""
    sink = TlsSink(keys[0])
    good = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5"}, ["a.test"])
    bad = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5"}, ["a.test"])
    p = postern("bogus", users={ALICE: "a"}, options={
        "dns_resolvers": f"[127.0.0.1]:{bad.port}",
        "dns_trust_anchor_file": str(good.anchors("a.test")),
        "smtp_tcp_port": str(sink.port),
        "smtp_tls_security_level": "dane"}).start()
    p.send(ALICE, ["x@a.test"])
    assert "DNSSEC" in reason(p)
    assert sink.mails == []
    sink.stop()
