"""TLS connections and HTTP/2 frames by hand, for clients that do not behave."""

import ctypes
import random
import socket
import ssl
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
WINDOW_MAX = 2**31 - 1
CANCEL = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class NoHttp2(Exception):
    """The server did not agree on HTTP/2."""


def tcp(port, within=5, buffer=None, segment=None):
    """A TCP connection to the server. It comes from one of 200 addresses: a single one has too few ports for a flood."""
    raw = socket.socket()
    raw.settimeout(within)
    raw.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen on connecting
    raw.bind((f"127.0.0.{random.randrange(2, 202)}", 0))
    if buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    if segment:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
    try:
        raw.connect(("127.0.0.1", port))
    except OSError:
        raw.close()
        raise
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def context(*protocols):
    """Verifies nothing: the certificate is this benchmark's own, and verifying costs the attacker time."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


HTTP1, HTTP2 = context("http/1.1"), context("h2")


def tls(port, http2=False, **socket_options):
    raw = tcp(port, **socket_options)
    try:
        stream = (HTTP2 if http2 else HTTP1).wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise
    if http2 and stream.selected_alpn_protocol() != "h2":
        stream.close()
        raise NoHttp2
    return stream


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream, by):
    return frame(WINDOW_UPDATE, 0, stream, by.to_bytes(4, "big"))


def reset(stream):
    return frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))


def block(path):
    """GET https://localhost PATH: static table entries, and two literals without indexing (RFC 7541, 6.2.2)."""
    return b"\x82\x87\x04" + bytes([len(path)]) + path.encode() + b"\x01\x09localhost"


def get(stream, path):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block(path))


def http2(port, *pairs, **socket_options):
    """A connection that has sent its preface and SETTINGS."""
    stream = tls(port, http2=True, **socket_options)
    stream.sendall(PREFACE + settings(*pairs))
    return stream


class Openssl:
    """libssl by its C interface: Python's own has no way to ask for a KeyUpdate (RFC 8446, 4.6.3)."""

    KEY_UPDATE_REQUESTED = 1

    def __init__(self):
        for name in ("libssl.so.3", "libssl.so.1.1"):
            try:
                self.library = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise OSError("no libssl.so.3: KeyUpdates need it")
        pointer = ctypes.c_void_p
        for name, result, arguments in [
            ("TLS_client_method", pointer, []), ("SSL_CTX_new", pointer, [pointer]), ("SSL_new", pointer, [pointer]),
            ("SSL_set_fd", ctypes.c_int, [pointer, ctypes.c_int]), ("SSL_connect", ctypes.c_int, [pointer]),
            ("SSL_set_alpn_protos", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_uint]),
            ("SSL_key_update", ctypes.c_int, [pointer, ctypes.c_int]), ("SSL_do_handshake", ctypes.c_int, [pointer]),
            ("SSL_write", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_int]), ("SSL_free", None, [pointer]),
        ]:
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.context = self.library.SSL_CTX_new(self.library.TLS_client_method())


class KeyUpdating:
    """A connection that speaks HTTP/2 and can change its keys whenever it likes."""

    def __init__(self, openssl, port):
        self.library, self.raw = openssl.library, tcp(port)
        # The C library wants a socket that blocks; the kernel's limits keep it from blocking for good.
        self.raw.settimeout(None)
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self.raw.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 1, 0))
        self.ssl = self.library.SSL_new(openssl.context)
        self.library.SSL_set_fd(self.ssl, self.raw.fileno())
        self.library.SSL_set_alpn_protos(self.ssl, b"\x02h2", 3)
        if self.library.SSL_connect(self.ssl) != 1:
            self.close()
            raise OSError("no handshake")

    def write(self, data):
        return self.library.SSL_write(self.ssl, data, len(data)) == len(data)

    def update_key(self):
        return (self.library.SSL_key_update(self.ssl, Openssl.KEY_UPDATE_REQUESTED) == 1
                and self.library.SSL_do_handshake(self.ssl) == 1)

    def close(self):
        self.library.SSL_free(self.ssl)
        self.raw.close()
