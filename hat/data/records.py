"""The packed record: named arrays and attributes in one checked block of bytes.

Layout, little-endian::

    4 bytes  magic "HFR\\x1a"
    u16      format version (1)
    u16      zero
    u32      bytes of the header
    u64      bytes of the payload
    header   JSON: {"attributes": {...}, "arrays": [{"name", "dtype", "shape", "codec", "bytes"}]}
    payload  the encoded arrays, one after the other (codecs: hat.data.codecs)
    u64      xxh3 of everything before it

The reader trusts nothing: lengths first, then the checksum, then every entry of the header.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xxhash

from hat.data.codecs import decode_array, encode_array
from hat.errors import InputError

__all__ = ["FORMAT_VERSION", "Record", "decode_record", "encode_record"]

MAGIC = b"HFR\x1a"
FORMAT_VERSION = 1
PREFIX = struct.Struct("<4sHHIQ")
CHECKSUM = struct.Struct("<Q")
DTYPES = ("|u1", "<i2", "<u2", "<i4", "<i8", "<f4", "<f8")
MAX_ARRAY_BYTES = 1 << 32
MAX_AXES = 8


class Record(NamedTuple):
    """What a record holds."""

    arrays: dict[str, np.ndarray]
    attributes: dict[str, Any]


def encode_record(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> bytes:
    """Pack arrays (uint8, int16 to int64, uint16, float32, float64) and JSON-able attributes.

    Every array comes back bit for bit. Raises ValueError for any other dtype.
    """
    entries, payload = [], []
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<").str if array.dtype.itemsize > 1 else array.dtype.str
        if dtype not in DTYPES:
            raise ValueError(f"array {name!r} is {array.dtype}; a record holds {', '.join(DTYPES)}")
        codec, data = encode_array(array.astype(dtype, copy=False))
        entries.append(
            {
                "name": name,
                "dtype": dtype,
                "shape": list(array.shape),
                "codec": codec,
                "bytes": len(data),
            }
        )
        payload.append(data)
    header = json.dumps(
        {"attributes": dict(attributes), "arrays": entries}, separators=(",", ":")
    ).encode()
    prefix = PREFIX.pack(MAGIC, FORMAT_VERSION, 0, len(header), sum(map(len, payload)))
    body = b"".join([prefix, header, *payload])
    return body + CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def decode_record(data: bytes | memoryview, name: str = "record") -> Record:
    """Check and unpack a record; ``name`` says in errors which one it is.

    The arrays are new, writable and contiguous; ``data`` is not referred to afterwards.

    Raises:
        InputError: no record, another version, a wrong length or checksum, or a header that does
            not describe its payload.
    """
    view = memoryview(data)
    if len(view) >= len(MAGIC) and view[: len(MAGIC)] != MAGIC:
        found = bytes(view[: len(MAGIC)])
        raise InputError(f"{name}: not a packed record: it starts with {found!r}, not {MAGIC!r}")
    if len(view) < PREFIX.size + CHECKSUM.size:
        raise InputError(f"{name}: truncated: {len(view)} bytes are too few for a record")
    _, version, zero, header_bytes, payload_bytes = PREFIX.unpack_from(view)
    if version != FORMAT_VERSION or zero != 0:
        raise InputError(
            f"{name}: record format {version}.{zero}, this program reads {FORMAT_VERSION}.0; the "
            "record is damaged or of another release: pack the data set again"
        )
    expected = PREFIX.size + header_bytes + payload_bytes + CHECKSUM.size
    if len(view) != expected:
        state = "truncated" if len(view) < expected else "damaged"
        raise InputError(f"{name}: {state}: {len(view)} bytes, its header says {expected}")
    end = expected - CHECKSUM.size
    if xxhash.xxh3_64_intdigest(view[:end]) != CHECKSUM.unpack_from(view, end)[0]:
        raise InputError(f"{name}: damaged: its checksum does not match; pack the data set again")
    try:
        return _decode_body(view[PREFIX.size : end], header_bytes)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: its header does not describe its data: {error!r}") from error


def _decode_body(view: memoryview, header_bytes: int) -> Record:
    header = json.loads(bytes(view[:header_bytes]))
    arrays: dict[str, np.ndarray] = {}
    position = header_bytes
    for entry in header["arrays"]:
        name, codec, shape, length = entry["name"], entry["codec"], entry["shape"], entry["bytes"]
        if entry["dtype"] not in DTYPES or not isinstance(name, str):
            raise ValueError(f"unknown dtype or bad name in {entry}")
        dtype = np.dtype(entry["dtype"])
        sizes = [*shape, length]
        if not all(type(n) is int and n >= 0 for n in sizes) or len(shape) > MAX_AXES:
            raise ValueError(f"bad shape or length in {entry}")
        if math.prod(shape) * dtype.itemsize > MAX_ARRAY_BYTES or length > len(view) - position:
            raise ValueError(f"{entry} is larger than the record allows")
        encoded = view[position : position + length]
        arrays[name] = decode_array(codec, encoded, dtype, tuple(shape))
        position += length
    if position != len(view):
        raise ValueError(f"{len(view) - position} bytes belong to no array")
    if not isinstance(header["attributes"], dict):
        raise ValueError("the attributes are no mapping")
    return Record(arrays, header["attributes"])
