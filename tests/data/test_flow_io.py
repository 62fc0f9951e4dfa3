from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.flow_io import (
    read_flo,
    read_flow,
    read_kitti_png,
    read_pfm,
    write_flo,
    write_kitti_png,
    write_pfm,
)
from hat.errors import InputError
from tests.shared_data import shared_data


@pytest.fixture
def flow() -> np.ndarray:
    return (np.random.default_rng(3).standard_normal((5, 7, 2)) * 40).astype(np.float32)


def test_flo_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    flow = np.array([[[1.5, -2.0], [0.25, 8.0]]], np.float32)
    write_flo(tmp_path / "a.flo", flow)
    expected = np.float32(202021.25).tobytes() + np.array([2, 1], "<i4").tobytes() + flow.tobytes()
    assert (tmp_path / "a.flo").read_bytes() == expected


def test_flo_keeps_every_bit(tmp_path: Path, flow: np.ndarray) -> None:
    flow[0, 0] = (-0.0, 1e-42)
    flow[1, 1] = (1e10, 2)
    write_flo(tmp_path / "a.flo", flow)
    assert read_flo(tmp_path / "a.flo").tobytes() == flow.tobytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-1], "truncated"),
        (lambda b: b[:9], "not a .flo file"),
        (lambda b: b + b"x", "after its end"),
        (lambda b: b"", "empty"),
        (lambda b: b"PIEX" + b[4:], "not a .flo file"),
        (lambda b: b[:4] + np.array([-7, 5], "<i4").tobytes() + b[12:], "-7x5"),
        (lambda b: b[:4] + np.array([1 << 30, 5], "<i4").tobytes() + b[12:], "damaged"),
    ],
)
def test_damaged_flo(tmp_path: Path, flow: np.ndarray, damage: object, message: str) -> None:
    path = tmp_path / "a.flo"
    write_flo(path, flow)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as error:
        read_flo(path)
    assert str(path) in str(error.value)


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_flow(tmp_path / "none.flo")
    with pytest.raises(InputError, match=r"\.jpg is no flow file"):
        read_flow(tmp_path / "none.jpg")


def test_failed_write_leaves_the_old_file(tmp_path: Path, flow: np.ndarray) -> None:
    path = tmp_path / "a.flo"
    write_flo(path, flow)
    bad = flow.copy()
    bad[2, 3, 0] = np.nan
    with pytest.raises(InputError, match="x=3, y=2"):
        write_flo(path, bad)
    with pytest.raises(InputError, match="cannot write"):
        write_flo(tmp_path / "no folder" / "a.flo", flow)
    assert read_flo(path).tobytes() == flow.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["a.flo"]


@pytest.mark.parametrize("unknown", [1e10, -2e9, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ["flo", "pfm", "png"])
def test_unknown_flow_becomes_a_mask(
    tmp_path: Path, flow: np.ndarray, suffix: str, unknown: float
) -> None:
    path = tmp_path / f"a.{suffix}"
    {"flo": write_flo, "pfm": write_pfm, "png": write_kitti_png}[suffix](path, flow)
    known, all_valid = read_flow(path)
    assert all_valid.all()
    flow[2, 3, 0] = flow[4, 1, 1] = unknown
    if suffix == "flo":
        path.write_bytes(path.read_bytes()[:12] + flow.tobytes())
        assert read_flo(path).tobytes() == flow.tobytes()
    else:
        {"pfm": write_pfm, "png": write_kitti_png}[suffix](path, flow)
    read, valid = read_flow(path)
    assert np.argwhere(valid == 0).tolist() == [[2, 3], [4, 1]]
    assert (read[valid == 0] == 0).all()
    assert (read[valid == 1] == known[valid == 1]).all()


def test_kitti_png_convention(tmp_path: Path) -> None:
    """The development kit: red = 64 u + 2**15, green = 64 v + 2**15, blue = valid."""
    bgr = np.array([[[1, 32768 - 64, 32768 + 128], [0, 5, 6]]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    flow, valid = read_kitti_png(tmp_path / "a.png")
    assert flow.tolist() == [[[2.0, -1.0], [0.0, 0.0]]]
    assert valid.tolist() == [[1, 0]]


def test_kitti_png_round_trip(tmp_path: Path, flow: np.ndarray) -> None:
    valid = np.ones(flow.shape[:2], np.uint8)
    valid[1, 2] = 0
    flow[1, 2] = np.nan
    write_kitti_png(tmp_path / "a.png", flow, valid)
    read, read_valid = read_flow(tmp_path / "a.png")
    assert (read_valid == valid).all()
    assert np.abs(read - flow)[valid == 1].max() <= 1 / 128
    flow[0, 0, 1] = 512.0
    with pytest.raises(InputError, match=r"-512 to 511.98"):
        write_kitti_png(tmp_path / "b.png", flow, valid)


def test_damaged_kitti_png(tmp_path: Path, flow: np.ndarray) -> None:
    path = tmp_path / "a.png"
    write_kitti_png(path, flow)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match="truncated"):
        read_kitti_png(path)
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with pytest.raises(InputError, match="checksum"):
        read_kitti_png(path)
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="16-bit"):
        read_kitti_png(path)


def test_pfm_is_stored_from_the_bottom(tmp_path: Path) -> None:
    path = tmp_path / "a.pfm"
    write_pfm(path, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert path.read_bytes() == b"Pf\n2 2\n-1.0\n" + np.array([3, 4, 1, 2], "<f4").tobytes()
    path.write_bytes(b"PF 1 2 1.0\n" + np.arange(6, dtype=">f4").tobytes())
    assert read_pfm(path).tolist() == [[[3.0, 4.0, 5.0]], [[0.0, 1.0, 2.0]]]


def test_pfm_flow_round_trip(tmp_path: Path, flow: np.ndarray) -> None:
    flow[1, 2] = np.nan
    write_pfm(tmp_path / "a.pfm", flow)
    read, valid = read_flow(tmp_path / "a.pfm")
    assert np.argwhere(valid == 0).tolist() == [[1, 2]]
    assert read[valid == 1].tobytes() == flow[valid == 1].tobytes()


@pytest.mark.parametrize(
    "content",
    [b"PF\n2 2\n-1.0\n" + bytes(47), b"PX\n2 2\n-1.0\n", b"PF\n2 2\n0\n" + bytes(48),
     b"PF\n0 2\n-1\n", b"PF\n999999 999999\n-1\n" + bytes(48), b"PF\n2 2\n--\n" + bytes(48)],
)  # fmt: skip
def test_damaged_pfm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pfm").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pfm"):
        read_pfm(tmp_path / "a.pfm")


def test_real_sintel_flow() -> None:
    flow, valid = read_flow(shared_data("sintel", "alley_1_clean", "frame_0002.flo"))
    assert flow.shape == (436, 1024, 2)
    assert valid.all()
    speed = np.linalg.norm(flow, axis=2)
    assert speed.mean() == pytest.approx(2.98, abs=0.01)
    assert speed.max() == pytest.approx(10.7, abs=0.1)
