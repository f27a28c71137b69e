# SPDX-License-Identifier: ISC
"""What a server and all that it started cost."""

import os
from pathlib import Path


def _stat(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return [int(x) for x in text.rsplit(")")[1].split()[1:]]


def _tree(top):
    """(pid, fields of its stat from the parent's on), the top one first."""
    below = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (f := _stat(entry.name)):
            below.setdefault(f[0], []).append((int(entry.name), f))
    todo = [(top, _stat(top))]
    while todo:
        pid, f = todo.pop()
        if f:
            yield pid, f
        todo += below.get(pid, [])


def cpu_ms(top):
    """Of a process and all below it, those that ended too."""
    ticks = sum(sum(f[10:14]) for _, f in _tree(top))
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def memory_kib(top):
    """What they hold, shared pages by their share; not the kernel's."""
    total = 0
    for pid, _ in _tree(top):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(text.split("Pss:")[1].split()[0])
    return total
