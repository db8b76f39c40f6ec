"""How to install what is missing. The project is on no package index: `pip install NAME` fails.

Imports only the standard library: it is used when other packages are missing.
"""

import importlib.metadata
import re
import shlex
from pathlib import Path

DISTRIBUTION = "dmenet-tf"
ROOT = Path(__file__).resolve().parents[1]


def install_command(extra: str = "") -> str:
    """The command that installs the project with an extra of setup.py ("" for none).

    For a checkout: `pip install -e ".[serving]"`, with its path if that is not the working folder.
    Without a checkout, for a package that was built and installed: the requirements by name.
    """
    if (ROOT / "setup.py").is_file():
        folder = "." if Path.cwd() == ROOT else str(ROOT)
        return f'pip install -e "{folder}[{extra}]"' if extra else f"pip install -e {folder}"
    return shlex.join(["pip", "install", *_requirements(extra)])


def not_installed(what: str, error: ImportError, extra: str = "") -> str:
    """One line: what needs a missing library, and the command that installs it."""
    return f"{what} needs what is not installed ({error}): {install_command(extra)}"


def _requirements(extra: str) -> list[str]:
    """The requirements of an extra, or of every installation."""
    found = []
    for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
        name, _, marker = requirement.partition(";")
        of = re.search(r"""extra\s*==\s*['"]([^'"]+)""", marker)
        if (of.group(1) if of else "") == extra:
            found.append(name.strip())
    return found
