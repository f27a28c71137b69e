# SPDX-License-Identifier: ISC
"""TLS-RPT, RFC 8460: how TLS went with the servers of a domain, told to those
who ask."""

import email
import gzip
import json
import re

import pytest

from harness import Sink, free_port, make_certificate, wait_for
from test_mta_sts import World
from test_sender import ALICE, TlsSink

RECORD = '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@rpt.test,https://x.test/"\n'


@pytest.fixture
def world(postern, dns, tmp_path):
    made = []

    def make(record=RECORD, sts="", names=("mx.a.test",), tls=True, **options):
        chain, cert = make_certificate(tmp_path, names, [])
        sink = TlsSink(chain) if tls else Sink("127.0.0.5", 0)
        rpt = Sink("127.0.0.7", 0)
        made.extend([sink, rpt])
        port = free_port()
        transport = tmp_path / "transport"
        transport.write_text(f"rpt.test smtp:[127.0.0.7]:{rpt.port}\n")
        dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5\n" + record + sts},
            port=port)
        p = postern("p", users={ALICE: "a"}, options={
            "dns_resolvers": f"[127.0.0.1]:{port}",
            "transport_maps": f"texthash:{transport}",
            "smtp_tls_security_level": "may",
            "smtp_tls_CAfile": str(cert), "smtp_tcp_port": str(sink.port),
            "dmarc_report_interval": "3s", **options}).start()
        return p, sink, rpt
    yield make
    for s in made:
        s.stop()


def reports(rpt):
    out = []
    for m in rpt.mails:
        mail = email.message_from_bytes(m["data"])
        part, = [x for x in mail.walk()
                 if x.get_content_type() == "application/tlsrpt+gzip"]
        out.append((mail, part.get_filename(), json.loads(
            gzip.decompress(part.get_payload(decode=True)))))
    return out


def policies(rpt):
    return [p for _, _, r in reports(rpt) for p in r["policies"]]


def test_sessions_that_went_well(world):
    p, sink, rpt = world()
    for _ in range(2):
        p.send(ALICE, ["x@a.test"])
    wait_for("the mails", lambda: len(sink.mails) == 2)
    wait_for("a report", lambda: sum(
        x["summary"]["total-successful-session-count"]
        for x in policies(rpt)) == 2)
    mail, name, report = reports(rpt)[0]
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    assert mail["TLS-Report-Domain"] == "a.test"
    assert mail["TLS-Report-Submitter"] == "mail.example.test"
    assert mail["TLS-Required"] == "No"
    assert re.fullmatch(r"mail\.example\.test!a\.test!\d+!\d+\.json\.gz", name)
    assert report["contact-info"] == "postmaster@mail.example.test"
    assert set(report["date-range"]) == {"start-datetime", "end-datetime"}
    policy, = report["policies"]
    assert policy["policy"] == {"policy-type": "no-policy-found",
                                "policy-string": [], "policy-domain": "a.test"}
    assert policy["summary"]["total-failure-session-count"] == 0
    assert policy["failure-details"] == []
    assert {r for m in rpt.mails for r in m["rcpts"]} == {"tls@rpt.test"}


def test_without_starttls(world):
    p, sink, rpt = world(tls=False)
    p.send(ALICE, ["x@a.test"])
    wait_for("the report", lambda: rpt.mails)
    policy, = policies(rpt)
    assert policy["summary"] == {"total-successful-session-count": 0,
                                 "total-failure-session-count": 1}
    detail, = policy["failure-details"]
    assert detail["result-type"] == "starttls-not-supported"
    assert detail["receiving-mx-hostname"] == "mx.a.test"
    assert detail["receiving-ip"] == "127.0.0.5"
    assert detail["sending-mta-ip"].startswith("127.")
    assert detail["failed-session-count"] == 1


@pytest.mark.parametrize("names,result", [
    (["other.test"], "certificate-host-mismatch")])
def test_a_certificate_that_is_not_as_it_must_be(world, names, result):
    p, sink, rpt = world(names=names, smtp_tls_security_level="verify")
    p.send(ALICE, ["x@a.test"])
    wait_for("the report", lambda: rpt.mails)
    details = [d for x in policies(rpt) for d in x["failure-details"]]
    assert {d["result-type"] for d in details} == {result}
    assert "certificate" in details[0]["failure-reason-code"]


def test_nobody_asked(world):
    p, sink, rpt = world(record="")
    p.send(ALICE, ["x@a.test"])
    wait_for("the mail", lambda: sink.mails)
    assert p.stop() == 0 and rpt.mails == []


def test_the_sts_policy_is_told(postern, dns, tmp_path):
    w = World(postern, dns, tmp_path, mx_name="x.b.test").policy(mx="*.a.test")
    rpt = Sink("127.0.0.7", 0)
    try:
        w.ns.stop()
        w.ns = dns({"a.test": "@ MX 10 mx\nmx A 127.0.0.5\nmta-sts A 127.0.0.6\n"
                    '_mta-sts TXT "v=STSv1; id=1"\n' + RECORD}, port=w.port)
        transport = tmp_path / "transport"
        transport.write_text(f"rpt.test smtp:[127.0.0.7]:{rpt.port}\n")
        w.p.options.update({"transport_maps": f"texthash:{transport}",
                            "dmarc_report_interval": "3s"})
        w.p.write_config()
        w.p.start()
        w.send()
        wait_for("the report", lambda: rpt.mails)
        policy = policies(rpt)[0]
        assert policy["policy"]["policy-type"] == "sts"
        assert policy["policy"]["mx-host"] == ["*.a.test"]
        assert "mode: enforce" in policy["policy"]["policy-string"]
        detail = policy["failure-details"][0]
        assert detail["result-type"] == "certificate-host-mismatch"
    finally:
        w.web.stop()
        w.sink.stop()
        rpt.stop()
