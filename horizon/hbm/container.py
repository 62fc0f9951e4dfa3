"""The container of a .hbm file: a header, a table, and sections with checksums."""

from __future__ import annotations

import zlib

import numpy as np

from horizon.hbm import format as layout
from horizon.hbm.format import SectionKind, round_up
from horizon.hbm.records import ALIGNMENT, MAGIC, VERSION
from horizon.hbm.require import fail, require
from horizon.isa.records import RECORDS

RECORD_TYPES = {
    SectionKind.program: layout.PROGRAM,
    SectionKind.tensors: layout.TENSOR,
    SectionKind.instructions: layout.INSTRUCTION,
}
_RESERVED = {
    field.name for record in RECORDS.values() for field in record.fields if field.form == "zero"
}


def join_sections(sections: dict[SectionKind, tuple[bytes | bytearray, int]]) -> bytes:
    """Header, section table and sections, each at a multiple of 64 bytes."""
    table = np.zeros(len(sections), layout.SECTION)
    end = layout.HEADER.itemsize + table.nbytes
    body = bytearray()
    for row, (kind, (data, count)) in zip(table, sections.items(), strict=True):
        start = round_up(end, ALIGNMENT)
        body.extend(bytes(start - end))
        body.extend(data)
        row["kind"], row["crc"], row["offset"] = kind, zlib.crc32(data), start
        row["bytes"], row["count"] = len(data), count
        end = start + len(data)
    header = np.zeros((), layout.HEADER)
    header["magic"], header["version"] = MAGIC, VERSION
    header["section_count"], header["file_bytes"] = len(sections), end
    header["sections_crc"] = zlib.crc32(table.tobytes())
    header["header_crc"] = zlib.crc32(header.tobytes())
    return header.tobytes() + table.tobytes() + bytes(body)


def split_sections(data: memoryview, where: str) -> dict[SectionKind, memoryview]:
    """The sections' bytes, after every check of the container."""
    size = layout.HEADER.itemsize
    place = f"{where}: header"
    require(len(data) >= size, place, f"a file of {len(data)} bytes", f"at least {size}")
    raw = bytes(data[:size])
    magic = raw[: len(MAGIC)]
    require(magic == MAGIC, place, f"it begins with {magic!r}", f"{MAGIC!r}, a .hbm file")
    header = np.frombuffer(raw, layout.HEADER)[0]
    version = int(header["version"])
    if version != VERSION:
        again = "compile the model again with 'hat compile-perf'"
        fail(place, f"version {version}", f"{VERSION}; {again}")
    crc = layout.HEADER.fields["header_crc"][1] if layout.HEADER.fields else 0
    _check_crc(raw[:crc] + bytes(4) + raw[crc + 4 :], int(header["header_crc"]), place)
    check_zeros(header[None], place)
    found = f"{len(data)} bytes"
    whole = int(header["file_bytes"]) == len(data)
    require(whole, place, found, f"the {header['file_bytes']} that it states; copy the file again")
    count = int(header["section_count"])
    require(count == len(SectionKind), place, f"{count} sections", f"{len(SectionKind)}")
    end = size + count * layout.SECTION.itemsize
    require(len(data) >= end, place, found, f"at least {end}")
    place = f"{where}: section table"
    _check_crc(data[size:end], int(header["sections_crc"]), place)
    sections = {}
    for row, kind in zip(np.frombuffer(data[size:end], layout.SECTION), SectionKind, strict=True):
        place = f"{where}: section {kind.name}"
        require(row["kind"] == kind, place, f"section of kind {row['kind']}", f"{kind.value}")
        start, length, items = int(row["offset"]), int(row["bytes"]), int(row["count"])
        expected = round_up(end, ALIGNMENT)
        require(start == expected, place, f"it begins at {start}", f"{expected}")
        require(start + length <= len(data), place, f"{length} bytes", "an end inside the file")
        if any(data[end:start]):
            fail(place, "bytes before it are not 0", "0 between sections")
        item = RECORD_TYPES[kind].itemsize if kind in RECORD_TYPES else 1
        require(items * item == length, place, f"{items} records in {length} bytes", f"{item} each")
        sections[kind] = data[start : start + length]
        _check_crc(sections[kind], int(row["crc"]), place)
        end = start + length
    require(end == len(data), f"{where}: section metadata", f"it ends at {end}", f"{len(data)}")
    count = len(sections[SectionKind.program]) // layout.PROGRAM.itemsize
    require(count == 1, f"{where}: section program", f"{count} records", "1")
    return sections


def _check_crc(data: bytes | memoryview, stated: int, where: str) -> None:
    found = zlib.crc32(data)
    if found != stated:
        fail(where, f"checksum {found:08x}", f"{stated:08x}, as stated; the file was damaged")


def check_zeros(records: np.ndarray, where: str) -> None:
    """Reserved fields are 0, those of views included."""
    for name in records.dtype.names or ():
        column = records[name]
        if column.dtype == layout.VIEW:
            column = column["zero"]
        elif name not in _RESERVED:
            continue
        bad = column.reshape(len(records), -1).any(1)
        if bad.any():
            fail(f"{where}, record {int(bad.argmax())}", f"{name} is not 0", "0 in reserved fields")
