# SPDX-License-Identifier: ISC
"""TLS as main.cf sets it: ciphers, switches, client certificates, session
tickets."""

import hashlib
import socket
import ssl
import subprocess

import pytest

from harness import Smtp, make_certificate, wait_for
from test_smtpd import BOB


def with_tls(postern, **options):
    return postern("tls", users={BOB: "b"}, options=options).start()


def handshake(p, port="smtp", context=None, **kw):
    context = context or p.tls()
    for name, value in kw.items():
        setattr(context, name, value)
    s = Smtp(p.host, p.port[port])
    s.expect("EHLO c.example", 250)
    s.starttls(context, p.name)
    s.expect("EHLO c.example", 250)
    return s


def twelve(p, ciphers="ALL"):
    context = p.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


CHACHA, AES = "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_excluded_ciphers_are_refused(postern):
    p = with_tls(postern, smtpd_tls_exclude_ciphers="CHACHA20, AES256-CCM",
                 smtpd_tls_mandatory_exclude_ciphers="AES256")
    s = handshake(p, context=twelve(p, AES))
    assert s.sock.cipher()[0] == AES
    s.close()
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(p, context=twelve(p, CHACHA))
    # On a port that demands TLS the mandatory list counts, too.
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(p, "submission", context=twelve(p, AES))
    handshake(p, "submission").close()  # TLS 1.3 is not concerned


@pytest.mark.parametrize("preempt, first", [("yes", AES), ("no", CHACHA)])
def test_whose_order_counts(postern, preempt, first):
    p = with_tls(postern, tls_preempt_cipherlist=preempt,
                 tls_medium_cipherlist=f"{AES}:{CHACHA}")
    s = handshake(p, context=twelve(p, f"{CHACHA}:{AES}"))
    assert s.sock.cipher()[0] == first
    s.close()


def test_no_ticket(postern):
    p = with_tls(postern, tls_ssl_options="NO_TICKET")
    context = p.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    s = handshake(p, context=context)
    assert not s.sock.session.has_ticket
    s.close()


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_a_ticket_of_one_service_is_no_good_at_another(postern, port):
    """Attack 44."""
    p = with_tls(postern)
    context = p.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    s = handshake(p, context=context)
    session = s.sock.session
    s.close()
    t = Smtp(p.host, p.port["imap"], greet=False)
    t.file.readline()
    t.send(b"a STARTTLS\r\n")
    assert b"OK" in t.file.readline()
    wrapped = context.wrap_socket(t.sock, server_hostname=p.name,
                                  session=session)
    assert not wrapped.session_reused
    wrapped.close()


@pytest.mark.parametrize("options, word", [
    ({"smtpd_tls_ciphers": "best"}, "grade"),
    ({"tls_medium_cipherlist": "NOTHING"}, "cipher"),
    ({"tls_ssl_options": "NO_SENSE"}, "NO_SENSE"),
    ({"smtpd_tls_ask_ccert": "yes",
      "smtpd_tls_CAfile": "/nonexistent.pem"}, "nonexistent")])
def test_check_names_bad_tls_settings(postern, options, word):
    p = postern("bad", options=options)
    r = p.run("check", check=False)
    assert r.returncode == 78 and word in r.stderr


# ---- client certificates ----

@pytest.fixture
def authority(tmp_path):
    """A CA with one client certificate, and one that nobody signed."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True,
                       cwd=tmp_path)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
          "-nodes"]
    run("req", "-x509", *ec, "-days", "9", "-subj", "/CN=Our CA", "-keyout",
        "ca.key", "-out", "ca.pem")
    run("req", *ec, "-subj", "/CN=client one", "-keyout", "one.key", "-out",
        "one.csr")
    run("x509", "-req", "-in", "one.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-days", "9", "-out", "one.pem")
    run("req", "-x509", *ec, "-days", "9", "-subj", "/CN=stranger", "-keyout",
        "other.key", "-out", "other.pem")
    return tmp_path


def fingerprint(path):
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    text = hashlib.sha256(der).hexdigest().upper()
    return ":".join(text[i:i + 2] for i in range(0, 64, 2))


def present(p, directory, name, port="smtp"):
    context = p.tls()
    if name:
        context.load_cert_chain(directory / f"{name}.pem",
                                directory / f"{name}.key")
    return handshake(p, port, context=context)


def relays(s):
    s.expect("MAIL FROM:<a@b.example>", 250)
    return s.cmd("RCPT TO:<x@far.example>")[0] == 250


@pytest.mark.parametrize("name, all_may, listed_may", [
    ("one", True, False), ("other", False, True), (None, False, False)])
def test_who_may_relay_by_certificate(postern, authority, name, all_may,
                                      listed_may):
    certs = authority / "certs"
    certs.write_text(f"{fingerprint(authority / 'other.pem')} yes\n")
    for rule, may in (("permit_tls_all_clientcerts", all_may),
                      ("permit_tls_clientcerts", listed_may)):
        p = postern(rule[11:14], users={BOB: "b"}, options={
            "smtpd_tls_ask_ccert": "yes",
            "smtpd_tls_CAfile": str(authority / "ca.pem"),
            "relay_clientcerts": f"hash:{certs}",
            "smtpd_relay_restrictions": f"{rule}, reject_unauth_destination"})
        p.start()
        s = present(p, authority, name)
        assert relays(s) == may
        s.close()
        p.stop()


@pytest.mark.parametrize("trusted", ["yes", "no"])
def test_a_certificate_that_is_for_servers(postern, authority, trusted):
    (authority / "for").write_text("extendedKeyUsage=serverAuth\n")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", "one.csr", "-CA", "ca.pem",
         "-CAkey", "ca.key", "-days", "9", "-out", "one.pem", "-extfile",
         "for"], check=True, capture_output=True, cwd=authority)
    p = with_tls(postern, smtpd_tls_ask_ccert="yes",
                 smtpd_tls_CAfile=str(authority / "ca.pem"),
                 tls_trust_server_ccerts=trusted,
                 smtpd_relay_restrictions="permit_tls_all_clientcerts, "
                 "reject_unauth_destination")
    s = present(p, authority, "one")
    assert relays(s) == (trusted == "yes")
    s.close()


def test_check_ccert_access(postern, authority):
    table = authority / "access"
    table.write_text(f"{fingerprint(authority / 'other.pem')} REJECT not you\n")
    p = with_tls(postern, smtpd_tls_ask_ccert="yes",
                 smtpd_tls_CAfile=str(authority / "ca.pem"),
                 smtpd_client_restrictions=f"check_ccert_access hash:{table}")
    for name, code in (("other", 554), ("one", 250), (None, 250)):
        s = present(p, authority, name)
        s.expect("MAIL FROM:<a@b.example>", 250)
        got = s.cmd(f"RCPT TO:<{BOB}>")
        assert got[0] == code
        s.close()
    assert "subject=stranger" in p.log()


@pytest.mark.parametrize("name, ok", [("one", True), ("other", False),
                                      (None, False)])
def test_required_client_certificate(postern, authority, name, ok):
    p = with_tls(postern, smtpd_tls_req_ccert="yes",
                 smtpd_tls_CAfile=str(authority / "ca.pem"))
    try:
        s = present(p, authority, name, "submission")
        s.close()
        got = True
    except (ssl.SSLError, OSError, EOFError):
        got = False
    assert got == ok
    # Where TLS is not demanded, a certificate is not, either.
    present(p, authority, name).close()


# ---- a certificate for each name ----

def asked_for(p, name, port="smtp"):
    """The name of the certificate that a client gets who asks for name."""
    context = ssl._create_unverified_context()
    if port == "imaps":
        raw = socket.create_connection((p.host, p.port[port]), 10)
        tls = context.wrap_socket(raw, server_hostname=name)
    else:
        s = Smtp(p.host, p.port[port])
        s.expect("EHLO c.example", 250)
        s.starttls(context, name)
        s.expect("EHLO c.example", 250)
        tls = s.sock
    der = tls.getpeercert(binary_form=True)
    tls.close()
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout",
                           "-subject"], input=der, capture_output=True)
    return text.stdout.decode().rpartition("=")[2].strip()


@pytest.fixture
def chains(tmp_path):
    made = {}
    for name in ("mx.one.example", "two.example"):
        (tmp_path / name).mkdir()
        made[name] = make_certificate(tmp_path / name, [name], [])[0]
    return made


def test_sni(postern, chains, tmp_path):
    table = tmp_path / "sni"
    table.write_text(f"mx.one.example {chains['mx.one.example']}\n"
                     f".two.example {chains['two.example']}\n")
    p = with_tls(postern, tls_server_sni_maps=f"hash:{table}")
    for port in ("smtp", "imaps"):
        for name, expected in (
                ("mx.one.example", "mx.one.example"),
                ("MX.One.Example", "mx.one.example"),
                ("a.two.example", "two.example"),
                ("a.b.two.example", "two.example"),
                ("two.example", p.name), ("one.example", p.name),
                (None, p.name)):
            assert asked_for(p, name, port) == expected, (port, name)
    # A renewed certificate is taken over as the service's own is.
    make_certificate(tmp_path / "two.example", ["renewed.example"], [])
    wait_for("the new one",
             lambda: asked_for(p, "a.two.example") == "renewed.example")
    # Files that do not load: told, and the service's certificate is shown.
    with table.open("a") as f:
        f.write("broken.example /nonexistent.pem\n")
    wait_for("the edit", lambda: asked_for(p, "broken.example") == p.name and
             "name=broken.example" in p.log())
    r = p.run("check", check=False)
    assert r.returncode == 78 and "/nonexistent.pem" in r.stderr


def test_sni_keeps_what_the_service_asks_of_clients(
        postern, authority, chains, tmp_path):
    p = with_tls(postern, tls_server_sni_maps=(
        f"inline:{{{{mx.one.example = {chains['mx.one.example']}}}}}"),
        smtpd_tls_req_ccert="yes", smtpd_tls_CAfile=str(authority / "ca.pem"))
    for certificate, ok in (("one", True), (None, False)):
        context = ssl._create_unverified_context()
        if certificate:
            context.load_cert_chain(authority / "one.pem",
                                    authority / "one.key")
        s = Smtp(p.host, p.port["submission"])
        s.expect("EHLO c.example", 250)
        try:
            s.starttls(context, "mx.one.example")
            s.expect("EHLO c.example", 250)
            got = True
        except (ssl.SSLError, OSError, EOFError):
            got = False
        s.close()
        assert got == ok


def test_a_second_certificate(postern, tmp_path):
    """RSA for those who know no ECDSA: smtpd_tls_cert_file and _eccert_file."""
    made = {}
    for name, key in (("rsa", ["-newkey", "rsa:2048"]),
                      ("ec", ["-newkey", "ec", "-pkeyopt",
                              "ec_paramgen_curve:prime256v1"])):
        subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-days",
                        "9", "-subj", f"/CN={name}", "-keyout",
                        f"{name}.key", "-out", f"{name}.pem"], check=True,
                       capture_output=True, cwd=tmp_path)
        made[name] = tmp_path / name
    p = with_tls(postern, smtpd_tls_chain_files="",
                 smtpd_tls_cert_file=str(tmp_path / "rsa.pem"),
                 smtpd_tls_key_file=str(tmp_path / "rsa.key"),
                 smtpd_tls_eccert_file=str(tmp_path / "ec.pem"),
                 smtpd_tls_eckey_file=str(tmp_path / "ec.key"))
    for ciphers, algorithm in (("ECDHE-RSA-AES256-GCM-SHA384", "rsa"),
                               ("ECDHE-ECDSA-AES256-GCM-SHA384", "id-ec")):
        context = ssl._create_unverified_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        s = handshake(p, context=context)
        text = subprocess.run(
            ["openssl", "x509", "-inform", "DER", "-noout", "-text"],
            input=s.sock.getpeercert(binary_form=True), capture_output=True)
        assert f"Public Key Algorithm: {algorithm}" in text.stdout.decode()
        s.close()


def test_auth_is_not_offered_to_some(postern):
    p = with_tls(postern, smtpd_sasl_exceptions_networks="127.0.0.9")
    for source, offered in (("127.0.0.1", True), ("127.0.0.9", False)):
        s = Smtp(p.host, p.port["submission"], source=source)
        s.expect("EHLO c.example", 250)
        s.starttls(p.tls(), p.name)
        assert ("AUTH " in s.expect("EHLO c.example", 250)) == offered
        s.close()


CONFIG = """openssl_conf = here
postern = there
[here]
ssl_conf = ssl_here
[there]
ssl_conf = ssl_there
[ssl_here]
system_default = chacha
[ssl_there]
system_default = aes
[chacha]
Ciphersuites = TLS_CHACHA20_POLY1305_SHA256
[aes]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""


@pytest.mark.parametrize("name, suite", [
    ("", "TLS_CHACHA20_POLY1305_SHA256"), ("postern", "TLS_AES_128_GCM_SHA256"),
    (None, "TLS_AES_256_GCM_SHA384")])
def test_openssls_own_configuration(postern, tmp_path, name, suite):
    config = tmp_path / "openssl.cnf"
    config.write_text(CONFIG)
    options = {"tls_config_file": "none"} if name is None else {
        "tls_config_file": str(config), "tls_config_name": name}
    s = handshake(with_tls(postern, **options))
    assert s.sock.cipher()[0] == suite
    s.close()


def test_a_configuration_of_openssl_that_is_not_there(postern, tmp_path):
    p = postern("tls", users={BOB: "b"},
                options={"tls_config_file": str(tmp_path / "none.cnf")})
    r = p.run("check", check=False)
    assert r.returncode == 78 and "tls_config_file" in r.stderr
