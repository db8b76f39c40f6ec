"""The server's certificate and key, for gRPC and for HTTP."""

import ssl
from pathlib import Path

import grpc

from serving.embedded.options import ServerOptions


def grpc_credentials(options: ServerOptions) -> grpc.ServerCredentials:
    key, certificate = (Path(p).read_bytes() for p in (options.tls_key, options.tls_certificate))
    authority = None if options.tls_ca is None else Path(options.tls_ca).read_bytes()
    return grpc.ssl_server_credentials(
        [(key, certificate)], authority, require_client_auth=authority is not None
    )


def http_context(options: ServerOptions) -> ssl.SSLContext:
    """With `tls_ca`, callers must have a certificate here as well, the metrics' reader too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_certificate, options.tls_key)
    if options.tls_ca is not None:
        context.load_verify_locations(options.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
