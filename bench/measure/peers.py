"""The servers under test: how each is started, what it can do, what it costs."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import system

BENCH = Path(__file__).resolve().parent.parent
HANDFAST = BENCH.parent / "target" / "release" / "handfast"

EVERYTHING = frozenset({"small", "files", "listing"})
COMPRESSION = EVERYTHING | {"compression"}


def short_version(line):
    """A program's name and version from the line in which it says so, without what it was built with."""
    line = line.strip().removeprefix("Server version: ").removeprefix("nginx version: ")
    return " ".join(line.split()[:3])


class NoAccessLog(Exception):
    """The peer's log is not measured."""


class Peer:
    """A server: `does` says what it can take part in, `groups` which key exchange it knows besides X25519."""

    def __init__(self, name, binary, command, config=None, does=EVERYTHING, hybrid=False, remark=None, access_log=None):
        self.name, self.binary, self.command, self.config = name, binary, command, config
        self.does, self.hybrid, self.remark = does, hybrid, remark
        # What switches its access log on (combined, to a file) and off: arguments, or the lines of its configuration.
        self.access_log = access_log

    def available(self):
        return bool(system.which(self.binary))

    def version(self):
        for flag in ("-v", "--version", "version"):
            try:
                out = subprocess.run([system.which(self.binary), flag], capture_output=True, text=True, timeout=10)
            except (OSError, TypeError, subprocess.TimeoutExpired):
                continue
            text = (out.stdout + out.stderr).strip().splitlines()
            if out.returncode == 0 and text:
                return short_version(text[0])
        return "unknown version"

    def start(self, place, certificate, threads=1, cores=system.SERVER_CORE, tickets=True, log_connections=False,
              connections=20_000, access_log=False):
        if access_log and not self.access_log:
            raise NoAccessLog("not measured with a log")
        return Running(self, place, certificate, threads, cores, tickets, log_connections, connections, access_log)


class Running:
    """A started server; `with` ends it."""

    def __init__(self, peer, place, certificate, threads, cores, tickets, log_connections, connections, access_log):
        self.peer, self.place, self.certificate = peer, place, certificate
        self.port = system.free_port()
        self.dir = Path(tempfile.mkdtemp(prefix=peer.name + "-", dir=place.dir))
        os.chmod(self.dir, 0o777)
        values = {
            "DIR": self.dir, "PORT": self.port, "CERT": certificate.chain, "KEY": certificate.key,
            "BOTH": certificate.both, "ROOT": place.files, "THREADS": threads,
            "CONNECTIONS": connections,
            "TICKETS": "on" if tickets else "off", "CACHE": "shared:tls:10m" if tickets else "off",
            "ACCESS": f"{self.dir}/connections.log connections" if log_connections else "off",
        }
        on, off = peer.access_log or ("", "")
        spelled = (on if access_log else off).format(**values) if isinstance(on, str) else ""
        # nginx has one directive for both.
        if peer.name == "nginx" and access_log:
            values["ACCESS"] = spelled
        values["ACCESS_LOG"] = spelled
        if peer.config:
            text = (BENCH / "peers" / peer.config).read_text()
            for key, value in values.items():
                text = text.replace(f"@{key}@", str(value))
            values["CONFIG"] = self.dir / peer.config
            values["CONFIG"].write_text(text)
        command = [part.format(**values) for part in peer.command]
        if isinstance(on, list):
            command += [part.format(**values) for part in (on if access_log else off)]
        command[0] = system.which(command[0]) or command[0]
        self.log = open(self.dir / "log", "w")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(cores), *command],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "GOMAXPROCS": str(threads)},
        )
        try:
            self.await_readiness()
        except BaseException:
            self.__exit__()
            raise

    def await_readiness(self):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.peer.name} did not start: {self.said()}") from None
                time.sleep(0.02)
        # A peer that answers something else quickly is no peer.
        got = subprocess.run(["curl", "-s", "--cacert", self.certificate.ca, "-w", "%{size_download}", "-o",
                              "/dev/null", self.url("/4k.bin")], capture_output=True, text=True, timeout=10)
        if got.stdout != "4096":
            raise RuntimeError(f"{self.peer.name} does not serve: {self.said()}")

    def url(self, path):
        return f"https://localhost:{self.port}{path}"

    def said(self):
        return (self.dir / "log").read_text()[-500:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, name)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self.log.close()

    def cpu(self):
        return system.cpu_of_tree(self.process.pid)

    def memory(self):
        return system.memory_of_tree(self.process.pid)


PEERS = [
    Peer("handfast", str(HANDFAST),
         [str(HANDFAST), "serve", "{ROOT}", "--listen", "127.0.0.1:{PORT}", "--cert", "{CERT}", "--key", "{KEY}",
          "--threads", "{THREADS}", "--connections-max", "12000"], hybrid=True, does=COMPRESSION,
         access_log=(["--log", "{DIR}/access.log", "--log-format", "combined"], ["--quiet"])),
    # Buffered, as is recommended where there is much to be logged.
    Peer("nginx", "nginx", ["nginx", "-p", "{DIR}", "-c", "{CONFIG}"], "nginx.conf", does=COMPRESSION,
         access_log=("{DIR}/access.log combined buffer=64k flush=1s", "")),
    Peer("h2o", "h2o", ["h2o", "-c", "{CONFIG}"], "h2o.yaml", does=COMPRESSION,
         access_log=("access-log: {DIR}/access.log", "")),
    Peer("httpd", "apache2", ["apache2", "-f", "{CONFIG}", "-DFOREGROUND"], "httpd.conf"),
    Peer("haproxy", "haproxy", ["haproxy", "-db", "-f", "{CONFIG}"], "haproxy.cfg", does=frozenset({"small"}),
         remark="a front end without files of its own: one reply of 4 KiB, from memory"),
    Peer("caddy", "caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", "{CONFIG}"], "Caddyfile",
         hybrid=True, does=COMPRESSION),
    Peer("static-web-server", "static-web-server",
         ["static-web-server", "-a", "127.0.0.1", "-p", "{PORT}", "-d", "{ROOT}", "--http2", "--http2-tls-cert",
          "{CERT}", "--http2-tls-key", "{KEY}", "-n", "{THREADS}", "-z", "-g", "error"]),
    Peer("miniserve", "miniserve",
         ["miniserve", "-i", "127.0.0.1", "-p", "{PORT}", "--tls-cert", "{CERT}", "--tls-key", "{KEY}", "{ROOT}"]),
]
