"""Which models and versions are served: the part of TensorFlow Serving's `models.config` that the
embedded server supports, or simply a folder of models.

    model_config_list {
      config {
        name: "dmenet"
        base_path: "/models/dmenet"
        model_platform: "tensorflow"
        model_version_policy { specific { versions: 3 versions: 4 } }
        version_labels { key: "stable" value: 3 }
      }
    }

The text format of `tensorflow.serving.ModelServerConfig`. Supported: name, base_path (absolute, or
relative to the file; a local folder), model_platform "tensorflow", model_version_policy (latest,
all, specific), version_labels. Any other field is an error: ignoring it would serve something else
than the file says.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

PLATFORM = "tensorflow"


class ConfigError(ValueError):
    """The configuration breaks a rule; the message names the file and the rule."""


@dataclass(frozen=True)
class ModelConfig:
    """`latest`: the N highest versions; `specific`: only these; both None: all."""

    name: str
    folder: Path
    latest: int | None = 1
    specific: frozenset[int] | None = None
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: Iterable[int]) -> set[int]:
        """The versions to serve, of those in the folder."""
        if self.specific is not None:
            return set(versions) & self.specific
        ordered = sorted(versions, reverse=True)
        return set(ordered if self.latest is None else ordered[: self.latest])


def read_config(path) -> list[ModelConfig]:
    """The models of a file; ConfigError for one that this module does not support."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the configuration must be readable ({error})") from error
    except text_format.ParseError as error:
        raise ConfigError(
            f"{path}: must be a ModelServerConfig in protobuf's text format ({error})"
        ) from error
    _only(parsed, {"model_config_list"}, path)
    models = [_model(config, path) for config in parsed.model_config_list.config]
    if not models:
        raise ConfigError(f"{path}: must have a model in model_config_list; received none")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{path}: each model must have a name of its own; received {name} twice"
            )
    return models


def models_in(folder) -> list[ModelConfig]:
    """A model for each folder in `folder`, with its latest version.

    ConfigError where there is none, or where `folder` is the folder of one model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"--models must be a folder; there is no folder {folder}")
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if (folder / "saved_model.pb").exists() or (found and all(p.name.isdecimal() for p in found)):
        raise ConfigError(
            f"--models must be a folder of models, MODELS/NAME/VERSION; {folder} looks like one of "
            "the folders inside"
        )
    if not found:
        raise ConfigError(
            f"--models must hold a model; {folder} has none (dmenet export --weights RUN "
            f"-o {folder / 'dmenet'} writes one)"
        )
    return [ModelConfig(path.name, path) for path in found]


def _only(message, known: set[str], path) -> None:
    for descriptor, _ in message.ListFields():
        if descriptor.name not in known:
            raise ConfigError(
                f"{path}: this server supports {', '.join(sorted(known))} of "
                f"{message.DESCRIPTOR.name}; received {descriptor.name}"
            )


def _model(config, path: Path) -> ModelConfig:
    _only(
        config,
        {"name", "base_path", "model_platform", "model_version_policy", "version_labels"},
        path,
    )
    if not config.name or not config.base_path:
        raise ConfigError(f"{path}: a model must have a name and a base_path; received\n{config}")
    if config.model_platform != PLATFORM:
        raise ConfigError(
            f'{path}: {config.name}: model_platform must be "{PLATFORM}"; '
            f'received "{config.model_platform}"'
        )
    if "://" in config.base_path:
        raise ConfigError(
            f"{path}: {config.name}: base_path must be a local folder; received {config.base_path}"
        )
    for label, version in config.version_labels.items():
        if version < 1:
            raise ConfigError(
                f"{path}: {config.name}: a label must name a version of at least 1; "
                f"received {label}: {version}"
            )
    latest, specific = _policy(config, path)
    folder = path.parent / config.base_path  # an absolute path stays as it is
    return ModelConfig(config.name, folder, latest, specific, dict(config.version_labels))


def _policy(config, path) -> tuple[int | None, frozenset[int] | None]:
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return None, None
    if choice == "specific":
        if not policy.specific.versions:
            raise ConfigError(f"{path}: {config.name}: specific must name versions; received none")
        return None, frozenset(policy.specific.versions)
    # The default is 1, in TensorFlow Serving too.
    return policy.latest.num_versions or 1, None
