# SPDX-License-Identifier: ISC
"""Subscriptions are names, with or without a mailbox: RFC 9051 6.3.6 to 6.3.9"""
import pytest

from imap_client import Client

USER, PW = "sub@example.test", "builder-22"


@pytest.fixture
def client(postern):
    p = postern(users={USER: PW}, options={
        "virtual_mailbox_domains": "example.test"}).start()
    opened = []

    def make():
        opened.append(Client(p, USER))
        return opened[-1]

    yield make
    for c in opened:
        c.close()


def subscribed(c):
    return {r.rsplit('"/" ', 1)[1].strip('"'): r
            for r in c.ok('LIST (SUBSCRIBED) "" *')}


def test_a_subscription_outlives_its_mailbox(client):
    c = client()
    for name in ("sub/old", "sub/other"):
        c.ok(f"CREATE {name}")
        c.ok(f"SUBSCRIBE {name}")
    c.ok("DELETE sub/old")
    assert subscribed(c)["sub/old"] == \
        ('LIST (\\HasNoChildren \\Noselect \\NonExistent \\Subscribed)'
         ' "/" "sub/old"')
    assert c.ok('LSUB "" sub/%') == [
        'LSUB (\\HasNoChildren \\Noselect) "/" "sub/old"',
        'LSUB (\\HasNoChildren) "/" "sub/other"']
    for text in ('LIST "" *', 'LIST "" * RETURN (SUBSCRIBED)'):
        assert not any("sub/old" in r for r in c.ok(text))
    # Nothing of it can be read, and nobody is its parent.
    assert "NONEXISTENT" in c.no("STATUS sub/old (MESSAGES)")
    got = c.ok('LIST (SUBSCRIBED) "" sub/* RETURN (STATUS (MESSAGES))')
    assert [r for r in got if r.startswith("STATUS")] == [
        'STATUS "sub/other" (MESSAGES 0)']
    c.ok("DELETE sub/other")
    assert c.ok('LIST "" sub') == ['LIST (\\HasNoChildren) "/" "sub"']
    got = c.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" %')
    assert 'LIST (\\HasNoChildren) "/" "sub" (CHILDINFO ("SUBSCRIBED"))' in got
    # Who makes the mailbox again has it subscribed.
    c.ok("CREATE sub/old")
    assert "NonExistent" not in subscribed(c)["sub/old"]
    c.ok("DELETE sub/old")
    for _ in range(2):  # 6.3.8: OK also when it is not subscribed
        c.ok("UNSUBSCRIBE sub/old")
    assert "sub/old" not in subscribed(c)
    assert "NONEXISTENT" in c.no("SUBSCRIBE sub/old")


def test_the_parent_is_gone_and_its_child_is_subscribed(client):
    c = client()
    c.ok("CREATE up/down")
    c.ok("SUBSCRIBE up/down")
    c.ok("DELETE up/down")
    c.ok("DELETE up")
    assert "up/down" in subscribed(c)
    assert c.ok('LIST "" up*') == []


def test_a_parent_that_is_gone_leads_to_its_children(client):
    c = client()
    c.ok("CREATE gone/kept/deep")
    c.ok("DELETE gone/kept")
    c.ok("DELETE gone")
    nowhere = "(\\HasChildren \\Noselect \\NonExistent)"
    assert f'LIST {nowhere} "/" "gone"' in c.ok('LIST "" %')
    assert c.ok('LIST "" gone/*') == [
        f'LIST {nowhere} "/" "gone/kept"',
        'LIST (\\HasNoChildren) "/" "gone/kept/deep"']
    assert "gone" not in subscribed(c)
    c.ok("SUBSCRIBE gone/kept/deep")
    assert "gone" not in subscribed(c)
    assert 'LSUB (\\HasChildren \\Noselect) "/" "gone"' in c.ok('LSUB "" %')
    assert f'LIST {nowhere} "/" "gone" (CHILDINFO ("SUBSCRIBED"))' in c.ok(
        'LIST (SUBSCRIBED RECURSIVEMATCH) "" %')
    assert "NONEXISTENT" in c.no("SELECT gone")
    c.ok("CREATE gone")
    assert 'LIST (\\HasChildren) "/" "gone"' in c.ok('LIST "" %')


def test_rename_leaves_subscriptions_alone(client):
    c = client()
    c.ok("CREATE x")
    c.ok("SUBSCRIBE x")
    c.ok("RENAME x y")
    got = subscribed(c)
    assert "\\NonExistent" in got["x"] and "y" not in got
    c.ok("SUBSCRIBE y")  # what 6.3.6 has clients do
    c.ok("UNSUBSCRIBE x")
    got = subscribed(c)
    assert "y" in got and "x" not in got


def test_names_without_a_mailbox_are_bounded(client):
    c = client()
    for i in range(1001):
        c.ok(f"CREATE m{i}")
        c.ok(f"SUBSCRIBE m{i}")
        c.ok(f"DELETE m{i}")
    c.ok("CREATE m")
    assert "LIMIT" in c.no("SUBSCRIBE m")
    assert "m" not in subscribed(c)
    c.ok("UNSUBSCRIBE m7")
    c.ok("SUBSCRIBE m")
    c.ok("SUBSCRIBE INBOX")  # was already
