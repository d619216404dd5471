"""The pickle reader: the same plain data as the standard library's, nothing run, nothing imported, little memory."""

import codecs
import math
import os
import pickle
import struct
import sys
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.unpickler import PERSISTENT_ID, Call, Name, Unpickler

KEYS = st.none() | st.booleans() | st.integers(-(2**59), 2**59) | st.text()
PLAIN = st.recursive(
    KEYS | st.integers(-(2**1000), 2**1000) | st.floats(allow_nan=False) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.lists(inner).map(tuple),
)
DEEP = 3_000


def load(data, *allowed):
    return Unpickler(memoryview(data), frozenset(allowed)).load()


def reduced(function, *args):
    """An object that the standard library's unpickler makes by calling a function."""

    class Trap:
        def __reduce__(self):
            return function, args

    return Trap()


@pytest.mark.parametrize("examples", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_plain_data(examples):
    @given(value=PLAIN, protocol=st.integers(2, 5))
    @settings(max_examples=examples, deadline=None, database=None)
    def check(value, protocol):
        data = pickle.dumps(value, protocol)
        assert plain(load(data, "_codecs.encode", "__builtin__.bytes")) == value

    check()


def plain(value):
    """With bytes where the reader leaves views of the file, or a call to encode them."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, Call):
        return codecs.encode(*value.args) if value.args else b""
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_python_2():
    """Strings without an encoding, and large numbers as text."""
    data = b"\x80\x02(U\x03a\xe9bT\x02\x00\x00\x00xyI12345678901\nI01\nt."
    assert load(data) == ("aéb", "xy", 12345678901, True)


def test_shared_objects_and_cycles():
    shared: list = [1]
    shared.append(shared)
    first, second = load(pickle.dumps((shared, shared)))
    assert first is second
    assert first[1] is first


def test_calls_are_described():
    data = b"\x80\x02cnumpy\ndtype\nK\x01K\x02\x86RK\x03b."
    call = load(data, "numpy.dtype")
    assert (call.name, call.args, call.state) == ("numpy.dtype", (1, 2), 3)
    name = load(b"\x80\x02cnumpy\ndtype\n.", "numpy.dtype")
    assert isinstance(name, Name)
    assert name.dotted == "numpy.dtype"
    assert load(b"\x80\x02K\x07Q.", PERSISTENT_ID).args == (7,)


def test_dictionaries():
    ordered = OrderedDict([("b", 1), ("a", 2)])
    vars(ordered)["_metadata"] = 3  # attributes, as torch's state dicts have
    for protocol in range(2, 6):
        assert load(pickle.dumps(ordered, protocol)) == {"b": 1, "a": 2}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch {path}",), f"{os.name}.system"),
        (eval, ("open('{path}', 'w')",), ".eval'"),
        (exec, ("open('{path}', 'w')",), ".exec'"),
        (getattr, ("", "upper"), "getattr"),
        (__import__, ("this",), "__import__"),
        (codecs.open, ("{path}", "w"), "codecs.open"),
        (pickle.loads, (b"N.",), "pickle.loads"),
        (memoryview, (b"1",), "memoryview"),
    ],
)
def test_nothing_is_run(tmp_path, function, args, name, protocol):
    path = tmp_path / "trap"
    args = tuple(arg.format(path=path) if isinstance(arg, str) else arg for arg in args)
    data = pickle.dumps(reduced(function, *args), protocol)
    with pytest.raises(CheckpointError, match="nothing of the file was run") as error:
        load(data, PERSISTENT_ID, "numpy.dtype")
    assert name in str(error.value)
    assert not path.exists()


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "trap_module.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    data = b"\x80\x02ctrap_module\nf\n)R."
    assert load(data, "trap_module.f").name == "trap_module.f"
    with pytest.raises(CheckpointError, match=r"'trap_module\.f'"):
        load(data)
    assert "trap_module" not in sys.modules


@pytest.mark.parametrize("attribute", ["__class__", "__dict__", "__setstate__", "name", "args"])
def test_state_is_only_kept(attribute):
    call = load(
        b"\x80\x02cnumpy\ndtype\n)R}X" + struct.pack("<I", len(attribute)) + attribute.encode() + b"Nsb.", "numpy.dtype"
    )
    assert type(call) is Call
    assert (call.name, call.args, call.state) == ("numpy.dtype", (), {attribute: None})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends too early"),
        (b".", "more objects than it made"),
        (b"K", "ends too early"),
        (b"\x8c\xffab", "ends too early"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "not UTF-8"),
        (b"B\xff\xff\xff\xffab.", "ends too early"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.", "ends too early"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\xffab.", "ends too early"),
        (b"T\xff\xff\xff\xffab.", "ends too early"),
        (b"\x8a\xff\x01.", "ends too early"),
        (b"I1_0\n.", "other characters"),
        (b"I--\n.", "other characters"),
        (b"I" + b"9" * 10_000 + b"\n.", "does not end"),
        (b"c" + b"a" * 10_000, "does not end"),
        (b"t.", "mark is missing"),
        (b"u.", "mark is missing"),
        (b"N(NNNu.", "no value"),
        (b"N(NNu.", "no dict"),
        (b"N(Ne.", "no list"),
        (b"Na.", "more objects|no list"),
        (b"]N(Na.", "no list"),
        (b"\x87.", "more objects"),
        (b"h\x05.", "did not make"),
        (b"q\x00.", "where it expects one"),
        (b"NR.", "no tuple"),
        (b"N)R.", "no function"),
        (b"ccollections\nOrderedDict\nK\x01\x85R.", "has arguments"),
        (b"ccollections\nOrderedDict\n)}NNs\x92.", "keyword arguments"),
        (b"NNb.", "plain data"),
        (b"NQ.", "objects outside"),
        (b"\x97.", "0x97"),
        (b"P1\n.", "0x50"),
        (b"i__main__\nA\n.", "0x69"),
        (b"\x82\x01.", "0x82"),
        (b"NN\x93.", "no text"),
        (b"}NNs}NsNs.", "more objects|neither text"),
        (b"})Ns.", "neither text"),
        (b"}G\x3f\xf0\x00\x00\x00\x00\x00\x00Ns.", "neither text"),
        (b"}\x8a\x08" + (2**61 - 1).to_bytes(8, "little") + b"Ns.", "neither text"),
    ],
)
def test_damage(body, message):
    with pytest.raises(CheckpointError, match=message):
        load(b"\x80\x02" + body)


@pytest.mark.parametrize("version", [0, 1, 6, 255])
def test_other_protocols(version):
    with pytest.raises(CheckpointError, match=f"protocol {version}: protocols 2 to 5"):
        load(bytes([0x80, version]) + b"N.")


BOMBS = {
    "memo index": b"Nr\xff\xff\xff\xff.",
    "nested lists": b"]" * DEEP + b"a" * (DEEP - 1) + b".",
    "nested tuples": b"N" + b"\x85" * DEEP + b".",
    "nested calls": b"N" + b"".join([b"\x85q\x01cnumpy\ndtype\nh\x01R"] * 400) + b".",
    "marks": b"(" * DEEP + b"N.",
    "billion laughs": b"N" + b"".join([b"q\x00]q\x01(" + b"h\x00" * 10 + b"e"] * 40) + b".",
    "doubling": b"N" + b"2\x86" * 100 + b".",
    "colliding keys": b"}("
    + b"".join(b"\x8a\x08" + (i << 40).to_bytes(8, "little") + b"N" for i in range(2**10))
    + b"u.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name):
    """They take time and memory in proportion to their size; what nobody walks through does no harm."""
    data = b"\x80\x02" + BOMBS[name]
    tracemalloc.start()
    load(data, "numpy.dtype")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18 + 120 * len(data)


def test_tuple_as_key_is_not_hashed():
    """Deeply nested tuples would overflow the stack of the interpreter."""
    with pytest.raises(CheckpointError, match="neither text nor small numbers"):
        load(b"\x80\x02}N" + b"\x85" * 10 * DEEP + b"Ns.")


def test_endless_pickle():
    with pytest.raises(CheckpointError, match="more than 1000 steps"):
        Unpickler(memoryview(b"\x80\x02" + b"N0" * 600 + b"."), frozenset()).load(max_steps=1000)


def test_special_floats():
    assert math.isnan(load(pickle.dumps(math.nan)))
    assert load(pickle.dumps(-math.inf)) == -math.inf
