"""Writes a SYNDOF dataset to disk: example(seed, index) for index 0 .. count - 1.

    OUT/parameters.json    what the dataset is made of, written first
    OUT/...                shards or folders (`records.py`), each file complete when it appears
    OUT/dataset.json       written last: the dataset is complete

An interrupted job continues where it stopped when it is started again with the same parameters.
"""

import functools
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data_gen import optics, pipeline, records
from data_gen.imagefiles import DataFileError, write_atomic

PARAMETERS = "parameters.json"


@dataclass(frozen=True)
class DatasetParameters:
    """What decides the bytes of a dataset."""

    count: int
    seed: int = 0
    crop: int = 0
    """Side of a random square in pixels; 0: the whole scene."""
    sampler: Literal["paper", "generator"] = "paper"
    layout: Literal["records", "folders"] = "records"
    encoding: Literal["paper", "generator", "released"] = "paper"
    """Encoding of the maps on disk."""
    shard_size: int = 64
    """Examples a shard; of layout `records` only."""

    def __post_init__(self):
        for name, least in (("count", 1), ("seed", 0), ("crop", 0), ("shard_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; received {getattr(self, name)}")


def write_dataset(source, origin: str, out: Path, parameters: DatasetParameters, progress=iter):
    """Writes the dataset, or what is missing of it.

    Args:
        source: RGB-D scenes (`sources.py`, or `pipeline.ProceduralScenes`).
        origin: where they come from, for the manifest.
        out: the dataset's folder.
        progress: wraps the list of jobs left, as tqdm does.
    Raises:
        DataFileError: `out` holds a dataset of other parameters.
    """
    out.mkdir(parents=True, exist_ok=True)
    about = {"source": origin, "scenes": len(source), **asdict(parameters)}
    _claim(out, about)
    jobs = (_shard_jobs if parameters.layout == "records" else _pair_jobs)(out, parameters)
    fitted = pipeline.Fitted(source, parameters.crop or 1, cache=16)
    left = [index for _, indices in jobs for index in indices]
    generated = _generated(fitted, parameters, left)
    for write, indices in progress(jobs):
        write(itertools.islice(generated, len(indices)))
    records.write_manifest(out, about.pop("encoding"), about.pop("count"), **about)


def _claim(out: Path, about: dict) -> None:
    path = out / PARAMETERS
    if not path.exists():
        text = json.dumps(about, indent=2) + "\n"
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [key for key, value in about.items() if before.get(key) != value]
    if changed:
        received = ", ".join(f"{k} {about[k]!r} instead of {before.get(k)!r}" for k in changed)
        raise DataFileError(
            f"{path}: a dataset is continued with the parameters it was begun with; "
            f"received {received}"
        )


def _shard_jobs(out: Path, parameters: DatasetParameters) -> list:
    """(function that writes one file's examples, their indices) for each shard that is missing."""
    size, count = parameters.shard_size, parameters.count
    shards = -(-count // size)
    jobs = []
    for shard in range(shards):
        path = out / records.shard_name(shard, shards)
        if not path.exists():
            write = functools.partial(records.write_shard, path, encoding=parameters.encoding)
            jobs.append((write, range(shard * size, min((shard + 1) * size, count))))
    return jobs


def _pair_jobs(out: Path, parameters: DatasetParameters) -> list:
    """The same for each pair of image and map that is missing."""

    def write(examples):
        for example in examples:
            sigma_px = optics.defocus_to_sigma(example["defocus"])
            name = f"{example['index']:06d}"
            records.write_folder_example(out, name, example["image"], sigma_px, parameters.encoding)

    # The image is the pair's last file, so where it stands the pair is complete.
    left = [i for i in range(parameters.count) if not (out / "image" / f"{i:06d}.png").exists()]
    return [(write, [i]) for i in left]


def _generated(source, parameters: DatasetParameters, indices):
    """The examples of `indices` as dicts of `records.py`."""
    if not indices:
        return
    dataset = pipeline.examples(
        parameters.seed, indices, source, parameters.crop, parameters.sampler
    )
    for index, drawn in zip(indices, dataset.as_numpy_iterator(), strict=True):
        yield {
            "image": np.rint(drawn["image"] * 255).astype(np.uint8),
            "defocus": drawn["defocus"][..., 0],
            "name": source.name(int(drawn["scene"])),
            "seed": parameters.seed,
            "index": index,
            "focus_distance": drawn["focus_distance"],
            "alpha_px": drawn["alpha_px"],
        }
