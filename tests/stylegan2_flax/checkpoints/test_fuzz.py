"""Damaged files of every format that has a pickle in it: CheckpointError or a network, and never anything else."""

import numpy as np
import pytest

from stylegan2_flax.checkpoints import nvidia_tf, nvidia_torch
from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.torch_files import read_torch

CODES = np.frombuffer(
    b"(.012NIJKMGUTX\x8c\x8dCB\x8e\x96]ae}su)t\x85\x86\x87\x8f\x90\x91c\x93R\x81\x92bQqr\x94hj\x80\x95\x8a", np.uint8
)
EXTREMES = (b"\xff" * 4, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x00" * 4, b"\xff" * 7 + b"\x7f", b"\x00\x00\x00\x80")
WRONG = (
    *(None, True, -1, 0, 3, 2**40, 2**70, 1.5, float("nan"), "", "text", "8", b"", b"bytes", (), (1,), (2**40, 2**40)),
    *([], [1, [2]], {}, {"a": 1}, {0: None}, set(), "x" * 5000, np.float32(3), np.zeros((2, 0)), np.ones(3)),
)
CALLS = (("numpy", "dtype"), ("torch._utils", "_rebuild_parameter"), ("torch.storage", "_load_from_bytes"))
READERS = (nvidia_torch.read, nvidia_torch.read_saved, nvidia_tf.read, read_torch)


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to four damages, some of them pieces of another file."""
    for _ in range(rng.integers(1, 5)):
        array = np.frombuffer(data, np.uint8).copy()
        size = len(array)
        if size < 16:
            break
        position, length = int(rng.integers(size)), int(min(rng.integers(1, 64), size))
        match rng.integers(8):
            case 0:
                array[rng.integers(size, size=4)] ^= np.left_shift(1, rng.integers(8, size=4)).astype(np.uint8)
            case 1:
                array[position] = rng.choice(CODES)
            case 2:
                array[position] = rng.integers(256)
            case 3:
                array = array[:position]
            case 4:
                array = np.delete(array, slice(position, position + length))
            case 5:
                array = np.insert(array, position, rng.integers(256, size=length, dtype=np.uint8))
            case 6:
                start = int(rng.integers(len(other)))
                piece = np.frombuffer(other[start : start + length * 8], np.uint8)
                array = np.concatenate([array[:position], piece, array[position:]])
            case _:
                extreme = EXTREMES[rng.integers(len(EXTREMES))]
                array[position : position + len(extreme)] = np.frombuffer(extreme, np.uint8)[: size - position]
        data = array.tobytes()
    return data


def with_wrong_parts(value, rng, writers, rate):
    """The object, where some parts are replaced by things that do not belong there."""

    def changed(part):
        return with_wrong_parts(part, rng, writers, rate)

    if rng.random() < rate:
        if rng.random() < 0.9:
            return WRONG[rng.integers(len(WRONG))]
        module, name = CALLS[rng.integers(len(CALLS))]
        return writers.Called(writers.named(module, name), ((), (None,), ("f4", 1, 2))[rng.integers(3)])
    if isinstance(value, dict):
        return type(value)((key, changed(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(map(changed, value))
    if isinstance(value, writers.Called):
        arguments = changed(value.args)
        return writers.Called(
            value.function, arguments if isinstance(arguments, tuple) else (arguments,), changed(value.state)
        )
    return value


def base_objects(writers, torch_writer, saved_writer, tf_writer, make):
    """What is in the small files of each format, how it is written, and the reader that it is for."""
    generator, discriminator = make("generator", img_resolution=4), make("discriminator", img_resolution=4, c_dim=2)
    state = writers.with_tensors({"g_ema": {"weight": np.ones((4, 3), "f4"), "bias": np.ones(4, "f2")}, "step": 3})
    return {
        "nvidia_torch G": ({"G": torch_writer.network(generator)}, writers.pickled, nvidia_torch.read),
        "nvidia_torch D": ({"D": torch_writer.network(discriminator)}, writers.pickled, nvidia_torch.read),
        "saved zip": (saved_writer.network(generator), writers.torch_zip, nvidia_torch.read_saved),
        "saved legacy": (saved_writer.network(discriminator), writers.torch_legacy, nvidia_torch.read_saved),
        "nvidia_tf G": (tf_writer.generator(generator), writers.pickled, nvidia_tf.read),
        "nvidia_tf D": (tf_writer.discriminator(discriminator), writers.pickled, nvidia_tf.read),
        "torch_zip": (state, writers.torch_zip, read_torch),
        "torch_legacy": (state, writers.torch_legacy, read_torch),
    }


def base_files(writers, torch_writer, tf_writer, make):
    """Small files of each format, and the reader that each is for."""
    generator, discriminator = make("generator", img_resolution=4), make("discriminator", img_resolution=4, c_dim=2)
    state = {"g_ema": {"weight": np.ones((4, 3), "f4"), "bias": np.ones(4, "f2")}, "step": 3, "args": [1.5, None, "a"]}
    return {
        **{f"nvidia_torch {p}": (torch_writer.file({"G": generator}, p), nvidia_torch.read) for p in (2, 4, 5)},
        **{
            f"nvidia_tf {p}": (tf_writer.file(generator, discriminator, generator, p), nvidia_tf.read)
            for p in (2, 3, 5)
        },
        "nvidia_tf D": (writers.pickled(tf_writer.discriminator(discriminator)), nvidia_tf.read),
        "torch_zip": (writers.torch_zip(state), read_torch),
        "torch_legacy": (writers.torch_legacy(state), read_torch),
    }


@pytest.fixture(scope="module")
def files(writers, torch_writer, tf_writer, make):
    return base_files(writers, torch_writer, tf_writer, make)


@pytest.fixture(scope="module")
def objects(writers, torch_writer, saved_writer, tf_writer, make):
    return base_objects(writers, torch_writer, saved_writer, tf_writer, make)


cases = pytest.mark.parametrize("cases", [12, pytest.param(200, marks=pytest.mark.slow)])


@cases
@pytest.mark.parametrize("number", range(9))
def test_damaged_files(files, number, cases):
    names = list(files)
    data, read = files[names[number]]
    rng = np.random.default_rng(number)
    for case in range(cases):
        other, _ = files[names[rng.integers(len(names))]]
        check(read, mutated(data, other, rng), f"{names[number]}, case {case}")


def check(read, data, case):
    try:
        read(data)
    except CheckpointError:
        pass
    except BaseException as error:
        raise AssertionError(case) from error


@cases
@pytest.mark.parametrize("number", range(8))
def test_wrong_contents(objects, writers, number, cases):
    name, (value, write, read) = list(objects.items())[number]
    rng = np.random.default_rng(number)
    for case in range(cases // 2):
        rate = 10 ** rng.uniform(-3.5, -1)
        check(read, write(with_wrong_parts(value, rng, writers, rate)), f"{name}, case {case}")


@pytest.mark.parametrize("number", range(9))
def test_files_of_another_format(files, number):
    data, own = list(files.values())[number]
    for read in READERS:
        if read is not own:
            with pytest.raises(CheckpointError):
                read(data)


@pytest.mark.parametrize("read", READERS)
def test_noise(read):
    rng = np.random.default_rng(0)
    for size in [0, 1, 2, 3, *rng.integers(4, 3000, size=30)]:
        noise = rng.integers(256, size=int(size), dtype=np.uint8).tobytes()
        for start in (b"", b"\x80\x02", b"\x80\x04", b"PK\x03\x04"):
            with pytest.raises(CheckpointError):
                read(start + noise)
