# SPDX-License-Identifier: ISC
"""Run by Debian's Python: what the large receivers would say of mails, by their
published rules.  Reads JSON {zone, mails} and prints a refusal per line; an
independent judgement: dkimpy and pyspf."""

import base64
import email
import json
import re
import sys

import dkim
import spf

asked = json.load(sys.stdin)
zone = {}
for name, kind, value in asked["zone"]:
    zone.setdefault((name, kind), []).append(
        tuple(value) if isinstance(value, list) else value)


def lookup(name, kind, tcpfallback=True, timeout=5, strict=True):
    key = (name.lower().rstrip("."), kind)
    return [(key, (v.encode(),) if kind == "TXT" else v)
            for v in zone.get(key, [])]


spf.DNSLookup = lookup


def txt(name, timeout=5):
    found = zone.get((name.decode().rstrip("."), "TXT"))
    return found and found[0].encode()


def organization(domain):
    return ".".join(domain.split(".")[-2:])


def refusals(mail):
    data = base64.b64decode(mail["data"])
    message = email.message_from_bytes(data)
    names = zone.get((mail["client"], "PTR"), [])
    if not any(mail["client"] in zone.get((n, "A"), []) for n in names):
        yield "5.7.25 the address has no name that leads back to it"
    if mail["helo"] not in names:
        yield "5.7.25 HELO is not the name of the address"
    if not mail["tls"]:
        yield "5.7.29 without TLS"
    for field in ("From", "Date", "Message-ID"):
        if len(message.get_all(field, [])) != 1:
            yield f"5.6.0 not one {field}"
    for field in ("To", "Cc", "Subject", "Reply-To", "Sender", "References"):
        if len(message.get_all(field, [])) > 1:
            yield f"5.6.0 more than one {field}"
    if not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", message["Message-ID"] or ""):
        yield "5.6.0 bad Message-ID"
    if max(map(len, data.split(b"\r\n"))) > 998:
        yield "5.6.0 a line is too long"
    author = re.search(r"@([\w.-]+)", message["From"] or "@none").group(1)
    sender = mail["from"]
    spf_result = spf.query(i=mail["client"], s=sender, h=mail["helo"],
                           receiver="rx.test").check()[0]
    spf_domain = sender.split("@")[1] if sender else mail["helo"]
    signers = []
    d = dkim.DKIM(data)
    for i, value in enumerate(message.get_all("DKIM-Signature", [])):
        try:
            good = d.verify(idx=i, dnsfunc=txt)
        except dkim.DKIMException:
            good = False
        if good:
            signers.append(re.search(r"\bd=([^;\s]+)", value).group(1))
    if spf_result != "pass" and not signers:
        yield f"5.7.26 neither SPF ({spf_result}) nor DKIM"
    if mail["bulk"] and spf_result != "pass":
        yield f"5.7.27 SPF: {spf_result}"
    if not signers:
        yield "5.7.30 DKIM"
    if not zone.get(("_dmarc." + organization(author), "TXT")):
        yield "5.7.31 no DMARC record"
    ways = signers + ([spf_domain] if spf_result == "pass" else [])
    if not any(organization(w) == organization(author) for w in ways):
        yield f"5.7.32 not aligned: {author} {ways}"
    if message["List-Unsubscribe"]:
        covered = " ".join(message.get_all("DKIM-Signature", [])).lower()
        if message["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
            yield "one-click is missing"
        if "list-unsubscribe-post" not in covered:
            yield "one-click is not signed"


for mail in asked["mails"]:
    for text in refusals(mail):
        print(mail["what"], text)
