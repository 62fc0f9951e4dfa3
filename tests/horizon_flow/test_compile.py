from __future__ import annotations

import pytest

from horizon import hbm
from horizon.errors import CompilerError
from horizon_flow import compile as compiling
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
