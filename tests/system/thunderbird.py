# SPDX-License-Identifier: ISC
"""Thunderbird without a screen, by its remote protocol (Marionette)."""

import json
import os
import queue
import re
import socket
import subprocess
import threading

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
// Ends with what check gives, once that is something: it is asked again
// whenever something happens to a folder.
const when = check => {
  const look = () => {
    let value;
    try { value = check(); } catch (e) { return; }
    if (!value) return;
    MailServices.mailSession.RemoveFolderListener(listener);
    done(value);
  };
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIFolderListener"]),
    onFolderAdded: look, onMessageAdded: look, onFolderRemoved: look,
    onMessageRemoved: look, onFolderPropertyChanged: look,
    onFolderIntPropertyChanged: look, onFolderBoolPropertyChanged: look,
    onFolderPropertyFlagChanged: look, onFolderEvent: look,
  };
  MailServices.mailSession.AddFolderListener(listener,
    Ci.nsIFolderListener.all);
  look();
};
"""


class Thunderbird:
    def __init__(self, directory, ca):
        self.dir, self.ca = directory, ca
        self.dir.mkdir()
        prefs = {"marionette.port": 0,
                 "app.update.enabled": False,
                 "datareporting.policy.dataSubmissionEnabled": False,
                 "mail.provider.suppress_dialog_on_startup": True,
                 "mail.rights.version": 1,
                 # What goes while it fetches a body in the background, it
                 # shows until it looks the next time.
                 "mail.server.default.autosync_offline_stores": False,
                 "mail.server.default.offline_download": False,
                 "mail.shell.checkDefaultClient": False,
                 "mail.spotlight.firstRunDone": True,
                 "mail.winsearch.firstRunDone": True,
                 "mailnews.start_page.enabled": False,
                 "network.captive-portal-service.enabled": False,
                 "network.connectivity-service.enabled": False}
        (self.dir / "user.js").write_text("".join(
            f"user_pref({json.dumps(k)}, {json.dumps(v)});\n"
            for k, v in prefs.items()))
        self.process = subprocess.Popen(
            ["thunderbird", "--headless", "--marionette",
             "-remote-allow-system-access", "--no-remote", "--profile",
             str(self.dir)],
            env=dict(os.environ, MOZ_HEADLESS="1", HOME=str(self.dir)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        ports = queue.Queue()
        self.reader = threading.Thread(target=self._read_log, args=(ports,))
        self.reader.start()
        port = ports.get(timeout=60)
        assert port, "Thunderbird did not start"
        self.n, self.data = 0, b""
        self.sock = socket.create_connection(("127.0.0.1", port), 90)
        self._read()
        self._command("WebDriver:NewSession", {})
        self._command("WebDriver:SetTimeouts", {"script": 60000})
        self._command("Marionette:SetContext", {"value": "chrome"})

    def _read_log(self, ports):
        """All that it says into a file; it says where it listens."""
        with open(self.dir / "log", "wb") as log:
            for line in self.process.stdout:
                log.write(line)
                if m := re.search(rb"Marionette\s+INFO\s+Listening on port "
                                  rb"(\d+)", line):
                    ports.put(int(m[1]))
        ports.put(None)

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

    def until(self, text, *args):
        """Waits until the expression is something."""
        return self.script(
            "const args = [...arguments]; when(() => " + text + ");", *args)

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
        self.reader.join()
