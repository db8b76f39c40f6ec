"""Which versions are in memory: polls the models' folders, loads and unloads.

The states of a version are TensorFlow Serving's: START (found), LOADING (being loaded and warmed
up), AVAILABLE, UNLOADING (no new requests; the last ones still run), END. A version that fails to
load goes to END with an error, the served one stays, and loading is retried when its files change.
A new version is loaded before the old one is unloaded, so that there is always one to answer.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from serving.embedded.errors import not_found, unavailable
from serving.embedded.memory import return_freed_memory
from serving.embedded.model_config import ModelConfig
from serving.saved_model.session import LoadedModel

START, LOADING, AVAILABLE, UNLOADING, END = (
    getattr(ModelVersionStatus, state)
    for state in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
)
_ENDED_KEPT = 20  # per model, reported in its status
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Version:
    """A version of a model. `model` is set from AVAILABLE until END."""

    config: ModelConfig
    number: int
    path: Path
    files: tuple = ()
    state: int = START
    error: str = ""
    model: LoadedModel | None = None
    users: int = 0

    def __str__(self):
        return f"{self.config.name} version {self.number}"


class Versions:
    """The versions of some models.

    Args:
        configs: called at each poll; returns the models.
        load: folder of a version -> LoadedModel, warmed up; may raise anything.
        changed: called with the version after each change of its state.
    """

    def __init__(
        self,
        configs: Callable[[], list[ModelConfig]],
        load: Callable[[Path], LoadedModel],
        changed: Callable[[Version], None] = lambda version: None,
    ):
        self._configs, self._load, self._changed = configs, load, changed
        self._lock = threading.Condition()
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked = False
        self._register()

    # --- for requests ---------------------------------------------------------------------

    @contextlib.contextmanager
    def use(self, name: str, number: int | None = None, label: str = "") -> Iterator[Version]:
        """A version, kept in memory while it is used; by default the latest.

        Raises RequestError: NOT_FOUND if there is no such version, UNAVAILABLE while it is being
        loaded.
        """
        with self._lock:
            version = self._find(name, number, label)
            version.users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
                self._lock.notify_all()

    def status(self, name: str) -> list[Version]:
        """All present and past versions, latest first; NOT_FOUND for an unknown model."""
        with self._lock:
            return sorted(self._of(name).values(), key=lambda v: v.number, reverse=True)

    def resolve(self, name: str, label: str) -> int:
        """The version that a label names."""
        self._of(name)
        labels = self._labels[name]
        if label not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise not_found(f"{name} has the labels: {known}; received {label[:100]!r}")
        return labels[label]

    def serving(self) -> dict[str, bool]:
        """Model -> whether it can answer; at the start, once all its versions are loaded."""
        with self._lock:
            states = {
                name: {version.state for version in versions.values()}
                for name, versions in self._models.items()
            }
        coming = set() if self._looked else {START, LOADING}
        return {name: AVAILABLE in found and not found & coming for name, found in states.items()}

    def without_a_version(self) -> list[Path]:
        """The folders of models in which there is nothing to load now."""
        folders = [config.folder for config in self._configs()]
        return [folder for folder in folders if not _versions_in(folder)]

    def _of(self, name: str) -> dict[int, Version]:
        if name not in self._models:
            known = ", ".join(sorted(self._models)) or "none"
            raise not_found(f"the models are: {known}; received {name[:100]!r}")
        return self._models[name]

    def _find(self, name: str, number: int | None, label: str) -> Version:
        versions = self._of(name)
        if label:
            number = self.resolve(name, label)
        available = [v for v in versions.values() if v.state == AVAILABLE]
        wanted = [v for v in available if number in (None, v.number)]
        if wanted:
            return max(wanted, key=lambda version: version.number)
        coming = [v for v in versions.values() if v.state in (START, LOADING)]
        if any(number in (None, v.number) for v in coming) or not self._looked:
            raise unavailable(f"{name} is being loaded")
        if number is None:
            raise not_found(f"{name} has no version that could be loaded")
        there = (
            ", ".join(str(v.number) for v in sorted(available, key=lambda v: v.number)) or "none"
        )
        raise not_found(f"{name} has the versions: {there}; received {label or number}")

    # --- polling the folders -------------------------------------------------------------

    def start(self, polling_s: float) -> None:
        """Polls the folders now and then at each polling interval, in a thread of its own."""

        def follow():
            while not self._stopping.is_set():
                started = time.monotonic()
                try:
                    self.look()
                except Exception:  # a folder that cannot be read now may be readable later
                    _log.exception("could not poll the models; trying again")
                self._stopping.wait(max(0.01, polling_s - (time.monotonic() - started)))

        self._thread = threading.Thread(target=follow, name="versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops polling, and unloads the versions that no request uses."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for versions in self._models.values():
            for version in versions.values():
                if version.state == AVAILABLE and not version.users:
                    self._unload(version)

    def look(self) -> None:
        """Polls once: loads new wanted versions, then unloads those no longer wanted."""
        configs = self._register()
        for name in set(self._models) - {config.name for config in configs}:
            self._let_go(self._models[name], wanted=set(), found={})
        for config in configs:
            found = _versions_in(config.folder)
            wanted = config.wanted(found)
            versions = self._models[config.name]
            self._announce(config, {n: found[n] for n in wanted})
            for number in sorted(wanted, reverse=True):
                if versions[number].state == START and not self._stopping.is_set():
                    self._bring(versions[number])
            self._let_go(versions, wanted, found)
        self._looked = True

    def _register(self) -> list[ModelConfig]:
        configs = self._configs()
        with self._lock:
            for config in configs:
                self._models.setdefault(config.name, {})
                self._labels[config.name] = config.labels
        return configs

    def _announce(self, config: ModelConfig, paths: dict[int, Path]) -> None:
        """Sets to START what is new, and what failed or was unloaded and has changed files."""
        versions = self._models[config.name]
        for number, path in paths.items():
            files = _fingerprint(path)
            known = versions.get(number)
            if known is None or (known.state == END and (not known.error or known.files != files)):
                with self._lock:
                    versions[number] = Version(config, number, path, files)
                self._changed(versions[number])

    def _bring(self, version: Version) -> None:
        self._set(version, LOADING)
        started = time.monotonic()
        try:
            model = self._load(version.path)
        except Exception as error:  # TensorFlow raises many kinds for a broken file
            version.error = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            self._set(version, END)
            return_freed_memory()
            _log.error("%s cannot be served: %s", version, version.error)
            return
        version.model = model
        return_freed_memory()
        self._set(version, AVAILABLE)
        _log.info("%s loaded in %.1f s: %s", version, time.monotonic() - started, version.path)

    def _let_go(self, versions: dict[int, Version], wanted: set[int], found: dict) -> None:
        replaced = any(versions[n].state == AVAILABLE for n in wanted if n in versions)
        for version in list(versions.values()):
            gone = version.number not in found
            if version.state == AVAILABLE and version.number not in wanted and (replaced or gone):
                threading.Thread(target=self._unload, args=[version], daemon=True).start()
        ended = sorted((v for v in versions.values() if v.state == END), key=lambda v: v.number)
        with self._lock:
            for version in ended[:-_ENDED_KEPT]:
                if version.number not in found:
                    del versions[version.number]

    def _unload(self, version: Version) -> None:
        with self._lock:
            if version.state != AVAILABLE:
                return
            version.state = UNLOADING
        self._changed(version)
        with self._lock:
            self._lock.wait_for(lambda: version.users == 0)
        version.model.close()
        version.model = None
        return_freed_memory()
        self._set(version, END)
        _log.info("%s unloaded", version)

    def _set(self, version: Version, state: int) -> None:
        with self._lock:
            version.state = state
        self._changed(version)


def _versions_in(folder: Path) -> dict[int, Path]:
    """Version -> its folder. One without a saved_model.pb is still being written."""
    if not folder.is_dir():
        return {}
    return {
        int(path.name): path
        for path in folder.iterdir()
        if path.name.isdecimal() and path.name.isascii() and (path / "saved_model.pb").is_file()
    }


def _fingerprint(folder: Path) -> tuple:
    found = []
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):  # deleted in the meantime
            status = path.stat()
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(found)
