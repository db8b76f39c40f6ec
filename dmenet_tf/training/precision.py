"""The type that a training computes in: what `--precision` stands for on this machine.

    float32         exact; on GPUs without TensorFloat-32, which TensorFlow would take by itself
    tf32            float32, with products of 10 bits on GPUs that have them; a CPU knows none
    mixed_float16   products in float16, loss scaling on
    mixed_bfloat16  products in bfloat16, which has float32's range and needs no scaling
    auto            the fastest of them that this device computes natively

In all of them weights, outputs, losses and batch statistics are float32.
"""

from pathlib import Path

import keras
import tensorflow as tf

# NVIDIA's compute capabilities: tensor cores for float16 came with 7.0, for bfloat16 with 8.0.
FLOAT16_SINCE, BFLOAT16_SINCE = (7, 0), (8, 0)
# What /proc/cpuinfo calls instructions on bfloat16: x86's, Intel's for matrices, Arm's.
CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
CPUINFO = Path("/proc/cpuinfo")


def resolve(precision: str) -> str:
    """`precision`, or for `auto` what suits the first GPU, without one the processor."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "mixed_bfloat16" if cpu_has_bfloat16() else "float32"
    details = tf.config.experimental.get_device_details(gpus[0])
    return for_compute_capability(details.get("compute_capability"))


def product_type(precision: str) -> str:
    """The type of the factors of products in a training of that precision."""
    return precision.removeprefix("mixed_") if precision.startswith("mixed_") else "float32"


def for_compute_capability(capability: tuple[int, int] | None) -> str:
    """The type for a GPU; None: of another maker, of which nothing is known here."""
    if capability is None or capability < FLOAT16_SINCE:
        return "float32"
    return "mixed_float16" if capability < BFLOAT16_SINCE else "mixed_bfloat16"


def cpu_has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 itself; without that it is slower than float32.

    False where the system does not say.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    words = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Feat")))
    return any(CPU_FLAGS & set(flags) for flags in words)


def set_up(precision: str) -> None:
    """Sets, for the whole process, what networks that are built from now on compute in."""
    policy = "float32" if precision == "tf32" else precision
    keras.mixed_precision.set_global_policy(policy)
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
