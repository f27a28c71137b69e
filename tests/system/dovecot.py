# SPDX-License-Identifier: ISC
"""A private Dovecot beside postern, to compare answers with.  Skips where its
Debian packages are not installed."""

import os
import shutil
import subprocess
from pathlib import Path

from harness import free_port, make_certificate, wait_for

PROGRAM = "/usr/sbin/dovecot"


def possible():
    return os.geteuid() == 0 and Path(PROGRAM).exists() and \
        Path("/usr/lib/dovecot/imap").exists()


class Dovecot:
    """One user, "u", password "p", if none are given as {name: password}; a
    server as the clients here take it.  layout: maildir, sdbox or mdbox."""

    host = "127.0.0.1"

    def __init__(self, folder, layout="mdbox", users=None, extra=""):
        self.dir = Path(folder)
        self.layout, self.extra = layout, extra
        self.dir.mkdir(parents=True)
        for name in ("run", "mail"):
            (self.dir / name).mkdir()
        for path in [self.dir, *self.dir.parents]:
            if path.is_relative_to("/tmp") or path.is_relative_to("/var/tmp"):
                if path not in (Path("/tmp"), Path("/var/tmp")):
                    path.chmod(0o755)
        shutil.chown(self.dir / "mail", "mail", "mail")
        self.port = {s: free_port() for s in ("imap", "imaps", "pop3", "lmtp")}
        self.chain, self.ca = make_certificate(
            self.dir, ["localhost"], [self.host])
        (self.dir / "users").write_text("".join(
            f"{u}:{p}\n" for u, p in (users or {"u": "p"}).items()))
        (self.dir / "dovecot.conf").write_text(self.config())
        self.process = None

    def config(self):
        protocols = "imap"
        extra = ""
        if Path("/usr/lib/dovecot/pop3").exists():
            protocols += " pop3"
            extra += f"""
service pop3-login {{
  inet_listener pop3 {{
    port = {self.port['pop3']}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}"""
        if Path("/usr/lib/dovecot/lmtp").exists():
            protocols += " lmtp"
            extra += f"""
service lmtp {{
  inet_listener lmtp {{
    port = {self.port['lmtp']}
  }}
}}"""
        return f"""base_dir = {self.dir}/run
state_dir = {self.dir}/run
instance_name = {self.dir.name}
log_path = {self.dir}/log
protocols = {protocols}
listen = {self.host}
default_internal_user = dovecot
default_login_user = dovenull
mail_location = {self.layout}:{self.dir}/mail/%u
mail_home = {self.dir}/mail/%u
first_valid_uid = 1
mail_max_userip_connections = 0
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{self.ca}
ssl_key = <{self.dir}/key.pem
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {self.dir}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={self.dir}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port['imap']}
  }}
  inet_listener imaps {{
    port = {self.port['imaps']}
    ssl = yes
  }}
}}{extra}
{self.extra}
"""

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "-F", "-c", str(self.dir / "dovecot.conf")],
            stderr=subprocess.DEVNULL)
        wait_for("dovecot", lambda: "starting up" in
                 (self.dir / "log").read_text())
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
