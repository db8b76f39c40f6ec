"""An evaluation: every row of a table, a run or a baseline, on every sample of a protocol.

All samples are read once before anything is predicted, so that a damaged file stops the evaluation
at its start instead of silently shrinking the set. A network's output is kept in

    OUT/cache/IDENTITY_OF_WEIGHTS/HASH_OF_IMAGE.npy         float32 [H, W], the network's label
    OUT/cache/IDENTITY_OF_WEIGHTS-320px/HASH_OF_IMAGE.npy   of the photo reduced to 320 px, enlarged

and depends on nothing but these: an interrupted evaluation goes on where it stopped, and another
protocol, polarity or threshold on the same photos predicts nothing anew.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_gen.io.atomic import write_atomic
from data_gen.optics import ENCODINGS
from data_gen.progress import progress as bar
from dmenet_tf.data.masks import AGREEMENT_MIN, check_both_classes, sharp_has_more_detail
from dmenet_tf.evaluation.specification import Measured, Protocol, Summary
from dmenet_tf.prediction.predictor import resolved_side, scale_to

FULL_SIZE = "full size"

# Samples are kept in memory up to this; beyond it they are read again.
KEPT_BYTES = 1 << 30
PROBLEMS_SHOWN = 5
# Fewer photos than this may disagree with their masks' polarity by chance.
POLARITY_VOTES_MIN = 5


class Sample(NamedTuple):
    """image uint8 [H, W, 3] RGB; truth float32 [H, W] in the protocol's unit."""

    name: str
    image: np.ndarray
    truth: np.ndarray


class Samples:
    """The samples of a protocol, all read and checked once.

    `note`: what could not be checked, a sentence, or "". Raises ValueError listing the unreadable
    samples, for masks of one class only, or for a polarity that the photos contradict.
    """

    def __init__(self, source, protocol: Protocol, progress=True):
        if not len(source):
            raise ValueError("an evaluation needs at least one sample; received none")
        self._source, self._protocol, self._kept = source, protocol, {}
        self._free = KEPT_BYTES
        self.hashes, self.truth_means, votes, problems = [], [], [], []
        for index in _with_bar(range(len(source)), "reading", progress):
            try:
                sample = self[index]
            except (ValueError, OSError) as error:
                problems.append(str(error))
                continue
            self.hashes.append(hash_image(sample.image))
            self.truth_means.append(float(np.mean(sample.truth, dtype=np.float64)))
            if protocol.decide:  # the truth is binary
                votes.append(sharp_has_more_detail(sample.image, sample.truth))
        if problems:
            shown = "\n  ".join(problems[:PROBLEMS_SHOWN])
            more = "\n  ..." if len(problems) > PROBLEMS_SHOWN else ""
            raise ValueError(
                f"every sample must be readable; received {len(problems)} of "
                f"{len(source)} that are not:\n  {shown}{more}"
            )
        self.note = ""
        if protocol.decide:
            check_both_classes(source, self.truth_means)
            self.note = _check_polarity([vote for vote in votes if vote is not None])

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        if index in self._kept:
            return self._kept[index]
        image, truth = self._source.read(index)
        sample = Sample(self._source.name(index), image, self._protocol.truth(truth))
        size = sample.image.nbytes + sample.truth.nbytes
        if size <= self._free:
            self._free -= size
            self._kept[index] = sample
        return sample


def _check_polarity(votes: list[bool]) -> str:
    """Raises ValueError for inverted masks; a note where too few photos can tell, else ""."""
    if len(votes) < POLARITY_VOTES_MIN:
        return (
            f"the masks' polarity was not checked: that takes {POLARITY_VOTES_MIN} photos with a "
            f"blurred part and one in focus; received {len(votes)}, of which {sum(votes)} have "
            "more detail in the part that is called in focus"
        )
    share = np.mean(votes)
    if share <= 1 - AGREEMENT_MIN:
        raise ValueError(
            "the parts in focus must have more detail than the blurred ones; received "
            f"{share:.0%} of {len(votes)} photos where they do: the masks are inverted, use the "
            "other --polarity"
        )
    return ""


def hash_image(image: np.ndarray) -> str:
    """A hash of a picture's size and pixels."""
    digest = hashlib.blake2b(str(image.shape).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


class CachedPredictor:
    """The outputs of a `Predictor`, each computed once and kept in a folder."""

    def __init__(self, predictor, cache: Path, max_side: int | None = None):
        self._predictor, self._max_side = predictor, max_side
        self.encoding = predictor.encoding
        side = resolved_side(max_side, predictor.metadata)
        self._folder = Path(cache) / (predictor.trained.identity + (f"-{side}px" if side else ""))
        self._side = side
        self.size = f"{side} px" if side else FULL_SIZE
        """The longer side to which the network's photos are reduced, for the tables."""

    def scale(self, image) -> float:
        """By how much a photo is reduced before the network sees it; 1 = full size."""
        return scale_to(self._side, *image.shape[:2])

    def label(self, sample: Sample, image_hash: str) -> np.ndarray:
        """The network's label, float32 [H, W]; ValueError where it is not finite."""
        path = self._folder / f"{image_hash}.npy"
        if path.is_file():
            try:
                kept = np.load(path, allow_pickle=False)
            except (ValueError, EOFError, OSError):
                kept = None  # damaged: predicted anew
            if kept is not None and kept.shape == sample.truth.shape:
                return kept
        label = self._predict(sample.image)
        bad = np.count_nonzero(~np.isfinite(label))
        if bad:
            raise ValueError(
                f"a predicted map must be finite; received {bad} NaN or infinite pixels of "
                f"{label.size} on {sample.name} from {self._predictor.trained.origin}"
            )
        encoded = io.BytesIO()
        np.save(encoded, label)
        write_atomic(path, lambda temporary: temporary.write_bytes(encoded.getvalue()))
        return label

    def _predict(self, image) -> np.ndarray:
        made = self._predictor.predict(image, max_side=self._max_side)
        if made.scale == 1.0:
            return made.defocus
        # The network's own range: in pixels of the photo, all above 7 px would be one value.
        seen_px = made.sigma_px * np.float32(made.scale)
        return np.float32(ENCODINGS[self.encoding].sigma_to_label(seen_px))


@dataclass(frozen=True)
class Row:
    """One line of the tables. `map_of(index)` gives its map of a sample, in the protocol's unit."""

    title: str
    kind: str
    """`run`, `baseline`, or `oracle` for a row that uses the truth."""
    size: str
    """At which size the photos were seen: `full size`, or the longer side they were reduced to."""
    map_of: Callable[[int], np.ndarray]
    measured: Sequence[Measured]
    summary: Summary


def run_row(
    title: str,
    predictor,
    samples: Samples,
    protocol: Protocol,
    cache: Path,
    max_side: int | None = None,
    progress=True,
) -> Row:
    """A trained model's row; predictions come from `cache` where they are there.

    predictor: a `dmenet_tf.prediction.local.Predictor`; max_side: of its calls.
    """
    cached = CachedPredictor(predictor, cache, max_side)

    def map_of(index):
        sample = samples[index]
        label = cached.label(sample, samples.hashes[index])
        return protocol.map(label, cached.encoding, cached.scale(sample.image))

    return measured_row(title, "run", cached.size, map_of, samples, protocol, progress)


def baseline_rows(samples: Samples, protocol: Protocol, progress=True) -> list[Row]:
    """The rows that need no training, and those that use the truth, if the protocol has any."""
    kinds = {"baseline": protocol.baselines}
    if protocol.oracle:
        kinds["oracle"] = protocol.oracle(samples.truth_means)
    return [
        measured_row(
            title,
            kind,
            FULL_SIZE,
            lambda index, predict=predict: predict(samples[index].image),
            samples,
            protocol,
            progress,
        )
        for kind, methods in kinds.items()
        for title, predict in methods.items()
    ]


def measured_row(title, kind, size, map_of, samples, protocol, progress=True) -> Row:
    """The row of any function from a sample's index to its map."""
    measured = [
        protocol.measure(map_of(index), samples[index].truth)
        for index in _with_bar(range(len(samples)), title, progress)
    ]
    return Row(title, kind, size, map_of, measured, protocol.summarise(measured))


def _with_bar(items, title: str, wanted: bool):
    return bar(items, desc=title, unit="image") if wanted else items
