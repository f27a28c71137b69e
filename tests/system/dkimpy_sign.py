# SPDX-License-Identifier: ISC
"""Run by Debian's Python, which has dkimpy: writes generated messages that
dkimpy signed, some of them changed in one bit, and what dkimpy says of them.

    dkimpy_sign.py SEED COUNT DIRECTORY RSA-KEY ED25519-SEED RECORDS
"""

import json
import random
import sys

import dkim

seed, count, out, rsa, ed, records = sys.argv[1:]
keys = {b"rsa-sha256": (b"rsa", open(rsa, "rb").read()),
        b"ed25519-sha256": (b"ed", open(ed, "rb").read().strip())}
records = json.load(open(records))
r = random.Random(int(seed))
NAMES = [b"To", b"Subject", b"Date", b"X-Note", b"subject", b"Cc"]


def blank():
    return r.choice([b" ", b"  ", b"\t", b" \t ", b"\r\n ", b"\r\n\t"])


def word():
    return bytes(r.choice(b"abcdefghij=?.-\"()")
                 for _ in range(r.randint(1, 12)))


def value():
    return b"".join(blank() + word() for _ in range(r.randint(1, 8))) + (
        r.choice([b"", b" ", b"\t"]))


def line():
    return r.choice([b"", b" ", b"\t", word(), word() + b"  ",
                     b" " + word() + b" \t" + word()])


def message():
    head = [(n, value()) for n in r.sample(NAMES, r.randint(1, 6))]
    head.insert(r.randint(0, len(head)),
                (r.choice([b"From", b"FROM"]), b" a@a.test"))
    body = b"".join(line() + b"\r\n" for _ in range(r.randint(0, 8)))
    body += r.choice([b"", b"", b"\r\n\r\n", word()])
    return b"".join(n + b":" + v + b"\r\n" for n, v in head) + b"\r\n" + body


def signed(text):
    algorithm = r.choice(list(keys))
    selector, key = keys[algorithm]
    canon = tuple(r.choice([b"simple", b"relaxed"]) for _ in range(2))
    names = r.sample([n.lower() for n in NAMES[:4]], r.randint(0, 4))
    return dkim.sign(
        text, selector, b"a.test", key, canonicalize=canon,
        signature_algorithm=algorithm, length=r.random() < 0.1,
        include_headers=[b"from", *names]) + text


def verifies(text):
    def txt(name, timeout=5):
        found = records.get(name.decode("latin-1").rstrip("."))
        return found and found.encode()
    try:
        return "1" if dkim.verify(text, dnsfunc=txt) else ""
    except dkim.MessageFormatError:
        return "?"  # a line of the header is none
    except Exception:
        return ""


for i in range(int(count)):
    text, good = signed(message()), "1"
    if r.random() < 0.3:
        # dkimpy takes what a line end turns into for a blank, too.
        at = r.choice([i for i, c in enumerate(text) if c not in b"\r\n"])
        text = text[:at] + bytes([text[at] ^ 1]) + text[at + 1:]
        good = verifies(text)
    open(f"{out}/{i}.eml", "wb").write(text)
    open(f"{out}/{i}.good", "w").write(good)
