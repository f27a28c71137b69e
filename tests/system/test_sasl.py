# SPDX-License-Identifier: ISC
"""EXTERNAL by client certificate; OAUTHBEARER and XOAUTH2 by a token that an
authorization server is asked about."""

import base64
import http.server
import imaplib
import json
import poplib
import re
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import Smtp, make_certificate, wait_for
from test_scram import b64

ALICE, BOB = "alice@example.test", "bob@example.test"


class Authorization:
    """RFC 7662, over TLS, with a table of tokens."""

    def __init__(self, directory):
        self.tokens, self.asked = {}, []
        self.answer = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                n = int(self.headers["Content-Length"])
                form = urllib.parse.parse_qs(self.rfile.read(n).decode())
                outer.asked.append((self.headers.get("Authorization"), form))
                status, body = outer.answer or (200, json.dumps(
                    outer.tokens.get(form["token"][0], {"active": False})))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args):
                pass

        directory.mkdir()
        chain, self.ca = make_certificate(
            directory, ["localhost"], ["127.0.0.1"])
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/introspect"


@pytest.fixture
def oauth(postern, tmp_path):
    server = Authorization(tmp_path / "as")
    server.tokens = {
        "good": {"active": True, "username": ALICE, "scope": "mail other",
                 "exp": int(time.time()) + 600},
        "old": {"active": True, "username": ALICE, "scope": "mail",
                "exp": int(time.time()) - 1},
        "narrow": {"active": True, "username": ALICE, "scope": "mailx"},
        "nobody": {"active": True, "username": "x@example.test",
                   "scope": "mail"},
        "nameless": {"active": True, "scope": "mail"},
        "bobs": {"active": True, "username": BOB, "scope": "mail"}}
    secret = tmp_path / "secret"
    secret.write_text("s3cret\nnot this\n")
    p = postern("oauth", users={ALICE: "a", BOB: "b"}, options={
        "oauth2_introspection_url": server.url,
        "oauth2_client_id": "postern",
        "oauth2_client_secret": str(secret),
        "oauth2_required_scope": "mail",
        "oauth2_tls_CAfile": str(server.ca)})
    p.oauth = server
    yield p.start()
    server.server.shutdown()


def bearer(token, user=ALICE):
    who = f"a={user}" if user else ""
    return f"n,{who},\1host=x\1port=1\1auth=Bearer {token}\1\1"


def xoauth2(token, user=ALICE):
    return f"user={user}\1auth=Bearer {token}\1\1"


def session(p):
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(p.tls(), p.name)
    s.auth = s.expect("EHLO c.example", 250)
    return s


def test_token_logs_in_everywhere(oauth):
    s = session(oauth)
    assert "OAUTHBEARER XOAUTH2 PLAIN LOGIN" in s.auth
    s.expect("AUTH OAUTHBEARER " + b64(bearer("good").encode()), 235)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)
    s.expect("RSET", 250)
    s.expect(f"MAIL FROM:<{BOB}>", 553)
    s.close()
    who, form = oauth.oauth.asked[0]
    assert base64.b64decode(who.split()[1]) == b"postern:s3cret"
    assert form == {"token": ["good"], "token_type_hint": ["access_token"]}
    s = session(oauth)
    s.expect("AUTH XOAUTH2 " + b64(xoauth2("good").encode()), 235)
    s.close()
    m = imaplib.IMAP4_SSL(oauth.host, oauth.port["imaps"],
                          ssl_context=oauth.tls())
    assert {"AUTH=OAUTHBEARER", "AUTH=XOAUTH2"} <= set(m.capabilities)
    assert m.authenticate(
        "XOAUTH2", lambda _: xoauth2("good").encode())[0] == "OK"
    m.logout()
    pop = poplib.POP3_SSL(oauth.host, oauth.port["pop3s"],
                          context=oauth.tls())
    assert "OAUTHBEARER" in pop.capa()["SASL"]
    pop._shortcmd("AUTH OAUTHBEARER " + b64(bearer("good").encode()))
    assert pop.stat() == (0, 0)
    pop.quit()


def test_no_token_in_clear_text(oauth):
    s = Smtp(oauth.host, oauth.port["submission"])
    assert "OAUTH" not in s.expect("EHLO c.example", 250)
    s.close()


@pytest.mark.parametrize("mechanism, message", [
    ("OAUTHBEARER", bearer("unknown")), ("OAUTHBEARER", bearer("old")),
    ("OAUTHBEARER", bearer("narrow")), ("OAUTHBEARER", bearer("nobody", "")),
    ("OAUTHBEARER", bearer("nameless", "")),
    ("OAUTHBEARER", bearer("bobs")), ("XOAUTH2", xoauth2("bobs")),
    ("XOAUTH2", xoauth2("unknown"))])
def test_refused_tokens(oauth, mechanism, message):
    s = session(oauth)
    text = s.expect(f"AUTH {mechanism} " + b64(message.encode()), 334)
    said = json.loads(base64.b64decode(text.split()[1]))
    assert said["status"] in ("invalid_token", "401")
    s.expect("AQ==", 535)
    s.expect(f"MAIL FROM:<{ALICE}>", 250)  # not logged in, and not broken
    s.expect("RCPT TO:<x@far.example>", 454)
    s.expect("RSET", 250)
    s.expect("AUTH OAUTHBEARER " + b64(bearer("bobs", "").encode()), 235)
    s.close()


@pytest.mark.parametrize("message", [
    "", "n,,\1\1", "n,,\1auth=Basic x\1\1", "p=tls-exporter,,\1auth=Bearer "
    "good\1\1", "n,a=,\1auth=Bearer good\1\1", "n,,\1auth=Bearer go od\1\1",
    "n,,\1auth=Bearer good\1\1more", "n\1auth=Bearer good\1\1",
    "n,,\1novalue\1auth=Bearer good\1\1"])
def test_malformed(oauth, message):
    s = session(oauth)
    s.expect("AUTH OAUTHBEARER " + (b64(message.encode()) or "="), 501)
    s.close()
    assert oauth.oauth.asked == []


@pytest.mark.parametrize("answer", [
    (500, "{}"), (401, "{}"), (302, "{}"), (200, "no json"),
    (200, "x" * 200000), (200, "[]")])
def test_a_sick_server_is_a_temporary_failure(oauth, answer):
    oauth.oauth.answer = answer
    s = session(oauth)
    s.expect("AUTH XOAUTH2 " + b64(xoauth2("good").encode()), 454)
    oauth.oauth.answer = None
    s.expect("AUTH XOAUTH2 " + b64(xoauth2("good").encode()), 235)
    s.close()


def test_a_server_that_cannot_prove_itself(postern, oauth):
    p = postern("strict", users={ALICE: "a"}, options={
        "oauth2_introspection_url": oauth.oauth.url}).start()
    s = session(p)
    s.expect("AUTH XOAUTH2 " + b64(xoauth2("good").encode()), 454)
    s.close()
    assert oauth.oauth.asked == []


# ---- EXTERNAL ----

@pytest.fixture
def certificates(tmp_path):
    """name -> pem file with key: what our CA signed, and one it did not."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True,
                       cwd=tmp_path)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
          "-nodes"]
    run("req", "-x509", *ec, "-days", "9", "-subj", "/CN=CA", "-keyout",
        "ca.key", "-out", "ca.pem")
    for name, subject, email in (
            ("san", "/CN=Alice", ALICE), ("cn", f"/CN={ALICE}", None),
            ("none", "/CN=Alice", None), ("other", "/CN=x", "x@far.example"),
            ("two", "/CN=x", f"x@far.example, email:{BOB}")):
        run("req", *ec, "-subj", subject, "-keyout", f"{name}.key", "-out",
            f"{name}.csr")
        more = []
        if email:
            (tmp_path / "ext").write_text(f"subjectAltName=email:{email}\n")
            more = ["-extfile", "ext"]
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-days", "9", "-out", f"{name}.pem", *more)
    run("req", "-x509", *ec, "-days", "9", "-subj", f"/CN={ALICE}", "-keyout",
        "self.key", "-out", "self.pem")
    return tmp_path


@pytest.mark.parametrize("name, initial, code", [
    ("san", "=", 235), ("cn", "=", 235), ("san", b64(ALICE.encode()), 235),
    ("san", b64(BOB.encode()), 535), ("two", "=", 235),
    ("two", b64(BOB.encode()), 235), ("other", "=", 535),
    ("none", "=", 504), ("self", "=", 504), (None, "=", 504)])
def test_external(postern, certificates, name, initial, code):
    p = postern("x", users={ALICE: "a", BOB: "b"}, options={
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_CAfile": str(certificates / "ca.pem"),
        "smtpd_sasl_mechanism_filter": "static:rest"}).start()
    context = p.tls()
    if name:
        context.load_cert_chain(certificates / f"{name}.pem",
                                certificates / f"{name}.key")
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(context, p.name)
    assert ("EXTERNAL" in s.expect("EHLO c.example", 250)) == (code != 504)
    s.expect(f"AUTH EXTERNAL {initial}", code)
    if code == 235:
        s.expect(f"MAIL FROM:<{BOB if name == 'two' else ALICE}>", 250)
    s.close()


def test_external_is_off_by_default(postern, certificates):
    p = postern("y", users={ALICE: "a"}, options={
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_CAfile": str(certificates / "ca.pem")}).start()
    context = p.tls()
    context.load_cert_chain(certificates / "san.pem",
                            certificates / "san.key")
    s = Smtp(p.host, p.port["submission"])
    s.expect("EHLO c.example", 250)
    s.starttls(context, p.name)
    assert "EXTERNAL" not in s.expect("EHLO c.example", 250)
    s.expect("AUTH EXTERNAL =", 504)
    s.close()


# ---- on the way out ----

def client_of(postern, server, password, **options):
    """A relay that logs in to the other's submission port."""
    relayhost = f"[{server.host}]:{server.port['submission']}"
    passwords = server.dir / "passwords"
    passwords.write_text(f"{relayhost} {password}\n")
    return postern("client", host="127.0.0.3", options={
        "relayhost": relayhost,
        "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions":
        "permit_mynetworks, reject", "smtpd_recipient_restrictions":
        "permit_mynetworks, reject", "smtp_sasl_auth_enable": "yes",
        "smtp_tls_security_level": "encrypt", "minimal_backoff_time": "600s",
        "smtp_sasl_password_maps": f"texthash:{passwords}",
        **options}).start()


def relay(p, sender=ALICE, rcpt=BOB):
    Smtp(p.host, p.port["smtp"]).mail(sender, [rcpt])


@pytest.mark.parametrize("options, password, method", [
    ({}, "a", "SCRAM-SHA-256-PLUS"),
    ({"smtp_tls_protocols": "<=TLSv1.2",
      "smtp_tls_mandatory_protocols": "<=TLSv1.2"}, "a", "SCRAM-SHA-256-PLUS"),
    ({"smtp_sasl_mechanism_filter": "!scram-sha-256-plus, static:rest"}, "a",
     "SCRAM-SHA-256"),
    ({"smtp_sasl_mechanism_filter": "scram-sha-1-plus"}, "a",
     "SCRAM-SHA-1-PLUS"),
    ({"smtp_sasl_mechanism_filter": "scram-sha-1"}, "a", "SCRAM-SHA-1"),
    ({"smtp_sasl_mechanism_filter": "plain"}, "a", "PLAIN"),
    ({"smtp_sasl_mechanism_filter": "login"}, "a", "LOGIN"),
    ({}, "Bearer good", "OAUTHBEARER"),
    ({"smtp_sasl_mechanism_filter": "xoauth2"}, "Bearer good", "XOAUTH2")])
def test_each_mechanism_on_the_way_out(oauth, postern, options, password,
                                       method):
    p = client_of(postern, oauth, f"{ALICE}:{password}", **options)
    relay(p)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert f"method={method} " in oauth.log() + " "
    wait_for("the mail", lambda: "status=sent" in p.log())


@pytest.mark.parametrize("password, filter_, want", [
    ("Bearer old", "", "535"), ("Bearer old", "xoauth2", "535"),
    ("wrong", "", "535"), ("a", "gssapi", "no AUTH mechanism"),
    ("", "", "no AUTH mechanism")])
def test_what_does_not_fit_waits(oauth, postern, password, filter_, want):
    """A wrong password, or no way to say it, is ours to mend."""
    p = client_of(postern, oauth, f"{ALICE}:{password}",
                  smtp_sasl_mechanism_filter=filter_)
    relay(p)
    m = wait_for("a deferral", lambda: [
        m for m in p.queue() if m["recipients"][0]["attempts"]])[0]
    assert want in m["recipients"][0]["reason"]
    assert "Bearer" not in p.log()
    p.run("queue", "delete", "ALL")


def test_external_on_the_way_out(postern, certificates):
    server = postern("b", users={ALICE: "pw", BOB: "pw"}, options={
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_CAfile": str(certificates / "ca.pem"),
        "smtpd_sasl_mechanism_filter": "external"}).start()
    p = client_of(postern, server, f"{ALICE}:",
                  smtp_tls_cert_file=certificates / "san.pem",
                  smtp_tls_key_file=certificates / "san.key")
    relay(p)
    wait_for("an empty queue", lambda: p.queue() == [])
    assert "method=EXTERNAL" in server.log()


def test_each_sender_has_a_login_of_its_own(oauth, postern):
    """smtp_sender_dependent_authentication: by sender, by domain, then as
    without it; nobody goes over another's connection."""
    p = client_of(
        postern, oauth, "x", smtp_sender_dependent_authentication="yes",
        smtp_sasl_password_maps="inline:{%s=%s:a, @example.test=%s:b}" %
        (ALICE, ALICE, BOB))
    for sender in (ALICE, BOB, ALICE):
        relay(p, sender)
    wait_for("an empty queue", lambda: p.queue() == [])
    logins = [line.split("login=")[1].split()[0]
              for line in oauth.log().splitlines()
              if " accepted " in line]
    assert sorted(logins) == [ALICE, ALICE, BOB]


def test_each_transport_has_settings_of_its_own(postern):
    """-o in master.cf: passwords, generic maps, trust, policy. What main.cf
    says counts for the others."""
    server = postern("b", users={ALICE: "a", BOB: "b"}).start()
    hop = f"[{server.host}]:{server.port['submission']}"
    lines = {
        "one": f"-o {{smtp_sasl_password_maps=inline:{{{{{hop}={ALICE}:a}}}}}} "
               f"-o {{smtp_generic_maps=inline:{{x@other.test={ALICE} "
               f"one@example.test={ALICE}}}}} ",
        "two": f"-o {{smtp_sasl_password_maps=inline:{{{{{hop}={BOB}:b}}}}}} "
               f"-o {{smtp_generic_maps=inline:{{x@other.test={BOB} "
               f"two@example.test={BOB}}}}} "
               f"-o smtp_tls_security_level=verify "
               f"-o smtp_tls_CAfile={server.ca}",
        "policy": f"-o {{smtp_sasl_password_maps=inline:{{{{{hop}={BOB}:b}}}}}} "
                  f"-o {{smtp_tls_policy_maps=inline:{{{{{hop}=verify}}}}}}"}
    p = postern("client", host="127.0.0.3", options={
        "mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions":
        "permit_mynetworks, reject", "smtpd_recipient_restrictions":
        "permit_mynetworks, reject", "smtp_sasl_auth_enable": "yes",
        "smtp_tls_security_level": "encrypt", "minimal_backoff_time": "600s",
        "transport_maps": "inline:{%s}" % ", ".join(
            f"{{{name}@example.test={name}:{hop}}}" for name in
            (*lines, "relay")),
        "virtual_mailbox_domains": ""},
        master_extra="".join(f"{name} unix - - n - - smtp {rest}\n"
                             for name, rest in lines.items()))
    r = p.run("check", check=False)
    assert "smtp_" not in r.stderr, r.stderr
    p.start()
    for name in (*lines, "relay"):
        relay(p, "x@other.test", f"{name}@example.test")
    for name, end in (("one", "sent"), ("two", "sent"), ("relay", "bounced"),
                      ("policy", "deferred")):
        wait_for(name, lambda: re.search(
            rf"to={name}@example.test.* status={end}", p.log()))
    assert "certificate not trusted" in p.log()
    # main.cf has no password, and what one transport has, no other takes.
    logins = re.findall(r" login client.* login=(\S+)", server.log())
    assert sorted(logins) == [ALICE, BOB], server.log()
    p.run("queue", "delete", "ALL")


def test_check_looks_at_what_a_line_sets(postern):
    """Tables, words and names of -o in master.cf."""
    p = postern("client", master_extra=(
        "one unix - - n - - smtp -o smtp_tls_security_level=strong "
        "-o smtp_generic_maps=texthash:/no/such "
        "-o smtp_tls_policy_mapz=x -o lmtp_recipient_refill_limit=9\n"))
    r = p.run("check", check=False)
    assert r.returncode == 78
    for text in ("smtp_tls_security_level: no such level", "/no/such",
                 "unused parameter smtp_tls_policy_mapz",
                 "lmtp_recipient_refill_limit has no effect here"):
        assert re.search(rf"master\.cf:\d+: .*{text}", r.stderr), r.stderr
