# SPDX-License-Identifier: ISC
"""Tables that ask somebody else, and tables made of tables."""

import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from harness import Server, free_port, have, wait_for
from test_smtpd import BOB, open_mx

SQL = """CREATE TABLE alias (source VARCHAR(200), target VARCHAR(200));
INSERT INTO alias VALUES ('info@a.test', 'bob@example.test');
INSERT INTO alias VALUES ('team@a.test', 'bob@example.test');
INSERT INTO alias VALUES ('team@a.test', 'eve@example.test');
INSERT INTO alias VALUES ('o''hara@a.test', 'eve@example.test');
INSERT INTO alias VALUES ('empty@a.test', '');
INSERT INTO alias VALUES ('back\\slash@a.test', 'eve@example.test');
"""
QUERY = "query = SELECT target FROM alias WHERE source = '%s'\n"


def rcpt_codes(p, *addresses):
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    codes = [s.cmd(f"RCPT TO:<{a}>")[0] for a in addresses]
    s.close()
    return codes


def aliased(postern, spec, **options):
    aliased.n = getattr(aliased, "n", 0) + 1
    return postern(f"tables{aliased.n}", users={BOB: "b", "eve@example.test": "e"},
                   options={"virtual_alias_domains": "a.test",
                            "virtual_alias_maps": spec, **options}).start()


HOSTILE = ["x' OR '1'='1@a.test", "o''hara'@a.test", "\\'@a.test", "%s@a.test",
           "x';--@a.test", '"; drop table alias;"@a.test']


def check_sql(p):
    """What each of the three has to answer."""
    assert rcpt_codes(p, "info@a.test", "team@a.test", "o'hara@a.test",
                      "none@a.test", "empty@a.test") == [250, 250, 250, 550, 550]
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    for address in HOSTILE:
        code = s.cmd(f"RCPT TO:<{address}>")[0]
        assert code in (550, 501), address
    s.expect("RCPT TO:<team@a.test>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    from test_smtpd import inbox
    assert len(inbox(p, BOB)) == 1 and len(inbox(p, "eve@example.test")) == 1


# ---- SQL ----

def test_sqlite(postern, tmp_path):
    path = tmp_path / "db" / "mail.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    conf = tmp_path / "alias.cf"
    conf.write_text(f"dbpath = {path}\n{QUERY}")
    p = aliased(postern, f"sqlite:{conf}")
    check_sql(p)
    # A file that takes the old one's place counts from the next question on.
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM alias WHERE source = 'info@a.test'")
    db.close()
    assert rcpt_codes(p, "info@a.test", "team@a.test") == [550, 250]
    # A failure is temporary, never "unknown".
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE alias")
    db.close()
    assert rcpt_codes(p, "info@a.test") == [451]


@pytest.mark.parametrize("extra, codes", [
    ("domain = other.test\n", [550, 550]),
    ("domain = a.test, other.test\n", [250, 250]),
    ("expansion_limit = 1\n", [250, 451]),
    ("result_format = %u@example.test\n", [250, 250]),
    ("result_format = nobody@example.test\n", [250, 250]),
])
def test_sql_parameters(postern, tmp_path, extra, codes):
    path = tmp_path / "mail.db"
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    conf = tmp_path / "alias.cf"
    conf.write_text(f"dbpath = {path}\n{QUERY}{extra}")
    p = aliased(postern, f"sqlite:{conf}")
    assert rcpt_codes(p, "info@a.test", "team@a.test") == codes


@pytest.mark.parametrize("query", [
    "SELECT target FROM alias WHERE source = '%u@%d'",
    "SELECT target FROM alias WHERE source = '%U' || '@' || '%2.%1'",
    "SELECT target FROM alias WHERE source = '%S' AND '100%%' = '100%%'"])
def test_sql_query_parts(postern, tmp_path, query):
    path = tmp_path / "mail.db"
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    conf = tmp_path / "alias.cf"
    conf.write_text(f"dbpath = {path}\nquery = {query}\n")
    p = aliased(postern, f"sqlite:{conf}")
    assert rcpt_codes(p, "info@a.test", "none@a.test") == [250, 550]


@pytest.mark.parametrize("text, word", [
    ("", "no query"), (QUERY, "no dbpath"),
    (QUERY + "dbpath = /x\ncolour = red\n", "colour")])
def test_check_reads_the_parameters(postern, tmp_path, text, word):
    conf = tmp_path / "alias.cf"
    conf.write_text(text)
    p = postern("bad", options={"virtual_alias_maps": f"sqlite:{conf}"})
    assert word in p.run("check", check=False).stderr


@pytest.fixture
def mariadb(tmp_path):
    if not shutil.which("mariadbd"):
        pytest.skip("mariadb-server is not installed")
    data = Path("/var/tmp") / f"maria-{os.getpid()}"
    shutil.rmtree(data, ignore_errors=True)
    user = [f"--user={'root' if os.geteuid() == 0 else os.environ['USER']}"]
    subprocess.run(["mariadb-install-db", "--no-defaults", *user,
                    f"--datadir={data}",
                    "--auth-root-authentication-method=normal"], check=True,
                   capture_output=True)
    port, sock = free_port(), data / "sock"
    daemon = subprocess.Popen(
        ["mariadbd", "--no-defaults", *user, f"--datadir={data}",
         f"--socket={sock}", f"--port={port}", "--bind-address=127.0.0.1",
         f"--pid-file={data}/pid"], stderr=subprocess.DEVNULL)

    def sql(text):
        subprocess.run(["mariadb", "--no-defaults", f"--socket={sock}",
                        "-u", "root"], input=text.replace("\\", "\\\\"),
                       text=True, check=True, capture_output=True)
        return True
    wait_for("MariaDB", lambda: sock.exists() and subprocess.run(
        ["mariadb-admin", "--no-defaults", f"--socket={sock}", "ping"],
        capture_output=True).returncode == 0)
    sql("CREATE DATABASE mail; USE mail; " + SQL +
        "CREATE USER 'm'@'%' IDENTIFIED BY 'secret';"
        "GRANT SELECT ON mail.* TO 'm'@'%';"
        "CREATE USER 'm'@'localhost' IDENTIFIED BY 'secret';"
        "GRANT SELECT ON mail.* TO 'm'@'localhost';")
    yield sock, port, sql
    daemon.terminate()
    daemon.wait(30)
    shutil.rmtree(data, ignore_errors=True)


def test_mysql(postern, tmp_path, mariadb):
    sock, port, sql = mariadb
    for name, hosts in (("unix", f"unix:{sock}"),
                        ("tcp", f"127.0.0.1:1 inet:127.0.0.1:{port}")):
        conf = tmp_path / f"{name}.cf"
        conf.write_text(f"hosts = {hosts}\nuser = m\npassword = secret\n"
                        f"dbname = mail\n{QUERY}")
    p = aliased(postern, f"proxy:mysql:{tmp_path}/unix.cf")
    check_sql(p)
    # Connections that the server has cut are opened again.
    sql("SELECT CONCAT('KILL ', id) FROM information_schema.processlist "
        "WHERE user = 'm' INTO OUTFILE '/var/tmp/kill-%d.sql'" % port)
    sql(Path(f"/var/tmp/kill-{port}.sql").read_text().replace("\n", ";\n"))
    os.unlink(f"/var/tmp/kill-{port}.sql")
    assert rcpt_codes(p, "info@a.test") == [250]
    p.stop()
    p = aliased(postern, f"mysql:{tmp_path}/tcp.cf")
    assert rcpt_codes(p, "info@a.test", "none@a.test") == [250, 550]
    sql("REVOKE SELECT ON mail.* FROM 'm'@'%'")
    sql("RENAME TABLE mail.alias TO mail.gone")
    assert rcpt_codes(p, "info@a.test") == [451]


@pytest.fixture
def postgres(tmp_path):
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs or os.geteuid() != 0:
        pytest.skip("postgresql is not installed, or we are not root")
    data = Path("/var/tmp") / f"pg-{os.getpid()}"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    shutil.chown(data, "postgres")
    port = free_port()
    bin = programs[-1].parent
    subprocess.run([bin / "initdb", "-D", data / "d", "-A", "trust"],
                   user="postgres", check=True, capture_output=True)
    daemon = subprocess.Popen(
        [bin / "postgres", "-D", data / "d", "-k", data, "-p", str(port),
         "-h", "127.0.0.1"], user="postgres", stderr=subprocess.DEVNULL)

    def sql(text, database="postgres"):
        r = subprocess.run(["psql", "-h", data, "-p", str(port), "-U",
                            "postgres", "-v", "ON_ERROR_STOP=1", database],
                           input=text, text=True, capture_output=True)
        return r.returncode == 0
    wait_for("PostgreSQL", lambda: sql("SELECT 1"))
    assert sql("CREATE DATABASE mail") and sql(SQL, "mail")
    yield data, port, sql
    daemon.send_signal(signal.SIGINT)  # does not wait for its clients
    daemon.wait(30)
    shutil.rmtree(data, ignore_errors=True)


def test_pgsql(postern, tmp_path, postgres):
    directory, port, sql = postgres
    conf = tmp_path / "pg.cf"
    conf.write_text(f"hosts = inet:127.0.0.1:{port}\nuser = postgres\n"
                    f"password = x\ndbname = mail\n{QUERY}")
    p = aliased(postern, f"pgsql:{conf}")
    check_sql(p)
    assert sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE datname = 'mail'")
    assert rcpt_codes(p, "info@a.test") == [250]
    assert sql("ALTER TABLE alias RENAME TO gone", "mail")
    assert rcpt_codes(p, "info@a.test") == [451]


LDIF = """dn: dc=test
objectClass: dcObject
objectClass: organization
o: test
dc: test

dn: ou=people,dc=test
objectClass: organizationalUnit
ou: people

dn: cn=info,ou=people,dc=test
objectClass: inetOrgPerson
cn: info
sn: info
mail: info@a.test
description: bob@example.test
description: x@far.example

dn: cn=secret,ou=people,dc=test
objectClass: inetOrgPerson
cn: secret
sn: secret
mail: secret@a.test
description: bob@example.test
"""


@pytest.fixture
def slapd(tmp_path):
    if not have("ldapadd") or not Path("/usr/sbin/slapd").exists():
        pytest.skip("slapd is not installed")
    port = free_port()
    (tmp_path / "db").mkdir()
    modules = next(Path("/usr/lib").glob("ldap"), Path("/usr/lib/ldap"))
    (tmp_path / "slapd.conf").write_text(
        f"include /etc/ldap/schema/core.schema\n"
        f"include /etc/ldap/schema/cosine.schema\n"
        f"include /etc/ldap/schema/inetorgperson.schema\n"
        f"modulepath {modules}\nmoduleload back_mdb\n"
        f"pidfile {tmp_path}/pid\n"
        "database mdb\nsuffix dc=test\nrootdn cn=admin,dc=test\n"
        f"rootpw top\ndirectory {tmp_path}/db\n"
        "access to * by users read by anonymous auth\n")
    url = f"ldap://127.0.0.1:{port}"
    made = []

    def start():
        made.append(subprocess.Popen(
            ["/usr/sbin/slapd", "-d", "0", "-f", tmp_path / "slapd.conf",
             "-h", url], stderr=subprocess.DEVNULL))
        wait_for("slapd", lambda: subprocess.run(
            ["ldapwhoami", "-x", "-H", url, "-D", "cn=admin,dc=test", "-w",
             "top"], capture_output=True).returncode == 0)

    def stop():
        made[-1].terminate()
        made[-1].wait(10)
    start()
    subprocess.run(["ldapadd", "-x", "-H", url, "-D", "cn=admin,dc=test",
                    "-w", "top"], input=LDIF, text=True, check=True,
                   capture_output=True)
    yield port, start, stop
    stop()


def test_ldap(postern, tmp_path, slapd):
    port, start, stop = slapd
    conf = tmp_path / "ldap.cf"
    conf.write_text(
        f"server_host = ldap://127.0.0.1:{port}\nversion = 3\n"
        "search_base = ou=people,dc=%1\nscope = one\n"
        "bind = yes\nbind_dn = cn=admin,dc=test\nbind_pw = top\n"
        "query_filter = (&(objectClass=inetOrgPerson)(mail=%s))\n"
        "result_attribute = description\n")
    p = aliased(postern, f"ldap:{conf}")
    assert rcpt_codes(p, "info@a.test", "none@a.test") == [250, 550]
    # A key is a key: no wildcard, no filter, no name of its own.
    for local in ("*", "s*t", "info)(mail=*", "a)(|(mail=*", "in\\66o",
                  "info,ou=people"):
        assert rcpt_codes(p, f'"{local}"@a.test')[0] in (550, 553), local
    assert rcpt_codes(p, "info@a.test,dc=x")[0] in (501, 550, 553, 454)
    # Both values; and a server that comes back is found again.
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<info@a.test>", 250)
    s.expect("DATA", 354)
    s.send("Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    wait_for("the relayed one", lambda: "to=x@far.example" in p.log())
    stop()
    assert rcpt_codes(p, "info@a.test") == [451]
    start()
    assert rcpt_codes(p, "info@a.test") == [250]


# ---- servers ----

class TableServer(Server):
    def __init__(self, answer, unit):
        self.answer, self.unit = answer, unit
        self.keys = []
        super().__init__()

    def serve(self, conn):
        with conn, conn.makefile("rb") as file:
            while True:
                if self.unit == "line":
                    question = file.readline()
                    if not question:
                        return
                else:
                    size = b""
                    while not size.endswith(b":"):
                        c = file.read(1)
                        if not c:
                            return
                        size += c
                    question = file.read(int(size[:-1]) + 1)[:-1]
                self.keys.append(question)
                reply = self.answer(question)
                if reply is None:
                    return
                conn.sendall(reply)


def test_tcp_table(postern):
    def answer(question):
        if question == b"get info@a.test\n":
            return b"200 bob%40example.test\n"
        if question.startswith(b"get bad"):
            return b"400 try later\n"
        if question.startswith(b"get mad"):
            return b"what?\n"
        return None if question.startswith(b"get gone") else b"500 no\n"
    server = TableServer(answer, "line")
    p = aliased(postern, f"tcp:127.0.0.1:{server.port}")
    assert rcpt_codes(p, "info@a.test", "none@a.test", "bad@a.test",
                      "mad@a.test", "gone@a.test", "info@a.test") == [
        250, 550, 451, 451, 451, 250]
    rcpt_codes(p, "\"a b%c\"@a.test")
    assert any(b"%20" in k and b"%25" in k for k in server.keys)


def test_socketmap(postern):
    def netstring(text):
        return b"%d:%s," % (len(text), text)

    def answer(question):
        name, _, key = question.partition(b" ")
        assert name == b"aliases"
        if key == b"info@a.test":
            return netstring(b"OK bob@example.test")
        if key.startswith(b"bad"):
            return netstring(b"TEMP later")
        if key.startswith(b"mad"):
            return b"xyz:"
        if key.startswith(b"huge"):
            return b"999999999:"
        return netstring(b"NOTFOUND ")
    server = TableServer(answer, "netstring")
    p = aliased(postern, f"socketmap:inet:127.0.0.1:{server.port}:aliases")
    assert rcpt_codes(p, "info@a.test", "none@a.test", "bad@a.test",
                      "mad@a.test", "huge@a.test", "info@a.test") == [
        250, 550, 451, 451, 451, 250]


# ---- made of tables ----

def test_unionmap_pipemap_randmap(postern, tmp_path):
    (tmp_path / "one").write_text("both@a.test bob@example.test\n"
                                  "only1@a.test bob@example.test\n")
    (tmp_path / "two").write_text("both@a.test eve@example.test\n"
                                  "only2@a.test eve@example.test\n")
    one, two = f"hash:{tmp_path}/one", f"hash:{tmp_path}/two"
    p = aliased(postern, f"unionmap:{{{one}, {two}}}")
    assert rcpt_codes(p, "both@a.test", "only1@a.test", "only2@a.test",
                      "none@a.test") == [250, 250, 250, 550]
    s = open_mx(p)
    s.expect("MAIL FROM:<a@b.example>", 250)
    s.expect("RCPT TO:<both@a.test>", 250)
    s.expect("DATA", 354)
    s.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    assert s.reply()[0] == 250
    s.close()
    assert " nrcpt=2 " in p.log()
    p.stop()
    p = aliased(postern, "pipemap:{inline:{x@a.test=y@a.test}, "
                "inline:{y@a.test=bob@example.test}}")
    assert rcpt_codes(p, "x@a.test", "y@a.test") == [250, 550]
    p.stop()
    p = aliased(postern, "randmap:{bob@example.test, eve@example.test}")
    assert rcpt_codes(p, "any@a.test") == [250]


@pytest.mark.parametrize("spec, word", [
    ("unionmap:{hash:/nonexistent}", "No such file"),
    ("unionmap:{}", "empty"), ("tcp:nowhere", "host:port"),
    ("socketmap:inet:x", "socketmap:inet"), ("mysql:name", "/path"),
    ("pipemap:{foo:/x}", "not supported")])
def test_check_names_a_bad_table(postern, spec, word):
    p = postern("bad", options={"virtual_alias_maps": spec})
    r = p.run("check", check=False)
    assert r.returncode == 78 and word in r.stderr


@pytest.mark.parametrize("name", [
    "canonical_maps", "sender_canonical_maps", "recipient_canonical_maps",
    "virtual_alias_maps"])
def test_a_table_that_fails_is_logged(postern, name):
    server = TableServer(lambda q: b"400 try later\n", "line")
    options = {name: f"tcp:127.0.0.1:{server.port}"}
    p = postern("t", users={BOB: "b"},
                options=options).start()
    s = open_mx(p)
    sender = s.cmd("MAIL FROM:<a@b.example>")
    reply = s.cmd(f"RCPT TO:<{BOB}>") if sender[0] == 250 else sender
    assert reply[0] == 451 and "Temporary lookup failure" in reply[1]
    assert "127.0.0.1" not in reply[1] and "tcp" not in reply[1]
    s.close()
    wait_for("the log", lambda: f"tcp:127.0.0.1:{server.port}" in p.log())
