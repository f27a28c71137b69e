# SPDX-License-Identifier: ISC
"""Thunderbird without a screen, by its remote protocol (Marionette)."""

import json
import os
import socket
import subprocess
import time

# What all scripts begin with.
PRELUDE = """
const {MailServices} = ChromeUtils.importESModule(
  "resource:///modules/MailServices.sys.mjs");
const done = arguments[arguments.length - 1];
const fail = e => done({error: String(e) + " " + (e.stack || "")});
const heard = (ok) => ({
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener",
    "nsIMsgCopyServiceListener"]),
  OnStartRunningUrl() {},
  OnStopRunningUrl(url, code) {
    code ? fail("url " + code.toString(16)) : ok(); },
  onStartCopy() {}, onProgress() {}, setMessageKey() {},
  getMessageId() { return null; },
  onStopCopy(code) { code ? fail("copy " + code.toString(16)) : ok(); },
});
const server = () => MailServices.accounts.allServers.find(
  s => s.type == "imap");
const folder = name => {
  const f = name == "INBOX"
    ? server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox)
    : server().rootFolder.getChildNamed(name);
  return f ? f.QueryInterface(Ci.nsIMsgImapMailFolder) : f;
};
const find = (f, subject) => [...f.messages].find(m => m.subject == subject);
"""


class Thunderbird:
    def __init__(self, directory, ca):
        self.dir, self.ca = directory, ca
        self.dir.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        prefs = {"marionette.port": self.port,
                 "app.update.enabled": False,
                 "datareporting.policy.dataSubmissionEnabled": False,
                 "mail.provider.suppress_dialog_on_startup": True,
                 "mail.rights.version": 1,
                 "mail.shell.checkDefaultClient": False,
                 "mail.spotlight.firstRunDone": True,
                 "mail.winsearch.firstRunDone": True,
                 "mailnews.start_page.enabled": False,
                 "network.captive-portal-service.enabled": False,
                 "network.connectivity-service.enabled": False}
        (self.dir / "user.js").write_text("".join(
            f"user_pref({json.dumps(k)}, {json.dumps(v)});\n"
            for k, v in prefs.items()))
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            ["thunderbird", "--headless", "--marionette",
             "-remote-allow-system-access", "--no-remote", "--profile",
             str(self.dir)],
            env=dict(os.environ, MOZ_HEADLESS="1", HOME=str(self.dir)),
            stdout=self.log, stderr=self.log)
        self.n, self.data = 0, b""
        self.sock = self._connect(time.monotonic() + 60)
        self._read()
        self._command("WebDriver:NewSession", {"capabilities": {
            "alwaysMatch": {"timeouts": {"script": 60000}}}})
        self._command("Marionette:SetContext", {"value": "chrome"})

    def _connect(self, until):
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 90)
            except OSError:
                assert self.process.poll() is None and \
                    time.monotonic() < until, "Thunderbird did not start"
                time.sleep(.1)

    def _read(self):
        """One packet: its length, a colon, JSON"""
        while b":" not in self.data:
            self.data += self.sock.recv(65536)
        size, _, rest = self.data.partition(b":")
        while len(rest) < int(size):
            piece = self.sock.recv(1 << 20)
            assert piece, "Thunderbird went away"
            rest += piece
        self.data = rest[int(size):]
        return json.loads(rest[:int(size)])

    def _command(self, name, args):
        self.n += 1
        text = json.dumps([0, self.n, name, args]).encode()
        self.sock.sendall(b"%d:%s" % (len(text), text))
        _, n, error, result = self._read()
        assert n == self.n and error is None, error
        return result

    def script(self, text, *args):
        """Runs it in the program itself; it ends by done(VALUE)."""
        value = self._command("WebDriver:ExecuteAsyncScript", {
            "script": PRELUDE + "try {" + text + "} catch (e) { fail(e); }",
            "args": list(args)})["value"]
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    def account(self, host, port, user, password):
        self.script("""
            const [host, port, user, password, cert] = arguments;
            Cc["@mozilla.org/security/certoverride;1"]
              .getService(Ci.nsICertOverrideService)
              .rememberValidityOverride(host, port, {},
                Cc["@mozilla.org/security/x509certdb;1"]
                  .getService(Ci.nsIX509CertDB)
                  .constructX509FromBase64(cert), false);
            const s = MailServices.accounts.createIncomingServer(
              user, host, "imap");
            s.port = port;
            s.socketType = Ci.nsMsgSocketType.SSL;
            s.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
            s.password = password;
            const i = MailServices.accounts.createIdentity();
            i.email = user;
            const a = MailServices.accounts.createAccount();
            a.incomingServer = s;
            a.addIdentity(i);
            done(1);""", host, port, user, password,
            "".join(line for line in self.ca.read_text().splitlines()
                    if "-----" not in line))

    def until(self, text, *args, seconds=60):
        """Asks until the script gives something."""
        end = time.monotonic() + seconds
        while not (value := self.script(text, *args)):
            assert time.monotonic() < end, f"never: {text}"
            time.sleep(.1)
        return value

    def update(self, name):
        """Looks for news; it may be at it already."""
        self.script("folder(arguments[0]).updateFolder(null); done(1);", name)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.sock.close()
        self.log.close()
