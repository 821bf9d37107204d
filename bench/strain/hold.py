"""Holds connections: opens them, asks on each, and again every 25 s, before anybody's limit for idle ones.

    python3 -m strain.hold PORT COUNT

Prints `held` with how many there are; when its input ends, a line of JSON with the requests made, the connections lost
and why.
"""

import json
import sys
import threading
import time

from . import wire

THREADS = 8
EVERY = 25.0
REQUEST = b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Holder:
    def __init__(self, port, count):
        self.port, self.count = port, count
        self.over, self.lock = threading.Event(), threading.Lock()
        self.held = [[] for _ in range(THREADS)]
        self.requests, self.opened, self.lost = 0, 0, {}

    def lose(self, why):
        with self.lock:
            self.lost[why] = self.lost.get(why, 0) + 1

    def ask(self, stream):
        stream.sendall(REQUEST)
        got = 0
        # The head of the reply says more than a length here: a file of 1 KiB, in one or two reads.
        while got < 1024:
            part = stream.recv(4096)
            if not part:
                raise OSError("closed by the server")
            got += len(part)
        stream.settimeout(0)
        try:
            while stream.recv(4096):
                pass
        except OSError:
            pass
        stream.settimeout(20)

    def open(self, own, share):
        for _ in range(share):
            try:
                stream = wire.tls(self.port, within=20)
                self.ask(stream)
                own.append(stream)
            except OSError as error:
                self.lose(f"opening: {type(error).__name__}: {error}")

    def again(self, own):
        """Each connection once in `EVERY` seconds, evenly spread."""
        while own and not self.over.is_set():
            began = time.monotonic()
            for position, stream in enumerate(list(own)):
                if self.over.wait(max(0, began + EVERY * position / len(own) - time.monotonic())):
                    return
                try:
                    self.ask(stream)
                    self.requests += 1
                except OSError as error:
                    self.lose(f"later: {type(error).__name__}: {error}")
                    own.remove(stream)
                    stream.close()
            self.over.wait(max(0, began + EVERY - time.monotonic()))

    def each(self, work):
        threads = [threading.Thread(target=work, args=(own,), daemon=True) for own in self.held]
        for thread in threads:
            thread.start()
        return threads

    def run(self):
        for thread in self.each(lambda own: self.open(own, self.count // THREADS)):
            thread.join()
        self.opened = sum(map(len, self.held))
        print(f"held {self.opened}", flush=True)
        threads = self.each(self.again)
        sys.stdin.read()
        self.over.set()
        for thread in threads:
            thread.join(30)
        print(json.dumps({"opened": self.opened, "requests": self.requests, "lost": self.lost,
                          "held_at_the_end": sum(map(len, self.held))}), flush=True)


if __name__ == "__main__":
    Holder(int(sys.argv[1]), int(sys.argv[2])).run()
