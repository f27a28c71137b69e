# SPDX-License-Identifier: ISC
"""SPF, RFC 7208: the public suite, asked through a real DNS server."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import ROOT, Dns, DnsRelay, Postern, zone_name, zone_text

# How many generated policies; more of them by hand.
COUNT = int(os.environ.get("SPF_COUNT", "200"))
SEED = os.environ.get("SPF_SEED", "1")

PYSPF = Path("/usr/share/doc/python3-spf/test.yml.gz")
SUITE = ROOT.parent / "shared/testdata/spf/rfc7208-tests-2014-05.yml"


def documents(path=SUITE):
    if not path.exists():
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
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz"
            else path.read_bytes())
    return list(yaml.load_all(text.decode("utf-8"), Loader))


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
    run(tmp_path, document)


@pytest.mark.parametrize("document", documents(PYSPF) or [None],
                         ids=lambda d: d and d.get("comment", "")[:30].strip())
def test_pyspf_suite(tmp_path, document):
    if document is None:
        pytest.skip("pyspf's own cases are not here")
    run(tmp_path, document)


def run(tmp_path, document):
    text, silent = zone_of(document["zonedata"])
    ns = Dns(tmp_path / "dns", {"": text})
    relay = DnsRelay(ns.port, silent)
    p = Postern(tmp_path / "p", name="receiver.example.test", options={
        "dns_resolvers": f"[127.0.0.1]:{relay.port}"})
    wrong = []
    try:
        for name, test in document["tests"].items():
            if "strict" in test:
                continue  # ways of pyspf that are in no standard
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
    assert wrong == [], wrong


def test_agrees_with_pyspf(tmp_path):
    """Generated policies, of which some are broken: the same result as
    pyspf's, asked through a real server."""
    peer = "/usr/bin/python3"
    if subprocess.run([peer, "-c", "import spf"],
                      capture_output=True).returncode:
        pytest.skip("pyspf is not installed")
    subprocess.run([peer, ROOT / "tests/system/pyspf_check.py", SEED,
                    str(COUNT), tmp_path], check=True)
    ns = Dns(tmp_path / "dns", {"": (tmp_path / "zone").read_text()})
    p = Postern(tmp_path / "p", options={
        "dns_resolvers": f"[127.0.0.1]:{ns.port}"})
    wrong = []
    try:
        for line in (tmp_path / "cases").read_text().splitlines():
            case = json.loads(line)
            got = json.loads(p.run(
                "authenticate", "--json", "--client", case["client"],
                "--helo", case["helo"], "--from", case["sender"]).stdout)["spf"]
            if got["result"] != case["result"]:
                wrong.append((case, got))
    finally:
        ns.stop()
    assert wrong == [], wrong
