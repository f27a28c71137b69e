# SPDX-License-Identifier: ISC
"""Smaller parameters of local(8): each does what it says."""

import shutil

import pytest

from harness import wait_for
from test_local import (USER, deliver, home, local, public, script,  # noqa: F401
                        settled)


def senders(p, n):
    wait_for("mail at the sink", lambda: len(p.sink.mails) == n)
    return {tuple(m["rcpts"]): m["from"].split("<")[1].split(">")[0]
            for m in p.sink.mails}


@pytest.mark.parametrize("expand, owner", [
    ("no", "owner-team@mail.example.test"), ("yes", "boss@far.example")])
def test_to_whom_errors_of_a_list_go(local, expand, owner):
    p = local("team: x@far.example\nowner-team: boss@far.example\n",
              expand_owner_alias=expand)
    deliver(p, "team@localhost")
    assert senders(p, 1) == {("x@far.example",): owner}


@pytest.mark.parametrize("reset, owner", [
    ("no", "owner-team@mail.example.test"), ("yes", "a@b.example")])
def test_a_list_in_a_list(local, reset, owner):
    p = local("team: x@far.example, inner\nowner-team: boss@far.example\n"
              "inner: y@far.example\n", reset_owner_alias=reset)
    deliver(p, "team@localhost")
    want = {("y@far.example", "x@far.example"): owner} if reset == "no" else {
        ("x@far.example",): "owner-team@mail.example.test",
        ("y@far.example",): owner}
    assert {tuple(sorted(k)): v
            for k, v in senders(p, len(want)).items()} == {
        tuple(sorted(k)): v for k, v in want.items()}


@pytest.mark.parametrize("where", ["command", "file", "forward"])
def test_where_delivered_to_is_written(local, public, home, where):
    prog = script(public / "prog", f"umask 022; cat > {public}/piped\n")
    p = local(f'all: {USER}, x@far.example, "|{prog}"\n',
              prepend_delivered_header=where)
    deliver(p, "all@localhost")
    assert settled(p) == []
    texts = {"file": (home / "mbox").read_bytes(),
             "command": (public / "piped").read_bytes(),
             "forward": p.sink.mails[0]["data"]}
    assert [k for k in texts if b"Delivered-To: all@localhost" in texts[k]] \
        == [where]


@pytest.mark.parametrize("limit, mails", [("2", 5), ("1000", 4), ("0", 4)])
def test_who_is_named_twice(local, limit, mails):
    p = local("all: a@far.example, b@far.example, c@far.example,"
              " d@far.example, c@far.example\n",
              duplicate_filter_limit=limit)
    deliver(p, "all@localhost")
    mail = wait_for("mail at the sink", lambda: p.sink.mails)[0]
    assert len(mail["rcpts"]) == mails


def test_where_commands_run(local, public, home):
    prog = script(public / "prog", f"umask 022; pwd > {public}/where\n")
    (public / USER).mkdir()
    p = local("", mailbox_command=str(prog),
              command_execution_directory=f"{public}/$user")
    deliver(p, f"{USER}@localhost")
    assert settled(p) == []
    assert (public / "where").read_text() == f"{public}/{USER}\n"
    # What cannot be entered is no reason to run it elsewhere.
    shutil.rmtree(public / USER)
    (public / "where").unlink()
    deliver(p, f"{USER}@localhost")
    wait_for("the reason", lambda: "command_execution_directory" in p.log())
    assert p.queue() and not (public / "where").exists()
    p.run("queue", "delete", "ALL")


def test_lists_that_lead_to_each_other_end(local, public):
    """However little is remembered of the addresses."""
    (public / "list").write_text(
        f"x@far.example, y@far.example\n:include:{public}/more\n"
        f":include:{public}/list\nall\n")
    (public / "more").write_text(
        f"z@far.example\n:include:{public}/list\n:include:{public}/more\n")
    p = local(f"all: :include:{public}/list, all, twin\ntwin: all, all\n",
              duplicate_filter_limit="1")
    deliver(p, "all@localhost")
    mail = wait_for("mail at the sink", lambda: p.sink.mails)[0]
    assert sorted(mail["rcpts"]) == [f"{c}@far.example" for c in "xyz"]
