# SPDX-License-Identifier: ISC
"""header_checks, mime_header_checks, nested_header_checks, body_checks."""

import pytest

from harness import Sink, Smtp, free_port, wait_for
from test_milter import submit
from test_smtpd import BOB, inbox

PLAIN = (b"Subject: buy\r\n now\r\nX-A: 1\r\nX-B: 2\r\n\r\nfirst line\r\n"
         b"second line\r\n.\r\n")
NESTED = (b"Subject: outer\r\nMIME-Version: 1.0\r\n"
          b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
          b"Content-Type: application/x-evil; name=\"x.exe\"\r\n\r\npart\r\n"
          b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n"
          b"deep\r\n--b--\r\n.\r\n")


@pytest.fixture
def checked(postern, tmp_path):
    def make(**tables):
        options = {}
        for name, text in tables.items():
            path = tmp_path / name
            path.write_text(text)
            options[name] = f"regexp:{path}"
        return postern("content", users={BOB: "b", "eve@example.test": "e"},
                       options=options).start()
    return make


@pytest.mark.parametrize("rule, code, text", [
    ("/^Subject: buy.*now/ REJECT no adverts", 550, "5.7.1 no adverts"),
    ("/^subject:/ REJECT 5.6.9 odd", 550, "5.6.9 odd"),
    ("/^X-B: (.)/ REJECT", 550, "5.7.1 message content rejected"),
    ("/^X-B: 3/ REJECT", 250, "Ok"), ("/^X-A:/ WARN seen", 250, "Ok"),
    ("/^Subject:/ DUNNO", 250, "Ok")])
def test_header_refused_or_not(checked, rule, code, text):
    p = checked(header_checks=rule + "\n")
    got = submit(p, text=PLAIN)
    assert got[0] == code and text in got[1]
    assert len(inbox(p)) == (code == 250)
    assert ("warning: X-A: 1: seen" in p.log()) == ("WARN" in rule)


def test_header_edits(checked):
    p = checked(header_checks="/^X-A: (.)/ REPLACE X-C: was $1\n"
                "/^X-B:/ IGNORE\n/^Subject:/ PREPEND X-P: before\n"
                "/^Received:/ STRIP\n")
    assert submit(p, text=PLAIN)[0] == 250
    mail, = inbox(p)
    head = mail.partition(b"\r\n\r\n")[0]
    assert head.endswith(b"X-P: before\r\nSubject: buy\r\n now\r\nX-C: was 1")
    assert b"X-B" not in mail and b"Received:" not in mail
    assert mail.endswith(b"\r\n\r\nfirst line\r\nsecond line\r\n")


def test_body_lines(checked):
    p = checked(body_checks="/^second (.*)$/ REPLACE 2nd $1\n"
                "/^first/ PREPEND zeroth line\n/^never/ REJECT\n")
    assert submit(p, text=PLAIN)[0] == 250
    assert inbox(p)[0].endswith(
        b"\r\n\r\nzeroth line\r\nfirst line\r\n2nd line\r\n")
    p2 = submit(p, text=b"Subject: s\r\n\r\nx\r\nnever\r\n.\r\n")
    assert p2[0] == 550


def test_hold_discard_redirect_bcc(checked):
    p = checked(header_checks="/^X-Do: hold/ HOLD look\n"
                "/^X-Do: discard/ DISCARD\n/^X-Do: bcc/ BCC eve@example.test\n"
                "/^X-Do: redirect/ REDIRECT eve@example.test\n"
                "/^X-Do: pass/ PASS\n/^X-Then: / REJECT\n")

    def do(what):
        return submit(p, text=b"X-Do: %s\r\nX-Then: x\r\n\r\nx\r\n.\r\n" %
                      what if what == b"pass" else
                      b"X-Do: %s\r\n\r\nx\r\n.\r\n" % what)[0]
    assert do(b"discard") == 250 and inbox(p) == []
    assert do(b"hold") == 250
    assert [m["state"] for m in p.queue()] == ["hold"]
    assert do(b"bcc") == 250
    assert len(inbox(p)) == 1
    assert len(inbox(p, "eve@example.test")) == 1
    assert do(b"redirect") == 250
    assert len(inbox(p)) == 1
    assert len(inbox(p, "eve@example.test")) == 2
    assert do(b"pass") == 250 and do(b"other\r\nX-Then: y") == 550


def test_which_table_sees_what(checked):
    p = checked(header_checks="/(.*)/ WARN header\n",
                mime_header_checks="/(.*)/ WARN mime\n",
                nested_header_checks="/(.*)/ WARN nested\n",
                body_checks="/(.*)/ WARN body\n")
    assert submit(p, text=NESTED)[0] == 250
    log = p.log()
    for what in ("Subject: outer: header", "Content-Type: multipart/mixed; "
                 "boundary=b: mime", "MIME-Version: 1.0: mime",
                 "Content-Type: message/rfc822: mime", "Subject: inner: nested",
                 "part: body", "deep: body", "--b: body"):
        assert "warning: " + what in log, what
    assert "name=\\\"x.exe\\\": mime" in log or 'name="x.exe": mime' in log
    assert log.count("Subject: inner: ") == 1


def test_mime_checks_follow_header_checks(checked):
    p = checked(header_checks="/name=[^>]*\\.exe/ REJECT no programs\n")
    assert submit(p, text=NESTED)[0] == 550


def test_a_body_beyond_the_limit_is_not_looked_at(checked):
    p = checked(body_checks="/^evil/ REJECT\n")
    long = b"Subject: s\r\n\r\n" + (b"x" * 70 + b"\r\n") * 800
    assert submit(p, text=long + b"evil\r\n.\r\n")[0] == 250
    assert submit(p, text=long[:40000] + b"\r\nevil\r\n.\r\n")[0] == 550


def test_large_message_with_an_edit(checked):
    p = checked(header_checks="/^Subject: (.*)/ REPLACE Subject: [x] $1\n")
    body = (b"y" * 70 + b"\r\n") * 10000
    assert submit(p, text=b"Subject: s\r\n\r\n" + body + b".\r\n")[0] == 250
    mail, = wait_for("mail", lambda: inbox(p))
    assert b"\r\nSubject: [x] s\r\n\r\n" in mail and mail.endswith(body)


# ---- content_filter ----

class Filter(Sink):
    """Takes each mail, marks it and gives it back to another port."""

    def __init__(self, back):
        super().__init__("127.0.0.5", 0)
        self.back = back
        self.replies["."] = lambda sink: "250 2.0.0 taken"

    def give_back(self):
        for mail in self.mails:
            s = Smtp("127.0.0.1", self.back)
            s.expect("EHLO filter.example", 250)
            s.expect(mail["from"].split(" SIZE")[0].split(" BODY")[0], 250)
            for r in mail["rcpts"]:
                s.expect(f"RCPT TO:<{r}>", 250)
            s.expect("DATA", 354)
            s.send(b"X-Filtered: yes\r\n" + mail["data"] + b".\r\n")
            assert s.reply()[0] == 250
            s.close()
        self.mails.clear()


@pytest.fixture
def filtered(postern, tmp_path):
    back = free_port(("127.0.0.1",))
    sink = Filter(back)

    def make(**options):
        options = {k: v.replace("FILTER_TO", f"smtp:[127.0.0.5]:{sink.port}")
                   for k, v in options.items()}
        p = postern("filter", users={BOB: "b", "eve@example.test": "e"},
                    options={"virtual_alias_maps": "inline:{team@example.test="
                             f"{BOB}, all@example.test=team@example.test}}",
                             **options},
                    master_extra=f"127.0.0.1:{back} inet n - n - - smtpd "
                    "-o content_filter= -o smtpd_sender_restrictions= -o receive_override_options="
                    "no_address_mappings,no_header_body_checks\n").start()
        p.filter = sink
        return p
    yield make
    sink.stop()


def test_mail_goes_through_the_content_filter(filtered):
    p = filtered(content_filter="FILTER_TO")
    assert submit(p, "all@example.test", "eve@example.test",
                  text=PLAIN)[0] == 250
    wait_for("mail at the filter", lambda: p.filter.mails)
    assert inbox(p) == [] and sorted(p.filter.mails[0]["rcpts"]) == [
        BOB, "eve@example.test"]
    p.filter.give_back()
    for user in (BOB, "eve@example.test"):
        mail, = wait_for("mail", lambda: inbox(p, user))
        assert b"X-Filtered: yes\r\n" in mail
    wait_for("an empty queue", lambda: p.queue() == [])


def test_a_filter_that_names_no_next_hop(filtered):
    p = filtered(content_filter="smtp:",
                 default_filter_nexthop="FILTER_TO")
    # The table above writes a transport in front of it.
    p.stop()
    path = p.dir / "main.cf"
    path.write_text(path.read_text().replace(
        "default_filter_nexthop = smtp:", "default_filter_nexthop = "))
    p.start(add_users=False)
    assert submit(p, text=PLAIN)[0] == 250
    wait_for("mail at the filter", lambda: p.filter.mails)
    p.filter.give_back()
    wait_for("mail", lambda: inbox(p))


@pytest.mark.parametrize("how", [
    {"header_checks": "regexp:{{/^Subject: buy/ FILTER FILTER_TO}}"},
    {"smtpd_sender_restrictions":
     "check_sender_access inline:{{a@b.example=FILTER FILTER_TO}}"}])
def test_filter_for_some_mail(filtered, how):
    p = filtered(**how)
    assert submit(p, text=PLAIN)[0] == 250
    assert submit(p, sender="c@d.example", text=b"Subject: x\r\n\r\nx\r\n.\r\n"
                  )[0] == 250
    wait_for("one at the filter", lambda: p.filter.mails)
    assert len(wait_for("one delivered", lambda: inbox(p))) == 1
    p.filter.give_back()
    wait_for("both", lambda: len(inbox(p)) == 2)


def test_a_dead_filter_defers(filtered):
    dead = free_port(("127.0.0.5",))
    p = filtered(content_filter=f"smtp:[127.0.0.5]:{dead}")
    assert submit(p, text=PLAIN)[0] == 250
    wait_for("a deferred message", lambda: [
        r for m in p.queue() for r in m["recipients"] if r["attempts"] > 0])
    assert inbox(p) == []


# ---- what goes out ----

def relayed(postern, tmp_path, sink, master="", **tables):
    options = {"relayhost": f"[127.0.0.5]:{sink.port}"}
    for name, text in tables.items():
        path = tmp_path / name
        path.write_text(text)
        options[name] = f"regexp:{path}"
    return postern("out", users={"eve@example.test": "e"}, options=options,
                   master_extra=master).start()


def test_header_checks_of_what_goes_out(postern, tmp_path):
    sink = Sink("127.0.0.5", 0)
    p = relayed(postern, tmp_path, sink,
                smtp_header_checks="/^Received:/ IGNORE\n"
                "/^User-Agent:/ IGNORE\n/^Subject: (.*)/ REPLACE Subject: [x] $1\n"
                "/^X-A:/ PREPEND X-B: before\n/^X-R:/ REJECT\n/^X-W:/ WARN seen\n",
                smtp_body_checks="/^secret (.*)/ REPLACE public $1\n/^gone/ IGNORE\n")
    p.send("eve@example.test", ["x@far.example"], subject="hi",
           text="secret word\ngone\nlast\n")
    wait_for("the mail", lambda: sink.mails)
    mail = sink.mails[0]["data"]
    head, _, body = mail.partition(b"\r\n\r\n")
    assert b"Received:" not in head and b"User-Agent" not in head
    assert b"Subject: [x] hi" in head
    assert body == b"public word\r\nlast\r\n"
    sink.stop()


def test_they_change_lines_and_nothing_else(postern, tmp_path):
    sink = Sink("127.0.0.5", 0)
    p = relayed(postern, tmp_path, sink,
                smtp_header_checks="/^Subject: no/ REJECT\n"
                "/^Subject: drop/ DISCARD\n")
    for subject in ("no", "drop"):
        p.send("eve@example.test", ["x@far.example"], subject=subject)
    wait_for("both mails", lambda: len(sink.mails) == 2)
    assert p.log().count("smtp_header_checks can change lines, nothing else") == 2
    sink.stop()


def test_a_transport_has_its_own(postern, tmp_path):
    sink = Sink("127.0.0.5", 0)
    rules = tmp_path / "rules"
    rules.write_text("/^Subject:/ REPLACE Subject: changed\n")
    transport = tmp_path / "transport"
    transport.write_text(f"clean.example other:[127.0.0.5]:{sink.port}\n")
    p = postern("own", users={"eve@example.test": "e"}, options={
        "relayhost": f"[127.0.0.5]:{sink.port}",
        "transport_maps": f"texthash:{transport}"},
        master_extra="other unix - - n - - smtp "
                     f"-o smtp_header_checks=regexp:{rules}\n").start()
    p.send("eve@example.test", ["x@far.example"], subject="plain")
    wait_for("the first", lambda: len(sink.mails) == 1)
    p.send("eve@example.test", ["x@clean.example"], subject="plain")
    wait_for("the second", lambda: len(sink.mails) == 2)
    assert b"Subject: plain" in sink.mails[0]["data"]
    assert b"Subject: changed" in sink.mails[1]["data"]
    sink.stop()
