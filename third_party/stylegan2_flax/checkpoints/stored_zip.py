"""Reading of ZIP archives. Uncompressed members are views of the archive.

torch.save writes archives without compression. The standard library's zipfile copies what it reads, raises many kinds
of errors on damaged files, and makes half a kilobyte of objects from the 46 bytes of a directory entry.
"""

import struct
import zlib

from stylegan2_flax.checkpoints.network_data import CheckpointError
from stylegan2_flax.checkpoints.numpy_pickles import Budget

_END = struct.Struct("<4s4H2LH")  # magic, disks, entries on this disk, entries, directory size and offset, comment
_END_64_LOCATOR = struct.Struct("<4sLQL")  # magic, disk, offset of the 64-bit end record, disks
_END_64 = struct.Struct("<4sQ2H2L4Q")  # magic, ..., entries, directory size and offset
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

MAX_MEMBERS = 20_000
"""Three networks of 1024 px and their optimizers have about 2,500 arrays."""

_MAX_ENTRY_SIZE = 300  # of the directory: 46 bytes, a name, and extra data
_STORED, _DEFLATED = 0, 8
_UNKNOWN = 0xFFFFFFFF


def members(data: memoryview) -> dict[str, memoryview]:
    """The archive's members by name; all compressed ones together may come to twice the archive's size.

    Raises CheckpointError for an archive that is damaged, too large when unpacked, or encrypted.
    """
    try:
        return _members(data)
    except struct.error as error:
        raise _damaged("a record is incomplete") from error


def check_directory(data: memoryview) -> None:
    """Raise CheckpointError if the directory of the archive is damaged or too large."""
    try:
        _directory(data)
    except struct.error as error:
        raise _damaged("a record is incomplete") from error


def _members(data: memoryview) -> dict[str, memoryview]:
    count, position = _directory(data)
    budget = Budget(len(data))
    found = {}
    for _ in range(count):
        magic, _, _, flags, method, _, _, _, packed, size, name_size, extra_size, comment_size, _, _, _, offset = (
            _ENTRY.unpack_from(data, position)
        )
        if magic != b"PK\x01\x02":
            raise _damaged("its directory does not stand where it should")
        names = position + _ENTRY.size
        extra = data[names + name_size : names + name_size + extra_size]
        size, packed, offset = _long_fields(extra, size, packed, offset)
        if method not in (_STORED, _DEFLATED) or flags & 1 or (method == _STORED and size != packed):
            raise CheckpointError(
                "a member of the archive is encrypted or of an unusual compression: unpack it and pack it again without"
            )
        name = bytes(data[names : names + name_size]).decode("utf-8", "replace")
        content = _content(data, offset, packed)
        found[name] = content if method == _STORED else _unpacked(content, size, budget)
        position = names + name_size + extra_size + comment_size
    return found


def _directory(data: memoryview) -> tuple[int, int]:
    """Number of entries and position of the archive's directory, from the record at the file's end.

    Raises CheckpointError for more entries than a checkpoint has.
    """
    tail = bytes(data[-(_END.size + 0xFFFF) :])
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise _damaged("its end is missing")
    end += len(data) - len(tail)
    count, size, offset = (_END.unpack_from(data, end)[i] for i in (4, 5, 6))
    locator = end - _END_64_LOCATOR.size
    if locator >= 0 and bytes(data[locator : locator + 4]) == b"PK\x06\x07":
        end_64 = _END_64_LOCATOR.unpack_from(data, locator)[2]
        if end_64 > len(data):
            raise _damaged("a record lies behind the file's end")
        magic, *_, count, size, offset = _END_64.unpack_from(data, end_64)
        if magic != b"PK\x06\x06":
            raise _damaged("a record does not stand where it should")
    if count > MAX_MEMBERS or size > MAX_MEMBERS * _MAX_ENTRY_SIZE:
        raise CheckpointError(f"the archive has {count} members; a checkpoint has at most {MAX_MEMBERS}")
    if offset > len(data):
        raise _damaged("its directory lies behind the file's end")
    return count, offset


def _long_fields(extra: memoryview, *fields: int) -> list[int]:
    """The fields, where those that did not fit 32 bits come from the ZIP64 part of the extra data."""
    position, long = 0, b""
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            long = bytes(extra[position + 4 : position + 4 + size])
        position += 4 + size
    missing = sum(field == _UNKNOWN for field in fields)
    values = iter(struct.unpack_from(f"<{missing}Q", long))
    return [next(values) if field == _UNKNOWN else field for field in fields]


def _content(data: memoryview, offset: int, size: int) -> memoryview:
    if offset > len(data):
        raise _damaged("a member lies behind the file's end")
    magic, *_, name_size, extra_size = _LOCAL.unpack_from(data, offset)
    start = offset + _LOCAL.size + name_size + extra_size
    if magic != b"PK\x03\x04" or start + size > len(data):
        raise _damaged("a member does not stand where it should")
    return data[start : start + size]


def _unpacked(content: memoryview, size: int, budget: Budget) -> memoryview:
    budget.spend(size)
    try:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    except zlib.error as error:
        raise _damaged("a compressed member cannot be unpacked") from error
    if len(unpacked) != size:
        raise _damaged("a compressed member has another size than it should")
    return memoryview(unpacked)


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(f"its archive is damaged or cut short: {what}; get the file again")
