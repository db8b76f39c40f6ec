"""The maps of many photos: which are still to do, one by one or several at a time, and counted.

A photo is done when its NAME.json stands, which is written last; so a run that ends anywhere is
continued by the next, and each file is there once.
"""

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from tqdm import tqdm

from data_gen.io.images import DataFileError
from data_gen.io.photos import decode_photo, read_photo
from dmenet_tf.prediction import summaries
from dmenet_tf.prediction.inputs import Photo
from dmenet_tf.prediction.map_files import write_map
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import resolved_side
from dmenet_tf.prediction.sharpness import sharp_below_px
from dmenet_tf.prediction.summaries import SUFFIXES, SUMMARY_SUFFIX, output_path

EXIT_UNREADABLE = 3
REFUSED = "INVALID_ARGUMENT"  # the status by which a server refuses one photo, and only that


class Folder:
    """Writes maps into the folder OUT, and counts.

    Args:
        options: of `dmenet_tf.predict.build_parser`.
        predictor: a `dmenet_tf.prediction.predictor.Predictor`.
        jobs: photos at a time, each read, predicted and written by a thread: for a predictor that
            threads may share and that mostly waits. As many photos are in memory, never more.
        differs: what else the files depend on, {name: value}.
    """

    def __init__(self, options, predictor, jobs: int = 1, differs: dict | None = None):
        self.options, self.predictor, self.out = options, predictor, options.out
        self.jobs, self.differs = jobs, differs or {}
        self.forms = list(dict.fromkeys(options.write or ["colour"]))
        self.max_pixels = int(options.max_pixels * 1e6)
        self.done, self.kept, self.failed = 0, 0, {}

    def write(self, photos: list[Photo]) -> int:
        """Writes what does not stand yet; returns the exit code."""
        model = self.predictor.metadata
        todo = [p for p in photos if self.options.overwrite or not self._stands(p, model)]
        self.kept = len(photos) - len(todo)
        try:
            with (
                tqdm(
                    total=len(photos), initial=self.kept, unit="photo", disable=None, leave=False
                ) as bar,
                contextlib.closing(self._written(todo, bar)) as written,
            ):
                for photo, error in written:
                    if error is None:
                        self.done += 1
                    else:
                        self.failed[str(photo)] = str(error)
                        tqdm.write(f"skipped {error}", file=sys.stderr)
                    bar.update()
        finally:
            if self.done or self.kept or self.failed:
                summaries.write_tables(self.out, self.failed)
        counts = [f"{self.done} written"]
        counts += [f"{self.kept} already there"] if self.kept else []
        counts += [f"{len(self.failed)} unreadable"] if self.failed else []
        print(
            f"{len(photos)} photo{'s' * (len(photos) != 1)}: {', '.join(counts)}; "
            f"maps in {self.out}, figures in {self.out / summaries.TABLE_CSV}"
        )
        return EXIT_UNREADABLE if self.failed else 0

    def _written(self, todo: list[Photo], bar) -> Iterator[tuple[Photo, Exception | None]]:
        """(photo, None or why it was skipped) as they are done."""
        if self.jobs > 1:
            yield from self._in_parallel(todo)
            return
        for photo, image in read_ahead(todo, self.max_pixels):
            bar.set_postfix_str(photo.name.name, refresh=True)
            yield photo, self._finish(photo, image)

    def _in_parallel(self, todo: list[Photo]) -> Iterator[tuple[Photo, Exception | None]]:
        def job(photo):
            return photo, self._finish(photo, read(photo, self.max_pixels))

        waiting, under_way = iter(todo), set()
        with ThreadPoolExecutor(self.jobs) as threads:
            try:
                while True:
                    room = self.jobs - len(under_way)
                    under_way |= {threads.submit(job, p) for p in itertools.islice(waiting, room)}
                    if not under_way:
                        return
                    # With a timeout, Ctrl-C is heard on every platform.
                    done, under_way = wait(under_way, timeout=1, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            except BaseException:
                self.predictor.close()  # calls under way end; files being written are finished
                raise

    def _finish(self, photo: Photo, image) -> Exception | None:
        """Writes a photo's files; returns why it was skipped, where it was."""
        if isinstance(image, Exception):
            return image
        try:
            self._write_photo(photo, image)
        except ConnectionError as error:
            if getattr(error, "code", None) != REFUSED:
                raise
            return DataFileError(f"{photo}: the server refuses it ({error})")
        return None

    def _made_with(self, photo: Photo, model: Metadata) -> dict:
        """All that a photo's files depend on, besides the photo's bytes."""
        made_with = {
            "model": model.model,
            "version": model.version,
            "max_side": resolved_side(self.options.max_side, model),
            "sharp_below": self.options.sharp_below,
            **self.differs,
        }
        if photo.path is not None:
            status = photo.path.stat()
            made_with |= {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        return made_with

    def _stands(self, photo: Photo, model: Metadata) -> bool:
        """Whether all that is asked for is there, made from this photo in the same way."""
        values = summaries.read_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX))
        return (
            photo.path is not None  # what comes through a pipe is new each time
            and values is not None
            and values.get("made_with") == self._made_with(photo, model)
            and set(self.forms) <= set(summaries.forms_present(self.out, photo.name))
        )

    def _write_photo(self, photo: Photo, image) -> None:
        made_from = self._made_with(photo, self.predictor.metadata)  # before it might change
        started = time.monotonic()
        made = self.predictor.predict(image, max_side=self.options.max_side)
        seconds = time.monotonic() - started
        sigma_px, metadata = made.sigma_px, made.metadata
        made_with = made_from | {
            "model": metadata.model, "version": metadata.version, "max_side": metadata.max_side,
        }  # fmt: skip
        # Forms that stand there from another model or photo would contradict the new summary.
        present = summaries.forms_present(self.out, photo.name)
        for form in dict.fromkeys([*self.forms, *present]):
            path = output_path(self.out, photo.name, SUFFIXES[form])
            write_map(path, form, sigma_px, metadata, image)
        limit_px = sharp_below_px(made.scale, self.options.sharp_below)
        figures = summaries.measure(sigma_px, limit_px)
        shape = image.shape[:2]
        values = summaries.summary(photo, shape, figures, seconds, metadata, made_with)
        summaries.write_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX), values)


def read(photo: Photo, max_pixels: int):
    """A photo's image, or the `DataFileError` that says why it has none."""
    try:
        if photo.path is None:
            return decode_photo(sys.stdin.buffer.read(), photo, max_pixels)
        return read_photo(photo.path, max_pixels)
    except DataFileError as error:
        return error
    except MemoryError:
        return DataFileError(f"{photo}: a photo must fit into memory; there is not enough")


def read_ahead(photos: list[Photo], max_pixels: int) -> Iterator[tuple[Photo, object]]:
    """(photo, its image or the error), each read by a thread while the one before is in use."""
    with ThreadPoolExecutor(1) as reader:
        following = [reader.submit(read, photo, max_pixels) for photo in photos[:1]]
        for index, photo in enumerate(photos):
            image = following.pop().result()
            following += [
                reader.submit(read, later, max_pixels) for later in photos[index + 1 : index + 2]
            ]
            yield photo, image
