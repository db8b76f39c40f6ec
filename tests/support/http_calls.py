"""Calls of a server over HTTP, by the standard library alone."""

import http.client
import json
import ssl
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]


def ask(port: int, method: str, path: str, body=None, context=None, host="127.0.0.1", **headers):
    """One request on a connection of its own; `context`: of TLS."""
    connect = http.client.HTTPConnection
    if context is not None:
        connection = http.client.HTTPSConnection(host, port, timeout=120, context=context)
    else:
        connection = connect(host, port, timeout=120)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        reply = connection.getresponse()
        return Answer(reply.status, dict(reply.getheaders()), reply.read())
    finally:
        connection.close()


def trusting(authority, certificate=None, key=None) -> ssl.SSLContext:
    """A caller that trusts an authority, and has a certificate of its own where one is given."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(str(certificate), str(key))
    return context
