"""What a server holds: memory and descriptors of its processes, sampled while something goes on."""

import os
import threading
import time
from pathlib import Path

from measure import system

PAGE = os.sysconf("SC_PAGE_SIZE")
EVERY = 0.05


def resident(pids):
    """Bytes of memory that the processes hold (RSS; what several share is counted for each)."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except OSError:
            continue
    return total


def descriptors(pids):
    """How many descriptors the processes have, and how many of them are sockets."""
    every = sockets = 0
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                sockets += os.readlink(f"{folder}/{name}").startswith("socket:")
                every += 1
            except OSError:
                continue
    return every, sockets


class Snapshot:
    def __init__(self, server):
        pids = system.tree(server.process.pid)
        self.rss, self.pss = resident(pids), system.memory_of_tree(server.process.pid)
        self.descriptors, self.sockets = descriptors(pids)

    def plain(self):
        return vars(self)


class Watch:
    """Samples until it is stopped: the most memory, the most descriptors."""

    def __init__(self, server):
        self.pids = system.tree(server.process.pid)
        self.rss_max = self.descriptors_max = 0
        self.samples = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self):
        turn = 0
        while not self.over.is_set():
            rss = resident(self.pids)
            self.rss_max = max(self.rss_max, rss)
            # Counting thousands of descriptors takes the kernel a while: not as often.
            if turn % 20 == 0:
                count = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids if os.path.exists(f"/proc/{pid}/fd"))
                self.descriptors_max = max(self.descriptors_max, count)
                self.samples.append((time.monotonic(), rss, count))
            turn += 1
            self.over.wait(EVERY)

    def stop(self):
        self.over.set()
        self.thread.join()
        return self
