# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one program on the host and write down what it took. Standard library only: the host's own Python runs it.

    measure.py OUT WATCHED PROGRAM [ARGUMENT...]

The program keeps this process's input, output and exit status. OUT becomes JSON:

wall         seconds from its start to its end
cpu          CPU seconds of the whole container in that time, client, server and kernel; without this process
other        CPU seconds that everything else on the machine took in that time, the S3 server among it
own_rss      largest resident size of any one of its processes, in bytes, as the kernel kept it
tree_rss     largest sum of resident sizes over its process tree, in bytes, looked at every 0.1 s
disk         largest growth of the file system of the directory WATCHED, in bytes, looked at every 0.1 s
seen         seconds after the start at which each program of the tree was first and last seen
rc           exit status
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t

INTERVAL = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")
# Control groups of version 2 and 1: the container's whole CPU time.
CPU_TIME = (("/sys/fs/cgroup/cpu.stat", 1e6), ("/sys/fs/cgroup/cpuacct/cpuacct.usage", 1e9))


def cpu_seconds() -> float:
    """CPU time of the container up to now, without that of this process."""
    for path, unit in CPU_TIME:
        if os.path.exists(path):
            with open(path, encoding="ascii") as file:
                words = file.read().split()
            number = words[words.index("usage_usec") + 1] if "usage_usec" in words else words[0]
            own = os.times()
            return int(number) / unit - own.user - own.system
    raise SystemExit("this machine tells no CPU time of a control group")


def busy_seconds() -> float:
    """CPU time of the whole machine up to now."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, *interrupts = map(int, file.readline().split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def tree(root: int) -> t.Dict[int, t.Tuple[str, int]]:
    """Every process below root, itself too: its program and its resident bytes."""
    children: t.Dict[int, t.List[int]] = {}
    known: t.Dict[int, t.Tuple[str, int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        # The program's name stands in parentheses and may hold any character.
        head, _paren, tail = text.rpartition(")")
        fields = tail.split()
        children.setdefault(int(fields[1]), []).append(int(name))
        known[int(name)] = (head.partition("(")[2], int(fields[21]) * PAGE)
    found: t.Dict[int, t.Tuple[str, int]] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in known:
            found[pid] = known[pid]
        waiting += children.get(pid, [])
    return found


def used(directory: str) -> int:
    """Bytes in use on a directory's file system."""
    state = os.statvfs(directory)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def measure(argv: t.Sequence[str], watched: str) -> t.Dict[str, t.Any]:
    """Run a program to its end."""
    seen: t.Dict[str, t.List[float]] = {}
    tree_rss = disk = 0
    filled, cpu, busy, began = used(watched), cpu_seconds(), busy_seconds(), time.monotonic()
    process = subprocess.Popen(argv)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        now = time.monotonic() - began
        if pid:
            break
        below = tree(process.pid)
        tree_rss = max(tree_rss, sum(rss for _program, rss in below.values()))
        disk = max(disk, used(watched) - filled)
        for program, _rss in below.values():
            seen.setdefault(program, [round(now, 1), 0.0])[1] = round(now, 1)
        time.sleep(INTERVAL)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu, busy = cpu_seconds() - cpu, busy_seconds() - busy
    return {
        "wall": now,
        "cpu": cpu,
        "other": max(0.0, busy - cpu),
        "own_rss": usage.ru_maxrss * 1024,
        "tree_rss": tree_rss,
        "disk": max(disk, used(watched) - filled),
        "seen": seen,
        "rc": process.returncode,
    }


def main() -> int:
    out, watched, *argv = sys.argv[1:]
    result = measure(argv, watched)
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file)
    return int(result["rc"])


if __name__ == "__main__":
    sys.exit(main())
