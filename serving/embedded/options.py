"""What can be set about the embedded server, and the command line that sets it.

Imports no TensorFlow: `--help` and completion do not wait for it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from dmenet_tf.console import Parser
from serving import contract

NOT_TENSORFLOW_SERVING = (
    "a stand-in for one machine, not TensorFlow Serving (for that: serving/config)"
)


@dataclass(frozen=True)
class ServerOptions:
    """Options of `Server`; those of the command line have the same names.

    `models` is a folder of models, `config` a models.config in its stead. `address` with port 0
    takes a free one. `metrics_port` None: no metrics page. `concurrency`: executions at once, each
    with `threads` threads for an operation (0: as many as cores). `max_batch` 1: no batches.
    """

    models: str | Path = "models"
    config: str | Path | None = None
    address: str = contract.DEFAULT_ADDRESS
    metrics_port: int | None = None
    poll_seconds: float = 2.0
    grace_seconds: float = 30.0
    queue: int = 32
    concurrency: int = 2
    threads: int = 0
    max_batch: int = 1
    batch_pixels: int = 65_536
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None
    client_ca: str | Path | None = None


def split_address(address: str) -> tuple[str, int]:
    """ "127.0.0.1:8500" or "[::1]:8500" -> host, port."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"an address must be HOST:PORT; received {address!r}")
    return host, int(port)


def check(options: ServerOptions) -> None:
    for name, least in {"queue": 0, "concurrency": 1, "threads": 0, "max_batch": 1}.items():
        if getattr(options, name) < least:
            raise ValueError(
                f"{name.replace('_', '-')} must be at least {least}; received "
                f"{getattr(options, name)}"
            )
    if options.max_batch & (options.max_batch - 1):
        raise ValueError(f"max-batch must be a power of two; received {options.max_batch}")
    for name in ("poll_seconds", "grace_seconds"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise ValueError(f"{name.replace('_', '-')} must be 0 or more")
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise ValueError("TLS must have both, a certificate and a key")
    if options.client_ca is not None and options.tls_key is None:
        raise ValueError("client-ca must come with a certificate and a key of the server")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m serving.server",
        description="Answers TensorFlow Serving's gRPC calls: " + NOT_TENSORFLOW_SERVING + ".",
    )
    default, add = ServerOptions(), parser.add_argument
    add("--models", default=default.models, help="folder of MODEL/VERSION/ (default %(default)s)")
    add("--config", metavar="FILE", help="models.config instead of --models")
    add("--address", default=default.address, help="HOST:PORT (default %(default)s)")
    add("--metrics-port", type=int, default=contract.DEFAULT_METRICS_PORT, metavar="PORT",
        help=f"Prometheus, {contract.METRICS_PATH}; -1 for none (default %(default)s)")  # fmt: skip
    for name, kind, help in (
        ("poll_seconds", float, "looks for new versions so often"),
        ("grace_seconds", float, "when stopped, requests under way may take so long"),
        ("queue", int, "requests that may wait; more get UNAVAILABLE"),
        ("concurrency", int, "requests, or batches, computed at a time"),
        ("threads", int, "of an operation; 0: as many as cores"),
        ("max_batch", int, "small images computed as one, a power of two; 1: none; costs memory"),
        ("batch_pixels", int, "pixels of a batch at most"),
    ):
        add(f"--{name.replace('_', '-')}", type=kind, default=getattr(default, name), metavar="N",
            help=f"{help} (default %(default)s)")  # fmt: skip
    add("--tls-certificate", metavar="PEM", help="serve with TLS")
    add("--tls-key", metavar="PEM", help="the certificate's key")
    add("--client-ca", metavar="PEM", help="clients must have a certificate of this authority")
    return parser
