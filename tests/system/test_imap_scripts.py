# SPDX-License-Identifier: ISC
"""The scripts of a public IMAP suite, where they are at hand."""

import os
from pathlib import Path

import pytest

from harness import ROOT
from imap_script import Script

HOME = Path(os.environ.get(
    "IMAP_SCRIPTS", ROOT.parent / "shared" / "testdata" / "imap"))
NAMES = sorted(p.relative_to(HOME).as_posix() for p in HOME.rglob("*")
               if p.is_file() and p.suffix != ".mbox"
               and not p.name.startswith("COPYING")
               # What its authors call broken asks for their time zone.
               and p.parent.name != "broken") if HOME.is_dir() else []


@pytest.mark.skipif(not NAMES, reason="the public IMAP scripts are not here")
@pytest.mark.parametrize("name", NAMES or ["none"])
def test_script(one, name):
    Script(HOME / name, one, one.tls(), "bob@example.test", "builder-22").run()
