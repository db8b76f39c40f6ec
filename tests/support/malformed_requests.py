"""Malformed messages, names, tensors and calls, each with the status that the contract gives it.

`CASES` are functions of a random generator that return a message, or its bytes, and that status.
"""

import numpy as np
import tensorflow as tf

from serving import contract
from tests.support.serving_calls import image_file, images_request

INVALID = "INVALID_ARGUMENT"
CASES = []  # functions rng -> (message or bytes, expected status)


def case(function):
    CASES.append(function)
    return function


def some_images(rng, *shape) -> np.ndarray:
    return rng.random(shape or (1, 8, 8, 3), np.float32)


def tensor_of(request):
    (tensor,) = request.inputs.values()
    return tensor


# --- bytes --------------------------------------------------------------------------------------


@case
def random_bytes(rng):
    # 0x07 is a field's tag with a wire type that does not exist.
    return b"\x07" + rng.bytes(int(rng.integers(0, 2000))), INVALID


@case
def truncated_message(rng):
    whole = images_request(some_images(rng)).SerializeToString()
    return whole[: int(rng.integers(1, len(whole) - 1))], INVALID


@case
def flipped_length(rng):
    whole = bytearray(images_request(some_images(rng)).SerializeToString())
    whole[1] = int(rng.integers(200, 256))  # the length of the first field
    return bytes(whole), INVALID


@case
def nothing(rng):
    return b"", INVALID


@case
def too_large(rng):
    return None, "RESOURCE_EXHAUSTED"  # made when it is sent: 64 MB


# --- names --------------------------------------------------------------------------------------


@case
def unknown_model(rng):
    names = ["dmenet2", "DMENET", "../dmenet", "x" * 5000, "dmenet\0", "é"]
    return images_request(some_images(rng), model=names[rng.integers(len(names))]), "NOT_FOUND"


@case
def no_model(rng):
    return images_request(some_images(rng), model=""), INVALID


@case
def unknown_version(rng):
    request = images_request(some_images(rng))
    request.model_spec.version.value = int(rng.choice([-1, 0, 2, 2**62, -(2**63)]))
    return request, "NOT_FOUND"


@case
def unknown_label(rng):
    request = images_request(some_images(rng))
    request.model_spec.version_label = str(rng.choice(["stable", "canary", "1", "y" * 3000]))
    return request, "NOT_FOUND"


@case
def unknown_signature(rng):
    request = images_request(some_images(rng))
    request.model_spec.signature_name = str(
        rng.choice(["Encoded", "images", "__saved_model_init_op"])
    )
    return request, "FAILED_PRECONDITION"


@case
def unknown_input(rng):
    request = images_request(some_images(rng))
    tensor = request.inputs.pop(contract.IMAGES)
    request.inputs[str(rng.choice(["image", "Images", "", "images:0"]))].CopyFrom(tensor)
    return request, INVALID


@case
def one_input_too_many(rng):
    request = images_request(some_images(rng))
    request.inputs["more"].CopyFrom(request.inputs[contract.IMAGES])
    return request, INVALID


@case
def no_input(rng):
    request = images_request()
    request.inputs.clear()
    return request, INVALID


@case
def unknown_output(rng):
    request = images_request(some_images(rng))
    request.output_filter.extend([contract.DEFOCUS, str(rng.choice(["depth", "", "defocus:0"]))])
    return request, INVALID


@case
def input_of_the_other_signature(rng):
    request = images_request(some_images(rng))
    request.model_spec.signature_name = contract.SIGNATURE_ENCODED
    return request, INVALID


# --- types and shapes ---------------------------------------------------------------------------


@case
def wrong_dtype(rng):
    kind = rng.choice(["float64", "float16", "uint8", "int32", "bool", "complex64"])
    return images_request(some_images(rng).astype(str(kind))), INVALID


@case
def no_such_dtype(rng):
    request = images_request(some_images(rng))
    tensor_of(request).dtype = int(rng.choice([0, 20, 99, 101, 2**31 - 1, -1]))
    return request, INVALID


@case
def strings_for_pixels(rng):
    request = images_request()
    request.inputs[contract.IMAGES].CopyFrom(tf.make_tensor_proto([image_file()]))
    return request, INVALID


@case
def wrong_rank(rng):
    shapes = [(), (3,), (8, 8), (8, 8, 3), (1, 1, 8, 8, 3), (1,) * 60]
    return images_request(some_images(rng).ravel()[0] * np.ones(
        shapes[rng.integers(len(shapes))], np.float32)), INVALID  # fmt: skip


@case
def wrong_channels(rng):
    return images_request(some_images(rng, 1, 8, 8, int(rng.choice([1, 2, 4])))), INVALID


@case
def empty(rng):
    shape = [1, 8, 8, 3]
    shape[rng.integers(3)] = 0
    return images_request(np.zeros(shape, np.float32)), INVALID


@case
def impossible_dimension(rng):
    request = images_request(some_images(rng))
    size = int(rng.choice([-1, -8, -(2**63), 2**63 - 1]))
    tensor_of(request).tensor_shape.dim[int(rng.integers(4))].size = size
    return request, INVALID


@case
def unknown_rank(rng):
    request = images_request(some_images(rng))
    tensor_of(request).tensor_shape.Clear()
    tensor_of(request).tensor_shape.unknown_rank = True
    return request, INVALID


@case
def huge_declared_shape(rng):
    """One value for gigabytes of elements, as a TensorProto may have it."""
    request = images_request()
    tensor = tensor_of(request)
    tensor.Clear()
    tensor.dtype = tf.float32.as_datatype_enum
    shapes = [(1, 2000, 1001), (1, 1, 16_385), (1, 10**9, 10**9), (2**40, 1, 1), (2, 1000, 1001)]
    for size in (*shapes[rng.integers(len(shapes))], 3):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(0.5)
    return request, INVALID


@case
def wrong_content_length(rng):
    request = images_request(some_images(rng))
    tensor = tensor_of(request)
    content = tensor.tensor_content
    cut = int(rng.integers(1, len(content)))
    tensor.tensor_content = content[:cut] if rng.random() < 0.5 else content + rng.bytes(cut)
    return request, INVALID


@case
def no_values(rng):
    request = images_request(some_images(rng))
    tensor_of(request).ClearField("tensor_content")
    return request, INVALID


@case
def too_many_values(rng):
    request = images_request(some_images(rng))
    tensor_of(request).ClearField("tensor_content")
    tensor_of(request).float_val.extend([0.5] * 193)  # of 192
    return request, INVALID


@case
def values_of_another_type(rng):
    request = images_request(some_images(rng))
    tensor_of(request).ClearField("tensor_content")
    tensor_of(request).int_val.extend([1] * 192)
    return request, INVALID


# --- pixels -------------------------------------------------------------------------------------


@case
def pixels_out_of_range(rng):
    images = some_images(rng)
    values = [np.nan, np.inf, -np.inf, -1e-3, 1.001, 255, -1e30]
    images.ravel()[rng.integers(images.size)] = values[rng.integers(len(values))]
    return images_request(images), INVALID


# --- calls --------------------------------------------------------------------------------------


@case
def expired(rng):
    return images_request(some_images(rng)), "DEADLINE_EXCEEDED"


@case
def cancelled(rng):
    return images_request(some_images(rng)), "CANCELLED"
