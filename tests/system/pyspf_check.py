# SPDX-License-Identifier: ISC
"""Run by Debian's Python, which has pyspf: generates policies and clients, and
asks pyspf about each.  The zone goes into a zone file, so that a real server
may answer the same to others.

    pyspf_check.py SEED COUNT DIRECTORY
writes DIRECTORY/zone and DIRECTORY/cases (JSON lines).
"""

import json
import random
import sys

import spf

seed, count, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
r = random.Random(seed)
zone = {}  # (name, type) to values
HOSTS = [f"h{i}.net.test" for i in range(12)]
ADDRS = [f"192.0.2.{i}" for i in range(1, 20)] + ["198.51.100.7"]
ADDRS6 = [f"2001:db8::{i:x}" for i in range(1, 10)]


def put(name, kind, value):
    zone.setdefault((name.lower(), kind), []).append(value)


# pyspf counts exchangers without an address as void look-ups, RFC 7208 4.6.4
# counts terms: all of them have some.
EXCHANGERS = HOSTS[:6]
for host in HOSTS:
    least = host in EXCHANGERS
    for _ in range(r.randint(least, 3)):
        put(host, "A", r.choice(ADDRS))
    if least or r.random() < 0.4:
        put(host, "AAAA", r.choice(ADDRS6))
for i in range(6):
    for k in range(r.randint(1, 4)):
        put(f"m{i}.net.test", "MX", (10 * k, r.choice(EXCHANGERS)))


def prefix():
    return r.choice(["", "", "", "/24", "/32", "/28", "/0", "//64", "/25//48"])


def target(domains):
    return r.choice(HOSTS + [f"m{i}.net.test" for i in range(6)]
                    + domains[:5] + ["missing.net.test"])


def macro():
    return r.choice(["%{d}", "%{i}.x.test", "%{ir}.%{v}.net.test", "%{d2}",
                     "%{l}.net.test", "%{l1r-}.net.test", "%{h}", "%{o}",
                     "%{s}.net.test", "h1.%{d1r}.test", "%{dr}", "%%{d}"])


def term(domains):
    q = r.choice(["", "", "+", "-", "~", "?"])
    kind = r.choice(["ip4", "ip4", "ip6", "a", "a", "mx", "include", "exists",
                     "all"])
    if kind == "ip4":
        return f"{q}ip4:{r.choice(ADDRS)}{r.choice(['', '/32', '/30', '/24', '/0'])}"
    if kind == "ip6":
        return f"{q}ip6:{r.choice(ADDRS6)}{r.choice(['', '/128', '/64', '/32'])}"
    if kind in ("a", "mx"):
        name = r.choice(["", ":" + target(domains), ":" + macro()])
        return f"{q}{kind}{name}{prefix()}"
    if kind == "include":
        return f"{q}include:{target(domains)}"
    if kind == "exists":
        return f"{q}exists:{r.choice([macro(), target(domains)])}"
    return q + "all"


def broken():
    return r.choice(["ip4:1.2.3", "a:", "include", "mx/33", "foo", "-all:x",
                     "redirect=", "ip6:::1::", "a:%{q}", "exists:", "ip4:1.2.3.4/",
                     "a//129", "%{d}", "exp"])


def policy(domains):
    terms = [term(domains) for _ in range(r.randint(0, 5))]
    if r.random() < 0.06:
        terms.insert(r.randint(0, len(terms)), broken())
    if r.random() < 0.5:
        terms.append(r.choice(["-all", "~all", "?all"]))
    if r.random() < 0.15:
        terms.append("redirect=" + target(domains))
    if r.random() < 0.1:
        terms.append("unknown=thing")
    return " ".join(["v=spf1"] + terms)


domains = []
for i in range(count):
    name = f"d{i}.test"
    put(name, "TXT", policy(domains[-20:][::-1]))
    if r.random() < 0.02:
        put(name, "TXT", "v=spf1 ip4:203.0.113.9 -all")
    if r.random() < 0.1:
        put(name, "TXT", "something else")
    if r.random() < 0.3:
        put(name, "A", r.choice(ADDRS))
    domains.append(name)


def lookup(name, qtype, tcpfallback=True, timeout=5, strict=True):
    name = name.lower().rstrip(".")
    values = zone.get((name, qtype), [])
    return [((name, qtype), (v.encode(),) if qtype == "TXT" else v)
            for v in values]


spf.DNSLookup = lookup
spf.MAX_PER_LOOKUP_TIME = 0

with open(f"{out}/zone", "w") as f:
    for (name, kind), values in zone.items():
        for v in values:
            text = (f"{v[0]} {v[1]}." if kind == "MX" else
                    '"' + v + '"' if kind == "TXT" else v)
            print(f"{name}. {kind} {text}", file=f)
with open(f"{out}/cases", "w") as f:
    for name in domains:
        client = r.choice(ADDRS + ADDRS6)
        sender = r.choice(["joe", "a-b.c", "x_y"]) + "@" + name
        helo = r.choice(HOSTS)
        q = spf.query(i=client, s=sender, h=helo, receiver="rx.test",
                      strict=True, timeout=0)
        result = q.check()[0]
        print(json.dumps({"client": client, "sender": sender, "helo": helo,
                          "result": result,
                          "policy": zone[(name, "TXT")]}), file=f)
