from __future__ import annotations

from pathlib import Path

import pytest

from horizon import hbm
from horizon.errors import CapacityError, CompilerError
from horizon_flow import compile as compiling
from horizon_flow.compile import largest_size
from horizon_flow.sources import find_source
from tests.horizon.hbir.programs import pyramid


def test_programs_are_verified_up_to_a_size(monkeypatch):
    def refuse(compiled):
        raise CompilerError("verified")

    monkeypatch.setattr(compiling, "verify_program", refuse)
    for video in (False, True):
        with pytest.raises(CompilerError, match="verified"):
            compiling.compile_network(pyramid(), (8, 12), video)
    monkeypatch.setattr(compiling, "VERIFIED_PIXELS", 8 * 12 - 1)
    data = compiling.compile_network(pyramid(), (8, 12))
    assert data is not None
    assert hbm.from_bytes(data).inputs[0].shape == (1, 6, 8, 12)


def test_a_network_that_keeps_no_features_has_no_video(monkeypatch):
    monkeypatch.setattr(compiling, "one_image_at_a_time", lambda graph: None)
    assert compiling.compile_network(pyramid(), (8, 12), video=True) is None


@pytest.mark.parametrize(
    ("height", "width", "largest"), [(1, 200_000, "65536x128"), (20_000, 20_000, r"(\d{4,5})x\1")]
)
def test_images_that_are_too_large_are_told_the_largest_size(
    height: int, width: int, largest: str, tmp_path: Path
) -> None:
    source = find_source("pwcnet_lite", None, tmp_path)
    message = rf"^images of {width}x{height} pixels are too large for pwcnet_lite; .* {largest} "
    for ask in (source.program, source.stream):
        with pytest.raises(CapacityError, match=message):
            ask((height, width))


def test_the_largest_size_is_the_last_that_is_compiled() -> None:
    def attempt(size: tuple[int, int]) -> None:
        if size[0] * size[1] > 10_000:
            raise CapacityError("too large")

    assert largest_size(attempt, (2000, 4000), 10) == (70, 140)
    assert largest_size(attempt, (10, 40_000), 10) == (10, 1000)
    assert largest_size(attempt, (400, 400), 200) is None
