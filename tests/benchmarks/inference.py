"""The folded network against the Keras model's own graph and against OpenVINO, in one run.

    python -m tests.benchmarks.inference [--size 512] [--threads 2] [--seconds 75]

Each round runs all of them once, one after the other, on the same picture and weights; a speed-up
is the median over rounds of (the other's time / the folded network's time), above 1 is faster. So
other work on the machine slows all sides alike. All TensorFlow graphs run with oneDNN's kernels
(`TF_ENABLE_ONEDNN_OPTS=1`), OpenVINO with the same number of threads, for latency, in float32.

`gflops`: the multiply-adds (two operations each) of the published graph's convolutions on the way
to the map, without auxiliary heads, over the folded network's median time at width 1.0, whatever
fewer it really does; `matmul_gflops`: the rate of a 2048 x 2048 matrix product beside it.
`first_map_s`: in a new process, from after `import tensorflow` to the first map, weights read from
a checkpoint. Without OpenVINO its keys are null. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # before TensorFlow is imported

import tensorflow as tf

try:
    import openvino
except ImportError:
    openvino = None

import keras
import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from data_gen.installation import install_command
from dmenet_tf.networks import build_blur_estimation
from dmenet_tf.networks.folding import fold
from tests.support.paths import ROOT

MIN_ROUNDS = 3
IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32)
FIRST_MAP = """
import json, sys, time
import tensorflow as tf
start = last = time.perf_counter()
parts = {}
def done(part):
    global last
    now = time.perf_counter()
    parts[part], last = round(now - last, 2), now
import keras
done("import keras")
from dmenet_tf.networks.folding import fold
from dmenet_tf.networks import build_blur_estimation
done("import dmenet_tf")
width, size, path = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
model = build_blur_estimation(width)
done("build")
tf.train.Checkpoint(blur_estimation=model).restore(path).expect_partial()
done("weights")
images = tf.TensorSpec([None, None, None, 3], tf.float32)
folded = tf.function(fold(model).__call__, input_signature=[images])
done("fold")
graph = folded.get_concrete_function()
done("trace")
graph(tf.zeros([1, size, size, 3])).numpy()
done("run")
print(json.dumps({**parts, "all": round(time.perf_counter() - start, 2)}))
"""


def main():
    options = parse()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if openvino is None:
        print(f"OpenVINO is not installed ({install_command('bench')}): left out")
    image = np.random.default_rng(0).random((1, options.size, options.size, 3), np.float32)
    figures = {"size": options.size, "threads": options.threads}
    for width, suffix in ((0.25, "_width_025"), (1.0, "")):
        model = trained_looking(width)
        with tempfile.TemporaryDirectory() as folder:
            first = first_map(model, width, options, folder)
        times, differences = paired(contenders(model, image, options), image, options.seconds)
        operations = published_operations(model, options.size)
        print(f"\nwidth {width}, {len(times['folded'])} rounds, {operations / 1e9:.1f} GFLOP a map")
        for name, values in times.items():
            speed_up = np.median(np.divide(values, times["folded"]))
            print(
                f"  {name:22s} {np.median(values) * 1e3:8.0f} ms (fastest {min(values) * 1e3:.0f})"
                f"   folded is {speed_up:5.2f}x as fast   max difference {differences[name]:.1e}"
            )
            if name != "folded":
                figures[f"speedup_vs_{name}{suffix}"] = round(float(speed_up), 3)
            figures[f"median_{name}{suffix}_s"] = round(float(np.median(values)), 4)
        print("  first map after import tensorflow, seconds:", first)
        figures[f"first_map{suffix}_s"] = first["all"]
        if width == 1.0:
            figures["gflops"] = round(operations / np.median(times["folded"]) / 1e9, 1)
            figures["matmul_gflops"] = round(matmul_rate() / 1e9, 1)
    for name in ("speedup_vs_openvino", "speedup_vs_openvino_width_025"):
        figures.setdefault(name, None)
    print(f"\n{figures['gflops']} GFLOP/s at width 1.0; matrix product {figures['matmul_gflops']}")
    print(json.dumps(figures))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="side of the picture, pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=75, help="of rounds at each width")
    return parser.parse_args()


def trained_looking(width):
    """B with random weights, biases and batch statistics: zero ones would be optimised away."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = build_blur_estimation(width)
    for layer in model.layers:
        for variable in layer.weights:
            kind = variable.name.split("/")[-1].split(":")[0]
            if kind == "moving_variance":
                variable.assign(rng.uniform(0.5, 2, variable.shape))
            elif kind != "kernel":
                variable.assign(rng.normal(0, 0.1, variable.shape))
    return model


def contenders(model, image, options):
    """{name: function of nothing -> map}, graphs frozen alike."""
    folded = tf.function(fold(model).__call__, input_signature=[IMAGES])
    unfolded = tf.function(lambda x: model(x, training=False)["defocus"], input_signature=[IMAGES])
    frozen = convert_variables_to_constants_v2(unfolded.get_concrete_function())
    pictures = tf.constant(image)
    functions = {
        "folded": lambda: folded(pictures).numpy(),
        "unfolded": lambda: frozen(pictures)[0].numpy(),
    }
    if openvino is not None:
        converted = openvino.convert_model(frozen.graph.as_graph_def())
        converted.reshape(image.shape)
        compiled = openvino.Core().compile_model(
            converted,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": options.threads,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        functions["openvino"] = lambda: compiled(image)[0]
    return functions


def paired(functions, image, seconds_of_rounds):
    """({name: seconds of each round}, {name: largest difference from the folded map})."""
    maps = {name: np.array(function()) for name, function in functions.items()}  # traces, packs
    differences = {name: np.abs(value - maps["folded"]).max() for name, value in maps.items()}
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds_of_rounds
    while len(times["folded"]) < MIN_ROUNDS or time.perf_counter() < end:
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times, differences


def published_operations(model, size):
    """Multiplications and additions of the convolutions that lead to the map."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and "_aux_" not in layer.name:
            name = layer.name
            level = int(name[5]) if name.startswith("level") else 0
            level = int(name[4]) - 1 if name.startswith("conv") else level
            total += 2 * int(np.prod(layer.kernel.shape)) * (size >> level) ** 2
    return total


def matmul_rate(side=2048, repeats=9):
    """Floating-point operations per second of a square matrix product, median."""
    matrix = tf.random.stateless_uniform((side, side), (0, 0))
    product = tf.function(lambda x: tf.matmul(x, x)[0, 0])
    product(matrix)
    return (
        2 * side**3 / np.median([seconds(lambda: product(matrix).numpy()) for _ in range(repeats)])
    )


def first_map(model, width, options, folder):
    """{part: seconds} of a new process that imports, builds, reads, folds, traces and runs."""
    path = tf.train.Checkpoint(blur_estimation=model).write(str(Path(folder) / "weights"))
    command = [sys.executable, "-c", FIRST_MAP, str(width), str(options.size), path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
