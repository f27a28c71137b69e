# SPDX-License-Identifier: ISC
"""DKIM, RFC 6376, 8301, 8463: what others signed is verified by the program,
with the keys in a real DNS server."""

import base64
import hashlib
import json
import os
import re
import subprocess
import time

import pytest

from harness import ROOT, Dns, Postern, zone_text

# How many generated messages; more of them by hand.
COUNT = int(os.environ.get("DKIM_COUNT", "200"))
SEED = os.environ.get("DKIM_SEED", "1")

VECTORS = ROOT.parent / "shared/testdata/dkim"

RFC6376 = (
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3"
    "/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2"
    "UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUY"
    "ckcQ2QIDAQAB")
RFC8463_ED = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RFC8463_RSA = (
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
    "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB")
# The public key of the selector t0768, worked out from the signatures.
SPAMASSASSIN_768 = (
    "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhANdouk15zy1yCtDDKgMeLmPe6/nCB5"
    "n38+j6XWHQQhN8FutU8nWLnOoj/DMtyhvJIQZNc0+thLKingyysqEse6TYxQrBMRyI8dC8iB"
    "pXqSPvwfChFgZ+tucS/wly91p0rQIDAQAB")


class World:
    """A program that sees a name server with these TXT records."""

    def __init__(self, directory, records, options=None):
        lines = "\n".join(f"{name} TXT {zone_text(text)}"
                          for name, text in records)
        self.dns = Dns(directory / "dns", {"test": lines, **{}})
        self.postern = Postern(directory / "p", options={
            "dns_resolvers": f"[127.0.0.1]:{self.dns.port}",
            **(options or {})})
        self.file = directory / "message.eml"

    def dkim(self, message):
        self.file.write_bytes(message)
        out = self.postern.run("authenticate", "--json", str(self.file))
        return json.loads(out.stdout)["dkim"]

    def results(self, message):
        return [d["result"] for d in self.dkim(message)]


@pytest.fixture
def world(tmp_path):
    made = []

    def make(records, **kw):
        made.append(World(tmp_path, records, **kw))
        return made[-1]
    yield make
    for w in made:
        w.dns.stop()


@pytest.fixture
def vectors(tmp_path):
    if not VECTORS.exists():
        pytest.skip("the DKIM messages are not here")
    w = World.__new__(World)
    w.dns = Dns(tmp_path / "dns", {"": "\n".join(
        f"{name} TXT {zone_text(text)}" for name, text in (
            ("brisbane._domainkey.example.com.", RFC6376),
            ("brisbane._domainkey.football.example.com.", RFC8463_ED),
            ("test._domainkey.football.example.com.", RFC8463_RSA),
            ("t0768._domainkey.sa-test.spamassassin.org.",
             SPAMASSASSIN_768)))})
    w.postern = Postern(tmp_path / "p", options={
        "dns_resolvers": f"[127.0.0.1]:{w.dns.port}"})
    w.file = tmp_path / "message.eml"
    yield w
    w.dns.stop()


@pytest.mark.parametrize("name,wanted", [
    ("rfc6376-A.2", ["pass"]),
    ("rfc6376-A.2-body_modified", ["fail"]),
    ("rfc6376-A.2-header_subject_modified", ["fail"]),
    ("rfc6376-A.2-ill_formed-list_id", ["pass"]),  # no signed field
    ("rfc6376-A.2-ill_formed-missing_v", ["neutral"]),
    ("rfc8463-A.3", ["pass", "pass"]),
    ("rfc8463-A.3-key_algo_mismatch", ["permerror", "permerror"]),
])
def test_messages_of_the_standards(vectors, name, wanted):
    message = (VECTORS / f"{name}.eml").read_bytes()
    assert vectors.results(message) == wanted


def test_messages_of_a_filter(vectors):
    """The signer's keys are gone but for one, of 768 bits: what it signed is
    good, and no pass.  Of the others the body's sum can be checked."""
    wrong = []
    for path in sorted((VECTORS / "spamassassin").glob("*.msg")):
        message = path.read_bytes()
        got = vectors.dkim(message)
        why = [d["why"] for d in got]
        if b"DKIM-Signature" not in message:
            good = got == []
        elif "fail" in path.name:
            good = got[0]["result"] in ("fail", "permerror", "neutral")
        elif b"a=rsa-sha1" in message:
            good = why == ["rsa-sha1 is not accepted"]
        elif got[0]["selector"] == "t0768":
            good = got[0]["result"] == "policy"
        else:
            good = why == ["no key for signature"]
        if not good:
            wrong.append((path.name, got))
    assert wrong == []


# ---- signatures with every tag at will ----

class Key:
    def __init__(self, directory, kind="rsa", bits=1024):
        self.path = directory / f"{kind}{bits}.pem"
        self.kind = kind
        args = (["ed25519"] if kind == "ed25519" else
                ["rsa", "-pkeyopt", f"rsa_keygen_bits:{bits}"])
        subprocess.run(["openssl", "genpkey", "-algorithm", *args, "-out",
                        str(self.path)], check=True, capture_output=True)
        der = subprocess.run(
            ["openssl", "pkey", "-in", str(self.path), "-pubout", "-outform",
             "DER"], check=True, capture_output=True).stdout
        self.public = base64.b64encode(
            der[-32:] if kind == "ed25519" else der).decode()

    def record(self, tags="", public=None):
        public = self.public if public is None else public
        return f"v=DKIM1; k={self.kind}; {tags}p={public}"

    def sign(self, text):
        if self.kind == "ed25519":
            digest = self.path.with_suffix(".digest")
            digest.write_bytes(hashlib.sha256(text).digest())
            return subprocess.run(
                ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey",
                 str(self.path), "-in", str(digest)],
                check=True, capture_output=True).stdout
        return subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.path)],
            input=text, check=True, capture_output=True).stdout


def relaxed(name, value):
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.strip().lower() + b":" + value + b"\r\n"


HEAD = [(b"From", b" alice@a.test"), (b"To", b" bob@b.test"),
        (b"Subject", b" hello")]
BODY = b"a line\r\n"


def signed(key, head=HEAD, body=BODY, names=("from", "to", "subject"),
           without=(), fold=b"", **tags):
    """The message with a relaxed/simple signature; tags replace its own."""
    length = tags.get("l", len(body))
    digest = hashlib.sha256(
        body[:length] if isinstance(length, int) else body).digest()
    all_tags = {"v": "1", "a": f"{key.kind}-sha256", "c": "relaxed/simple",
                "d": "a.test", "s": "sel", "h": ":".join(names),
                "bh": base64.b64encode(digest).decode(), **tags}
    value = "; ".join(f"{k}={v}" for k, v in all_tags.items()
                      if k not in without)
    left, text = list(head), b""
    for name in all_tags["h"].split(":"):
        at = [i for i, (n, _) in enumerate(left)
              if n.strip().lower() == name.strip().lower().encode()]
        if at:
            text += relaxed(*left.pop(at[-1]))
    own = f" {value}; b=".encode()
    text += relaxed(b"dkim-signature", own)[:-2]
    b = fold + base64.b64encode(key.sign(text)) + fold
    fields = [(b"DKIM-Signature", own + b), *head]
    return b"".join(n + b":" + v + b"\r\n" for n, v in fields) + (
        b"\r\n" + body)


@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("rsa"))


@pytest.fixture(scope="module")
def ed(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("ed"), "ed25519")


def key_at(name, record):
    return (f"{name}._domainkey.a", record)


def test_what_a_signature_may_say(world, rsa, ed):
    now = int(time.time())
    w = world([key_at("sel", rsa.record()), key_at("ed", ed.record()),
               ("sel._domainkey.sub.a", rsa.record())])
    cases = [
        (signed(rsa), "pass"),
        (signed(ed, s="ed"), "pass"),
        (signed(rsa, fold=b"\r\n\t "), "pass"),
        (signed(rsa, t=now - 10, x=now + 1000), "pass"),
        (signed(rsa, t=now - 20, x=now - 10), "fail"),
        (signed(rsa, t=now + 20, x=now + 10), "neutral"),
        (signed(rsa, i="joe@sub.a.test"), "pass"),
        (signed(rsa, i="joe@b.test"), "neutral"),
        (signed(rsa, i="joe@xa.test"), "neutral"),
        (signed(rsa, names=("to", "subject")), "neutral"),
        (signed(rsa, v="2"), "neutral"),
        (signed(rsa, q="dns/txt"), "pass"),
        (signed(rsa, q="carrier/pigeon"), "neutral"),
        (signed(rsa, z="From:x"), "pass"),
        (signed(rsa, l=len(BODY)), "pass"),
        (signed(rsa, l=3), "policy"),
        (signed(rsa, l=99), "fail"),
        (signed(rsa, l="many"), "neutral"),
        (signed(rsa, without=("bh",)), "neutral"),
        (signed(rsa, without=("d",)), "neutral"),
        (signed(rsa, without=("s",)), "neutral"),
        (signed(rsa, without=("h",)), "neutral"),
        (signed(rsa, c="relaxed"), "pass"),
        (signed(rsa, c="strange/simple"), "neutral"),
        (signed(rsa, a="rsa-sha1"), "permerror"),
        (signed(rsa, a="rsa-md5"), "neutral"),
        (signed(rsa, a="ed25519-sha256"), "permerror"),
        (signed(rsa, s="missing"), "permerror"),
        (signed(rsa, d="sub.a.test"), "pass"),
        (signed(rsa, names=("from", "from", "to", "subject")), "pass"),
    ]
    wrong = [(m, want, got) for m, want in cases
             if (got := w.results(m)) != [want]]
    assert wrong == []


def test_what_a_key_may_say(world, rsa, ed, tmp_path):
    small = Key(tmp_path, bits=768)
    w = world([
        key_at("revoked", rsa.record(public="")),
        key_at("sha1", rsa.record("h=sha1; ")),
        key_at("sha256", rsa.record("h=sha1:sha256; ")),
        key_at("web", rsa.record("s=web; ")),
        key_at("any", rsa.record("s=web:*; ")),
        key_at("strict", rsa.record("t=s; ")),
        key_at("testing", rsa.record("t=y; ")),
        key_at("small", small.record()),
        key_at("plain", f"p={rsa.public}"),
        key_at("later", f"n=note; v=DKIM1; p={rsa.public}"),
        key_at("unknown", rsa.record("x=y; ")),
        key_at("junk", "v=DKIM1; p=!!!"),
        key_at("nothing", "hello"),
        key_at("other", "v=DKIM1; k=ed25519; p=" + ed.public),
        key_at("two", "hello"), key_at("two", rsa.record()),
        key_at("spf", "v=spf1 -all"),
        key_at("short", "v=DKIM1; k=ed25519; p=AAAA"),
    ])
    wanted = {"revoked": "permerror", "sha1": "permerror", "sha256": "pass",
              "web": "permerror", "any": "pass", "strict": "pass",
              "testing": "pass", "plain": "pass", "later": "permerror",
              "unknown": "pass", "junk": "permerror", "nothing": "permerror",
              "other": "permerror", "two": "pass", "spf": "permerror"}
    wrong = [(s, want, got) for s, want in wanted.items()
             if (got := w.results(signed(rsa, s=s))) != [want]]
    assert wrong == []
    assert w.results(signed(small, s="small")) == ["policy"]
    assert w.results(signed(ed, s="short")) == ["permerror"]
    assert w.results(signed(rsa, s="strict", i="x@sub.a.test")) == [
        "permerror"]
    assert w.dkim(signed(rsa, s="testing"))[0]["testing"] is True


def test_a_field_added_behind_the_signature(world, rsa):
    w = world([key_at("sel", rsa.record())])
    message = signed(rsa, names=("from", "from", "to", "subject"))
    assert w.results(message) == ["pass"]
    for field in (b"From: eve@e.test\r\n", b"FROM : eve@e.test\r\n"):
        # Signed once more than it stood there: a second one is a change.
        assert w.results(field + message) == ["fail"]
        at = message.index(b"From:")
        assert w.results(message[:at] + field + message[at:]) == ["fail"]


def test_many_signatures_are_bounded(world, rsa):
    w = world([key_at("sel", rsa.record())])
    message = signed(rsa)
    own = message[:message.index(b"From:")]
    assert w.results(own * 5 + message) == ["pass"] * 6
    assert len(w.results(own * 500 + message)) == 10


# ---- the other implementation ----

def test_agrees_with_dkimpy(world, rsa, ed, tmp_path):
    """What dkimpy signs passes; what was changed by one bit is judged as
    dkimpy judges it."""
    peer = "/usr/bin/python3"
    if subprocess.run([peer, "-c", "import dkim, nacl"],
                      capture_output=True).returncode:
        pytest.skip("dkimpy is not installed")
    records = {"rsa": rsa.record(), "ed": ed.record()}
    w = world([key_at(n, text) for n, text in records.items()])
    # dkimpy wants the bare seed.
    der = subprocess.run(["openssl", "pkey", "-in", str(ed.path), "-outform",
                          "DER"], check=True, capture_output=True).stdout
    (tmp_path / "seed").write_bytes(base64.b64encode(der[-32:]))
    (tmp_path / "records").write_text(json.dumps(
        {f"{n}._domainkey.a.test": text for n, text in records.items()}))
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([peer, ROOT / "tests/system/dkimpy_sign.py", SEED,
                    str(COUNT), out, rsa.path, tmp_path / "seed",
                    tmp_path / "records"], check=True)
    wrong = []
    for i in range(COUNT):
        good = (out / f"{i}.good").read_text()
        if good == "?":
            continue
        got = w.dkim((out / f"{i}.eml").read_bytes())
        passes = any(d["result"] in ("pass", "policy") for d in got)
        # Python skips what is no base64; RFC 6376 2.10 does not.
        strict = [d["why"] for d in got] == ["bad base64"]
        if passes != bool(good) and not strict:
            wrong.append((i, good, got))
    assert wrong == []
