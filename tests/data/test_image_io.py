from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hat.data.image_io import read_image, read_mask, read_ppm, write_png, write_ppm
from hat.errors import InputError
from tests.data.raw_chairs import smooth_image
from tests.shared_data import shared_data

PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    "header",
    [b"P6\n3 2\n255\n", b"P6 \n3 2 \n255\n", b"P6 3 2 255\n", b"P6\n# made by hand\n3 2\n255 ",
     b"P6 # a\n# b\n3\t2 # c\n255\n", b"P6\r\n3 2\r\n255\n"],
)  # fmt: skip
def test_ppm_headers(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(header + PIXELS.tobytes())
    for read in (read_ppm, read_image):
        assert (read(path) == PIXELS).all()


def test_ppm_pixels_that_look_like_white_space(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n2 1\n255\n" + b"\n# \n\n#")
    assert read_ppm(path).tobytes() == b"\n# \n\n#"


def test_ppm_with_other_maxima(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n1 1\n15\n" + bytes([0, 7, 15]))
    assert read_ppm(path).tolist() == [[[0, 119, 255]]]
    path.write_bytes(b"P6\n1 1\n65535\n" + np.array([0, 257 * 9, 65535], ">u2").tobytes())
    assert read_ppm(path).tolist() == [[[0, 9, 255]]]
    path.write_bytes(b"P6\n1 1\n15\n" + bytes([0, 16, 15]))
    with pytest.raises(InputError, match="above the maximum"):
        read_ppm(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"P6\n3 2\n255\n" + bytes(17), "truncated"),
        (b"P6\n3 2\n255\n" + bytes(19), "after its end"),
        (b"P6\n3 2\n", "not a binary PPM"),
        (b"P5\n3 2\n255\n" + bytes(6), "not a binary PPM"),
        (b"P6\n0 2\n255\n", "damaged"),
        (b"P6\n3 2\n0\n" + bytes(18), "damaged"),
        (b"P6\n99999999 99999999\n255\n" + bytes(18), "damaged"),
        (b"", "empty"),
    ],
)
def test_damaged_ppm(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_ppm(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("write", "suffix"), [(write_ppm, "ppm"), (write_png, "png")])
def test_round_trip(tmp_path: Path, write: object, suffix: str) -> None:
    image = smooth_image(np.random.default_rng(0), 13, 21)
    write(tmp_path / f"a.{suffix}", image[:, ::-1])  # type: ignore[operator]
    assert (read_image(tmp_path / f"a.{suffix}") == image[:, ::-1]).all()
    with pytest.raises(InputError, match="uint8"):
        write(tmp_path / f"b.{suffix}", image.astype(np.float32))  # type: ignore[operator]
    assert len(list(tmp_path.iterdir())) == 1


def test_channels_and_depths(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    rgb = smooth_image(np.random.default_rng(1), 9, 11)
    grey = rgb[..., 0]
    cv2.imwrite(path, grey)
    assert (read_image(path) == grey[..., None].repeat(3, axis=2)).all()
    cv2.imwrite(path, rgb[..., ::-1].astype(np.uint16) * 257)
    assert (read_image(path) == rgb).all()
    cv2.imwrite(path, np.dstack([rgb[..., ::-1], np.full_like(grey, 7)]))
    assert (read_image(path) == rgb).all()


def test_damaged_images_are_errors(tmp_path: Path) -> None:
    rgb = smooth_image(np.random.default_rng(2), 64, 64)
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"a{suffix}"
        content = cv2.imencode(suffix, rgb)[1].tobytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match="truncated"):
            read_image(path)
    path.write_bytes(b"no image at all")
    with pytest.raises(InputError, match="cannot decode"):
        read_image(path)
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


def jpeg(rgb: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(".jpg", rgb[..., ::-1], list(flags))[1].tobytes()


@pytest.mark.parametrize(
    "flags",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)],
    ids=["baseline", "progressive", "restarts"],
)
def test_jpeg_with_a_trailer(tmp_path: Path, flags: tuple[int, ...]) -> None:
    """A phone appends the video of a motion photo, far more than the last bytes of the image."""
    content = jpeg(smooth_image(np.random.default_rng(4), 64, 80), *flags)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(content + b"ftypmp42" + bytes(200_000))
    (tmp_path / "c.jpg").write_bytes(content + content[: len(content) // 2])  # a second image
    image = read_image(tmp_path / "a.jpg")
    for name in ("b.jpg", "c.jpg"):
        np.testing.assert_array_equal(read_image(tmp_path / name), image)
    for length in range(2, len(content) - 1, 13):
        (tmp_path / "d.jpg").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"d\.jpg: this JPEG is truncated"):
            read_image(tmp_path / "d.jpg")


def test_the_end_of_a_thumbnail_ends_no_jpeg(tmp_path: Path) -> None:
    content = jpeg(smooth_image(np.random.default_rng(5), 64, 80))
    thumbnail = jpeg(np.zeros((8, 8, 3), np.uint8))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = content[:2] + segment + b"\xff\xff" + content[3:]  # with a fill byte
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    assert read_image(path).shape == (64, 80, 3)
    path.write_bytes(whole[:-200])
    with pytest.raises(InputError, match="truncated"):
        read_image(path)


def test_real_files() -> None:
    assert read_image(shared_data("frames", "img001.jpg")).shape == (480, 640, 3)
    folder = shared_data("FlyingChairs", "FlyingChairs_release", "data")
    for path in sorted(folder.glob("*.ppm")):
        assert (read_ppm(path) == np.asarray(cv2.imread(str(path)))[..., ::-1]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_masks_keep_the_smallest_number(tmp_path: Path, dtype: type, channels: tuple) -> None:
    """Numbers of objects are 1, 2, ...: in 16 bits, 8 of them would be black."""
    stored = np.zeros((3, 4, *channels), dtype)
    stored[1, 2] = 1
    path = tmp_path / "mask.png"
    assert cv2.imwrite(str(path), stored)
    mask = read_mask(path)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"mask.png: cannot decode this mask"):
        read_mask(path)
    cv2.imwrite(str(path), np.zeros((40, 40), np.uint8))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"mask.png: this PNG is truncated"):
        read_mask(path)
