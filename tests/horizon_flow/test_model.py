from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.data.transforms import board_image
from hat.metrics import full_resolution
from horizon.errors import InputError
from horizon_flow import FlowModel
from horizon_flow import compile as compiling
from horizon_flow.compile import compile_network
from horizon_flow.network_file import FOLDER, NetworkFile, network_bytes
from horizon_flow.program import FlowProgram
from tests.horizon.hbir.programs import pyramid
from tests.horizon_flow.conftest import images

SHIPPED = NetworkFile.read(FOLDER / "pwcnet_lite.npz")
SIZE = (40, 50)


@pytest.fixture(scope="module")
def program_file(tmp_path_factory) -> Path:
    """A compiled program of 128x256."""
    path = tmp_path_factory.mktemp("program") / "model.hbm"
    path.write_bytes(compile_network(SHIPPED.graph(), (128, 256)))
    return path


@pytest.fixture(scope="module")
def model(shared_cache) -> FlowModel:
    return FlowModel(cache_dir=shared_cache)


def by_hat(first: np.ndarray, second: np.ndarray, bgr: bool = False) -> np.ndarray:
    """Flow by the toolkit's own steps: the board's input, the program, the metrics' resize."""
    height, width = first.shape[:2]
    padding = ((0, 0), (0, -height % SHIPPED.multiple), (0, -width % SHIPPED.multiple))
    planes = board_image(np.concatenate([first, second], axis=2), bgr)
    planes = np.pad(planes, padding, mode="edge")
    program = FlowProgram(compile_network(SHIPPED.graph(), planes.shape[1:]))
    small = program.flow(program.run(planes), (height, width))
    return full_resolution(torch.from_numpy(small)[None], (height, width))[0].permute(1, 2, 0)


@pytest.mark.parametrize("size", [SIZE, (64, 64), (1, 1), (33, 95)])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_flow_is_that_of_the_toolkit(size, channels):
    pair = images(2, *size)
    flow = FlowModel(channels=channels)(*pair)
    assert flow.shape == (*size, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(flow, by_hat(*pair, channels == "BGR"), rtol=0, atol=1e-4)


def test_motion_is_found(model):
    flow = model(*images(2, 96, 128))
    np.testing.assert_allclose(np.median(flow, (0, 1)), (2, 0), atol=0.5)


def test_all_forms_of_images_give_one_flow(model):
    first, second = images(2, *SIZE)
    flow = model(first, second)
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in (first, second)]
    np.testing.assert_array_equal(model(*tensors), flow)
    np.testing.assert_array_equal(model(first[..., ::-1], second[..., ::-1]).shape, flow.shape)
    bgr = FlowModel(channels="BGR")
    np.testing.assert_array_equal(bgr(first[..., ::-1], second[..., ::-1]), flow)
    grey = first[..., 1], second[..., 1]
    colour = [np.repeat(image[..., None], 3, axis=2) for image in grey]
    np.testing.assert_array_equal(model(*grey), model(*colour))
    np.testing.assert_array_equal(model(grey[0], colour[1]), model(*colour))


def test_a_batch_is_its_pairs(model):
    frames = images(4, *SIZE)
    flows = model(np.stack(frames[:3]), np.stack(frames[1:]))
    assert flows.shape == (3, *SIZE, 2)
    for flow, *pair in zip(flows, frames, frames[1:], strict=False):
        np.testing.assert_array_equal(flow, model(*pair))
    batch = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(model(batch[:3], batch[1:]), flows)
    assert model(np.stack(frames[:1]), np.stack(frames[1:2])).shape == (1, *SIZE, 2)


def test_the_number_of_threads_changes_nothing(model):
    pair = images(2, *SIZE)
    np.testing.assert_array_equal(FlowModel(threads=1)(*pair), model(*pair))


def test_other_processes_make_it_anew(model):
    pair = images(2, *SIZE)
    copy = pickle.loads(pickle.dumps(FlowModel(channels="BGR", threads=1)))
    assert copy.channels == "BGR"
    np.testing.assert_array_equal(copy(*(image[..., ::-1] for image in pair)), model(*pair))


def test_many_threads_may_call_it(model):
    pairs = [images(2, 30 + 7 * n, 64, seed=n) for n in range(6)]
    expected = [model(*pair) for pair in pairs]
    fresh = FlowModel()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: fresh(*pair), pairs * 2))
    for one, other in zip(found, expected * 2, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_video_is_its_pairs(model):
    frames = images(5, *SIZE)
    expected = [model(*pair) for pair in pairwise(frames)]
    flows = list(model.video(frames))
    assert len(flows) == 4
    for flow, other in zip(flows, expected, strict=True):
        np.testing.assert_array_equal(flow, other)


def test_a_video_of_a_network_that_keeps_no_features(model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "one_image_at_a_time", lambda graph: None)
    frames = images(3, *SIZE)
    flows = list(FlowModel(cache_dir=tmp_path).video(frames))
    for flow, pair in zip(flows, pairwise(frames), strict=True):
        np.testing.assert_array_equal(flow, model(*pair))
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["pairs"]


def test_a_video_reads_frames_when_they_are_needed(model):
    read = []

    def camera():
        for frame in images(4, *SIZE):
            read.append(frame)
            yield frame

    flows = model.video(camera())
    assert not read
    next(flows)
    assert len(read) == 2
    next(flows)
    assert len(read) == 3
    assert list(model.video([])) == list(model.video(images(1, *SIZE))) == []


def test_frames_of_another_kind_are_told(model):
    first, second = images(2, *SIZE)
    with pytest.raises(InputError, match=r"frame 1: found \(39, 50\).*expected \(40, 50\)"):
        list(model.video([first, second[:-1]]))
    with pytest.raises(InputError, match="frame 1: found a batch"):
        list(model.video([first, np.stack([second])]))
    with pytest.raises(InputError, match="frame 1: found float64"):
        list(model.video([first, second / 255]))


def test_a_network_of_one_s_own(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(SHIPPED.data)
    pair = images(2, *SIZE)
    own = FlowModel(path)
    np.testing.assert_array_equal(own(*pair), FlowModel()(*pair))
    assert own.size is None
    assert own.name == str(path)


def test_a_program_of_the_images_size_or_a_larger_one(program_file, model):
    given = FlowModel(program_file)
    assert given.size == (128, 256)
    for size in ((128, 256), (100, 200)):
        frames = images(3, *size)
        flows = [given(*pair) for pair in pairwise(frames)]
        assert flows[0].shape == (*size, 2)
        for one, other in zip(given.video(frames), flows, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(flows[0], model(*frames[:2]))


def test_larger_images_are_scaled_down_to_a_program(program_file):
    given = FlowModel(str(program_file))
    pair = images(2, 256, 600)
    with pytest.warns(UserWarning, match=r"600x256 pixels in a program of 256x128: scaled to 43%"):
        flow = given(*pair)
    with warnings.catch_warnings():  # once
        warnings.simplefilter("error")
        np.testing.assert_array_equal(given(*pair), flow)
    assert flow.shape == (256, 600, 2)
    np.testing.assert_allclose(np.median(flow, (0, 1)), (2, 0), atol=1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"model": "pwcnet_lit"},
            r"model 'pwcnet_lit'.*no such file; expected pwcnet_lite, pwcnet_small",
        ),
        ({"model": __file__}, r"expected a compiled program \(.hbm"),
        ({"channels": "rgb"}, "channels 'rgb'; expected RGB or BGR"),
        ({"threads": 0}, "threads: found 0, expected"),
        ({"threads": 2.0}, "threads: found 2.0, expected"),
    ],
)
def test_bad_arguments_are_told_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        FlowModel(**arguments)


def test_files_of_another_kind_are_told(tmp_path):
    program, network = tmp_path / "bad.hbm", tmp_path / "bad.npz"
    for path in (program, network):
        path.write_bytes(b"nothing")
        with pytest.raises(InputError, match=rf"{path.name}: "):
            FlowModel(path)
    network.write_bytes(network_bytes(pyramid()))
    with pytest.raises(InputError, match=r"bad: not the program of an optical flow network"):
        FlowModel(network)(*images(2, 8, 12))


def test_images_of_two_sizes_are_told(model):
    first, second = images(2, *SIZE)
    with pytest.raises(InputError, match=r"image1 has shape \(40, 50, 3\).*\(39, 50, 3\)"):
        model(first, second[1:])
    with pytest.raises(InputError, match="images of one size"):
        model(first[None], np.stack([second, second]))
    with pytest.raises(InputError, match="image2: found float64"):
        model(first, second / 255)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cache_dir: found 3, expected the path of a folder"):
        FlowModel(cache_dir=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="model: found '', expected pwcnet_lite"):
        FlowModel("")
    for path in ("clip.mp4", tmp_path / "clip.mp4"):
        with pytest.raises(InputError, match=r"video: found the path '.*clip\.mp4'"):
            FlowModel(cache_dir=tmp_path).video(path)


def test_a_name_that_no_file_can_have():
    with pytest.raises(InputError, match="cannot look for this file: File name too long; expected"):
        FlowModel("a" * 300 + ".hbm")
