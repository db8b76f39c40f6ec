"""`dmenet predict --server`: folders through a server, what stops them and what does not."""

import json
import re
import signal
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
from PIL import Image

from data_gen.exit_codes import FAILED, INTERRUPTED, SKIPPED, USAGE
from dmenet_tf import predict
from dmenet_tf.prediction import backends, folders
from dmenet_tf.prediction.map_files import read_map
from serving import backend
from tests.support.fake_service import brightness

RNG = np.random.default_rng(0)
STEP = 7 / 65535


@pytest.fixture
def photos(tmp_path):
    """{name: pixels} of twelve photos in tmp_path/in."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    images = {}
    for n in range(12):
        name = f"deep/{n}.png" if n % 3 == 0 else f"{n}.png"
        images[name] = RNG.integers(0, 256, (20 + n, 30, 3), np.uint8)
        Image.fromarray(images[name]).save(folder / name)
    return images


def run(*arguments):
    return predict.main([str(argument) for argument in arguments])


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def expected_names(photos, suffix=".sigma.npy"):
    tables = {"summary.csv", "summary.json"}
    return {f"{name}{end}" for name in photos for end in (suffix, ".json")} | tables


def check_maps(out, photos):
    for name, image in photos.items():
        sigma_px = np.load(out / f"{name}.sigma.npy")
        assert np.abs(sigma_px - brightness(image / 255)).max() <= 0.51 * STEP


def test_a_folder_is_done_once_and_again_for_a_new_model(
    tmp_path, address, service, photos, capsys
):
    out = tmp_path / "out"
    command = (tmp_path / "in", "-o", out, "--server", address, "--write", "npy")
    assert run(*command) == 0
    assert "12 photos: 12 written; maps in" in capsys.readouterr().out
    assert names(out) == expected_names(photos)
    check_maps(out, photos)
    assert len(service.requests) == 1 + 12  # the first one asks for the model
    summary = json.loads((out / "1.png.json").read_text())
    assert summary["model"] == summary["made_with"]["model"] == "fake"
    assert run(*command, "--jobs", 1) == 0
    assert "0 written, 12 already there" in capsys.readouterr().out
    service.model["model"] = "retrained"
    assert run(*command) == 0
    assert "12 photos: 12 written" in capsys.readouterr().out
    assert json.loads((out / "1.png.json").read_text())["model"] == "retrained"
    # Floats are other maps than those of 16 bits; half of them stand, from a photo each.
    assert run(tmp_path / "in/1.png", *command[1:], "--exact", "--write", "tiff") == 0
    values = read_map(out / "1.png.sigma.tiff")[0]
    np.testing.assert_allclose(values, brightness(photos["1.png"] / 255), atol=1e-5)


def together(service, jobs):
    """Calls wait for one another, `jobs` at a time; gives a function that tells the most at once.

    12 photos are a multiple of `jobs`. The first call, which asks for the model, comes alone.
    """
    lock, barrier = threading.Lock(), threading.Barrier(jobs)
    first, now, most = len(service.requests) + 1, 0, 0

    def counted(number, _):
        nonlocal now, most
        if number == first:
            return
        with lock:
            now += 1
            most = max(most, now)
        barrier.wait()
        with lock:
            now -= 1

    service.before = counted
    return lambda: most


@pytest.mark.parametrize("jobs", [1, 3])
def test_several_at_a_time_and_never_more(tmp_path, address, service, photos, jobs):
    most = together(service, jobs)
    command = (tmp_path / "in", "-o", tmp_path / "out", "--server", address)
    assert run(*command, "--jobs", jobs) == 0
    assert most() == jobs


def test_not_more_photos_are_read_than_are_under_way(
    tmp_path, address, service, photos, monkeypatch
):
    read, write = folders.read, folders.Folder._write_photo
    lock, held, most = threading.Lock(), 0, 0

    def counted_read(*arguments):
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read(*arguments)

    def counted_write(*arguments):
        nonlocal held
        write(*arguments)
        with lock:
            held -= 1

    together(service, 2)
    monkeypatch.setattr(folders, "read", counted_read)
    monkeypatch.setattr(folders.Folder, "_write_photo", counted_write)
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--server", address, "--jobs", 2) == 0
    assert most == 2


def test_a_refused_photo_is_skipped(tmp_path, address, service, photos, capsys):
    def refuse(number, _):
        return (grpc.StatusCode.INVALID_ARGUMENT, "no such photo") if number == 4 else None

    service.before = refuse
    (tmp_path / "in/broken.png").write_bytes(b"no photo")
    command = (tmp_path / "in", "-o", tmp_path / "out", "--server", address, "--write", "npy")
    assert run(*command) == SKIPPED
    output = capsys.readouterr()
    assert "13 photos: 11 written, 2 unreadable" in output.out
    assert "the server refused it" in output.err and "no such photo" in output.err
    assert run(*command) == SKIPPED  # only broken.png now
    assert "1 written, 11 already there, 1 unreadable" in capsys.readouterr().out
    check_maps(tmp_path / "out", photos)


def without_progress(text):
    """Without the lines that tell in a log how far a folder is."""
    return re.sub(r"(?m)^\d+ of \d+ photos, .*\n", "", text)


def test_an_error_of_the_service_stops_and_the_same_command_continues(
    tmp_path, address, service, photos, capsys
):
    def gone(number, _):
        return (grpc.StatusCode.NOT_FOUND, "no version 7") if number > 7 else None

    service.before = gone
    out = tmp_path / "out"
    command = (tmp_path / "in", "-o", out, "--server", address, "--write", "npy")
    assert run(*command) == 1
    error = without_progress(capsys.readouterr().err)
    assert error.splitlines() == [error.strip()] and "NOT_FOUND: no version 7" in error
    assert error.startswith(f"error: {address}")
    done = {name for name in names(out) if name.endswith(".npy")}
    assert 1 <= len(done) <= 6 and not [name for name in names(out) if name.endswith(".tmp")]
    service.before = None
    assert run(*command) == 0
    assert f"{12 - len(done)} written, {len(done)} already there" in capsys.readouterr().out
    assert names(out) == expected_names(photos)
    check_maps(out, photos)


def test_ctrl_c_with_photos_under_way(tmp_path, address, service, photos):
    under_way, ended = threading.Semaphore(0), threading.Event()

    def hang(number, _):
        # Some maps are written; then calls hang, so that there are photos under way at the signal.
        if number > 5:
            under_way.release()
            ended.wait()

    service.before = hang
    out = tmp_path / "out"
    command = ["-m", "dmenet_tf.predict", str(tmp_path / "in"), "-o", str(out), "--server", address]
    process = subprocess.Popen(
        [sys.executable, *command, "--write", "npy"], stdout=-1, stderr=-1, text=True
    )
    # It cannot end by itself while calls hang; where it fails earlier, nothing needs to be waited
    # for: the process' end releases too.
    threading.Thread(target=lambda: (process.wait(), under_way.release(4)), daemon=True).start()
    for _ in range(4):
        under_way.acquire()
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    try:
        _, error = process.communicate()
    finally:
        ended.set()
    assert process.returncode == INTERRUPTED
    assert without_progress(error) == "interrupted; the same command continues\n"
    left = names(out)
    assert not [name for name in left if name.endswith(".tmp")]
    service.before = None
    assert run(tmp_path / "in", "-o", out, "--server", address, "--write", "npy") == 0
    assert names(out) == expected_names(photos)
    check_maps(out, photos)


def test_wrong_commands_end_in_one_line(tmp_path, photos, address, capsys, monkeypatch):
    monkeypatch.setattr(backend, "FIRST_ANSWER_S", 0.1)
    good = [tmp_path / "in", "-o", tmp_path / "out"]
    at = [*good, "--server", address]
    gone = "127.0.0.1:1"
    for command, code, message in (
        ([*at, "--weights", "w"], USAGE, "not allowed with argument"),
        ([*at, "--exat"], USAGE, "--exat; did you mean --exact"),
        ([*good, "--server", "localhost"], USAGE, "HOST:PORT, such as 127.0.0.1:8500"),
        ([*good, "--weights", "w", "--exact"], USAGE, "--exact goes with --server"),
        ([*good, "--weights", "w", "--jobs", "2"], USAGE, "--jobs goes with --server"),
        ([*good, "--weights", "w", "--tls-ca", "x"], USAGE, "--tls-ca goes with --server"),
        ([*at, "--jobs", "0"], USAGE, r"--jobs must lie in 1 .. 64; received 0"),
        ([*at, "--timeout", "0"], USAGE, "timeout_s must be above 0"),
        ([*at, "--model-version", "1", "--model-label", "a"], USAGE, "received both"),
        ([*at, "--tls-cert", "x"], USAGE, "certificate and its key go together"),
        ([*at, "--tile", "100"], USAGE, "multiple of 16"),
        ([*at, "--tls-ca", "nowhere"], FAILED, "there is no nowhere"),
        ([*good, "--server", gone], FAILED, f"{gone}: UNAVAILABLE: .*is the server running"),
    ):
        assert run(*command) == code, command
        error = capsys.readouterr().err
        line = error.splitlines()[-1]
        assert line.startswith("error: ") and re.search(message, line), (message, error)
        assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_line_says_how_to_install_it(
    tmp_path, photos, address, capsys, monkeypatch
):
    command = (tmp_path / "in", "-o", tmp_path / "out", "--server", address)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "serving.client", None)  # as where gRPC is missing
        assert run(*command) == FAILED
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(
        r'error: a server needs .*pip install -e ".*\[serving\]"', error
    )
    monkeypatch.setattr(backends.importlib.metadata, "entry_points", lambda **_: ())
    assert run(*command) == FAILED
    assert "no installed package declares how to ask one" in capsys.readouterr().err
