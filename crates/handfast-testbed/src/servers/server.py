"""Python's http.server with TLS, and what the other servers' configurations have: arguments are the port, the port that
requires client certificates, the directory, chain, key, CA."""

import base64, gzip, hashlib, http.server, os, ssl, sys, threading, urllib.parse

PORT, CERTIFIED, ROOT, CHAIN, KEY, CA = sys.argv[1:]
NONCE = "n0nce"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *rest):
        super().__init__(*rest, directory=ROOT)

    def log_message(self, *rest):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def is_let_in(self):
        given = self.headers.get("Authorization", "")
        if self.path.startswith("/locked/"):
            if given == "Basic " + base64.b64encode(b"al:s3cret").decode():
                return True
            self.answer(401, WWW_Authenticate='Basic realm="here"')
            return False
        if self.path.startswith("/digest/"):
            fields = dict(urllib.request.parse_keqv_list(urllib.request.parse_http_list(given[7:])))
            if fields.get("nonce") == NONCE:
                secret = md5("al:here:s3cret")
                asked = md5(self.command + ":" + fields["uri"])
                parts = [secret, NONCE, fields["nc"], fields["cnonce"], fields["qop"], asked]
                if fields["response"] == md5(":".join(parts)):
                    return True
            self.answer(401, WWW_Authenticate=f'Digest realm="here", nonce="{NONCE}", qop="auth"')
            return False
        return True

    def content(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if not self.is_let_in():
            return
        if path == "/moved":
            return self.answer(302, Location="/a.txt")
        if path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            return
        file = self.translate_path(self.path)
        if not os.path.isfile(file):
            return self.answer(404, b"no such file")
        with open(file, "rb") as opened:
            body = opened.read()
        tag = '"%s"' % hashlib.md5(body).hexdigest()
        modified = self.date_time_string(os.stat(file).st_mtime)
        known = {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
        if self.headers.get("If-None-Match") == tag:
            return self.answer(304, **known)
        if self.headers.get("If-Modified-Since") == modified:
            return self.answer(304, **known)
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and self.headers.get("If-Range", tag) in (tag, modified):
            first, _, last = asked[6:].partition("-")
            if first == "":
                first, last = max(len(body) - int(last), 0), ""
            start, end = int(first), min(int(last or len(body)), len(body) - 1)
            if start >= len(body):
                return self.answer(416, Content_Range=f"bytes */{len(body)}", **known)
            known["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            return self.answer(206, body[start : end + 1], **known)
        if "gzip" in self.headers.get("Accept-Encoding", "") and path.endswith(".html"):
            known["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        self.answer(200, body, **known)

    def do_POST(self):
        body = self.content()
        if self.is_let_in():
            self.answer(200, body)

    def do_PUT(self):
        body = self.content()
        if not self.is_let_in():
            return
        with open(self.translate_path(self.path), "wb") as opened:
            opened.write(body)
        self.answer(201)


def serve(port, requires):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CHAIN, KEY)
    if requires:
        context.load_verify_locations(CA)
        context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    # Handshakes belong to the threads of the connections.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


import urllib.request

threading.Thread(target=serve, args=(CERTIFIED, True), daemon=True).start()
serve(PORT, False)
