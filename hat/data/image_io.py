"""Image files to uint8 RGB arrays (H, W, 3) and back; the strict reader of PPM."""

from __future__ import annotations

import os
import re
import zlib

import cv2
import numpy as np

from hat.data.files import read_file, write_file
from hat.errors import InputError

__all__ = [
    "check_jpeg",
    "check_png",
    "read_image",
    "read_mask",
    "read_ppm",
    "write_png",
    "write_ppm",
]

PathLike = str | os.PathLike[str]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 1 << 16
# 0xff 0x00 is a byte of the coded image, and the restart markers d0 to d7 stand between its parts.
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
# Netpbm: magic, width, height, maximum, separated by white space or comments, then exactly one
# white-space character and the pixels.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
PPM_HEADER = re.compile(
    rb"P6" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})"
    rb"(?:#[^\r\n]*[\r\n]|\s)"
)


def read_image(path: PathLike) -> np.ndarray:
    """Read an image of any format OpenCV knows: uint8 RGB (H, W, 3).

    Grey is repeated over the channels, 16 bit scaled to 8, alpha dropped, the orientation that a
    camera noted applied.

    Raises:
        InputError: missing, damaged or truncated file, or no image.
    """
    data = read_file(path, "image")
    name = os.fspath(path)
    head = data[:8].tobytes()
    if head[:2] == b"P6":
        return _parse_ppm(name, data)
    if head == PNG_MAGIC:
        check_png(path, data)
    if head[:2] == b"\xff\xd8":
        check_jpeg(path, data)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise InputError(f"{name}: cannot decode this image: {error.err}") from error
    if image is None:
        raise InputError(
            f"{name}: cannot decode this image (first bytes {head!r}); expected PPM, PNG, JPEG or "
            "another format that OpenCV reads"
        )
    if image.dtype == np.uint16:
        image = _to_8_bit(image, 65535)
    if image.dtype != np.uint8:
        raise InputError(f"{name}: an image of {image.dtype}; expected 8 or 16 bit integers")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_mask(path: PathLike) -> np.ndarray:
    """Read a picture as a mask: uint8 (H, W), 0 where it is black, else 1.

    Raises:
        InputError: missing, damaged or truncated file, or no image.
    """
    data = read_file(path, "mask")
    if data[:8].tobytes() == PNG_MAGIC:
        check_png(path, data)
    # as it is stored: a conversion to 8 bits could take a small number for black
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise InputError(f"{os.fspath(path)}: cannot decode this mask; expected a PNG")
    if picture.ndim == 3:
        picture = picture[..., :3].max(axis=2)
    return (picture > 0).astype(np.uint8)


def read_ppm(path: PathLike) -> np.ndarray:
    """Read a binary PPM (``P6``): uint8 RGB (H, W, 3).

    Any legal header is understood: line breaks or blanks between its numbers, comments, a
    maximum other than 255 (scaled to 255).

    Raises:
        InputError: missing file, another format, damaged header, too few or too many bytes.
    """
    return _parse_ppm(os.fspath(path), read_file(path, "PPM file"))


def _parse_ppm(name: str, data: np.ndarray) -> np.ndarray:
    header = PPM_HEADER.match(data[:4096].tobytes())
    if header is None:
        raise InputError(
            f"{name}: not a binary PPM: it starts with {data[:20].tobytes()!r}, expected 'P6', "
            "width, height and maximum"
        )
    width, height, maximum = (int(n) for n in header.groups())
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and 0 < maximum <= 65535):
        raise InputError(
            f"{name}: the header says {width}x{height} pixels of 0 to {maximum}; expected sides "
            f"of 1 to {MAX_SIDE} and a maximum of 1 to 65535: the file is damaged"
        )
    dtype = np.dtype(np.uint8 if maximum < 256 else ">u2")
    expected, found = width * height * 3 * dtype.itemsize, data.size - header.end()
    if found != expected:
        state = "truncated" if found < expected else "damaged (bytes after its end)"
        raise InputError(
            f"{name}: {width}x{height} pixels take {expected} bytes, the file holds {found}: it is "
            f"{state}"
        )
    pixels = data[header.end() :].view(dtype).reshape(height, width, 3)
    if maximum == 255:
        return pixels
    if int(pixels.max()) > maximum:
        raise InputError(f"{name}: a pixel of {int(pixels.max())} above the maximum {maximum}")
    return _to_8_bit(pixels, maximum)


def _to_8_bit(pixels: np.ndarray, maximum: int) -> np.ndarray:
    """Scale 0..maximum to 0..255, rounded to the nearest."""
    return ((pixels.astype(np.uint32) * 510 + maximum) // (2 * maximum)).astype(np.uint8)


def check_png(path: PathLike, data: np.ndarray) -> None:
    """Check the chunks of a PNG and their checksums; OpenCV decodes damaged ones silently.

    Raises:
        InputError: no PNG, a chunk with a wrong checksum, or a file that ends early.
    """
    name, content = os.fspath(path), data.tobytes()
    if content[:8] != PNG_MAGIC:
        raise InputError(f"{name}: not a PNG: it starts with {content[:8]!r}")
    position, kind = 8, b""
    while kind != b"IEND":
        if position + 12 > len(content):
            raise InputError(f"{name}: this PNG is truncated: {len(content)} bytes and no end")
        length = int.from_bytes(content[position : position + 4], "big")
        end = position + 8 + length
        kind = content[position + 4 : position + 8]
        if end + 4 > len(content):
            raise InputError(f"{name}: this PNG is truncated in its chunk {kind!r}")
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise InputError(f"{name}: this PNG is damaged: wrong checksum of chunk {kind!r}")
        position = end + 4


def check_jpeg(path: PathLike, data: np.ndarray) -> None:
    """Check that a JPEG reaches its end marker; OpenCV decodes half of one to half an image.

    The segments are walked through (ITU-T T.81, annex B), because the end marker of a thumbnail
    ends no image, and because anything may follow the image: a camera's video, a second image.

    Raises:
        InputError: the file ends before the end marker of the image.
    """
    content, position = data.tobytes(), 2
    while True:
        marker = JPEG_MARKER.search(content, position)
        if marker is None:
            raise InputError(
                f"{os.fspath(path)}: this JPEG is truncated: {len(content)} bytes and no end marker"
            )
        position, kind = marker.end(), marker[1][0]
        if kind == 0xD9:
            return
        if kind not in (0x01, 0xD8):  # all others have a length, which counts itself
            position += int.from_bytes(content[position : position + 2], "big")


def write_ppm(path: PathLike, rgb: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) as binary PPM, atomically."""
    rgb = _as_rgb(path, rgb)
    header = f"P6\n{rgb.shape[1]} {rgb.shape[0]}\n255\n".encode()
    write_file(path, header, np.ascontiguousarray(rgb).tobytes())


def write_png(path: PathLike, rgb: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) as PNG, atomically."""
    bgr = cv2.cvtColor(np.ascontiguousarray(_as_rgb(path, rgb)), cv2.COLOR_RGB2BGR)
    write_file(path, cv2.imencode(".png", bgr)[1].tobytes())


def _as_rgb(path: PathLike, rgb: np.ndarray) -> np.ndarray:
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise InputError(
            f"{os.fspath(path)}: expected an image of uint8 (H, W, 3), found {rgb.dtype} "
            f"{rgb.shape}"
        )
    return rgb
