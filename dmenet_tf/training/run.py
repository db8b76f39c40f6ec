"""A run: its folder, what is built for it, and the loop until it is trained."""

from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf
from filelock import FileLock, Timeout

from dmenet_tf import config_file as configuration
from dmenet_tf.config import Config
from dmenet_tf.data import streams as datasets
from dmenet_tf.networks import balance_features
from dmenet_tf.training.cached_features import CachedFeatures, split
from dmenet_tf.training.loop import Loop
from dmenet_tf.training.monitoring import Monitor
from dmenet_tf.training.trainer import Networks, Trainer, build_networks
from dmenet_tf.training.validation import Validation
from dmenet_tf.weights.checkpoints import LATEST, Checkpoints
from dmenet_tf.weights.load import start_from
from dmenet_tf.weights.shipped import NAME as SHIPPED_NAME
from dmenet_tf.weights.shipped import shipped_weights

# Enough crops for the strength of a channel, few enough for the features to fit into memory.
BALANCED_BATCHES, BALANCED_IMAGES = 8, 32
LOCK_FILE = ".lock"


def train(run: Path, config: Config, resume: bool = False) -> dict[str, float]:
    """Trains to `config.training.steps` and returns the last validation's figures.

    Writes `run`: config.json, checkpoints/, best/, losses.jsonl, validation.jsonl, TensorBoard
    events and maps.png. Raises before any work for a folder that holds another run or is in use,
    bad options or bad data; NonFiniteLossError when a loss becomes NaN; KeyboardInterrupt, after
    saving, when interrupted.
    """
    _prepare_folder(run, config, resume)
    lock = FileLock(run / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"a run is trained by one process at a time; {run} is in use by another"
        ) from None
    with lock:
        return _train(run, config, resume)


def _train(run: Path, config: Config, resume: bool) -> dict[str, float]:
    training = config.training
    _set_up_keras(training)
    # A run that was interrupted before its first checkpoint begins anew.
    resume = resume and tf.train.latest_checkpoint(str(run / LATEST)) is not None
    config, networks = _build_networks(config, resume)
    streams = datasets.open_streams(config.data, training.seed)
    if training.best_by == "photos" and streams.labelled_held_out is None:
        raise ValueError("training.best_by 'photos' needs data.labelled_validation; received none")
    if config.network.balance_features and not (resume or config.network.weights):
        first = datasets.training_batches(streams, config.data, training.seed)
        _balance_features(networks.blur_estimation, first)
    steps_per_epoch = max(1, len(streams.synthetic.source) // config.data.batch)
    statistics = config.network.statistics
    trainer = Trainer(networks, config.loss, training, steps_per_epoch, statistics)
    checkpoints = Checkpoints(run, trainer, training.keep)
    start = checkpoints.restore() if resume else 0
    configuration.save(config, run / configuration.FILE)
    if start >= training.steps:
        print(f"{run} is at step {start} of {training.steps}: nothing left to train")
        return {}
    images, defocus = datasets.validation_set(streams, config.data, training.seed)
    encoding = config.network.label_encoding
    held_out = images, datasets.to_label(defocus, encoding)
    side = config.network.recommended_side
    validation = Validation(*held_out, streams.labelled_held_out, side)
    batches = datasets.training_batches(streams, config.data, training.seed, start)
    if training.cached_crops:
        batches = _cached_batches(networks.blur_estimation, streams, config, start)
    batches = batches.map(
        lambda batch: batch | {"defocus": datasets.to_label(batch["defocus"], encoding)}
    )
    with Monitor(run, training.steps, start) as monitor:
        monitor.log_config((run / configuration.FILE).read_text(encoding="utf-8"))
        loop = Loop(run, config, trainer, checkpoints, monitor, validation)
        return loop.run(batches, start)


def _build_networks(config: Config, resume: bool) -> tuple[Config, Networks]:
    """The networks, from `config.network.weights` if so asked, and whose unit B's map is in."""
    network = config.network
    if resume:  # the checkpoint holds all weights, VGG19's and those it once started from
        return config, build_networks(replace(network, vgg_weights="none"))
    # VGG19's weights are not asked for where all of them would be replaced.
    replaced = network.weights and "C" not in network.parts
    networks = build_networks(replace(network, vgg_weights="none") if replaced else network)
    if network.weights:
        given = shipped_weights() if network.weights == SHIPPED_NAME else network.weights
        encoding = start_from(given, networks)
        config = replace(config, network=replace(network, label_encoding=encoding))
    return config, networks


def _cached_batches(model, streams, config: Config, start: int):
    """Batches of windows of features that the frozen encoder computes here once."""
    data, training = config.data, config.training
    print(f"features of {training.cached_crops} crops of each domain are computed once", flush=True)
    cache = CachedFeatures(
        split(model)[0],
        datasets.training_batches(streams, data, training.seed),
        training.cached_crops,
    )
    return cache.batches(training.windows, data.batch, training.seed, start, training.steps)


def _balance_features(model, batches) -> None:
    """Balances B's features by the first crops of both domains."""
    first = [tf.concat([b["synthetic"], b["labelled"]], 0) for b in batches.take(BALANCED_BATCHES)]
    balance_features(model, tf.concat(first, axis=0)[:BALANCED_IMAGES])


def _prepare_folder(run: Path, config: Config, resume: bool) -> None:
    saved = run / configuration.FILE
    if not resume:
        if saved.exists():
            raise FileExistsError(
                f"a new run needs a new folder; {run} holds a run: add --resume to continue it"
            )
        run.mkdir(parents=True, exist_ok=True)
        return
    before = configuration.load(saved)
    if (before.network, before.loss) != (config.network, config.loss):
        raise ValueError(
            "a resumed run keeps its networks and losses; received other options than those in "
            f"{saved}"
        )


def _set_up_keras(training) -> None:
    keras.utils.set_random_seed(training.seed)
    keras.mixed_precision.set_global_policy(training.precision)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()
