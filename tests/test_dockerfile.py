"""The Dockerfile, without Docker: what it copies, installs, starts and asks is there."""

import json
import re
import shlex
from fnmatch import fnmatch

import pytest

from serving import contract
from serving.embedded.options import split_address
from tests.support.paths import ROOT

INSTRUCTIONS = {
    "ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
}  # fmt: skip


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """(instruction, its arguments), continued lines joined."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def of(instructions, name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions if instruction == name]


def test_every_line_is_an_instruction(instructions):
    assert {name for name, _ in instructions} <= INSTRUCTIONS
    assert len(of(instructions, "FROM")) == 2


def test_what_is_copied_is_there_and_sent(instructions):
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    sent = [line[1:] for line in ignored if line.startswith("!")]
    copies = [shlex.split(line) for line in of(instructions, "COPY")]
    sources = [name for words in copies if words[0][:2] != "--" for name in words[:-1]]
    assert {"data_gen", "dmenet_tf", "serving", "setup.py"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists() and any(fnmatch(source, name) for name in sent), source


def test_the_extras_are_setups(instructions):
    known = set(re.findall(r'^        "(\w+)": \[', (ROOT / "setup.py").read_text(), re.MULTILINE))
    (default,) = [line.partition("=")[2] for line in of(instructions, "ARG") if "EXTRAS" in line]
    documented = re.findall(r"EXTRAS=([\w,]+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert {default} < set(documented)
    for extras in documented:
        assert set(extras.split(",")) <= known


def test_the_default_command_is_the_server_and_not_root(instructions):
    from serving.server import _parse

    (user,) = of(instructions, "USER")
    assert all(number.isdecimal() and int(number) > 0 for number in user.split(":"))
    (entry,), (command,) = of(instructions, "ENTRYPOINT"), of(instructions, "CMD")
    assert json.loads(entry) == ["dmenet"]
    name, *arguments = json.loads(command)
    options = _parse(arguments)
    assert name == "serve" and str(options.models) in " ".join(of(instructions, "RUN"))
    ports = of(instructions, "EXPOSE")[0].split()
    assert ports == [str(split_address(options.address)[1]), str(options.http_port)]


def test_health_is_asked_where_it_is_answered(instructions):
    (health,) = of(instructions, "HEALTHCHECK")
    *_, program = json.loads(health[health.index("[") :])
    compile(program, "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{contract.DEFAULT_HTTP_PORT}{contract.HEALTH_PATH}" in program
