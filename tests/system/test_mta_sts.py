# SPDX-License-Identifier: ISC
"""MTA-STS, RFC 8461: a domain that promises TLS gets its mail that way or not
at all; what was promised once is not forgotten because DNS or web are silent."""

import http.server
import ssl
import threading

import pytest

from harness import Sink, free_port, make_certificate, wait_for
from test_sender import ALICE, TlsSink
from test_tls_policy import reason

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n"


class Web:
    """https://mta-sts.a.test/"""

    def __init__(self, chain):
        outer = self
        self.status, self.type, self.text, self.hits = 200, "text/plain", "", []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.hits.append((self.headers["Host"], self.path))
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.type)
                if outer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(outer.text.encode())

            def log_message(self, *args):
                pass

        try:
            self.server = http.server.ThreadingHTTPServer(
                ("127.0.0.6", 443), Handler)
        except OSError as e:
            pytest.skip(f"no port 443 for a web server: {e}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class World:
    def __init__(self, postern, dns, tmp_path, web_name="mta-sts.a.test",
                 mx_name="mx.a.test", record="v=STSv1; id=1;", tls=True,
                 **options):
        self.dns, self.record = dns, record
        certs = []
        for folder, name in (("web", web_name), ("mx", mx_name)):
            (tmp_path / folder).mkdir()
            certs.append(make_certificate(tmp_path / folder, [name], []))
        (tmp_path / "ca.pem").write_text("".join(
            c[1].read_text() for c in certs))
        self.web = Web(certs[0][0])
        self.sink = TlsSink(certs[1][0]) if tls else Sink("127.0.0.5", 0)
        self.port = free_port()
        self.ns = None
        self.zone(record)
        self.p = postern("p", users={ALICE: "a"}, options={
            "dns_resolvers": f"[127.0.0.1]:{self.port}",
            "smtp_tls_CAfile": str(tmp_path / "ca.pem"),
            "smtp_tls_security_level": "may",
            "smtp_tcp_port": str(self.sink.port), **options})

    def zone(self, record):
        if self.ns is not None:
            self.ns.stop()
        self.ns = self.dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5\n"
                            "mta-sts A 127.0.0.6\n" +
                            (f'_mta-sts TXT "{record}"\n' if record else "")},
                           port=self.port)

    def policy(self, mode="enforce", mx="mx.a.test", age=86400):
        self.web.text = POLICY.format(mode=mode, mx=mx, age=age)
        return self

    def send(self):
        self.p.send(ALICE, ["x@a.test"])

    def arrives(self, n=1):
        wait_for("the mail", lambda: len(self.sink.mails) == n
                 and self.p.queue() == [])


@pytest.fixture
def world(postern, dns, tmp_path):
    made = []

    def make(**kw):
        made.append(World(postern, dns, tmp_path, **kw))
        return made[-1]
    yield make
    for w in made:
        w.web.stop()
        w.sink.stop()


@pytest.mark.parametrize("mx", ["mx.a.test", "*.a.test", "MX.A.TEST"])
def test_enforced_and_kept(world, mx):
    w = world().policy(mx=mx)
    w.p.start()
    w.send()
    w.arrives()
    assert "level=verify" in w.p.log() and "verified=yes" in w.p.log()
    assert w.web.hits == [("mta-sts.a.test", "/.well-known/mta-sts.txt")]
    # It is kept: neither a second mail nor a restart fetches it again.
    w.send()
    w.arrives(2)
    w.p.stop()
    w.p.start(add_users=False)
    w.send()
    w.arrives(3)
    assert len(w.web.hits) == 1
    assert w.p.log().count("level=verify") == 3


def test_a_server_that_is_not_named(world):
    w = world().policy(mx="*.other.test")
    w.p.start()
    w.send()
    assert "mx.a.test is no server of a.test by its MTA-STS policy" in reason(w.p)
    assert w.sink.commands == []


def test_a_wrong_certificate(world):
    w = world(mx_name="x.b.test").policy()
    w.p.start()
    w.send()
    assert "certificate" in reason(w.p) and w.sink.mails == []


def test_a_stripped_starttls(world):
    w = world(tls=False).policy()
    w.p.start()
    w.send()
    assert "does not offer STARTTLS" in reason(w.p) and w.sink.mails == []


@pytest.mark.parametrize("mode", ["testing", "none"])
def test_what_is_no_promise(world, mode):
    w = world(tls=False).policy(mode=mode, mx="mx.other.test")
    w.p.start()
    w.send()
    w.arrives()


@pytest.mark.parametrize("change", [
    {"status": 404}, {"status": 302}, {"type": "text/html"},
    {"text": "version: STSv2\nmode: enforce\nmx: x\nmax_age: 1\n"},
    {"text": "version: STSv1\nmode: enforce\nmax_age: 9\n"},
    {"text": "x" * 100_000}])
def test_a_policy_that_cannot_be_had(world, change):
    """It counts as none; and who failed is not asked again at once."""
    w = world(tls=False).policy(mx="mx.other.test")
    for name, value in change.items():
        setattr(w.web, name, value)
    w.p.start()
    w.send()
    w.arrives()
    w.send()
    w.arrives(2)
    assert "MTA-STS policy not fetched" in w.p.log()
    assert len(w.web.hits) == 1


@pytest.mark.parametrize("options", [
    {"web_name": "other.test"}, {"record": ""}, {"record": "v=STSv2; id=1"},
    {"record": "v=STSv1; id=bad id"}, {"smtp_tls_mta_sts": "no"}])
def test_nothing_is_announced_or_proved(world, options):
    w = world(tls=False, **options).policy(mx="mx.other.test")
    w.p.start()
    w.send()
    w.arrives()
    assert w.web.hits == []


def test_it_outlives_lies(world):
    """Without its record, and with the web server gone, the promise holds."""
    w = world().policy()
    w.p.start()
    w.send()
    w.arrives()
    w.p.stop()
    w.zone("")
    w.web.status = 500
    w.sink.stop()
    w.sink = Sink("127.0.0.5", 0)  # strips STARTTLS
    w.p.options["smtp_tcp_port"] = str(w.sink.port)
    w.p.write_config()
    w.p.start(add_users=False)
    w.send()
    assert "does not offer STARTTLS" in reason(w.p) and w.sink.mails == []


def test_a_new_id_brings_a_new_policy(world):
    w = world().policy(mx="mx.other.test")
    w.p.start()
    w.send()
    assert "MTA-STS" in reason(w.p)
    w.policy(mx="mx.a.test")
    w.zone("v=STSv1; id=2")
    # The old record is good for its five seconds.
    wait_for("the mail", lambda: w.p.run("queue", "flush") and w.sink.mails)
    assert len(w.web.hits) == 2


def test_the_table_has_the_last_word(world, tmp_path):
    table = tmp_path / "policy"
    table.write_text("a.test may\n")
    w = world(tls=False, smtp_tls_policy_maps=f"texthash:{table}").policy()
    w.p.start()
    w.send()
    w.arrives()
    assert w.web.hits == []


def test_a_policy_that_has_ended(world):
    w = world(tls=False).policy(mx="mx.other.test", age=1)
    w.p.start()
    w.send()
    assert "MTA-STS" in reason(w.p)
    w.web.status = 404
    w.zone("")
    wait_for("the mail", lambda: w.p.run("queue", "flush") and w.sink.mails)
