"""Which type a training computes in."""

import keras
import pytest
import tensorflow as tf

from dmenet_tf.config import TrainingConfig
from dmenet_tf.training import precision
from tests.support.precision import settings_restored

restored = pytest.fixture(autouse=True)(settings_restored)


@pytest.mark.parametrize(
    "capability, expected",
    [
        (None, "float32"),
        ((6, 1), "float32"),
        ((7, 0), "mixed_float16"),
        ((7, 5), "mixed_float16"),
        ((8, 0), "mixed_bfloat16"),
        ((10, 0), "mixed_bfloat16"),
    ],
)
def test_a_gpu_gets_the_type_that_it_computes(capability, expected, monkeypatch):
    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert precision.resolve("auto") == expected


@pytest.mark.parametrize("native, expected", [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_processor_gets_bfloat16_where_it_has_it(native, expected, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: native)
    assert precision.resolve("auto") == expected


@pytest.mark.parametrize(
    "line, native",
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16 avx2", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16", False),
        ("", False),
    ],
)
def test_what_the_system_says_of_the_processor(line, native, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert precision.cpu_has_bfloat16(tmp_path / "cpuinfo") == native
    assert not precision.cpu_has_bfloat16(tmp_path / "missing")


@pytest.mark.parametrize("name", ["float32", "tf32", "mixed_float16", "mixed_bfloat16"])
def test_what_is_asked_for_is_taken(name):
    assert precision.resolve(name) == name
    precision.set_up(name)
    assert keras.mixed_precision.global_policy().name == ("float32" if name == "tf32" else name)
    assert tf.config.experimental.tensor_float_32_execution_enabled() == (name != "float32")


@pytest.mark.parametrize("other", [{"precision": "mixed_float16"}, {"jit": "on"}])
def test_no_nan_can_be_looked_for_where_overflow_is_wanted_or_under_xla(other):
    with pytest.raises(ValueError, match=f"debug_nan needs .* received .*{[*other.values()][0]}"):
        TrainingConfig(debug_nan=True, **other)
    assert TrainingConfig(precision="mixed_bfloat16", debug_nan=True).debug_nan
