# SPDX-License-Identifier: ISC
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import harness  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "files: looks at the store's files, or starts again on them")


@pytest.fixture
def postern(tmp_path):
    """A factory; stops what it made and checks that it ended well."""
    made = []

    def make(folder="a", **kw):
        p = harness.Postern(tmp_path / folder, **kw)
        made.append(p)
        return p

    yield make
    for p in made:
        if p.process is not None:
            rc = p.stop()
            assert rc == 0, p.log()
        elif (p.dir / "log").exists():
            p.check_log()


@pytest.fixture
def one(postern):
    """One running server with two users."""
    p = postern("one", users={"alice@example.test": "wonderland-1",
                              "bob@example.test": "builder-22"})
    return p.start()


@pytest.fixture
def server(postern):
    """One running server whose users have mailboxes; many modules have their
    own."""
    return postern(users={"u0@example.test": "builder-22"}, options={
        "virtual_mailbox_domains": "example.test"}).start()


@pytest.fixture
def dns(tmp_path):
    made = []

    def make(zones, signed=(), **kw):
        d = harness.Dns(tmp_path / f"dns{len(made)}", zones, signed, **kw)
        made.append(d)
        return d

    yield make
    for d in made:
        d.stop()
