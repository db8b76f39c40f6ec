"""Training crops rendered on the fly by one core, two, and so on: one line of JSON.

    python -m tests.benchmarks.render_cores [--crops 40]

    render_crops_per_s   {cores: crops of 240 px a second}, each in a process that is bound to so
                         many cores; those of the machine and the powers of two below
    crops_per_cpu_s      {cores: crops a second of processor time}: equal numbers mean that nothing
                         is lost by rendering several at a time
    threads_at_work      {cores: threads, on average, that run or wait for a core}: as many as
                         cores, or more, mean that no thread waits for another one

Seconds need quiet cores. The other two hardly depend on what else runs on the machine (Linux).
"""

import argparse
import json
import os
import subprocess
import sys
import time

from tests.support.cores import on_cores

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CROP, SCENES, SCENE_PX = 240, 8, 300
FIGURES = ("render_crops_per_s", "crops_per_cpu_s", "threads_at_work")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=40)
    parser.add_argument("--one-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_process:
        print(json.dumps(rendered(options.crops)))
    else:
        print(json.dumps(by_cores(options.crops)))


def by_cores(crops: int) -> dict:
    """Each figure by the number of cores."""
    own = sorted(os.sched_getaffinity(0))
    counts = [2**i for i in range(len(own).bit_length()) if 2**i < len(own)] + [len(own)]
    figures = {name: {} for name in FIGURES}
    command = [sys.executable, "-m", "tests.benchmarks.render_cores", "--one-process"]
    for count in counts:
        # TensorFlow's pools have as many threads as the process has cores.
        with on_cores(own[:count]):
            done = subprocess.run(
                [*command, "--crops", str(crops)], check=True, capture_output=True, text=True
            )
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            figures[name][count] = round(value, 2)
    return figures


def rendered(crops: int) -> dict:
    """The figures of this process, on the cores that it may use."""
    import tensorflow as tf

    from data_gen import pipeline

    scenes = pipeline.ProceduralScenes(0, SCENES, SCENE_PX, SCENE_PX)
    # All of them stay in memory: neither files nor the making of scenes is measured.
    source = pipeline.fitted(scenes, CROP, SCENES)
    examples = iter(pipeline.examples(0, tf.data.Dataset.range(crops + SCENES), source, CROP))
    for _ in range(SCENES):
        next(examples)
    before, start = _scheduled(), time.perf_counter()
    for _ in range(crops):
        next(examples)
    seconds, after = time.perf_counter() - start, _scheduled()
    ran, waited = (now - then for now, then in zip(after, before, strict=True))
    return dict(zip(FIGURES, (crops / seconds, crops / ran, (ran + waited) / seconds), strict=True))


def _scheduled() -> tuple[float, float]:
    """Seconds that the threads alive ran, and that they were ready and had no core."""
    ran = waited = 0
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
            numbers = [int(number) for number in file.read().split()]
        ran, waited = ran + numbers[0], waited + numbers[1]
    return ran / 1e9, waited / 1e9


if __name__ == "__main__":
    main()
