"""A compiled program as a function of an image pair."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.cli.sections import trained_model
from hat.config import Config
from hat.data.transforms import board_image
from hat.deploy.board_program import BoardProgram, pad_planes, program_file
from hat.deploy.build import compile_model, padded_size
from hat.errors import InputError
from horizon import hbm
from horizon.quantization import IntegerModel
from tests.horizon.hbm.programs import short_program


@pytest.fixture(scope="module")
def model(four_stages: Path) -> IntegerModel:
    found = trained_model(Config.fromfile(four_stages), "infer_cfg", "int_infer")[0]
    assert isinstance(found, IntegerModel)
    return found


@pytest.fixture(scope="module", params=["uint8", "int8"])
def program(request: pytest.FixtureRequest, model: IntegerModel) -> BoardProgram:
    compiled = compile_model(model, (64, 128), input_type=request.param)
    return BoardProgram(hbm.to_bytes(compiled.program), threads=1)


def pair(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 6), np.uint8)


@pytest.mark.parametrize("size", [(64, 128), (33, 101), (1, 1)])
def test_integers_and_pixels(
    program: BoardProgram, model: IntegerModel, size: tuple[int, int]
) -> None:
    image = program.prepare(pair(*size))
    padding = ((0, 0), (0, 64 - size[0]), (0, 128 - size[1]))
    np.testing.assert_array_equal(image, np.pad(board_image(pair(*size)), padding, mode="edge"))
    integers = program.run(image)
    real = (torch.from_numpy(image)[None].float() - 128) / 128
    np.testing.assert_array_equal(integers, model.integers(real)[0].numpy())
    rows, columns = (-(-side // 4) for side in size)
    flow = program.flow(integers, size)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(flow, model(real)[0, :, :rows, :columns].numpy(), rtol=1e-6)


def test_from_many_threads(program: BoardProgram) -> None:
    images = [program.prepare(pair(64, 128, seed)) for seed in range(8)]
    expected = [program.run(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(program.run, images * 4), expected * 4, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_larger_images_are_refused(program: BoardProgram) -> None:
    for size in ((65, 128), (64, 129)):
        with pytest.raises(InputError, match=f"up to 128x64 .* found {size[1]}x{size[0]}; compile"):
            program.prepare(pair(*size))


def test_padding_changes_nothing_that_fits() -> None:
    planes = board_image(pair(5, 7))
    assert pad_planes(planes, (5, 7)) is planes


def test_other_programs_and_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the program: not the program of an optical flow"):
        BoardProgram(hbm.to_bytes(short_program()))
    with pytest.raises(InputError, match=r"no\.hbm: no such program; make one"):
        program_file(tmp_path / "no.hbm")
    with pytest.raises(InputError, match="no such program"):
        program_file(tmp_path)


def test_sizes_of_programs(model: IntegerModel) -> None:
    assert padded_size(model, (96, 128)) == (128, 128)
    assert padded_size(model, (1, 65)) == (64, 128)
    with pytest.raises(InputError, match=r"96x128.* multiples of 64, such as 128x128"):
        compile_model(model, (96, 128))
