"""A thousand malformed requests, each with the status that the contract gives it, and good requests
between them that must all succeed. Which they are depends on the seed alone."""

import struct
import threading
import zlib
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving import contract
from serving.embedded.image_headers import declared_size
from tests.support.servers import FakeContext, serve, wait_until
from tests.support.serving_calls import (
    Caller,
    encoded_request,
    image_file,
    images_request,
    status_of,
)
from tests.support.tiny_models import write_model

COUNT, SEED = 1000, 20190616
GOOD_EVERY = 5
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


# --- files --------------------------------------------------------------------------------------


@case
def truncated_file(rng):
    file = image_file(24, 24, ["PNG", "JPEG"][rng.integers(2)], seed=int(rng.integers(9)))
    return encoded_request(file[: int(rng.integers(0, len(file) * 9 // 10))]), INVALID


@case
def one_bad_file_among_good_ones(rng):
    return encoded_request(image_file(), image_file()[:50], image_file(form="JPEG")), INVALID


@case
def no_image(rng):
    return encoded_request(rng.bytes(int(rng.integers(0, 300)))), INVALID


@case
def other_format(rng):
    return encoded_request(
        image_file(form=str(rng.choice(["GIF", "BMP", "TIFF", "WEBP"])))
    ), INVALID


@case
def random_after_the_magic(rng):
    magic = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"][rng.integers(2)]
    return encoded_request(magic + rng.bytes(int(rng.integers(0, 300)))), INVALID


@case
def png_bomb(rng):
    """A few kilobytes that declare up to 2^31 pixels a side."""
    sides = [(50_000, 50_000), (2**31 - 1, 1), (1, 16_385), (2001, 1000), (0, 5), (2**32 - 1,) * 2]
    return encoded_request(png_of(*sides[rng.integers(len(sides))])), INVALID


@case
def jpeg_bomb(rng):
    file = bytearray(image_file(form="JPEG"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", 65_535, int(rng.integers(17_000, 65_536)))
    return encoded_request(bytes(file)), INVALID


@case
def too_many_pixels_together(rng):
    return encoded_request(*[png_of(1000, 1000)] * 3), INVALID


@case
def no_files(rng):
    return encoded_request(), INVALID


@case
def file_as_content(rng):
    request = encoded_request(image_file())
    tensor_of(request).ClearField("string_val")
    tensor_of(request).tensor_content = image_file()
    return request, INVALID


@case
def fewer_files_than_declared(rng):
    request = encoded_request(image_file())
    tensor_of(request).tensor_shape.dim[0].size = int(rng.choice([2, 2**40]))
    return request, INVALID


def png_of(height, width) -> bytes:
    """A PNG that declares this size, with a whole header and next to no pixels."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(5000))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


# --- calls --------------------------------------------------------------------------------------


@case
def expired(rng):
    return images_request(some_images(rng)), "DEADLINE_EXCEEDED"


@case
def cancelled(rng):
    return images_request(some_images(rng)), "CANCELLED"


# --- the proof ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / contract.MODEL_NAME, 1)
    with serve(folder) as running:
        yield running


def test_each_of_a_thousand_gets_its_status_and_good_ones_succeed(running):
    rng = np.random.default_rng(SEED)
    sent, wrong, good = Counter(), [], 0
    with Caller(running.port) as caller:
        for index in range(COUNT):
            make = CASES[index % len(CASES)]
            request, expected = make(rng)
            received = send(caller, running, make.__name__, request)
            sent[expected] += 1
            if received != expected:
                wrong.append((index, make.__name__, expected, received))
            if index % GOOD_EVERY == 0:
                encoded = index % (2 * GOOD_EVERY) == 0
                request = encoded_request(image_file()) if encoded else images_request()
                assert caller.code(request) == "OK", f"after {make.__name__}, number {index}"
                good += 1
        assert not wrong, wrong
        assert sum(sent.values()) == COUNT and good == COUNT // GOOD_EVERY
        assert set(sent) == {
            INVALID, "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED",
            "DEADLINE_EXCEEDED", "CANCELLED",
        }  # fmt: skip
        assert caller.health() == "SERVING"
    assert running.scheduler.waiting == 0
    assert running.service.wait_until_idle(10)
    assert not counted(running, "INTERNAL")


def counted(running, code) -> float:
    """Replies of this status, as the server's own metrics have it."""
    samples = (s for m in running.metrics.registry.collect() for s in m.samples)
    return sum(s.value for s in samples if s.labels.get("code") == code)


def send(caller, running, name, request) -> str:
    """The status that a client sees."""
    if name == "too_large":
        request = bytes(contract.MAX_MESSAGE_BYTES + 1)
    if name in ("expired", "cancelled"):
        # All places are taken, so that the request waits for sure.
        with running.scheduler.place(FakeContext()), running.scheduler.place(FakeContext()):
            if name == "expired":
                return caller.code(request, timeout=0.05)
            call = caller.prediction.Predict.future(request)
            wait_until(lambda: running.scheduler.waiting == 1)
            call.cancel()
            wait_until(lambda: running.scheduler.waiting == 0)
            return call.code().name
    if isinstance(request, predict_pb2.PredictRequest):
        request = request.SerializeToString()
    return status_of(lambda: caller.raw(request, timeout=30))


def test_wild_bytes_in_parallel_never_fail_the_server(running):
    """Requests with some bytes turned over: any status but the server's own failure."""
    rng = np.random.default_rng(SEED)
    wholes = [images_request(some_images(rng)), encoded_request(image_file())]
    mutants = []
    for index in range(300):
        data = bytearray(wholes[index % 2].SerializeToString())
        for position in rng.integers(0, len(data), 4):
            data[position] = int(rng.integers(256))
        mutants.append(bytes(data))
    codes, before = Counter(), counted(running, "INTERNAL")

    def worker(part):
        with Caller(running.port) as caller:
            for data in part:
                codes[status_of(lambda data=data: caller.raw(data, timeout=30))] += 1

    threads = [threading.Thread(target=worker, args=[mutants[i::4]]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(running, "INTERNAL") == before
    assert set(codes) <= {"OK", INVALID, "NOT_FOUND", "FAILED_PRECONDITION"}
    assert codes[INVALID] > 30


# --- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(900)}])
def test_declared_size_is_that_of_the_image(form, options):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (37, 19)).save(file, form, **options)
    assert declared_size(file.getvalue()) == (19, 37)


def test_a_size_within_metadata_is_not_taken():
    """A thumbnail's frame header inside a JPEG's application data."""
    file = image_file(8, 12, "JPEG")
    thumbnail = image_file(100, 100, "JPEG")[:600]
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert declared_size(file[:2] + segment + file[2:]) == (8, 12)
