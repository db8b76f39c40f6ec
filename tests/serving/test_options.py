"""The command line of `dmenet serve`."""

import dataclasses
import subprocess
import sys

import pytest

from serving import contract, server
from serving.embedded.options import ServerOptions, build_parser


@pytest.mark.parametrize(
    "arguments, code, why",
    [
        (["--models", "nowhere"], 1, "there is no folder nowhere"),
        (["--weights", "nowhere", "--models", "m"], 2, "--weights, --models or --config"),
        (["--http-timeout", "0"], 2, "--http-timeout must be above 0"),
        (["--config", "nowhere"], 1, "must be readable"),
        (["--address", "8500"], 2, "must be HOST:PORT"),
        (["--queue", "-1"], 2, "--queue must be at least 0; received -1"),
        (["--max-batch", "3"], 2, "power of two"),
        (["--tls-key", "key.pem"], 2, "needs both --tls-certificate and --tls-key"),
        (["--client-ca", "ca.pem"], 2, "--tls-ca needs --tls-certificate"),
        (["--poll-seconds", "-1"], 2, "--polling-interval must be 0 or more"),
        (["--quue", "3"], 2, "unknown option --quue; did you mean --queue?"),
    ],
)
def test_errors_are_one_line(arguments, code, why, models, capsys):
    if "--models" not in arguments:
        arguments = ["--models", str(models), *arguments]
    assert server.main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and why in error and error.count("\n") == 1


def test_weights_that_cannot_be_exported_are_one_line(tmp_path, capfd):
    assert server.main(["--weights", str(tmp_path / "nowhere")]) == 1
    *_, error = capfd.readouterr().err.splitlines()
    assert error.startswith("error: --weights must be a run's folder or an .npz; there is no")


def test_help_says_what_it_is_not_and_needs_no_tensorflow():
    code = (
        "import sys\nfrom serving.server import build_parser\n"
        "print(build_parser().format_help()); assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "not TensorFlow Serving" in " ".join(result.stdout.split())


def test_old_names_mean_the_new_ones():
    old = [
        "--metrics-port",
        "9",
        "--poll-seconds",
        "1",
        "--grace-seconds=2",
        "--concurrency",
        "3",
        "--client-ca",
        "ca",
    ]
    new = [
        "--http-port",
        "9",
        "--polling-interval",
        "1",
        "--grace-period=2",
        "--jobs",
        "3",
        "--tls-ca",
        "ca",
    ]
    parser = build_parser()
    assert parser.parse_args(old) == parser.parse_args(new)
    assert not {"--concurrency", "--client-ca"} & set(parser.format_help().split())


def test_options_are_the_servers():
    """Each option sets a field, with the field's default."""
    given = vars(build_parser().parse_args([]))
    assert given.pop("http_port") == contract.DEFAULT_HTTP_PORT
    defaults = dataclasses.asdict(ServerOptions())
    assert defaults.pop("http_port") is None
    assert given == defaults
