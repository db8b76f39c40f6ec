"""The configuration of a run as a file.

A file with a key that no field has is refused: a misspelt option never trains a network silently.
"""

import json
from pathlib import Path

import cattrs
from cattrs.v import format_exception

from data_gen.io.atomic import write_text
from dmenet_tf.config import Config

FILE = "config.json"  # in the folder of a run

_converter = cattrs.Converter(forbid_extra_keys=True)
# What values of a field that changed its type were called before.
_JIT_BEFORE = {True: "on", False: "off"}


def to_dict(config: Config) -> dict:
    return _converter.unstructure(config)


def _rule(error: BaseException, expected) -> str:
    # cattrs hides the text of a ValueError, which here states the rule that was broken.
    return str(error) if type(error) is ValueError else format_exception(error, expected)


def from_dict(values: dict, origin="the configuration") -> Config:
    """Strict inverse of `to_dict`: unknown keys and values of a wrong type are errors."""
    training = values.get("training") if isinstance(values, dict) else None
    if isinstance(training, dict) and isinstance(training.get("jit"), bool):
        values = values | {"training": training | {"jit": _JIT_BEFORE[training["jit"]]}}
    try:
        return _converter.structure(values, Config)
    except cattrs.BaseValidationError as error:
        rules = "; ".join(cattrs.transform_error(error, "config", _rule))
        raise ValueError(f"{origin} holds only known, well-typed keys; received: {rules}") from None


def save(config: Config, path: Path) -> None:
    """Writes the configuration as JSON, complete or not at all."""
    write_text(path, json.dumps(to_dict(config), indent=2) + "\n")


def load(path: Path) -> Config:
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"a configuration is a JSON file; received {path}: {error}") from None
    return from_dict(values, origin=str(path))
