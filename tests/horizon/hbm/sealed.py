"""Checksums and length of a changed file."""

from __future__ import annotations

import struct
import zlib


def sealed(data: bytes) -> bytes:
    """The same with checksums and length that fit its contents, as far as the table makes sense."""
    result = bytearray(data)
    for row in range(64, 256, 32):
        start, size = struct.unpack_from("<QQ", result, row + 8)
        if start + size <= len(result):
            struct.pack_into("<I", result, row + 4, zlib.crc32(result[start : start + size]))
    struct.pack_into("<Q", result, 16, len(result))
    struct.pack_into("<I", result, 24, zlib.crc32(result[64:256]))
    struct.pack_into("<I", result, 28, 0)
    struct.pack_into("<I", result, 28, zlib.crc32(result[:64]))
    return bytes(result)
