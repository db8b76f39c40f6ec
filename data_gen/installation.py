"""How to install what is missing: the project is on no package index, so `pip install NAME` fails.

Imports nothing but the standard library: it is asked when other things are not there.
"""

import importlib.metadata
import re
import shlex
from pathlib import Path

DISTRIBUTION = "dmenet-tf"
ROOT = Path(__file__).resolve().parents[1]


def install_command(extra: str = "") -> str:
    """A command that installs the project with an extra of setup.py, "" for none.

    In a checkout, from whatever folder: `pip install -e ".[serving]"`. Elsewhere, where a built
    package was installed: its requirements by name.
    """
    if (ROOT / "setup.py").is_file():
        folder = "." if Path.cwd() == ROOT else str(ROOT)
        return f'pip install -e "{folder}[{extra}]"' if extra else f"pip install -e {folder}"
    return shlex.join(["pip", "install", *_requirements(extra)])


def not_installed(what: str, error: ImportError, extra: str = "") -> str:
    """One line: what needs a library that is not there, and the command that installs it."""
    return f"{what} needs what is not installed ({error}): {install_command(extra)}"


def _requirements(extra: str) -> list[str]:
    """Those of an extra, or those that every installation has."""
    found = []
    for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
        name, _, marker = requirement.partition(";")
        of = re.search(r"""extra\s*==\s*['"]([^'"]+)""", marker)
        if (of.group(1) if of else "") == extra:
            found.append(name.strip())
    return found
