"""The maps of many photos: which are still to do, one by one or several at a time, and counted.

A photo is done when its NAME.json is there, which is written last; so a run that ends anywhere is
continued by the next, and no map is made twice.
"""

import contextlib
import errno
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tqdm import tqdm

from data_gen.exit_codes import OK, SKIPPED
from data_gen.io.errors import DataFileError
from data_gen.io.formats import LeftOut
from data_gen.io.photos import decode_photo, read_photo
from data_gen.progress import progress
from dmenet_tf.prediction import summaries
from dmenet_tf.prediction.inputs import Photo
from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.prediction.predictor import resolved_side
from dmenet_tf.prediction.sharpness import sharp_below_px
from dmenet_tf.prediction.summaries import SUFFIXES, SUMMARY_SUFFIX, output_path

FEW = 10  # a log has no lines about the progress of fewer photos
REFUSED = "INVALID_ARGUMENT"  # the status with which a server refuses one photo, and only that


class Folder:
    """Writes maps into the folder OUT, and counts.

    Args:
        options: of `dmenet_tf.predict.build_parser`.
        estimator: a `dmenet_tf.prediction.estimator.Estimator`.
        reader: a `ReadAhead`, for one photo at a time.
        jobs: photos at a time, each read, mapped and written by a thread: for an estimator that
            threads may share and that mostly waits. At most as many photos are in memory.
    """

    def __init__(self, options, estimator, reader: "ReadAhead", jobs: int = 1):
        self.options, self.estimator, self.out = options, estimator, options.out
        self.reader, self.jobs = reader, jobs
        self.formats = list(dict.fromkeys(options.write or ["colour"]))
        from dmenet_tf.prediction.map_files import colour_range  # imports Matplotlib

        self.colours = colour_range(options.colour_range)
        self.max_pixels = int(options.max_pixels * 1e6)
        self.done, self.kept, self.failed = 0, 0, {}

    def write(self, photos: list[Photo], left_out: LeftOut | None = None) -> int:
        """Writes the maps that are not there yet; returns the exit code.

        left_out: files that a search did not take for photos; said at the end.
        """
        model = self.estimator.metadata
        todo = [p for p in photos if self.options.overwrite or not self._is_done(p, model)]
        self.kept = len(photos) - len(todo)
        try:
            with (
                progress(
                    total=len(photos), initial=self.kept, unit="photo", least=FEW, leave=False
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
        if left_out:
            print(left_out, file=sys.stderr)
        return SKIPPED if self.failed or left_out else OK

    def _written(self, todo: list[Photo], bar) -> Iterator[tuple[Photo, Exception | None]]:
        """(photo, None or the reason why it was skipped) as they are done."""
        if self.jobs > 1:
            yield from self._in_parallel(todo)
            return
        for photo, image in self.reader.each(todo):
            bar.set_postfix_str(photo.name.name, refresh=True)
            self.estimator.predictor.progress = tiles_of(photo)
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
                self.estimator.close()  # calls under way end; files being written are finished
                raise

    def _finish(self, photo: Photo, image) -> Exception | None:
        """Writes a photo's files; returns the error for which it is skipped, or None."""
        if isinstance(image, Exception):
            return image
        try:
            self._write_photo(photo, image)
        except ConnectionError as error:
            if getattr(error, "code", None) != REFUSED:
                raise
            return DataFileError(f"{photo}: the server refused it ({error})")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return DataFileError(too_long(photo))
        return None

    def _made_with(self, photo: Photo, model: Metadata) -> dict:
        """All that a photo's files depend on, besides the photo's bytes."""
        made_with = {
            "model": model.model,
            "version": model.version,
            "max_side": resolved_side(self.options.max_side, model),
            "sharp_below": self.options.sharp_below,
            "colour_range": self.options.colour_range,
            **self.estimator.predictor.backend.settings,
        }
        if photo.path is not None:
            status = photo.path.stat()
            made_with |= {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        return made_with

    def _is_done(self, photo: Photo, model: Metadata) -> bool:
        """Whether all that is asked for is there, made from this photo in the same way."""
        values = summaries.read_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX))
        return (
            photo.path is not None  # what comes through a pipe is new each time
            and values is not None
            and values.get("made_with") == self._made_with(photo, model)
            and set(self.formats) <= set(summaries.forms_present(self.out, photo.name))
        )

    def _write_photo(self, photo: Photo, image) -> None:
        made_with = self._made_with(photo, self.estimator.metadata)  # before it might change
        started = time.monotonic()
        result = self.estimator(image, max_side=self.options.max_side)
        seconds = time.monotonic() - started
        model = result.metadata
        made_with |= {"model": model.model, "version": model.version, "max_side": model.max_side}
        # Formats that are there from another model or photo would contradict the new summary.
        present = summaries.forms_present(self.out, photo.name)
        for format in dict.fromkeys([*self.formats, *present]):
            path = output_path(self.out, photo.name, SUFFIXES[format])
            result.save(path, format, colours=self.colours)
        limit_px = sharp_below_px(result.prediction.scale, self.options.sharp_below)
        figures = result.figures(limit_px)
        values = summaries.summary(photo, image.shape[:2], figures, seconds, model, made_with)
        summaries.write_summary(output_path(self.out, photo.name, SUMMARY_SUFFIX), values)


def tiles_of(photo: Photo) -> Callable:
    """What shows the progress within a large photo."""
    return functools.partial(progress, desc=photo.name.name, unit="tile", leave=False)


def too_long(photo: Photo) -> str:
    return f"{photo}: its outputs' names, with their folders, are too long for the file system"


def read(photo: Photo, max_pixels: int):
    """A photo's image, or the `DataFileError` that says why there is none."""
    try:
        if photo.path is None:
            return decode_photo(sys.stdin.buffer.read(), photo, max_pixels, note)
        return read_photo(photo.path, max_pixels, note)
    except DataFileError as error:
        return error
    except MemoryError:
        return DataFileError(f"{photo}: a photo must fit into memory; there is too little")


def note(line: str) -> None:
    """Says something about a photo that is read all the same, beside the progress bar."""
    text = line.encode(errors="replace").decode()  # a file's name may hold bytes that are no text
    tqdm.write(f"note: {text}", file=sys.stderr)


class ReadAhead:
    """Reads photos in a thread of its own, each while the one before is in use.

    A context manager: leaving it waits for a photo that is being read.
    """

    def __init__(self, max_pixels: int):
        self._max_pixels = max_pixels
        self._reader = ThreadPoolExecutor(1)
        self._under_way: dict[Photo, Future] = {}

    def start(self, photos: Iterable[Photo]) -> None:
        """Begins to read those that are not being read yet."""
        for photo in photos:
            if photo not in self._under_way:
                self._under_way[photo] = self._reader.submit(read, photo, self._max_pixels)

    def each(self, photos: list[Photo]) -> Iterator[tuple[Photo, object]]:
        """(photo, its image or the error), in order."""
        for index, photo in enumerate(photos):
            self.start([photo])
            image = self._under_way.pop(photo).result()
            self.start(photos[index + 1 : index + 2])
            yield photo, image

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._reader.shutdown(cancel_futures=True)
