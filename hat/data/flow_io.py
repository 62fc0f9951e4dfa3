"""Files of optical flow: ``.flo`` (Middlebury), 16-bit ``.png`` (KITTI), ``.pfm``, ``.flo5``.

A flow field is float32 (H, W, 2): (u, v) in pixels, from image 1 to image 2. A validity mask is
uint8 (H, W), 1 where the ground truth is known. All writers are atomic.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import cv2
import numpy as np

from hat.data.files import read_file, write_file
from hat.data.flo5 import read_flo5
from hat.data.image_io import check_png
from hat.errors import InputError

__all__ = [
    "UNKNOWN_FLOW",
    "known_flow",
    "read_flo",
    "read_flow",
    "read_kitti_png",
    "read_pfm",
    "write_flo",
    "write_kitti_png",
    "write_npz",
    "write_pfm",
]

PathLike = str | os.PathLike[str]

FLO_MAGIC = b"PIEH"  # the float32 202021.25, little-endian
MAX_SIDE = 1 << 16  # no camera is that wide; a larger number is a damaged header
# Middlebury flow-code, flowIO.h: UNKNOWN_FLOW_THRESH; writers mark unknown pixels with 1e10.
UNKNOWN_FLOW = 1e9
PFM_HEADER = re.compile(rb"(PF|Pf)\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,32})(?:\r\n|\s)")
KITTI_OFFSET, KITTI_STEP = 1 << 15, 64.0  # KITTI devkit: u = (red - 2**15) / 64, valid = blue
KITTI_RANGE = -KITTI_OFFSET / KITTI_STEP, (KITTI_OFFSET - 1) / KITTI_STEP  # px


def known_flow(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a raw flow field into (flow with zeros where unknown, validity mask).

    A pixel is unknown where a component is NaN, infinite or larger than 1e9 (Middlebury's
    convention).
    """
    with np.errstate(invalid="ignore"):
        known = (np.abs(flow) <= UNKNOWN_FLOW).all(axis=2)
    return np.where(known[..., None], flow, np.float32(0)), known.astype(np.uint8)


def read_flo(path: PathLike) -> np.ndarray:
    """Read a ``.flo`` file, bit for bit: float32 (H, W, 2).

    Unknown pixels keep what marks them, a value beyond 1e9, NaN or infinity; :func:`read_flow`
    turns them into a mask.

    Raises:
        InputError: missing, damaged or truncated file, absurd size.
    """
    data = read_file(path, "flow file")
    name = os.fspath(path)
    if data.size < 12 or data[:4].tobytes() != FLO_MAGIC:
        raise InputError(
            f"{name}: not a .flo file: it starts with {data[:4].tobytes()!r}, expected "
            f"{FLO_MAGIC!r}, width and height ({data.size} bytes in the file)"
        )
    width, height = (int(n) for n in data[4:12].view("<i4"))
    _check_size(name, width, height)
    _check_length(name, data.size - 12, width, height, 8)
    return data[12:].view("<f4").reshape(height, width, 2)


def write_flo(path: PathLike, flow: np.ndarray) -> None:
    """Write a flow field (H, W, 2) as ``.flo`` (float32, little-endian).

    Raises:
        InputError: NaN or infinite values, which readers elsewhere do not take for unknown.
    """
    flow = _as_flow(path, flow)
    height, width = flow.shape[:2]
    header = FLO_MAGIC + np.array([width, height], "<i4").tobytes()
    write_file(path, header, np.ascontiguousarray(flow, "<f4").tobytes())


def read_kitti_png(path: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a KITTI flow PNG: (flow float32 (H, W, 2), valid uint8 (H, W)).

    Invalid pixels have zero flow and valid 0.

    Raises:
        InputError: missing or damaged file, or a PNG that is not 16-bit with three channels.
    """
    data = read_file(path, "flow file")
    check_png(path, data)
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
        found = "nothing readable" if stored is None else f"{stored.dtype} {stored.shape}"
        raise InputError(
            f"{os.fspath(path)}: not a KITTI flow file: expected a 16-bit PNG with three "
            f"channels, found {found}"
        )
    valid = (stored[..., 0] > 0).astype(np.uint8)  # OpenCV's order is blue, green, red
    flow = (stored[..., :0:-1].astype(np.float32) - KITTI_OFFSET) / np.float32(KITTI_STEP)
    return flow * valid[..., None], valid


def write_kitti_png(path: PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a flow field as KITTI PNG; values are rounded to 1/64 px, the format's step.

    Raises:
        InputError: a valid pixel's flow is NaN or outside -512 ... 511.98 px.
    """
    flow = _as_flow(path, flow, finite=False)
    if valid is None:
        flow, valid = known_flow(flow)
    if valid.shape != flow.shape[:2]:
        raise InputError(
            f"{os.fspath(path)}: mask of shape {valid.shape} for a flow of shape {flow.shape}"
        )
    mask = valid > 0
    stored = np.rint(np.where(mask[..., None], flow, 0) * KITTI_STEP) + KITTI_OFFSET
    if not ((stored >= 0) & (stored <= 65535)).all():
        raise InputError(
            f"{os.fspath(path)}: a KITTI PNG holds -512 to 511.98 px, this flow goes beyond; "
            "write .flo or .pfm"
        )
    stored = np.where(mask[..., None], stored, 0).astype(np.uint16)
    bgr = np.dstack([mask.astype(np.uint16), stored[..., 1], stored[..., 0]])
    write_file(path, cv2.imencode(".png", bgr)[1].tobytes())


def read_pfm(path: PathLike) -> np.ndarray:
    """Read a ``.pfm`` file: float32 (H, W, 3) if it has colour, else (H, W); top row first.

    Raises:
        InputError: missing, damaged or truncated file, absurd size.
    """
    data = read_file(path, "PFM file")
    name = os.fspath(path)
    header = PFM_HEADER.match(data[:128].tobytes())
    try:
        scale = float(header[4]) if header else 0.0
    except ValueError:
        scale = 0.0
    if header is None or scale == 0 or not np.isfinite(scale):
        raise InputError(
            f"{name}: not a PFM file: it starts with {data[:16].tobytes()!r}, expected 'PF' or "
            "'Pf', width, height and a scale other than zero"
        )
    width, height = int(header[2]), int(header[3])
    channels = 3 if header[1] == b"PF" else 1
    _check_size(name, width, height)
    _check_length(name, data.size - header.end(), width, height, 4 * channels)
    values = np.frombuffer(data[header.end() :].tobytes(), "<f4" if scale < 0 else ">f4")
    shape = (height, width, 3) if channels == 3 else (height, width)
    # The format stores the bottom row first. The size of the scale is a unit nobody agrees on.
    return values.reshape(shape)[::-1].astype(np.float32)


def write_pfm(path: PathLike, values: np.ndarray) -> None:
    """Write float values as ``.pfm``: (H, W), (H, W, 3), or a flow (H, W, 2) with a zero third."""
    values = np.asarray(values, np.float32)
    if values.ndim == 3 and values.shape[2] == 2:
        values = np.dstack([values, np.zeros(values.shape[:2], np.float32)])
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)):
        raise InputError(
            f"{os.fspath(path)}: a PFM holds (H, W), (H, W, 2) or (H, W, 3), not {values.shape}"
        )
    kind = "Pf" if values.ndim == 2 else "PF"
    header = f"{kind}\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode()
    write_file(path, header, np.ascontiguousarray(values[::-1], "<f4").tobytes())


def read_flow(path: PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read ``.flo``, ``.png`` (KITTI), ``.pfm`` or ``.flo5`` by its suffix: (flow, valid).

    Unknown pixels (NaN, infinite or beyond 1e9, KITTI's mask) have zero flow and valid 0.

    Raises:
        InputError: as the reader of the format, or the suffix is none of these.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".flo":
        return known_flow(read_flo(path))
    if suffix == ".png":
        return read_kitti_png(path)
    if suffix == ".pfm":
        values = read_pfm(path)
        if values.ndim != 3:
            raise InputError(f"{os.fspath(path)}: a grey PFM holds one value a pixel, no flow")
        return known_flow(np.ascontiguousarray(values[..., :2]))
    if suffix == ".flo5":
        return known_flow(read_flo5(path))
    raise InputError(
        f"{os.fspath(path)}: {suffix or 'no suffix'} is no flow file; expected .flo, .png "
        "(KITTI), .pfm or .flo5"
    )


def write_npz(path: PathLike, flow: np.ndarray) -> None:
    """Write a flow field (H, W, 2) as numpy's ``.npz``: the float32 array ``flow``."""
    content = io.BytesIO()
    np.savez(content, flow=_as_flow(path, flow, finite=False))
    write_file(path, content.getbuffer())


def _as_flow(path: PathLike, flow: np.ndarray, finite: bool = True) -> np.ndarray:
    flow = np.asarray(flow, np.float32)
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.size == 0:
        raise InputError(f"{os.fspath(path)}: a flow is (H, W, 2), not {flow.shape}")
    if finite:
        _check_finite(os.fspath(path), flow)
    return flow


def _check_size(name: str, width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise InputError(
            f"{name}: the header says {width}x{height} pixels; expected sides of 1 to {MAX_SIDE}: "
            "the file is damaged"
        )


def _check_length(name: str, found: int, width: int, height: int, pixel_bytes: int) -> None:
    expected = width * height * pixel_bytes
    if found != expected:
        state = "truncated" if found < expected else "damaged (bytes after its end)"
        raise InputError(
            f"{name}: {width}x{height} pixels take {expected} bytes of data, the file holds "
            f"{found}: it is {state}"
        )


def _check_finite(name: str, flow: np.ndarray) -> None:
    finite = np.isfinite(flow)
    if not finite.all():
        y, x = np.argwhere(~finite)[0][:2]
        raise InputError(
            f"{name}: {int((~finite).sum())} values are NaN or infinite, the first at x={x}, "
            f"y={y}; mark unknown pixels with a value beyond 1e9"
        )
