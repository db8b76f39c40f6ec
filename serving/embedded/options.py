"""The embedded server's options and command line.

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
    """Options of `Server`.

    `models` is a folder of models, `config` a models.config in its stead; `weights`, a run or an
    .npz, are exported by the command alone. `address` with port 0 takes a free one. `http_port`:
    of the REST form, photos and metrics; None: none. `http_timeout_s`: the deadline of a request
    over HTTP, which cannot bring one of its own. `polling_s`: the polling interval, after
    which the models' folders are looked at again. `grace_s`: the grace period, which requests under
    way have when the server stops. `queue`: requests that may wait. `jobs`: requests, or batches,
    computed at a time, each with `threads` intra-op threads (0: one per core). `max_batch`: max
    number of small images computed together, a power of two, 1 for none; `batch_pixels`: max number
    of all their pixels.
    `tls_ca`: clients must have a certificate that this authority signed.
    """

    weights: str | Path | None = None
    models: str | Path | None = None
    config: str | Path | None = None
    address: str = contract.DEFAULT_ADDRESS
    http_port: int | None = None
    http_timeout_s: float = 60.0
    polling_s: float = 2.0
    grace_s: float = 30.0
    queue: int = 32
    jobs: int = 2
    threads: int = 0
    max_batch: int = 1
    batch_pixels: int = 65_536
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None
    tls_ca: str | Path | None = None


def split_address(address: str) -> tuple[str, int]:
    """ "127.0.0.1:8500" or "[::1]:8500" -> host, port."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"an address must be HOST:PORT; received {address!r}")
    return host, int(port)


def check(options: ServerOptions) -> None:
    """ValueError for a value that an option cannot have."""
    for name, least in {"queue": 0, "jobs": 1, "threads": 0, "max_batch": 1}.items():
        value = getattr(options, name)
        if value < least:
            raise ValueError(f"{_option(name)} must be at least {least}; received {value}")
    if options.max_batch & (options.max_batch - 1):
        raise ValueError(f"--max-batch must be a power of two; received {options.max_batch}")
    for name in ("polling_s", "grace_s"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise ValueError(
                f"{_option(name)} must be 0 or more, in seconds; received {getattr(options, name)}"
            )
    if not 0 < options.http_timeout_s < float("inf"):
        raise ValueError(
            f"--http-timeout must be above 0, in seconds; received {options.http_timeout_s}"
        )
    if options.weights is not None and (options.models is not None or options.config is not None):
        raise ValueError("what is served is --weights, --models or --config; received several")
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise ValueError("TLS needs both --tls-certificate and --tls-key; received one of them")
    if options.tls_ca is not None and options.tls_key is None:
        raise ValueError(
            "--tls-ca needs --tls-certificate and --tls-key of the server; received it alone"
        )


# Fields whose options have other names.
_OPTIONS = {
    "polling_s": "--polling-interval",
    "grace_s": "--grace-period",
    "http_timeout_s": "--http-timeout",
}
_RENAMED = {
    "--metrics-port": "--http-port",
    "--poll-seconds": "--polling-interval",
    "--grace-seconds": "--grace-period",
    "--concurrency": "--jobs",
    "--client-ca": "--tls-ca",
}


def _option(field: str) -> str:
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="dmenet serve",
        usage="%(prog)s [--weights PATH | --models DIR | --config FILE] [options]",
        description="Answers TensorFlow Serving's calls, over gRPC and HTTP: "
        + NOT_TENSORFLOW_SERVING
        + ".",
        renamed=_RENAMED,
    )
    default, add = ServerOptions(), parser.add_argument
    add("--weights", metavar="PATH",
        help="a run's folder, or an .npz, exported for as long as the server runs (default: the "
        "shipped model)")  # fmt: skip
    add("--models", metavar="DIR", help="folder of NAME/VERSION/, exported before")
    add("--config", metavar="FILE", help="a models.config instead")
    add("--address", metavar="HOST:PORT", default=default.address,
        help="where to listen; port 0: a free one (default %(default)s)")  # fmt: skip
    add("--http-port", type=int, default=contract.DEFAULT_HTTP_PORT, metavar="PORT",
        help=f"HTTP on the same host: REST, {contract.PHOTO_PATH}, {contract.HEALTH_PATH}, "
        f"{contract.METRICS_PATH}; -1: none (default %(default)s)")  # fmt: skip
    for name, kind, metavar, help in (
        ("http_timeout_s", float, "SECONDS", "deadline of a request over HTTP"),
        ("polling_s", float, "SECONDS", "polling interval of the models' folders"),
        ("grace_s", float, "SECONDS", "grace period of requests under way, when stopped"),
        ("queue", int, "N", "max requests waiting; more are answered UNAVAILABLE"),
        ("jobs", int, "N", "requests, or batches, computed at a time"),
        ("threads", int, "N", "intra-op threads of each; 0: one per core"),
        ("max_batch", int, "N", "max small images computed together, a power of two; 1: none"),
        ("batch_pixels", int, "N", "max pixels of a batch"),
    ):
        add(_option(name), dest=name, type=kind, default=getattr(default, name), metavar=metavar,
            help=f"{help} (default %(default)s)")  # fmt: skip
    add("--tls-certificate", metavar="PEM", help="certificate of this server; turns TLS on")
    add("--tls-key", metavar="PEM", help="the certificate's key")
    add("--tls-ca", metavar="PEM",
        help="require a client certificate signed by this authority")  # fmt: skip
    return parser
