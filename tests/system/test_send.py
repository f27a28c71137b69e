# SPDX-License-Identifier: ISC
"""postern send, the client: what it composes, and what it says about it."""

import email
import email.policy
import poplib

import pytest

from harness import wait_for

ALICE, BOB = "alice@example.test", "bob@example.test"
PASSWORD = "wonderland-1"


def send(p, *args, password=PASSWORD, tls="--starttls", ca=None, sender=ALICE,
         check=True):
    service = "submission" if tls == "--starttls" else "submissions"
    return p.run("send", "--server", f"{p.host}:{p.port[service]}", tls,
                 "--ca-file", str(ca or p.ca), "--auth-user", ALICE,
                 "--password-stdin", "--from", sender, *args,
                 input=password + "\n", check=check)


def messages(p, user, password):
    box = poplib.POP3_SSL(p.host, p.port["pop3s"], context=p.tls())
    box.user(user)
    box.pass_(password)
    raw = [b"\r\n".join(box.retr(i + 1)[1]) + b"\r\n"
           for i in range(box.stat()[0])]
    box.quit()
    return raw


def bobs(p, n=1):
    return wait_for(f"{n} messages", lambda: (
        lambda m: m if len(m) == n else None)(messages(p, BOB, "builder-22")))


def parse(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def test_attachments_names_and_types(one, tmp_path):
    files = {"Übersicht.pdf": b"%PDF-1.4\n" + bytes(range(256)) * 300,
             "notes.txt": "Zeile ä\n.\nFrom x\n".encode(),
             "empty.bin": b"", 'quote".csv': b"a,b\n"}
    args = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        args += ["--attach", str(tmp_path / name)]
    send(one, "--to", BOB, "--subject", "Grüße " * 20,
         "--text", "Guten Tag ö\n.\n", *args)
    raw = bobs(one)[0]
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    m = parse(raw)
    assert m["subject"] == ("Grüße " * 20).strip() or \
        m["subject"] == "Grüße " * 20
    assert m["date"] and m["message-id"].endswith("example.test>")
    assert m.get_body().get_content().replace("\r\n", "\n") == \
        "Guten Tag ö\n.\n"
    got = {a.get_filename(): a for a in m.iter_attachments()}
    assert set(got) == set(files)
    for name, content in files.items():
        assert got[name].get_payload(decode=True) == content, name
    assert got["Übersicht.pdf"].get_content_type() == "application/pdf"
    assert got["notes.txt"].get_content_type() == "text/plain"


def test_bcc_is_in_the_envelope_only(one):
    send(one, "--to", BOB, "--cc", "Alice Ä <alice@example.test>",
         "--bcc", ALICE, "--subject", "s", "--text", "t")
    assert "bcc" not in parse(bobs(one)[0])
    assert parse(bobs(one)[0])["cc"].addresses[0].display_name == "Alice Ä"
    assert len(messages(one, ALICE, PASSWORD)) == 1


def test_text_file_and_implicit_tls(one, tmp_path):
    text = "long " * 400 + "\nlast line without an end"
    (tmp_path / "t").write_text(text)
    send(one, "--to", BOB, "--subject", "s", "--text-file",
         str(tmp_path / "t"), tls="--tls")
    body = parse(bobs(one)[0]).get_content().replace("\r\n", "\n")
    assert body.rstrip("\n") == text


def test_ready_message_goes_as_it_is(one, tmp_path):
    eml = (f"From: {ALICE}\nTo: {BOB}\nSubject: ready\nX-Own: yes\n"
           f"Date: Mon, 23 Nov 2026 10:00:00 +0000\n"
           f"Message-ID: <ready@example.test>\n\nbody\n.dot\n")
    (tmp_path / "m.eml").write_text(eml)
    send(one, "--to", BOB, "--eml", str(tmp_path / "m.eml"))
    assert bobs(one)[0].endswith(eml.replace("\n", "\r\n").encode())


@pytest.mark.parametrize("args, status, word", [
    (("--to", "nobody@example.test"), 69, "5.1.1"),
    (("--to", "not an address"), 64, "not an address"),
    (("--to", BOB, "--attach", "/nonexistent"), 66, "/nonexistent"),
])
def test_refusals(one, args, status, word):
    r = send(one, *args, "--subject", "s", "--text", "t", check=False)
    assert r.returncode == status, r
    assert word in r.stdout + r.stderr
    assert messages(one, BOB, "builder-22") == []


def test_one_recipient_of_two_is_refused(one):
    r = send(one, "--to", BOB, "--to", "nobody@example.test",
             "--subject", "s", "--text", "t", check=False)
    assert r.returncode != 0
    said = r.stdout + r.stderr
    assert BOB in said and "5.1.1" in said
    bobs(one)


def test_wrong_password_and_strange_certificate(one, tmp_path):
    from harness import make_certificate
    r = send(one, "--to", BOB, "--subject", "s", "--text", "t",
             password="wrong", check=False)
    assert r.returncode == 77 and "5.7.8" in r.stdout + r.stderr
    _, other = make_certificate(tmp_path, ["x.test"], [])
    r = send(one, "--to", BOB, "--subject", "s", "--text", "t", ca=other,
             check=False)
    assert r.returncode not in (0, 70) and "certificate" in r.stderr
    assert PASSWORD not in one.log()
