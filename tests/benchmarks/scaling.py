"""The training step on one replica, on two devices of a machine, and on two processes.

    python -m tests.benchmarks.scaling
    python -m tests.benchmarks.scaling --width 0.25 --side 96 --batch 4 --steps 10

Devices are the GPUs of this machine; without them, two logical CPUs, which share the cores that one
has for itself. So do two processes of one machine, over loopback: without GPUs, these figures show
what the exchange costs, and no speed-up. The last line is one JSON object:

    device, width, side, batch    `batch`: images of each domain in a step of all replicas
    one, devices, workers         of one replica, of two in one process, of two processes:
        replicas                  of all processes
        step_s, images_per_s      median of the steps; images of all domains a second
        exchanged_bytes           what a replica gives into the all-reduces of one step
        exchanges                 how many of them there are
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported, as commands do

import tensorflow as tf

from dmenet_tf.training.distribution import Group, this_worker
from tests.benchmarks.steps import (
    build,
    configuration,
    device_name,
    has_gpu,
    random_batch,
    seconds,
    wait_for,
)

KINDS = {"one": "none", "devices": "mirrored", "workers": "multi-worker"}


def main():
    options = parse()
    if options.of:
        print(json.dumps(measured(options)))
        return
    figures = {name: getattr(options, name) for name in ("width", "side", "batch")}
    for kind in KINDS:
        figures[kind] = in_processes(kind, options)
    print(json.dumps({"device": device_name(), **figures}))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--width", type=float, default=0.125)
    add("--side", type=int, default=64, help="of a crop, pixels")
    add("--batch", type=int, default=4, help="images of each domain, of all replicas")
    add("--steps", type=int, default=8, help="that are timed")
    add("--of", choices=KINDS, help=argparse.SUPPRESS)
    return parser.parse_args()


def in_processes(kind: str, options) -> dict:
    """`measured` in as many processes as the kind has workers; the first one's figures."""
    words = [f"--{name}={getattr(options, name)}" for name in ("width", "side", "batch", "steps")]
    command = [sys.executable, "-m", "tests.benchmarks.scaling", *words, "--of", kind]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 if kind == "workers" else 1)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    started = []
    for index in range(len(addresses)):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment = os.environ | {"TF_CONFIG": cluster}
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit(f"{kind}: a process failed")
    return json.loads(printed[0].splitlines()[-1])


def measured(options) -> dict:
    kind = KINDS[options.of]
    if kind == "mirrored" and not has_gpu():
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
    group = Group.of(kind, this_worker(kind), options.batch)
    config = configuration(options.width, options.side, options.batch)
    with group.strategy.scope():
        trainer = build(config)
    batch, here = random_batch(config), 1
    if group.share is not None:
        here = group.share.here
        # Which of the random images it is does not matter.
        count = group.share.of(options.batch)
        batch = group.share.divided({name: value[:count] for name, value in batch.items()})
    times = [seconds(lambda: wait_for(trainer.train_step(batch))) for _ in range(options.steps + 1)]
    step_s = statistics.median(times[1:])  # the first one traces
    exchanged = [size // here for size in exchanges(trainer.train_step, batch)]
    group.wait()
    return {
        "replicas": group.strategy.num_replicas_in_sync,
        "step_s": round(step_s, 4),
        "images_per_s": round(3 * options.batch / step_s, 2),
        "exchanged_bytes": sum(exchanged),
        "exchanges": len(exchanged) // here,
    }


def exchanges(function, *arguments) -> list[int]:
    """Bytes of each all-reduce of one call, those of all replicas of this process."""
    graph = function.get_concrete_function(*arguments).graph
    return [
        operation.inputs[0].shape.num_elements() * operation.inputs[0].dtype.size
        for operation in graph.get_operations()
        if operation.type.startswith("CollectiveReduce")
    ]


if __name__ == "__main__":
    main()
