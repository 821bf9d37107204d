"""Python's own client as somebody would write it: http.client and ssl, sessions kept where they help."""

import http.client
import ssl
import sys
import urllib.parse

ca, mode, output, url, count = sys.argv[1:]
target = urllib.parse.urlsplit(url)
context = ssl.create_default_context(cafile=ca)


class Connection(http.client.HTTPSConnection):
    session = None

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host, session=Connection.session)


connection = None
with open(output, "wb", buffering=0) as file:
    for number in range(int(count)):
        if connection is None:
            connection = Connection(target.hostname, target.port, context=context)
        path = f"{target.path}?{number}" if int(count) > 1 else target.path
        connection.request("GET", path, headers={} if mode == "kept" else {"Connection": "close"})
        socket = connection.sock
        response = connection.getresponse()
        if mode != "kept":
            # In TLS 1.3 the ticket came before the reply.
            Connection.session = socket.session
        if response.status != 200:
            sys.exit(f"status {response.status}")
        while part := response.read(1 << 18):
            file.write(part)
        if mode != "kept":
            connection.close()
            connection = None
