"""A reader of pickles that executes nothing. It returns plain data, with descriptions in place of calls.

The standard library's unpickler, even a restricted one, makes room for whatever lengths and memo indices a file claims
and hashes nested tuples in C without a limit. This one copies no bytes, takes a bounded number of steps, and makes
nothing but numbers, strings, views of the file, tuples, lists, dictionaries, `Name` and `Call`.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stylegan2_flax.checkpoints.network_data import CheckpointError

FileData = bytes | bytearray | memoryview | mmap.mmap
"""The contents of a file. A memory map of a large one must stay open while arrays that were read from it are in use."""

PERSISTENT_ID = "persistent id"
"""Name of the `Call` that represents an object outside the pickle."""

_DEFAULT_DICT = "collections.defaultdict"
DICTIONARIES = frozenset({"collections.OrderedDict", _DEFAULT_DICT, "dnnlib.util.EasyDict", "dnnlib.EasyDict"})

# A file with three 1024 px networks takes about 50 000 steps; each may cost a hundred bytes.
MAX_STEPS = 1_000_000
_MAX_NAME = 200


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A class or function that a pickle refers to, by its dotted name only."""

    dotted: str


@dataclass(eq=False, slots=True)
class Call:
    """A call in a pickle, which is not executed: its name, its arguments, and the state of its result."""

    name: str
    args: tuple[Any, ...]
    state: Any = None


class Unpickler:
    """One pickle of protocol 2 to 5 that begins at `start`.

    allowed: the dotted names it may refer to ("package.*": all that begin so), and PERSISTENT_ID where it may have
    persistent ids.
    """

    def __init__(self, data: memoryview, allowed: frozenset[str], start: int = 0):
        self.position, self.persistent_ids = start, []
        self._data, self._allowed, self._memo = data, allowed | DICTIONARIES, {}
        self._stack, self._stacks_below_marks = [], []

    def load(self, max_steps: int = MAX_STEPS) -> Any:
        """The pickled object; `position` is then behind it and `persistent_ids` holds all that were met.

        Raises CheckpointError, and nothing else, where the pickle is damaged or refers to a name that is not allowed.
        """
        for _ in range(max_steps):
            if self.position == len(self._data):
                raise _damaged("it ends too early")
            code = self._data[self.position]
            self.position += 1
            if code == _STOP:
                return self._pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise _damaged(f"no pickle of protocol 2 to 5 has the code 0x{code:02x}")
            operation(self)
        raise CheckpointError(f"its pickle takes more than {max_steps} steps, which no checkpoint needs")

    def _take(self, size: int) -> memoryview:
        end = self.position + size
        if size < 0 or end > len(self._data):
            raise _damaged("it ends too early")
        taken, self.position = self._data[self.position : end], end
        return taken

    def _number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self._take(layout.size))[0]

    def _line(self) -> str:
        limit = min(self.position + _MAX_NAME, len(self._data))
        line = bytes(self._data[self.position : limit]).split(b"\n", 1)
        if len(line) == 1:
            raise _damaged("a line of text does not end")
        self.position += len(line[0]) + 1
        return _text(line[0])

    def _pop(self) -> Any:
        if not self._stack:
            raise _damaged("it takes more objects than it made")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._stacks_below_marks:
            raise _damaged("a mark is missing")
        items, self._stack = self._stack, self._stacks_below_marks.pop()
        return items

    def _pop_tuple(self) -> tuple[Any, ...]:
        arguments = self._pop()
        if not isinstance(arguments, tuple):
            raise _damaged("the arguments of a call are no tuple")
        return arguments

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise _damaged(f"there is no {kind.__name__.lower()} where it expects one")
        return self._stack[-1]

    # What the codes do. Numbers and strings are in the table below.

    def _protocol(self) -> None:
        version = self._take(1)[0]
        if not 2 <= version <= 5:
            raise CheckpointError(f"its pickle has protocol {version}: protocols 2 to 5 can be read")

    def _frame(self) -> None:
        self._take(8)  # its length: a hint for buffering

    def _mark(self) -> None:
        self._stacks_below_marks.append(self._stack)
        self._stack = []

    def _discard_to_mark(self) -> None:
        self._pop_to_mark()

    def _discard(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_to_mark()

    def _duplicate(self) -> None:
        top = self._pop()
        self._stack += [top, top]

    def _integer_line(self) -> None:
        line = self._line()
        booleans = {"00": False, "01": True}
        if line not in booleans and not (line.lstrip("-").isascii() and line.lstrip("-").isdigit()):
            raise _damaged("a number has other characters than digits")
        self._stack.append(booleans[line] if line in booleans else int(line))

    def _long(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._take(1)[0]), "little", signed=True))

    def _append(self) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _appends(self) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[_checked_key(key)] = value

    def _set_items(self) -> None:
        items = self._pop_to_mark()
        if len(items) % 2:
            raise _damaged("a key of a dictionary has no value")
        dictionary = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            dictionary[_checked_key(key)] = value

    def _tuple_of(self, size: int) -> None:
        if len(self._stack) < size:
            raise _damaged("it takes more objects than it made")
        start = len(self._stack) - size
        self._stack[start:] = [tuple(self._stack[start:])]

    def _tuple(self) -> None:
        items = self._pop_to_mark()
        self._stack.append(tuple(items))

    # No checkpoint keeps data in a set, so sets are not made either: their items could collide by design.

    def _empty_set(self) -> None:
        self._stack.append(Call("set", ()))

    def _add_items(self) -> None:
        self._pop_to_mark()
        self._top(Call)

    def _frozen_set(self) -> None:
        self._pop_to_mark()
        self._stack.append(Call("set", ()))

    def _global(self) -> None:
        module = self._line()
        self._push_name(module, self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _damaged("a name is no text")
        self._push_name(module[:_MAX_NAME], name[:_MAX_NAME])

    def _push_name(self, module: str, name: str) -> None:
        dotted = f"{module}.{name}"
        if dotted not in self._allowed and f"{dotted.partition('.')[0]}.*" not in self._allowed:
            raise CheckpointError(
                f"its pickle refers to {dotted!r}, which no known checkpoint format needs; nothing of the file was run"
            )
        self._stack.append(Name(dotted))

    def _call(self) -> None:
        arguments, function = self._pop_tuple(), self._pop()
        if not isinstance(function, Name):
            raise _damaged("it calls something that is no function")
        if function.dotted in DICTIONARIES:
            if arguments and not (function.dotted == _DEFAULT_DICT and len(arguments) == 1):
                raise _damaged(f"{function.dotted} has arguments")
            self._stack.append({})
        else:
            self._stack.append(Call(function.dotted, arguments))

    def _call_with_keywords(self) -> None:
        if self._pop() != {}:
            raise _damaged("it calls a class with keyword arguments")
        self._call()

    def _build(self) -> None:
        state = self._pop()
        target = self._top(object)
        if isinstance(target, Call):
            target.state = state
        elif not isinstance(target, dict):  # attributes of dictionaries, such as torch's _metadata, have no use here
            raise _damaged("it sets the state of plain data")

    def _persistent_id(self) -> None:
        if PERSISTENT_ID not in self._allowed:
            raise _damaged("it has objects outside of it, and there are none")
        self.persistent_ids.append(self._pop())
        self._stack.append(Call(PERSISTENT_ID, (self.persistent_ids[-1],)))

    def _put(self, index: int) -> None:
        self._memo[index] = self._top(object)

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise _damaged("it refers back to an object that it did not make")
        self._stack.append(self._memo[index])


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"its pickle is damaged or cut short: {what}; get the file again")


def _text(data: bytes | memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise _damaged("a text is not UTF-8") from error


def _checked_key(key: Any) -> str | int | None:
    """Checks that a key is None, text or a small integer, whose hashes are cheap and do not collide by design."""
    if key is None or isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**60):
        return key
    raise CheckpointError("its pickle has a dictionary whose keys are neither text nor small numbers")


def _sized(layout: str, convert: Callable[[memoryview], Any]) -> Callable[[Unpickler], None]:
    size = struct.Struct(layout)
    return lambda machine: machine._stack.append(convert(machine._take(machine._number(size))))


def _pushes(layout: str) -> Callable[[Unpickler], None]:
    number = struct.Struct(layout)
    return lambda machine: machine._stack.append(machine._number(number))


def _indexed(method: Callable[[Unpickler, int], None], layout: str) -> Callable[[Unpickler], None]:
    index = struct.Struct(layout)
    return lambda machine: method(machine, machine._number(index))


def _latin1(data: memoryview) -> str:
    return str(data, "latin-1")  # a string of Python 2: text or bytes, which latin-1 can give back


_STOP = ord(".")
_OPERATIONS: dict[int, Callable[[Unpickler], None]] = {
    0x80: Unpickler._protocol,
    0x95: Unpickler._frame,
    ord("("): Unpickler._mark,
    ord("0"): Unpickler._discard,
    ord("1"): Unpickler._discard_to_mark,
    ord("2"): Unpickler._duplicate,
    ord("N"): lambda machine: machine._stack.append(None),
    0x88: lambda machine: machine._stack.append(True),
    0x89: lambda machine: machine._stack.append(False),
    ord("I"): Unpickler._integer_line,  # Python 2 writes large numbers so
    ord("J"): _pushes("<i"),
    ord("K"): _pushes("<B"),
    ord("M"): _pushes("<H"),
    0x8A: Unpickler._long,
    ord("G"): _pushes(">d"),
    ord("U"): _sized("<B", _latin1),
    ord("T"): _sized("<i", _latin1),
    0x8C: _sized("<B", _text),
    ord("X"): _sized("<I", _text),
    0x8D: _sized("<Q", _text),
    ord("C"): _sized("<B", lambda view: view),
    ord("B"): _sized("<I", lambda view: view),
    0x8E: _sized("<Q", lambda view: view),
    0x96: _sized("<Q", lambda view: view),
    ord("]"): lambda machine: machine._stack.append([]),
    ord("a"): Unpickler._append,
    ord("e"): Unpickler._appends,
    ord("}"): lambda machine: machine._stack.append({}),
    ord("s"): Unpickler._set_item,
    ord("u"): Unpickler._set_items,
    ord(")"): lambda machine: machine._stack.append(()),
    ord("t"): Unpickler._tuple,
    0x85: lambda machine: machine._tuple_of(1),
    0x86: lambda machine: machine._tuple_of(2),
    0x87: lambda machine: machine._tuple_of(3),
    0x8F: Unpickler._empty_set,
    0x90: Unpickler._add_items,
    0x91: Unpickler._frozen_set,
    ord("c"): Unpickler._global,
    0x93: Unpickler._stack_global,
    ord("R"): Unpickler._call,
    0x81: Unpickler._call,  # NEWOBJ
    0x92: Unpickler._call_with_keywords,
    ord("b"): Unpickler._build,
    ord("Q"): Unpickler._persistent_id,
    ord("q"): _indexed(Unpickler._put, "<B"),
    ord("r"): _indexed(Unpickler._put, "<I"),
    0x94: lambda machine: machine._put(len(machine._memo)),
    ord("h"): _indexed(Unpickler._get, "<B"),
    ord("j"): _indexed(Unpickler._get, "<I"),
}
