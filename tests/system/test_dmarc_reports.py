# SPDX-License-Identifier: ISC
"""DMARC aggregate reports, RFC 9990: counted where mail comes in, sent to who
may have them, and read by `postern dmarc show`."""

import email
import gzip
import os
import re
import sqlite3
import xml.etree.ElementTree as ET

import pytest

from harness import Sink, Smtp, free_port, wait_for
from test_authentication import VERIFY, give, message
from test_dkim import Key, signed
from test_smtpd import BOB

NS = {"d": "urn:ietf:params:xml:ns:dmarc-2.0"}


@pytest.fixture
def reporter(postern, dns, tmp_path):
    """A server that reports every few seconds to a sink; the zone's lines."""
    made = []

    def make(zone, **options):
        sink = Sink("127.0.0.5", 0)
        made.append(sink)
        port = free_port()
        p = postern("rep", name="mx.me.test", users={BOB: "b"}, options={
            "relayhost": f"[127.0.0.5]:{sink.port}",
            "dns_resolvers": f"[127.0.0.1]:{port}",
            "dmarc_report_interval": "3s", **VERIFY, **options})
        keys = [line for line in p.run("dkim", "generate", "me.test")
                .stdout.splitlines() if line[0] != ";"]
        dns({"test": "\n".join([*keys, *zone])}, port=port)
        p.start()
        return p, sink
    yield make
    for sink in made:
        sink.stop()


def reports(sink):
    """(mail, feedback) of what the sink got."""
    out = []
    for m in sink.mails:
        mail = email.message_from_bytes(m["data"])
        part, = [p for p in mail.walk()
                 if p.get_content_type() == "application/gzip"]
        out.append((mail, part.get_filename(), ET.fromstring(
            gzip.decompress(part.get_payload(decode=True)))))
    return out


def text(node, path):
    found = node.find("/".join(f"d:{p}" for p in path.split("/")), NS)
    return None if found is None else found.text


def test_what_was_seen_is_reported(reporter, tmp_path):
    key = Key(tmp_path)
    p, sink = reporter([
        'a TXT "v=spf1 ip4:127.0.0.1 -all"',
        '_dmarc.a TXT "v=DMARC1; p=reject; sp=none; adkim=s; t=n; '
        'rua=mailto:rua@a.test,mailto:x@sub.a.test!5,https://a.test/"',
        f'sel._domainkey.a TXT "{key.record()}"',
        '_dmarc.quiet TXT "v=DMARC1; p=reject"'])
    good = signed(key, head=[(b"From", b" joe@a.test"), (b"Subject", b" x")],
                  names=("from", "subject"), d="a.test")
    for _ in range(3):
        assert give(p, good, "joe@a.test")[0] == 250
    assert give(p, message("joe@a.test"), "eve@quiet.test")[0] == 550
    assert give(p, message("x@quiet.test"), "x@quiet.test")[0] == 550
    wait_for("a report", lambda: sink.mails)
    rows = []

    def collect():
        rows.clear()
        for _, _, f in reports(sink):
            rows.extend(f.findall("d:record", NS))
        return sum(int(text(r, "row/count")) for r in rows) == 4
    wait_for("all four", collect)
    for mail, name, f in reports(sink):
        assert re.fullmatch(r"mx\.me\.test!a\.test!\d+!\d+\.xml\.gz", name)
        assert mail["From"] == "postmaster@mx.me.test"
        subject = re.sub(r"\s+", " ", mail["Subject"])
        assert subject.startswith("Report Domain: a.test Submitter: mx.me.test "
                                  "Report-ID: <a.test.")
        assert text(f, "policy_published/domain") == "a.test"
        assert text(f, "policy_published/p") == "reject"
        assert text(f, "policy_published/sp") == "none"
        assert text(f, "policy_published/adkim") == "s"
        assert text(f, "policy_published/testing") == "n"
        begin, end = (int(text(f, f"report_metadata/date_range/{x}"))
                      for x in ("begin", "end"))
        assert end - begin == 2
    # The one with a limit of five bytes, and the one on the web, get none.
    assert {r for m in sink.mails for r in m["rcpts"]} == {"rua@a.test"}
    passed = [r for r in rows if text(r, "row/policy_evaluated/spf") == "pass"]
    failed = [r for r in rows if text(r, "row/policy_evaluated/spf") == "fail"]
    assert sum(int(text(r, "row/count")) for r in passed) == 3
    assert text(passed[0], "row/source_ip") == "127.0.0.1"
    assert text(passed[0], "row/policy_evaluated/dkim") == "pass"
    assert text(passed[0], "row/policy_evaluated/disposition") == "none"
    assert text(passed[0], "auth_results/dkim/selector") == "sel"
    assert text(failed[0], "row/policy_evaluated/disposition") == "reject"
    assert text(failed[0], "identifiers/header_from") == "a.test"
    assert text(failed[0], "identifiers/envelope_from") == "quiet.test"
    assert text(failed[0], "auth_results/spf/result") == "none"
    # They are ours, and signed.
    assert all(m["data"].count(b"DKIM-Signature:") == 2 for m in sink.mails)
    assert all("MAIL FROM:<>" in m["from"] for m in sink.mails)
    # What we wrote, we read.
    (tmp_path / "report.eml").write_bytes(sink.mails[0]["data"])
    out = p.run("dmarc", "show", str(tmp_path / "report.eml")).stdout
    assert re.search(r"(?m)^a\.test  \d{4}-.* UTC, by me\.test  p=reject$", out)
    assert "127.0.0.1  pass  none  from a.test  spf a.test pass, dkim a.test pass" in out


def test_nobody_is_flooded_who_did_not_ask(reporter):
    p, sink = reporter([
        '_dmarc.a TXT "v=DMARC1; p=none; rua=mailto:victim@v.test,'
        'mailto:ok@third.test,mailto:in@org.b.test"',
        '_dmarc.b TXT "v=DMARC1; p=none; rua=mailto:in@org.b.test"',
        'a.test._report._dmarc.third TXT "v=DMARC1"'])
    assert give(p, message("x@a.test"), "x@a.test")[0] == 250
    assert give(p, message("x@sub.b.test"), "x@b.test")[0] == 250
    wait_for("both reports", lambda: len(sink.mails) == 2)
    got = {r["Subject"].split()[2]: set(m["rcpts"]) for m, (r, _, _) in
           zip(sink.mails, reports(sink))}
    assert got == {"a.test": {"ok@third.test"}, "b.test": {"in@org.b.test"}}


def test_why_it_was_not_done_as_the_policy_says(reporter, tmp_path):
    table = tmp_path / "dmarc"
    table.write_text("local.test mark\n")
    p, sink = reporter([
        f'_dmarc.{d} TXT "v=DMARC1; p=reject; {t}rua=mailto:r@{d}.test"'
        for d, t in (("local", ""), ("mild", "t=y; "))],
        smtpd_dmarc_policy_maps=f"texthash:{table}",
        smtpd_arc_trusted_sealers="list.test")  # who sealed nothing here
    for d in ("local", "mild"):
        assert give(p, message(f"x@{d}.test"), "x@other.test")[0] == 250
    wait_for("both reports", lambda: len(sink.mails) == 2)
    got = {text(f, "policy_published/domain"):
           (text(f, "record/row/policy_evaluated/disposition"),
            text(f, "record/row/policy_evaluated/reason/type"))
           for _, _, f in reports(sink)}
    assert got == {"local.test": ("none", "local_policy"),
                   "mild.test": ("quarantine", "policy_test_mode")}


def test_what_was_counted_outlives_a_restart(reporter):
    p, sink = reporter(['_dmarc.a TXT "v=DMARC1; p=none; rua=mailto:r@a.test"'],
                       dmarc_report_interval="1h")
    assert give(p, message("x@a.test"), "x@a.test")[0] == 250
    assert p.stop() == 0
    p.options["dmarc_report_interval"] = "1s"
    p.write_config()
    # An hour's number is below each number of seconds: it is due.
    p.start(add_users=False)
    wait_for("the report", lambda: sink.mails)


def test_it_can_be_switched_off(reporter):
    p, sink = reporter(['_dmarc.a TXT "v=DMARC1; p=none; rua=mailto:r@a.test"'],
                       dmarc_reports="no")
    assert give(p, message("x@a.test"), "x@a.test")[0] == 250
    assert p.stop() == 0
    db = sqlite3.connect(p.dir / "data/reports/dmarc.db")
    assert db.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    assert sink.mails == []


def test_show(postern, tmp_path):
    p = postern("show")
    (tmp_path / "laughs.xml").write_text(
        '<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>')
    (tmp_path / "bomb.xml.gz").write_bytes(
        gzip.compress(b"<feedback>" + b" " * 300_000_000))
    (tmp_path / "mail.eml").write_text("Subject: no report\n\nhello\n")
    for name, why in (("laughs.xml", "not as a report may be"),
                      ("bomb.xml.gz", "cannot be unpacked"),
                      ("mail.eml", "no report in it"),
                      ("missing", "No such file")):
        r = p.run("dmarc", "show", str(tmp_path / name), check=False)
        assert r.returncode == os.EX_DATAERR and why in r.stderr, (name, r)
    assert p.run("dmarc", check=False).returncode == os.EX_USAGE
    assert p.run("dmarc", "hide", "x", check=False).returncode == os.EX_USAGE


def test_one_that_cannot_be_sent_keeps_no_other_back(reporter):
    """Who may have the first one is not known, as its name server is silent."""
    p, sink = reporter([
        '_dmarc.a TXT "v=DMARC1; p=none; rua=mailto:x@elsewhere.example"',
        '_dmarc.b TXT "v=DMARC1; p=none; rua=mailto:r@b.test"'])
    for d in ("a", "b"):
        assert give(p, message(f"x@{d}.test"), f"x@{d}.test")[0] == 250
    wait_for("the second", lambda: sink.mails)
    assert sink.mails[0]["rcpts"] == ["r@b.test"]
    assert "report not sent kind=dmarc domain=a.test" in p.log()


# ---- failure reports ----

RUF = ['_dmarc.a TXT "v=DMARC1; p=reject; ruf=mailto:ruf@a.test"',
       '_dmarc.v TXT "v=DMARC1; p=none; ruf=mailto:victim@other.test"',
       '_dmarc.any TXT "v=DMARC1; p=none; fo=1; ruf=mailto:ruf@any.test"',
       'any TXT "v=spf1 ip4:127.0.0.1 -all"']


def test_failure_reports_are_off(reporter):
    p, sink = reporter(RUF)
    assert give(p, message("x@a.test"), "x@a.test")[0] == 550
    assert give(p, message("x@any.test"), "x@any.test")[0] == 250
    assert p.stop() == 0
    assert sink.mails == [] and "failure report" not in p.log()


def test_failure_reports(reporter):
    p, sink = reporter(RUF, dmarc_failure_reports="yes",
                       dmarc_failure_report_limit="2")
    text = message("x@a.test", "X-Note: seen").replace(
        b"hello", b"a secret body")
    assert give(p, text, "eve@e.test")[0] == 550
    wait_for("the report", lambda: sink.mails)
    mail = email.message_from_bytes(sink.mails[0]["data"])
    assert sink.mails[0]["rcpts"] == ["ruf@a.test"]
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "feedback-report"
    _, feedback, head = mail.get_payload()
    said = feedback.get_payload()[0] if feedback.is_multipart() else (
        email.message_from_string(feedback.get_payload()))
    assert said["Feedback-Type"] == "auth-failure"
    assert said["Auth-Failure"] == "dmarc"
    assert said["Identity-Alignment"] == "none"
    assert said["Source-IP"] == "127.0.0.1"
    assert said["Original-Mail-From"] == "eve@e.test"
    assert said["Reported-Domain"] == "a.test"
    assert said["Delivery-Result"] == "reject"
    assert "dmarc=fail" in said["Authentication-Results"]
    assert "X-Note: seen" in head.get_payload()
    # The header, and no more of it.
    assert b"secret" not in sink.mails[0]["data"]
    # fo=1: DKIM did not pass, though SPF did.
    assert give(p, message("x@any.test"), "x@any.test")[0] == 250
    wait_for("the second", lambda: len(sink.mails) == 2)
    assert b"Identity-Alignment: spf" in sink.mails[1]["data"]
    # Nobody who did not ask, and no more than the limit.
    assert give(p, message("x@v.test"), "x@v.test")[0] == 250
    for _ in range(3):
        assert give(p, text, "eve@e.test")[0] == 550
    wait_for("the third", lambda: len(sink.mails) == 3)
    assert give(p, message("x@any.test"), "x@any.test")[0] == 250
    wait_for("the fourth", lambda: len(sink.mails) == 4)
    assert [m["rcpts"] for m in sink.mails] == [
        ["ruf@a.test"], ["ruf@any.test"], ["ruf@a.test"], ["ruf@any.test"]]
