"""Files of torch.save in both layouts, written here as torch writes them, and by torch itself where it is installed."""

import io
import struct
import tracemalloc
import zipfile
from collections import OrderedDict, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import numpy as np
import pytest

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.torch_files import read_torch, recognises

LAYOUTS = ("torch_zip", "torch_legacy")
RANDOM = np.random.default_rng(0)


@pytest.fixture(params=LAYOUTS)
def write(request, writers):
    return getattr(writers, request.param)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_dtypes(write, dtype):
    array = (RANDOM.normal(size=(2, 3, 4)) * 100).astype(dtype)
    read = read_torch(write({"weight": array}))["weight"]
    np.testing.assert_array_equal(read, array, strict=True)
    assert not read.flags.writeable


def test_bfloat16_becomes_float32(write, writers):
    numbers = np.array([1.5, -2.0, 0.0, 3.140625], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    read = read_torch(write([writers.tensor(halves, "BFloat16")]))[0]
    np.testing.assert_array_equal(read, numbers, strict=True)


def test_booleans_are_booleans(write, writers):
    """Whatever the bytes: NumPy would count a 2 twice."""
    read = read_torch(write([writers.tensor(np.array([0, 1, 2], np.uint8), "Bool")]))[0]
    np.testing.assert_array_equal(read, [False, True, True], strict=True)
    assert read.sum() == 2


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_training_checkpoint(write, writers, protocol):
    """Nested state, what stands beside the tensors, and objects that are met twice."""
    arguments = writers.Called(writers.named("argparse", "Namespace"), (), {"lr": 0.002, "size": 256})
    state = OrderedDict([("w", RANDOM.normal(size=(3, 2)).astype("f4")), ("b", np.zeros((), "f4"))])
    parameter = (writers.tensor(state["w"]), True, {})
    data = write(
        {
            "g_ema": state,
            "optimizer": {"state": {0: {"step": 7}}, "param_groups": [{"betas": (0.0, 0.99), "params": [0, 1]}]},
            "args": arguments,
            "size": writers.Called(writers.named("torch", "Size"), ((3, 2),)),
            "dtype": writers.named("torch", "float32"),
            "score": np.float64(2.5),
            "mean": writers.Called(writers.named("torch._utils", "_rebuild_parameter"), parameter),
        },
        protocol,
    )
    read = read_torch(data)
    np.testing.assert_array_equal(read["g_ema"]["w"], state["w"], strict=True)
    np.testing.assert_array_equal(read["mean"], state["w"], strict=True)
    assert read["g_ema"]["b"].shape == ()
    assert read["optimizer"] == {"state": {0: {"step": 7}}, "param_groups": [{"betas": (0.0, 0.99), "params": [0, 1]}]}
    assert read["args"] == {"lr": 0.002, "size": 256}
    assert (read["size"], read["dtype"], read["score"]) == ((3, 2), "torch.float32", 2.5)


def test_views_of_one_storage(write, writers):
    """Offsets, transposed and channels-last strides."""
    elements = RANDOM.normal(size=24).astype("f4")
    storage = writers.Storage(elements, "Float")
    read = read_torch(
        write(
            [
                writers.tensor_of(storage, 4, (2, 3), (3, 1)),
                writers.tensor_of(storage, 0, (4, 6), (1, 4)),
                writers.tensor_of(storage, 23, (1,), (99,)),
                writers.tensor_of(storage, 0, (0, 5), (5, 1)),
            ]
        )
    )
    np.testing.assert_array_equal(read[0], elements[4:10].reshape(2, 3), strict=True)
    np.testing.assert_array_equal(read[1], elements.reshape(6, 4).T, strict=True)
    np.testing.assert_array_equal(read[2], elements[23:], strict=True)
    assert read[3].shape == (0, 5)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (0, (2, 2), (23, 1)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2,), ()),
        (0, (2**62, 2**62), (0, 0)),
        (0, (2**62,), (2**62,)),
        (2**80, (1,), (1,)),
        (0, [2], (1,)),
        (0, (2.0,), (1,)),
        (0, (1,) * 40, (1,) * 40),
        (0, (0, 2**62), (1, 1)),
        (None, (2,), (1,)),
        (0, (True,), (1,)),
    ],
)
def test_views_out_of_bounds(write, writers, offset, shape, strides):
    storage = writers.Storage(np.zeros(24, "f4"), "Float")
    with pytest.raises(CheckpointError, match=r"tensor|array's"):
        read_torch(write([writers.tensor_of(storage, offset, shape, strides)]))


def test_reading_copies_nothing(write):
    data = write({"weight": RANDOM.normal(size=(500, 500)).astype("f4")})
    tracemalloc.start()
    read_torch(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * len(data)


def test_many_views_of_one_storage(write, writers):
    storage = writers.Storage(np.zeros(2**16, "f4"), "Float")
    views = [writers.tensor_of(storage, 0, (2**16,), (1,)) for _ in range(100)]
    with pytest.raises(CheckpointError, match="claim more than twice"):
        read_torch(write(views))


def test_recognises(write):
    data = write({"weight": np.zeros(3, "f4")})
    assert recognises(data)
    assert recognises(data[:1024])
    assert not recognises(b"PK\x03\x04" + bytes(2000))
    assert not recognises(b"\x80\x02N.")


def test_truncated(write):
    data = write({"weight": RANDOM.normal(size=(5, 5)).astype("f4"), "more": {"b": np.zeros(3, "f4")}})
    for size in range(len(data)):
        with pytest.raises(CheckpointError):
            read_torch(data[:size])


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x02", b"hello", b"\x80\x02N.", b"PK\x05\x06" + bytes(18)])
def test_other_files(data):
    with pytest.raises(CheckpointError):
        read_torch(data)


def test_names_that_no_checkpoint_needs(write, writers):
    call = writers.Called(writers.named("os", "system"), ("exit 1",))
    with pytest.raises(CheckpointError, match=r"'os\.system', which no known checkpoint format needs; nothing"):
        read_torch(write({"weight": call}))


def test_nested_too_deep(write):
    value = 1
    for _ in range(100):
        value = {"a": value}
    with pytest.raises(CheckpointError, match="nested more than 32 levels"):
        read_torch(write(value))


def test_contains_itself(writers):
    file = zip_of({"archive/data.pkl": b"\x80\x02]q\x00h\x00a."})
    with pytest.raises(CheckpointError, match="contain themselves"):
        read_torch(file)


def test_billion_laughs():
    """Lists of ten references to the list before: each is converted once."""
    pickled = b"\x80\x02N" + b"".join([b"q\x00]q\x01(" + b"h\x00" * 10 + b"e"] * 20) + b"."
    read = read_torch(zip_of({"archive/data.pkl": pickled}))
    assert read[0] is read[9]


def zip_of(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_compressed_archive(writers):
    array = RANDOM.normal(size=2**16).astype("f4")
    data = writers.torch_zip({"a": array}, compression=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(read_torch(data)["a"], array, strict=True)


def test_compressed_archive_that_claims_much(writers):
    data = writers.torch_zip({"a": np.zeros(2**22, "f4")}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="more than twice"):
        read_torch(data)
    with pytest.raises(CheckpointError, match="unusual compression"):
        read_torch(writers.torch_zip({"a": np.zeros(4, "f4")}, compression=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("name", ["archive/data/0", "archive/byteorder", "archive/"])
def test_archive_packed_anew_is_recognised(name):
    assert recognises(zip_of({name: b"1", "archive/data.pkl": b"\x80\x02N."})[:60])
    assert not recognises(zip_of({"holiday/1.jpg": b"1"}))


def test_directory_of_many_entries_is_refused_before_it_is_read(writers):
    data = writers.torch_zip({"a": np.arange(3, dtype="f4")})
    end = data.rindex(b"PK\x05\x06")
    many = data[: end + 10] + struct.pack("<H", 50_000) + data[end + 12 :]
    with pytest.raises(CheckpointError, match="50000 members; a checkpoint has at most 20000"):
        read_torch(many)


def test_numbers_without_dimensions(write, writers):
    """bfloat16 and booleans are computed with, and NumPy makes scalars of what has no dimensions."""
    flag = writers.tensor(np.array(1, np.uint8), "Bool")
    half = writers.tensor(np.array(0x3FC0, np.uint16), "BFloat16")
    read = read_torch(write([flag, half]))
    np.testing.assert_array_equal(read[0], np.array(True), strict=True)
    np.testing.assert_array_equal(read[1], np.array(1.5, "f4"), strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_programs_keep_beside_the_weights(write, protocol):
    beside = {
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "default": defaultdict(list, {"loss": [1.0, 2.0]}),
        "counts": defaultdict(int, {"steps": 3}),
        "types": [int, str, range, bytearray, slice],
        "range": range(3),
        "buffer": bytearray(b"a"),
        "path": PurePosixPath("/runs/1"),
        "when": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        "long": timedelta(hours=3),
        "complex": 1 + 2j,
    }
    read = read_torch(write({"weight": np.arange(3, dtype="f4"), **beside}, protocol))
    np.testing.assert_array_equal(read["weight"], np.arange(3, dtype="f4"), strict=True)
    assert read["default"] == {"loss": [1.0, 2.0]}
    assert read["counts"] == {"steps": 3}
    assert read["path"].endswith("PurePosixPath")


def test_the_log_that_mmagic_keeps_is_no_obstacle(write, writers):
    """MMEngine's message hub has buffers, whose statistics are named by their methods."""
    buffer = writers.named("mmengine.logging.history_buffer", "HistoryBuffer")
    method = writers.Called(writers.named("builtins", "getattr"), (buffer, "mean"))
    log = writers.Called(buffer, (), {"_log_history": np.arange(3.0), "_statistics_methods": {"mean": method}})
    read = read_torch(write({"state_dict": {"weight": np.arange(3, dtype="f4")}, "message_hub": {"loss": log}}))
    np.testing.assert_array_equal(read["state_dict"]["weight"], np.arange(3, dtype="f4"), strict=True)


def test_torchscript_becomes_a_state_dict(writers):
    """As torch.jit.save writes it: objects of classes of its own program, with tensors among their attributes."""

    def module(**attributes):
        return writers.Called(writers.named("__torch__.net", "Net"), (), {"training": False, **attributes})

    weight, bias = RANDOM.normal(size=(3, 2)).astype("f4"), np.zeros(3, "f4")
    content = io.BytesIO()
    pickler = writers.Pickler(content, 2)
    linear = module(weight=writers.tensor(weight), bias=writers.tensor(bias))
    pickler.dump(module(layers=module(**{"0": linear})))
    storages = {f"net/data/{i}": storage.elements.tobytes() for i, storage in enumerate(pickler.storages.values())}
    read = read_torch(zip_of({"net/data.pkl": content.getvalue(), "net/constants.pkl": b"1", **storages}))
    assert read.keys() == {"layers.0.weight", "layers.0.bias"}
    np.testing.assert_array_equal(read["layers.0.weight"], weight, strict=True)


def test_torchscript_modules_in_two_places_are_refused(writers):
    part = writers.Called(writers.named("__torch__", "Net"), (), {})
    whole = writers.Called(writers.named("__torch__", "Net"), (), {"a": part, "b": part})
    data = zip_of({"net/data.pkl": writers.pickled(whole), "net/constants.pkl": b"1"})
    with pytest.raises(CheckpointError, match="stands in two places"):
        read_torch(data)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.npy": b"1"}, "no data.pkl"),
        ({"net/data.pkl": b"\x80\x02N.", "net/constants.pkl": b"1"}, "TorchScript"),
        ({"net/data.pkl": b"\x80\x02N.", "net/byteorder": b"big"}, "big-endian"),
        ({"net/data.pkl": b""}, "ends too early"),
    ],
)
def test_other_archives(members, message):
    with pytest.raises(CheckpointError, match=message):
        read_torch(zip_of(members))


def test_archive_with_64_bit_records(writers):
    """As torch writes it: a second end record, which alone has the true numbers."""
    data = writers.torch_zip({"a": np.arange(3, dtype="f4")})
    end = data.rindex(b"PK\x05\x06")
    count, size, offset = struct.unpack_from("<HLL", data, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    read = read_torch(data[:end] + record + locator + last)
    np.testing.assert_array_equal(read["a"], np.arange(3, dtype="f4"), strict=True)


def test_member_with_64_bit_numbers():
    """Sizes and offset beyond 32 bits stand in the extra data; here they would not have to."""
    pickled = b"\x80\x02K\x07."
    info = zipfile.ZipInfo("archive/data.pkl")
    info.extra = struct.pack("<2H4s2H3Q", 9, 4, b"none", 1, 24, len(pickled), len(pickled), 0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, pickled)
    data = bytearray(file.getvalue())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<2L", data, entry + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<L", data, entry + 42, 0xFFFFFFFF)
    assert read_torch(data) == 7
    struct.pack_into("<Q", data, data.index(b"none", entry) + 8 + 16, 2**60)
    with pytest.raises(CheckpointError, match="behind the file's end"):
        read_torch(data)


def test_storage_of_another_size(writers):
    data = zip_of({"archive/data.pkl": member(writers, "data.pkl"), "archive/data/0": bytes(8)})
    with pytest.raises(CheckpointError, match="storage '0' is missing or has another size"):
        read_torch(data)
    data = zip_of({"archive/data.pkl": member(writers, "data.pkl")})
    with pytest.raises(CheckpointError, match="storage '0' is missing"):
        read_torch(data)


def member(writers, name):
    with zipfile.ZipFile(io.BytesIO(writers.torch_zip([np.zeros(3, "f4")]))) as archive:
        return archive.read(f"archive/{name}")


def test_legacy_facts(writers):
    data = writers.torch_legacy([np.zeros(3, "f4")])
    with pytest.raises(CheckpointError, match="big-endian"):
        read_torch(data.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"))
    with pytest.raises(CheckpointError, match="unknown version"):
        read_torch(data.replace(b"\x80\x02M\xe9\x03.", b"\x80\x02M\xe8\x03."))
    with pytest.raises(CheckpointError, match="fewer elements"):
        read_torch(data[:-20] + struct.pack("<q", 2**60) + data[-12:])


@pytest.mark.parametrize("new_layout", [True, False])
def test_files_by_torch(new_layout):
    torch = pytest.importorskip("torch")
    weight = torch.randn(4, 3, 2, 2)
    value = {
        "a": weight,
        "last": weight.to(memory_format=torch.channels_last),
        "half": weight.half(),
        "bfloat": weight.bfloat16(),
        "transposed": weight[:, :, 0, 0].t(),
        "p": torch.nn.Parameter(weight[1:]),
        "state": torch.nn.Linear(2, 3).state_dict(),
        "n": 3,
    }
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new_layout)
    read = read_torch(file.getvalue())
    assert read["n"] == 3
    for name in ("a", "last", "half", "transposed", "p"):
        np.testing.assert_array_equal(read[name], value[name].detach().numpy(), strict=True)
    np.testing.assert_array_equal(read["bfloat"], value["bfloat"].float().numpy(), strict=True)
    np.testing.assert_array_equal(read["state"]["weight"], value["state"]["weight"].numpy(), strict=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_reads_what_is_written_here(writers, layout):
    """So that the tests without torch read what torch would have written."""
    torch = pytest.importorskip("torch")
    array = RANDOM.normal(size=(3, 2)).astype("f4")
    read = torch.load(io.BytesIO(getattr(writers, layout)({"a": array, "n": [np.arange(3)]})))
    np.testing.assert_array_equal(read["a"].numpy(), array, strict=True)
    np.testing.assert_array_equal(read["n"][0].numpy(), np.arange(3), strict=True)
