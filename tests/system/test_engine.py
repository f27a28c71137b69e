# SPDX-License-Identifier: ISC
"""What stands above the store knows no engine: the program linked with the one
that keeps all in memory passes what clients ask of the one with files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import POSTERN

HERE = Path(__file__).parent
OTHER = POSTERN.parent / "tests" / "postern_mem"
SUITES = ("test_imap.py", "test_imap_extensions.py", "test_imap_model.py",
          "test_client_checks.py", "test_pop3.py", "test_acl.py")


@pytest.mark.skipif(not OTHER.exists(), reason=f"{OTHER} is not built")
def test_clients_do_not_see_which_engine_it_is():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-m", "not files", *(HERE / s for s in SUITES)],
        env={**os.environ, "POSTERN": str(OTHER)}, capture_output=True,
        text=True)
    assert run.returncode == 0, run.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) > 100
