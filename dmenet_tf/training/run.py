"""A run: its folder, what is built for it, and the loop until it is trained."""

import contextlib
import functools
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from data_gen.io.locks import FolderLock
from data_gen.progress import progress as progress_bar
from dmenet_tf import config_file as configuration
from dmenet_tf.config import Config
from dmenet_tf.data import sources
from dmenet_tf.data import streams as datasets
from dmenet_tf.data.iteration import Elements
from dmenet_tf.data.on_device import DRAWN, OnDevice
from dmenet_tf.networks import balance_features
from dmenet_tf.networks.blur_estimation import keep_strength, parts
from dmenet_tf.training import precision
from dmenet_tf.training.cached_features import CachedFeatures
from dmenet_tf.training.distribution import Group, Worker, this_worker
from dmenet_tf.training.failures import explained
from dmenet_tf.training.follower import Follower
from dmenet_tf.training.loop import Loop
from dmenet_tf.training.monitoring import Monitor
from dmenet_tf.training.trainer import Networks, Trainer, build_networks
from dmenet_tf.training.validation import Validation
from dmenet_tf.weights.checkpoints import LATEST, Checkpoints
from dmenet_tf.weights.load import start_from
from dmenet_tf.weights.shipped import named

# Enough crops for the strength of a channel, few enough for the features to fit into memory.
BALANCED_BATCHES, BALANCED_IMAGES = 8, 32


class Trained(NamedTuple):
    """The last validation's figures, and what was wrong with each photo that was skipped."""

    figures: dict[str, float]
    skipped: tuple[str, ...] = ()


def train(run: Path, config: Config, resume: bool = False) -> Trained:
    """Trains to `config.training.steps`.

    Writes `run`: config.json, checkpoints/, best/, losses.jsonl, validation.jsonl, TensorBoard
    events, maps.png and, where photos could not be read, skipped.txt. Raises before any work for a
    folder that holds another run or is in use, bad options or bad data; NonFiniteLossError when a
    loss becomes NaN; after saving, StoppedError for an error of a file, the disk or TensorFlow and
    KeyboardInterrupt when interrupted.
    """
    worker = this_worker(config.training.strategy)
    if resume:  # where there is no run, the lock shall not make a folder
        _check_folder(run, config, resume)
    if not worker.is_chief:  # the chief alone writes
        return _train(run, config, resume, worker)
    with _no_empty_folder(run), FolderLock(run):
        _check_folder(run, config, resume)
        return _train(run, config, resume, worker)


def _train(run: Path, config: Config, resume: bool, worker: Worker) -> Trained:
    # What `auto` stood for is saved with the run: resumed elsewhere, it goes on as it began.
    training = replace(config.training, precision=precision.resolve(config.training.precision))
    config = replace(config, training=training)
    _set_up_keras(training)
    with explained():  # of a worker that others wait for
        return _train_together(run, config, resume, worker)


def _train_together(run: Path, config: Config, resume: bool, worker: Worker) -> Trained:
    training = config.training
    group = Group.of(training.strategy, worker, config.data.batch)
    # A run that was interrupted before its first checkpoint begins anew.
    resume = resume and tf.train.latest_checkpoint(str(run / LATEST)) is not None
    with group.strategy.scope():
        config, networks = _build_networks(config, resume)
    progress = functools.partial(progress_bar, desc="checking files", least=100, leave=False)
    streams = sources.open_streams(config.data, training.seed, progress)
    with explained(streams):
        return _train_on(streams, run, config, networks, resume, group)


def _train_on(
    streams, run: Path, config: Config, networks: Networks, resume: bool, group: Group
) -> Trained:
    training = config.training
    if training.best_by == "photos" and streams.labelled_held_out is None:
        raise ValueError("training.best_by 'photos' needs data.labelled_validation; received none")
    if config.network.balance_features and not (resume or config.network.weights):
        first = datasets.training_batches(streams, config.data, training.seed, unlabelled=False)
        _balance_features(networks.blur_estimation, first)
    steps_per_epoch = max(1, len(streams.synthetic.source) // config.data.batch)
    statistics = config.network.statistics
    with group.strategy.scope():
        trainer = Trainer(networks, config.loss, training, steps_per_epoch, statistics)
    checkpoints = Checkpoints(run, trainer, training.keep)
    start = checkpoints.restore() if resume else 0
    group.begin_alike(f"{config} from step {start}", trainer)
    if group.worker.is_chief:
        configuration.save(config, run / configuration.FILE)
    if start >= training.steps:
        print(f"{run} is at step {start} of {training.steps}: nothing left to train")
        return Trained({})
    if trainer.time_limit is not None and trainer.time_limit.look():
        print(f"{run} has used its {training.minutes:g} min, at step {start}: nothing left")
        return Trained({})
    batches = _batches(trainer, streams, config, start, group.share)
    if not group.worker.is_chief:
        loop = Follower(run, config, streams, trainer, checkpoints, group)
        return Trained(loop.run(batches, start), tuple(loop.skipped))
    images, defocus = datasets.validation_set(streams, config.data, training.seed)
    held_out = images, datasets.to_label(defocus, config.network.label_encoding)
    side = config.network.recommended_side
    validation = Validation(*held_out, streams.labelled_held_out, side)
    with Monitor(run, training.steps, start, time_limit=trainer.time_limit) as monitor:
        monitor.log_config((run / configuration.FILE).read_text(encoding="utf-8"))
        monitor.log_settings(configuration.to_dict(config), validation.names)
        loop = Loop(run, config, streams, trainer, checkpoints, monitor, validation, group)
        figures = loop.run(batches, start)
    return Trained(figures, tuple(loop.skipped))


def _build_networks(config: Config, resume: bool) -> tuple[Config, Networks]:
    """The networks, from `config.network.weights` if so asked, and whose unit B's map is in."""
    network = config.network
    if resume:  # the checkpoint holds all weights, VGG19's and those it once started from
        return config, build_networks(replace(network, vgg_weights="none"))
    # VGG19's weights are not asked for where all of them would be replaced.
    replaced = network.weights and "C" not in network.parts
    networks = build_networks(replace(network, vgg_weights="none") if replaced else network)
    if network.weights:
        encoding = start_from(named(network.weights), networks)
        config = replace(config, network=replace(network, label_encoding=encoding))
    return config, networks


def _batches(trainer: Trainer, streams, config: Config, start: int, share) -> tf.data.Dataset:
    """The batches of this process from step `start` on, the labels in B's unit.

    With the data on the device, what the trainer makes them of.
    """
    seed, with_d = config.training.seed, "D" in config.network.parts

    def labelled(batch):
        encoding = config.network.label_encoding
        return batch | {"defocus": datasets.to_label(batch["defocus"], encoding)}

    if config.data.data_on == "device":
        device = OnDevice(streams, config.data, with_d, functools.partial(progress_bar, least=100))
        trainer.prepare = lambda drawn: labelled(device.batch(drawn)) if DRAWN in drawn else drawn
        return device.drawn(seed, start)
    if config.training.cached_crops:
        model = trainer.networks.blur_estimation
        batches = _cached_batches(model, streams, config, start)
    else:
        batches = datasets.training_batches(streams, config.data, seed, start, share, with_d)
    batches = batches.map(labelled)
    return batches if share is None else batches.map(lambda batch: share.divided(batch))


def _cached_batches(model, streams, config: Config, start: int):
    """Batches of windows of features that the frozen encoder computes here once."""
    data, training = config.data, config.training
    keep_strength(model)
    print(f"features of {training.cached_crops} crops of each domain are computed once", flush=True)
    cache = CachedFeatures(
        parts(model).encoder,
        datasets.training_batches(streams, data, training.seed, unlabelled=False),
        training.cached_crops,
    )
    return cache.batches(training.windows, data.batch, training.seed, start, training.steps)


def _balance_features(model, batches) -> None:
    """Balances B's features by the first crops of both domains."""
    with Elements(batches.take(BALANCED_BATCHES)) as elements:
        first = [tf.concat([batch["synthetic"], batch["labelled"]], 0) for batch in elements]
    balance_features(model, tf.concat(first, axis=0)[:BALANCED_IMAGES])


@contextlib.contextmanager
def _no_empty_folder(run: Path):
    """Removes, after the block, those of the folders missing before it that are empty."""
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty: it holds the run
            for folder in missing:
                folder.rmdir()


def _check_folder(run: Path, config: Config, resume: bool) -> None:
    saved = run / configuration.FILE
    if not resume:
        if saved.exists():
            raise FileExistsError(
                f"a new run needs a new folder; {run} holds a run: add --resume to continue it"
            )
        return
    if not saved.is_file():
        raise FileNotFoundError(f"a run to resume must hold {saved.name}; received {run}")
    before = configuration.load(saved)
    if (before.network, before.loss) != (config.network, config.loss):
        raise ValueError(
            "a resumed run keeps its networks and losses; received other options than those in "
            f"{saved}"
        )


def _set_up_keras(training) -> None:
    keras.utils.set_random_seed(training.seed)
    precision.set_up(training.precision)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
