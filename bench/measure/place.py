"""The files and certificates that every peer is given alike."""

import json
import os
import random
import subprocess
from pathlib import Path

GIB = 1 << 30
MIB = 1 << 20

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BUNDLE_CERTIFICATES = 140
WORDS = ["red", "green", "blue", "small", "large", "round", "old", "new", "spare", "sold out", "reduced", "on order"]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Certificate:
    """A server's key and certificate and the authority behind it, all with the same kind of key."""

    def __init__(self, directory, name, key_arguments):
        self.name = name
        self.key, self.chain, self.ca = (directory / f"{name}.{part}" for part in ("key", "pem", "ca.pem"))
        # haproxy wants both in one file.
        self.both = directory / f"{name}.both.pem"
        ca_key, request, extensions = (directory / f"{name}.{part}" for part in ("ca.key", "csr", "ext"))
        openssl("genpkey", *key_arguments, "-out", ca_key)
        openssl("req", "-x509", "-new", "-key", ca_key, "-subj", "/CN=bench", "-days", "30", "-out", self.ca,
                "-addext", "keyUsage=critical,keyCertSign")
        openssl("genpkey", *key_arguments, "-out", self.key)
        openssl("req", "-new", "-key", self.key, "-subj", "/CN=localhost", "-out", request)
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
                              "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n"
                              "authorityKeyIdentifier=keyid\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
                "-extfile", extensions, "-out", self.chain)
        self.both.write_text(self.chain.read_text() + self.key.read_text())
        os.chmod(self.key, 0o644)  # httpd's and h2o's workers are other users
        os.chmod(self.both, 0o644)


class Place:
    def __init__(self, directory, quick):
        self.dir = directory
        os.chmod(directory, 0o755)
        self.files = directory / "files"
        (self.files / "many").mkdir(parents=True)
        block = os.urandom(MIB)
        for name, size in [("1k", 1 << 10), ("4k", 4 << 10), ("16k", 16 << 10), ("64k", 64 << 10),
                           ("256k", 256 << 10), ("1m", MIB), ("16m", 16 * MIB)]:
            (self.files / f"{name}.bin").write_bytes((block * 16)[:size])
        self.big_bytes = GIB // 4 if quick else GIB
        with open(self.files / "big.bin", "wb") as big:
            for _ in range(self.big_bytes // MIB):
                big.write(block)
        # 1, 2, 4 and so on to 64 KiB in turn: 18 KiB on average.
        self.many = 10_000
        for number in range(self.many):
            (self.files / "many" / f"{number:05}.bin").write_bytes(block[: (1 << 10) << (number % 7)])
        # Text as an interface answers it, each file another: 64 KiB.
        self.texts = 2_000
        (self.files / "texts").mkdir()
        for number in range(self.texts):
            random.seed(number)
            rows = ({"id": number * 1000 + row, "name": "".join(random.choices("aeionrst", k=12)),
                     "price": random.randrange(10_000) / 100, "tags": random.sample(WORDS, 4)} for row in range(600))
            (self.files / "texts" / f"{number:04}.json").write_text(json.dumps(list(rows))[: 64 << 10])
        self.ecdsa = Certificate(directory, "ecdsa", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        self.rsa = Certificate(directory, "rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        self.mixed = directory / "mixed.lua"
        # 7919 and 10,000 have no divisor in common: every file has its turn, neighbours far apart.
        self.mixed.write_text(
            "local n = 0\nrequest = function()\n  n = (n + 7919) %% %d\n"
            "  return wrk.format('GET', string.format('/many/%%05d.bin', n))\nend\n" % self.many)
        self.mixed_texts = directory / "texts.lua"
        self.mixed_texts.write_text(
            "local n = 0\nrequest = function()\n  n = (n + 769) %% %d\n"
            "  return wrk.format('GET', string.format('/texts/%%04d.json', n))\nend\n" % self.texts)
        self.bundle = directory / "bundle.pem"
        self.bundle.write_text(self.authorities() + self.ecdsa.ca.read_text())
        self.bundle_count = self.bundle.read_text().count("BEGIN CERTIFICATE")
        # For generators on OpenSSL, which take these from a file only.
        self.tls12, self.tls13 = (self.openssl_config(version) for version in ("TLSv1.2", "TLSv1.3"))

    def authorities(self):
        """What a platform's trust store holds: this machine's own, or as many made for the purpose."""
        if SYSTEM_BUNDLE.exists():
            return SYSTEM_BUNDLE.read_text()
        key, one = self.dir / "spare.key", self.dir / "spare.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096", "-out", key)
        made = []
        for number in range(BUNDLE_CERTIFICATES):
            openssl("req", "-x509", "-new", "-key", key, "-subj", f"/O=Spare/CN=Authority {number}", "-days", "30",
                    "-out", one)
            made.append(one.read_text())
        return "".join(made)

    def openssl_config(self, version):
        path = self.dir / f"{version}.cnf"
        # P-256 is listed for the certificate's sake: in TLS 1.2 the list covers its key, too.
        path.write_text("openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
                        f"MinProtocol = {version}\nMaxProtocol = {version}\nGroups = X25519:P-256\n")
        return path
