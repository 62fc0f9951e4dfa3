"""The networks of the configs for generated pairs: their sizes and their data."""

from __future__ import annotations

import pytest

from hat.analysis.op_count import count_ops
from hat.config import Config
from hat.registry import build_from_registry
from tests.conftest import ROOT

FOLDER = ROOT / "configs/opticalflow_pred/pwcnet"


@pytest.mark.parametrize(
    ("name", "parameters", "limit"), [("lite", 364_299, 2e9), ("small", 773_684, 6e9)]
)
def test_sizes(name: str, parameters: int, limit: float) -> None:
    config = Config.fromfile(str(FOLDER / f"pwcnet_{name}_generated.py"))
    model = build_from_registry(config.model, "model").eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    counted = count_ops(model, (1, 6, 384, 512))
    assert 0.5 * limit < counted.macs <= limit


@pytest.mark.parametrize("name", ["lite", "small"])
def test_quantisation_aware_training_leaves_the_float_stage_s_data_alone(name: str) -> None:
    config = Config.fromfile(str(FOLDER / f"pwcnet_{name}_generated.py"))
    types = [
        [part["dataset"]["type"] for part in trainer["data_loader"]["dataset"]["parts"]]
        for trainer in (config.float_trainer, config.qat_trainer)
    ]
    assert types == [["GeneratedPairs", "Mixture"], ["FlyingChairs"]]
