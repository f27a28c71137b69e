# SPDX-License-Identifier: ISC
"""ARC, RFC 8617: the public suite through a real DNS server."""

import json
import re
import subprocess

import pytest

from harness import (ROOT, Dns, Postern, Smtp, free_port, wait_for, zone_name,
                     zone_text)
from test_dkim import Key, signed
from test_smtpd import inbox

SUITE = ROOT.parent / "shared/testdata/arc"


def documents(name):
    if not (SUITE / name).exists():
        return []
    import yaml
    return [d for d in yaml.safe_load_all((SUITE / name).read_text("utf-8"))
            if d]


def zone_of(document):
    return "\n".join(f"{zone_name(name)} TXT {zone_text(text)}"
                     for name, text in document["txt-records"].items())


@pytest.mark.parametrize("document",
                         documents("arc-validation-half.yml") or [None],
                         ids=lambda d: d and d["description"])
def test_validation(tmp_path, document):
    if document is None:
        pytest.skip("the ARC suite is not here")
    ns = Dns(tmp_path / "dns", {"": zone_of(document)})
    p = Postern(tmp_path / "p", options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}"})
    wrong = []
    try:
        for name, test in document["tests"].items():
            got = json.loads(p.run("authenticate", "--json", "-",
                                   input=test["message"]).stdout)["arc"]
            # "": the last seal says that the chain is broken.
            want = test["cv"].lower() or "fail"
            if got["result"] != want:
                wrong.append((name, want, got))
    finally:
        ns.stop()
    assert wrong == []


def squeezed(text):
    return re.sub(r"\s+", "", text)


def by_tag(value):
    return {k: v for k, _, v in
            (t.partition("=") for t in squeezed(value).split(";") if t)}


@pytest.mark.parametrize("document",
                         documents("arc-draft-sign-tests.yml") or [None],
                         ids=lambda d: d and d["description"])
def test_sealing(tmp_path, document):
    """To the last bit: the suite has the time, the key and the fields."""
    if document is None:
        pytest.skip("the ARC suite is not here")
    tool = ROOT / "build/tests/arc_seal"
    key = tmp_path / "key.pem"
    key.write_text(document["privatekey"])
    wrong = []
    for name, test in document["tests"].items():
        message = test["message"].replace("\r\n", "\n").replace("\n", "\r\n")
        out = subprocess.run(
            [tool, key, document["domain"], document["sel"], test["srv-id"],
             str(test["t"]), test["sig-headers"]], input=message.encode(),
            capture_output=True, check=True).stdout.decode()
        got = {n: v for n, v in re.findall(
            r"(?m)^(ARC-[\w-]+): ((?:.*\r\n[ \t])*.*)\r\n", out)}
        if not test["AS"]:
            if got:
                wrong.append((name, got))
            continue
        if (by_tag(got["ARC-Seal"]) != by_tag(test["AS"])
                or by_tag(got["ARC-Message-Signature"]) != by_tag(test["AMS"])
                or squeezed(got["ARC-Authentication-Results"])
                != squeezed(test["AAR"])):
            wrong.append((name, got, test["AS"], test["AMS"]))
    assert wrong == []


# ---- from server to server ----

def test_a_list_passes_on_what_it_saw(postern, dns, tmp_path):
    """a.test changes the subject of what it passes on, which breaks the
    author's signature: b.test lets it in where it trusts a.test, only."""
    author = Key(tmp_path)
    port = free_port()
    verify = {"smtpd_dkim_verify": "yes", "smtpd_dmarc_policy": "enforce",
              "smtpd_spf_policy": "mark", "smtpd_arc_verify": "yes"}
    (tmp_path / "virtual").write_text("list@a.test bob@b.test\n")
    (tmp_path / "checks").write_text("/^Subject: (.*)/ REPLACE Subject: [list] $1\n")
    b = postern("b", name="mx.b.test", users={"bob@b.test": "b"}, options={
        "dns_resolvers": f"[127.0.0.1]:{port}",
        "smtpd_arc_trusted_sealers": "mx.a.test, a.test", **verify})
    a = postern("a", name="mx.a.test", users={"x@a.test": "x"}, options={
        "dns_resolvers": f"[127.0.0.1]:{port}",
        "virtual_alias_maps": f"texthash:{tmp_path}/virtual",
        "header_checks": f"regexp:{tmp_path}/checks",
        "relayhost": f"[127.0.0.1]:{b.port['smtp']}", **verify})
    lines = "".join(f"{line}\n" for line in a.run(
        "dkim", "generate", "a.test").stdout.splitlines() if line[0] != ";")
    dns({"test": lines + "_dmarc.author TXT \"v=DMARC1; p=reject\"\n"
         f"sel._domainkey.author TXT {zone_text(author.record())}\n"
         "author TXT \"v=spf1 -all\"\n"}, port=port)
    for p in (a, b):
        p.start()

    def give():
        text = signed(author, d="author.test",
                      head=[(b"From", b" joe@author.test"),
                            (b"Subject", b" hello")],
                      names=("from", "subject"))
        s = Smtp(a.host, a.port["smtp"])
        s.expect("EHLO x", 250)
        s.expect("MAIL FROM:<joe@elsewhere.test>", 250)
        s.expect("RCPT TO:<list@a.test>", 250)
        s.expect("DATA", 354)
        s.send(text + b".\r\n")
        return s.reply()[0]

    assert give() == 250
    wait_for("the mail", lambda: inbox(b, "bob@b.test"))
    mail, = inbox(b, "bob@b.test")
    assert b"\r\nSubject: [list] hello\r\n" in mail
    own, theirs = re.findall(rb"(?m)^Authentication-Results: ((?:.*\r\n[ \t])*.*)",
                             mail)
    assert b"dkim=fail" in own and b"dmarc=fail (p=reject dis=reject)" in own
    assert b"arc=pass (i=1)" in own and b"header.d=a.test" in own
    assert b"dmarc=pass" in theirs and b"mx.a.test" in theirs
    assert b"ARC-Authentication-Results: i=1; mx.a.test" in mail
    assert "sealed" in a.log()
    # Nobody's word but that of whom we trust.
    b.stop()
    b.options["smtpd_arc_trusted_sealers"] = "other.test"
    b.write_config()
    b.start(add_users=False)
    assert give() == 250
    wait_for("the refusal", lambda: "5.7.26" in a.log())
    assert len(inbox(b, "bob@b.test")) == 1
