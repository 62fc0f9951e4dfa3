from __future__ import annotations

import json

import numpy as np
import pytest
import xxhash

from hat.data import records
from hat.data.codecs import decode_array, encode_array
from hat.data.flow_io import read_flo
from hat.data.image_io import read_ppm
from hat.data.records import decode_record, encode_record
from hat.errors import InputError
from tests.data.raw_chairs import make_pair
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def small_record() -> bytes:
    images, flow = make_pair(5, 16, 24)
    return encode_record({"img": images, "gt_flow": flow}, {"name": "00005"})


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and first.tobytes() == second.tobytes()
    )


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (7, 3), (8, 8), (9, 4), (15, 2), (16, 5), (61, 33)]
)
@pytest.mark.parametrize("channels", [3, 6, 9])
def test_every_bit_comes_back(size: tuple[int, int], channels: int) -> None:
    rng = np.random.default_rng(size)
    bits = rng.integers(-(2**31), 2**31, (*size, 2)).astype(np.int32)
    arrays: dict[str, np.ndarray] = {
        "noise": rng.integers(0, 256, (*size, channels), dtype=np.uint8),
        "any float": bits.view(np.float32),
        "mask": rng.integers(0, 2, size, dtype=np.uint8),
        "double": rng.standard_normal(5),
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "strided": rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)[::-2, 1::3],
    }
    attributes = {"name": "ü", "numbers": [1, 2.5, None]}
    record = decode_record(encode_record(arrays, attributes))
    assert record.attributes == attributes
    assert list(record.arrays) == list(arrays)
    for name, array in arrays.items():
        found = record.arrays[name]
        assert same(found, array), name
        assert found.flags.writeable, name
        assert found.flags.c_contiguous, name


def test_images_take_the_quickest_codec_that_is_small_enough() -> None:
    rng = np.random.default_rng(0)
    calm = np.add.outer(np.arange(64), np.arange(64))[..., None].repeat(6, axis=2)
    grey_noise = rng.integers(0, 60, (64, 64, 1)).repeat(6, axis=2)
    images = {
        "bytes": calm.astype(np.uint8),
        "planes": (grey_noise + rng.integers(0, 3, (64, 64, 6))).astype(np.uint8),
    }
    for codec, image in images.items():
        name, data = encode_array(image)
        assert name == codec
        assert len(data) < 0.62 * image.nbytes
        assert same(decode_array(name, memoryview(data), image.dtype, image.shape), image)


def test_decoded_arrays_are_their_own() -> None:
    """Working memory is shared by the records of a thread; results must not be."""
    pairs = [make_pair(seed, 24, 32) for seed in range(3)]
    noise = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 6), dtype=np.uint8)
    pairs += [(image, -pairs[0][1]) for image in noise]
    data = [encode_record({"img": images, "gt_flow": flow}, {}) for images, flow in pairs]
    decoded = [decode_record(record).arrays for record in data]
    for (images, flow), arrays in zip(pairs, decoded, strict=True):
        assert same(arrays["img"], images)
        assert same(arrays["gt_flow"], flow)


def test_threads_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    pairs = [make_pair(seed, 40, 56) for seed in range(8)]
    data = [encode_record({"img": images, "gt_flow": flow}, {}) for images, flow in pairs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for (images, flow), record in zip(pairs, pool.map(decode_record, data), strict=True):
                assert same(record.arrays["img"], images)
                assert same(record.arrays["gt_flow"], flow)


def test_any_flipped_byte_is_an_error_that_names_the_record(small_record: bytes) -> None:
    for position in range(len(small_record)):
        for flip in (1, 0x80):
            damaged = bytearray(small_record)
            damaged[position] ^= flip
            with pytest.raises(InputError, match=r"^pair 5: "):
                decode_record(bytes(damaged), "pair 5")


def test_any_truncation_is_an_error(small_record: bytes) -> None:
    for length in range(len(small_record)):
        with pytest.raises(InputError, match=r"^pair 5: "):
            decode_record(small_record[:length], "pair 5")
    with pytest.raises(InputError, match=r"^pair 5: damaged"):
        decode_record(small_record + b"x", "pair 5")


def forge(small_record: bytes, change: object) -> bytes:
    """A record whose header is changed and whose lengths and checksum are right all the same."""
    magic, version, zero, header_bytes, payload_bytes = records.PREFIX.unpack_from(small_record)
    start = records.PREFIX.size
    header = json.loads(small_record[start : start + header_bytes])
    change(header)  # type: ignore[operator]
    text = json.dumps(header).encode()
    body = records.PREFIX.pack(magic, version, zero, len(text), payload_bytes) + text
    body += small_record[start + header_bytes : -8]
    return body + records.CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["arrays"][0].update(shape=[16, 24, 12]),
        lambda h: h["arrays"][0].update(shape=[1 << 40, 1 << 40, 6]),
        lambda h: h["arrays"][0].update(shape=[-16, -24, 6]),
        lambda h: h["arrays"][0].update(shape=[16.0, 24, 6]),
        lambda h: h["arrays"][0].update(shape=[16, 24, 0]),
        lambda h: h["arrays"][0].update(bytes=h["arrays"][0]["bytes"] + 1),
        lambda h: h["arrays"][0].update(bytes=1 << 60),
        lambda h: h["arrays"][0].update(bytes=3),
        lambda h: h["arrays"][0].update(codec="float"),
        lambda h: h["arrays"][0].update(codec="pickle"),
        lambda h: h["arrays"][1].update(dtype="|O"),
        lambda h: h["arrays"][1].update(dtype="<f8"),
        lambda h: h["arrays"].pop(),
        lambda h: h.update(arrays=7),
        lambda h: h.update(attributes=[]),
        lambda h: h.pop("attributes"),
    ],
)
def test_a_lying_header_is_an_error(small_record: bytes, change: object) -> None:
    assert decode_record(forge(small_record, lambda header: None)).attributes["name"] == "00005"
    with pytest.raises(InputError, match=r"^pair 5: its header does not describe its data"):
        decode_record(forge(small_record, change), "pair 5")


def test_other_version_and_other_files(small_record: bytes) -> None:
    other = small_record[:4] + b"\x02" + small_record[5:]
    with pytest.raises(InputError, match=r"record format 2\.0"):
        decode_record(other)
    with pytest.raises(InputError, match="not a packed record"):
        decode_record(b"\x80\x04" + bytes(100))


def test_unsupported_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="complex"):
        encode_record({"a": np.zeros(3, complex)}, {})


def test_real_pairs_are_small_and_exact() -> None:
    folder = shared_data("FlyingChairs", "FlyingChairs_release", "data")
    for path in sorted(folder.glob("*_flow.flo")):
        first, second = (str(path).replace("flow.flo", f"img{i}.ppm") for i in (1, 2))
        images = np.concatenate([read_ppm(first), read_ppm(second)], axis=2)
        flow = read_flo(path)
        record = encode_record({"img": images, "gt_flow": flow}, {})
        arrays = decode_record(record).arrays
        assert same(arrays["img"], images)
        assert same(arrays["gt_flow"], flow)
        assert len(record) <= 0.27 * (images.nbytes + flow.nbytes)
