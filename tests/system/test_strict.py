# SPDX-License-Identifier: ISC
"""What MIME forbids and mail does all the same: strict_7bit_headers and its
kin, mime_nesting_limit, disable_mime_input_processing of postconf(5)."""

import pytest

from harness import Smtp
from test_smtpd import BOB, inbox

PLAIN = b"Subject: s\r\n\r\nhello\r\n"
HEAD_8BIT = "Subject: Gr\u00fc\u00dfe\r\n\r\nhello\r\n".encode()
BODY_8BIT = "Subject: s\r\n\r\nGr\u00fc\u00dfe\r\n".encode()


def said(encoding, body="Gr\u00fc\u00dfe\r\n", kind="text/plain"):
    return (f"Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body}").encode()


def parts(*heads_and_bodies, more=""):
    return ("Subject: s\r\nMIME-Version: 1.0\r\n" + more
            + 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
            + "".join(f"--b\r\n{part}" for part in heads_and_bodies)
            + "--b--\r\n").encode()


def nested(depth):
    text = "Content-Type: text/plain\r\n\r\nhello\r\n"
    for i in range(depth):
        text = (f'Content-Type: multipart/mixed; boundary="{i}"\r\n\r\n'
                f"--{i}\r\n{text}--{i}--\r\n")
    return ("Subject: s\r\nMIME-Version: 1.0\r\n" + text).encode()


def give(s, text, param=""):
    s.expect(f"MAIL FROM:<a@b.example>{param}", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(text + b".\r\n")
    return s.reply()


def session(p):
    s = Smtp(p.host, p.port["smtp"])
    s.expect("EHLO client.example", 250)
    return s


HEADER = "5.6.0 improper use of 8-bit data in message header"
BODY = "5.6.0 improper use of 8-bit data in message body"
DOMAIN = "5.6.0 invalid message/* or multipart/* encoding domain"
DEEP = "5.6.0 MIME nesting exceeds safety limit"


@pytest.mark.parametrize("options, refused, taken", [
    ({"strict_7bit_headers": "yes"},
     {HEADER: [HEAD_8BIT, parts("X-A: \u00fc\r\n\r\nx\r\n")]},
     [BODY_8BIT, said("8bit")]),
    ({"strict_8bitmime_body": "yes"},
     {BODY: [BODY_8BIT, said("7bit"), said("quoted-printable"),
             parts("\r\nplain\r\n", "Content-Type: text/html\r\n\r\n\u00fc\r\n"),
             said("8bit", "Subject: inner\r\n\r\n\u00fc\r\n", "message/rfc822")]},
     [HEAD_8BIT, said("8bit"), said("BINARY"), nested(60),
      parts("Content-Transfer-Encoding: 8bit\r\n\r\n\u00fc\r\n")]),
    ({"strict_8bitmime": "yes"}, {HEADER: [HEAD_8BIT], BODY: [BODY_8BIT]},
     [said("8bit")]),
    ({"strict_mime_encoding_domain": "yes"},
     {DOMAIN: [parts("\r\nx\r\n", more="Content-Transfer-Encoding: base64\r\n"),
               said("quoted-printable", "Subject: x\r\n\r\nx\r\n",
                    "message/rfc822")]},
     [said("base64", "aGVsbG8=\r\n"), HEAD_8BIT, BODY_8BIT,
      parts("\r\nx\r\n", more="Content-Transfer-Encoding: 8bit\r\n")]),
    ({"mime_nesting_limit": "2"}, {DEEP: [nested(3), nested(40)]},
     [nested(2), PLAIN]),
    ({"mime_nesting_limit": "0"}, {DEEP: [nested(1)]}, [PLAIN]),
    ({}, {}, [HEAD_8BIT, BODY_8BIT, said("7bit"), nested(40)]),
    ({"strict_8bitmime": "yes", "receive_override_options":
      "no_header_body_checks"}, {}, [HEAD_8BIT, BODY_8BIT]),
    ({"strict_8bitmime": "yes", "mime_nesting_limit": "1",
      "disable_mime_input_processing": "yes"}, {}, [HEAD_8BIT, nested(2)]),
])
def test_strict(postern, options, refused, taken):
    p = postern("s", users={BOB: "b"}, options=options).start()
    s = session(p)
    for why, texts in refused.items():
        for text in texts:
            code, reply = give(s, text)
            assert code == 550 and why in reply, (text, reply)
            # The session is as before.
            assert give(s, PLAIN)[0] == 250
    for text in taken:
        assert give(s, text)[0] == 250, text
    n = len(taken) + sum(map(len, refused.values()))
    s.close()
    assert len(inbox(p)) == n


def test_utf8_headers_where_they_are_said(postern):
    p = postern("s", users={BOB: "b"},
                options={"strict_7bit_headers": "yes"}).start()
    s = session(p)
    assert give(s, HEAD_8BIT, " SMTPUTF8")[0] == 250
    assert give(s, HEAD_8BIT, " BODY=8BITMIME")[0] == 550
    s.close()


@pytest.mark.parametrize("limit, told", [("50", True), ("100", True),
                                         ("49", False)])
def test_check_names_a_limit_that_refuses_nothing(postern, limit, told):
    p = postern("s", users={BOB: "b"}, options={"mime_nesting_limit": limit})
    assert ("refuses nothing" in p.run("check").stderr) == told


def test_without_parts_all_is_body(postern, tmp_path):
    table = tmp_path / "body"
    table.write_text("/^X-Inner: (.*)/ REJECT body has $1\n")
    (tmp_path / "head").write_text("/^X-Inner:/ REJECT part\n")
    p = postern("s", users={BOB: "b"}, options={
        "header_checks": f"regexp:{tmp_path}/head",
        "body_checks": f"regexp:{table}"}).start()
    mail = parts("X-Inner: 1\r\n\r\nx\r\n")
    s = session(p)
    assert "5.7.1 part" in give(s, mail)[1]
    s.close()
    p.stop()
    path = p.dir / "main.cf"
    path.write_text(path.read_text() + "disable_mime_input_processing = yes\n")
    p.start(add_users=False)
    s = session(p)
    assert "5.7.1 body has 1" in give(s, mail)[1]
    s.close()
