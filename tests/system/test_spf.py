# SPDX-License-Identifier: ISC
"""SPF, RFC 7208: the public suite, asked through a real DNS server."""

import json
from pathlib import Path

import pytest

from harness import ROOT, Dns, DnsRelay, Postern, zone_name, zone_text

SUITE = ROOT.parent / "shared/testdata/spf/rfc7208-tests-2014-05.yml"


def documents():
    if not SUITE.exists():
        return []
    import yaml

    # What looks like a time of day to YAML is an IPv6 address here.
    class Loader(yaml.SafeLoader):
        pass
    Loader.yaml_implicit_resolvers = {
        key: [(tag, regexp) for tag, regexp in resolvers
              if tag not in ("tag:yaml.org,2002:int",
                             "tag:yaml.org,2002:timestamp",
                             "tag:yaml.org,2002:float")]
        for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    return list(yaml.load_all(SUITE.read_text("utf-8"), Loader))


def record(kind, value):
    if kind == "MX":
        return f"MX {value[0]} {zone_name(value[1])}"
    if kind in ("PTR", "CNAME"):
        return f"{kind} {zone_name(value)}"
    if kind in ("A", "AAAA"):
        return f"{kind} {value}"
    return f"TXT {zone_text(value)}"


def zone_of(zonedata):
    """The names as lines of a zone file; and those that do not answer."""
    lines, silent = [], []
    for name, records in zonedata.items():
        # TXT: NONE keeps an SPF entry from being a TXT record.
        has_txt = any(isinstance(r, dict) and "TXT" in r for r in records)
        for r in records:
            if r == "TIMEOUT":
                # Beside a TXT record it means type SPF, which nobody asks.
                real = any(isinstance(t, dict) and t.get("TXT", "NONE") != "NONE"
                           for t in records)
                silent += [] if real else [name]
                continue
            (kind, value), = r.items()
            if value == "NONE" or (kind == "SPF" and has_txt):
                continue
            lines.append(f"{zone_name(name)} {record(kind, value)}")
    return "\n".join(lines), silent


@pytest.mark.parametrize("document", documents() or [None],
                         ids=lambda d: d and d["description"])
def test_public_suite(tmp_path, document):
    if document is None:
        pytest.skip("the SPF suite is not here")
    text, silent = zone_of(document["zonedata"])
    ns = Dns(tmp_path / "dns", {"": text})
    relay = DnsRelay(ns.port, silent)
    p = Postern(tmp_path / "p", name="receiver.example.test", options={
        "dns_resolvers": f"[127.0.0.1]:{relay.port}"})
    wrong = []
    try:
        for name, test in document["tests"].items():
            relay.asked.clear()
            got = json.loads(p.run(
                "authenticate", "--json", "--client", test["host"],
                "--helo", test.get("helo") or "", "--from",
                test.get("mailfrom") or "").stdout)["spf"]
            want = test["result"]
            want = want if isinstance(want, list) else [want]
            texts = test.get("explanation")
            if got["result"] not in want:
                wrong.append((name, want, got))
            elif texts not in (None, "DEFAULT") and (
                    got["explanation"] != texts):
                wrong.append((name, texts, got))
            elif texts == "DEFAULT" and got["explanation"] is not None:
                wrong.append((name, texts, got))
            # 10 terms, each with 10 hosts at most, and the first record.
            if len(relay.asked) > 60:
                wrong.append((name, "look-ups", len(relay.asked)))
    finally:
        relay.stop()
        ns.stop()
    assert wrong == []
