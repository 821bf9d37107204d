"""A well-behaved client, as a process of its own: asks for a small file again and again, now on a connection that is
kept, now on a new one, until its input ends. Then it prints each request as JSON: when it began (CLOCK_MONOTONIC), how
long it took in milliseconds, whether it had a new connection, and what failed.

A request that fails or takes longer than 5 s counts as 5 s. A kept connection that the server has closed between two
requests is opened again, as HTTP allows, and the time for that counts.
"""

import json
import os
import socket
import ssl
import sys
import threading
import time

LIMIT = 5.0
# So many requests a second that a few seconds have a 99th percentile, and so few that they are no load.
PAUSE = 0.008


def preferred():
    """The attacker has the same core as this client, which must not have to wait for it: what counts is the server."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        return True
    except OSError:
        return False


class Closed(OSError):
    """The server closed the connection before the reply began."""


class Client:
    def __init__(self, port, path):
        self.port = port
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.kept = None

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.context.wrap_socket(raw, server_hostname="localhost")
        except BaseException:
            raw.close()
            raise

    def ask(self, stream):
        """Sends the request and reads the whole reply. Gives whether the connection can be used again."""
        try:
            stream.sendall(self.request)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None
        got = b""
        while b"\r\n\r\n" not in got:
            try:
                part = stream.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                part = b""
            if not part:
                raise OSError("cut off in the head") if got else Closed("closed before a reply")
            got += part
        head, body = got.split(b"\r\n\r\n", 1)
        fields = head.lower().split(b"\r\n")
        if b" 200" not in fields[0]:
            raise OSError(fields[0].decode(errors="replace")[:60])
        length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length:"))
        left = length - len(body)
        while left > 0:
            part = stream.recv(65536)
            if not part:
                raise OSError("cut off in the body")
            left -= len(part)
        return b"connection: close" not in fields

    def ask_kept(self):
        if self.kept is not None:
            try:
                reusable = self.ask(self.kept)
            except Closed:
                self.drop()
        if self.kept is None:
            self.kept = self.connect()
            reusable = self.ask(self.kept)
        if not reusable:
            self.drop()

    def ask_fresh(self):
        with self.connect() as stream:
            self.ask(stream)

    def drop(self):
        if self.kept is not None:
            self.kept.close()
        self.kept = None


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    done, seen, client = threading.Event(), [], Client(port, path)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), done.set()), daemon=True).start()
    alone = preferred()
    while not done.is_set():
        for fresh in (False, True):
            began, failed = time.monotonic(), None
            try:
                client.ask_fresh() if fresh else client.ask_kept()
            except (OSError, ValueError, StopIteration) as error:
                failed = f"{type(error).__name__}: {error}"
                if not fresh:
                    client.drop()
            took = LIMIT if failed else min(LIMIT, time.monotonic() - began)
            seen.append((began, took * 1e3, fresh, failed))
            done.wait(PAUSE)
    json.dump({"preferred": alone, "requests": seen}, sys.stdout)


if __name__ == "__main__":
    main()
