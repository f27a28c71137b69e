# SPDX-License-Identifier: ISC
"""check_policy_service: the policy delegation protocol, and servers that
break it."""

import pytest

from harness import Server, Smtp
from test_smtpd import BOB, inbox, logged_in, open_mx


class PolicyServer(Server):
    """Answers each request with answer(attributes)."""

    def __init__(self, answer, path=None):
        self.answer = answer
        self.requests = []
        super().__init__(path)

    def serve(self, conn):
        with conn, conn.makefile("rb") as file:
            attributes = {}
            for line in file:
                text = line.decode().rstrip("\n")
                if text:
                    name, _, value = text.partition("=")
                    attributes[name] = value
                    continue
                self.requests.append(attributes)
                reply = self.answer(attributes)
                if reply is None:
                    return
                conn.sendall(reply if isinstance(reply, bytes) else
                             f"action={reply}\n\n".encode())
                attributes = {}


def server_with(postern, policy, stage="recipient", extra="", **options):
    where = f"inet:127.0.0.1:{policy.port}"
    spec = f"{{ {where}{extra} }}" if extra else where
    return postern("policy", users={BOB: "b", "alice@example.test": "a"},
                   options={f"smtpd_{stage}_restrictions":
                            f"check_policy_service {spec}",
                            "smtpd_policy_service_retry_delay": "0s",
                            **options}).start()


def test_attributes(postern):
    policy = PolicyServer(lambda a: "DUNNO")
    p = server_with(postern, policy, smtpd_end_of_data_restrictions=
                    f"check_policy_service inet:127.0.0.1:{policy.port}")
    s = logged_in(p)
    s.expect("MAIL FROM:<alice@example.test> SIZE=1234", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    # The submission port has lists of its own: end-of-data only.
    end, = policy.requests
    assert end["protocol_state"] == "END-OF-MESSAGE"
    assert (end["sasl_username"], end["sasl_method"]) == (
        "alice@example.test", "PLAIN")
    assert end["encryption_protocol"].startswith("TLSv1.")
    assert int(end["encryption_keysize"]) >= 128
    assert (end["size"], end["recipient_count"]) == ("17", "1")
    s.close()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example> SIZE=1234", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    rcpt = policy.requests[-1]
    s.expect("MAIL FROM:<a@b.example>", 503)
    s.expect("RSET", 250)
    s.expect("MAIL FROM:<>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    other = policy.requests[-1]
    s.close()
    assert rcpt["request"] == "smtpd_access_policy"
    assert rcpt["protocol_state"] == "RCPT"
    assert rcpt["protocol_name"] == "ESMTP"
    assert rcpt["client_address"] == "127.0.0.1"
    assert rcpt["client_name"] == "localhost"
    assert rcpt["server_port"] == str(p.port["smtp"])
    assert int(rcpt["client_port"]) > 0
    assert rcpt["sender"] == "a@b.example" and other["sender"] == ""
    assert rcpt["recipient"] == BOB and rcpt["size"] == "1234"
    assert rcpt["sasl_username"] == "" and rcpt["encryption_protocol"] == ""
    assert rcpt["instance"] not in ("", other["instance"])
    # One connection serves all questions of a list, also of other sessions.
    assert policy.connections <= 2


@pytest.mark.parametrize("action, code, text", [
    ("OK", 250, "Ok"), ("DUNNO", 250, "Ok"),
    ("REJECT go away", 554, "5.7.1 <bob@example.test>: Recipient address "
     "rejected: go away"),
    ("DEFER_IF_PERMIT greylisted", 450, "greylisted"),
    ("450 4.2.0 later", 450, "4.2.0"), ("421 4.3.0 bye", 421, "bye"),
    ("reject_unauth_destination", 250, "Ok"),
    ("nonsense", 451, "4.3.5")])
def test_actions(postern, action, code, text):
    p = server_with(postern, PolicyServer(lambda a: action))
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    got = s.cmd(f"RCPT TO:<{BOB}>")
    assert got[0] == code and text in got[1]
    s.close()


def test_prepend_at_data_and_discard(postern):
    policy = PolicyServer(lambda a: "PREPEND X-Checked: yes"
                          if a["sender"] == "a@b.example" else "DISCARD")
    p = server_with(postern, policy, stage="data")
    for sender in ("a@b.example", "c@b.example"):
        s = open_mx(p)
        s.expect(f"MAIL FROM:<{sender}>", 250)
        s.expect(f"RCPT TO:<{BOB}>", 250)
        s.expect("DATA", 354)
        s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
        assert s.reply()[0] == 250
        s.close()
    mail, = inbox(p)
    assert b"\r\nX-Checked: yes\r\n" in mail


@pytest.mark.parametrize("answer", [
    None, b"\n", b"foo=bar\n\n", b"x" * 100000, b"action=" + b"y" * 10000,
    b"\0\xff\n\n"], ids=["close", "empty", "other", "long", "longer", "bytes"])
@pytest.mark.parametrize("default, code", [("", 451), ("DUNNO", 250)])
def test_a_broken_server_gives_the_default_action(postern, answer, default,
                                                  code):
    policy = PolicyServer(lambda a: answer)
    p = server_with(postern, policy, extra=", timeout=1s" + (
        f", default_action={default}" if default else ""))
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", code)
    s.expect("NOOP", 250)
    s.close()
    assert len(policy.requests) == 2  # smtpd_policy_service_try_limit
    assert "policy service inet:127.0.0.1" in p.log()


def test_unix_socket_and_restart(postern, tmp_path):
    path = tmp_path / "sock"
    policy = PolicyServer(lambda a: "DUNNO", path=path)
    p = postern("unix", users={BOB: "b"}, options={
        "smtpd_recipient_restrictions": f"check_policy_service unix:{path}",
        "smtpd_policy_service_retry_delay": "0s"}).start()
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect(f"RCPT TO:<{BOB}>", 250)
    policy.stop()
    path.unlink()
    for request in policy.requests:
        assert request["recipient"] == BOB
    # The old connection still lives; a restarted server drops it.
    PolicyServer(lambda a: "REJECT new", path=path)
    policy.answer = lambda a: None
    s.expect("RCPT TO:<alice@example.test>", 554)
    s.close()


def test_check_names_a_bad_service(postern):
    p = postern("bad", options={"smtpd_recipient_restrictions":
                "check_policy_service {inet:127.0.0.1:1, timeut=3}, "
                "check_policy_service nowhere"})
    r = p.run("check", check=False)
    assert r.returncode == 78
    assert "timeut" in r.stderr and "nowhere" in r.stderr
