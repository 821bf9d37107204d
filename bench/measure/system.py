"""Processor time, memory and processes, as Linux tells them."""

import os
import re
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"

# The server has one core and whoever asks it has another: neither takes time from the other.
SERVER_CORE, LOAD_CORE = 0, 1


def which(binary):
    return shutil.which(binary, path=PATH)


def raise_limits():
    """As many descriptors as the machine allows: 10,000 connections need them at both ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stat(pid):
    """The fields of /proc/PID/stat after the name: [1] is the parent, [13] and [14] the times of ended children."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def tree(root):
    """A process and everything that it has started."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(stat(entry)[1]), []).append(int(entry))
            except OSError:
                continue
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_of(pid):
    """User and system time of one process in seconds, ended threads and waited-for children included."""
    try:
        fields = stat(pid)
    except OSError:
        return 0.0
    ended_children = (int(fields[13]) + int(fields[14])) / TICK
    try:
        # The process' own clock counts nanoseconds, /proc hundredths: see clock_getcpuclockid(3).
        own = time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        own = (int(fields[11]) + int(fields[12])) / TICK
    return own + ended_children


def cpu_of_tree(root):
    return sum(cpu_of(pid) for pid in tree(root))


def memory_of_tree(root):
    """Proportional set size in bytes: pages that several share are counted once."""
    total = 0
    for pid in tree(root):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) * 1024
    return total


class Done:
    """A program that has ended: what it printed and what it cost."""

    def __init__(self, out, code, cpu, wall, memory):
        self.out, self.code, self.cpu, self.wall, self.memory = out, code, cpu, wall, memory


def run(command, cores=LOAD_CORE, timeout=120, env=None, stdout=None):
    """Runs a program on its core to its end. `stdout`: where its output goes, if not into the result."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(cores), *map(str, command)],
        stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE if stdout else subprocess.STDOUT,
        stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
    )
    pipe = process.stderr if stdout else process.stdout
    alarm = began + timeout
    os.set_blocking(pipe.fileno(), False)
    text = b""
    while True:
        part = pipe.read()
        if part:
            text += part
            continue
        if part == b"":
            break
        if time.monotonic() > alarm:
            process.kill()
            process.wait()
            raise RuntimeError(f"{command[0]} took more than {timeout} s")
        time.sleep(0.002)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    pipe.close()
    return Done(text.decode(errors="replace"), process.returncode, usage.ru_utime + usage.ru_stime, wall,
                usage.ru_maxrss * 1024)
