# SPDX-License-Identifier: ISC
"""A password that was right is known for a while: what may not follow."""

import smtplib

import pytest

from harness import Postern
from imap_client import Client

USER, OTHER = "u0@example.test", "u1@example.test"


@pytest.mark.parametrize("keep", ["1h", "0"])
def test_a_changed_password_acts_at_once(tmp_path, keep):
    p = Postern(tmp_path / "a", users={USER: "first-22", OTHER: "other-22"},
                options={"virtual_mailbox_domains": "example.test",
                         "login_cache_time": keep, "login_failure_limit": "0"})
    p.start()

    def fits(password, user=USER):
        c = Client(p, login=False)
        ok = c.cmd(f'LOGIN "{user}" "{password}"')[1].startswith("OK")
        c.close()
        return ok

    def passwd(password):
        p.run("user", "passwd", USER, "--password-stdin", input=password + "\n")

    try:
        for _ in range(3):
            assert fits("first-22")
            for wrong in ("first-2", "first-22 ", "FIRST-22", "other-22", "x"):
                assert not fits(wrong)
            assert not fits("first-22", OTHER) and fits("other-22", OTHER)
        # By another service the same
        for password, right in (("first-22", True), ("second-22", False)):
            with smtplib.SMTP_SSL(p.host, p.port["submissions"],
                                  context=p.tls()) as s:
                if right:
                    s.login(USER, password)
                else:
                    with pytest.raises(smtplib.SMTPAuthenticationError):
                        s.login(USER, password)
        passwd("second-22")
        assert not fits("first-22") and fits("second-22")
        passwd("first-22")
        assert fits("first-22") and not fits("second-22")
        p.run("user", "del", USER)
        assert not fits("first-22")
        p.run("user", "add", USER, "--password-stdin", input="third-22\n")
        assert not fits("first-22") and fits("third-22")
    finally:
        p.stop()
