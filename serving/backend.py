"""What this package contributes to `dmenet predict --server` and `dmenet_tf.load(server=...)`.

The entry point `server` of the group `dmenet_tf.backends` (`dmenet_tf/prediction/backends.py`).
Imports neither gRPC nor NumPy before a server is asked: `--help` does not wait for them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.client import ClientOptions, RemoteBackend

FIRST_ANSWER_S = 15.0  # for which a server is tried before any photo is
RENAMED = {"--tls-cert": "--tls-certificate"}  # old names of options, still understood
# Options -> fields of `serving.connection.ClientOptions`, which has their defaults.
FIELDS = {
    "timeout": "timeout_s",
    "retry": "retry_s",
    "model_version": "version",
    "model_label": "label",
    "tls_ca": "tls_ca",
    "tls_certificate": "tls_certificate",
    "tls_key": "tls_key",
}


def add_options(add) -> None:
    """Options of how a server is asked; `add` is an `add_argument`."""
    add("--exact", action="store_true", help="floats both ways; else sigma to half of 7/65535 px")
    add("--timeout", type=float, metavar="S", help="max seconds for an answer (default 300)")
    add("--retry", type=float, metavar="S", help="max seconds of retries while UNAVAILABLE (120)")
    add("--model-version", type=int, metavar="N", help="default: the server's newest")
    add("--model-label", metavar="LABEL", help="or the version that has this label")
    add_tls_options(add)


def add_tls_options(add) -> None:
    add("--tls-ca", metavar="PEM", help="authorities that sign the server's certificate; uses TLS")
    add("--tls-certificate", metavar="PEM", help="certificate of this client, with its key")
    add("--tls-key", metavar="PEM", help="key of this client's certificate")


def client_options(options, **more) -> "ClientOptions":
    """Parsed options, those of them that were given, as the client takes them."""
    from serving.connection import ClientOptions

    given = {field: getattr(options, name, None) for name, field in FIELDS.items()}
    return ClientOptions(**{name: v for name, v in given.items() if v is not None}, **more)


def open_backend(address: str, options=None, on_retry=None) -> "RemoteBackend":
    """The network of the server at HOST:PORT, which has answered once: it says which model it runs.

    options: parsed ones of `add_options`, or None. Raises `ServingError`, a ConnectionError, where
    the server does not answer, and ValueError for options that contradict.
    """
    from serving.client import RemoteBackend

    exact = bool(getattr(options, "exact", False))
    backend = RemoteBackend(address, client_options(options), exact=exact, on_retry=on_retry)
    try:
        # A wrong address should not take as long to tell as a server that starts anew.
        backend.ask_metadata(min(FIRST_ANSWER_S, backend.client.options.retry_s))
    except BaseException:
        backend.close()
        raise
    return backend
