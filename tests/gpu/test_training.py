"""Training on a GPU: its gradients, bfloat16, the engine's loop, and a process group of NCCL."""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.training_step import gradient_distances
from hat.config import Config
from hat.data.collates import collate_2d
from hat.engine import distributed
from hat.engine.autocast import forward_dtype
from hat.engine.checkpoint import load_checkpoint
from hat.engine.processors import to_device
from hat.engine.sync_batchnorm import convert_sync_batchnorm
from hat.registry import build_from_registry
from tests.conftest import ROOT
from tests.engine import tiny

LITE = ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py"


def lite() -> tuple[nn.Module, Any, dict[str, Any]]:
    """The small network, its batch processor, and a batch as a data loader gives it."""
    config = Config.fromfile(LITE)
    torch.manual_seed(0)
    model = build_from_registry(config.model, "model").train()
    processor = build_from_registry(config.batch_processor, "batch_processor")
    image = torch.rand(2, 6, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    image = nn.functional.interpolate(image, (256, 256), mode="bilinear").to(torch.uint8)
    flow = torch.full((2, 2, 256, 256), 3.0)
    return model, processor, {"img": image, "gt_flow": flow, "color_space": ["rgb"] * 2}


def step(device: torch.device, amp: bool | str, kind: torch.dtype) -> tuple[float, Tensor, Any]:
    """Loss, gradients and outputs of one step of the small network."""
    model, processor, batch = lite()
    processor.enable_amp = amp
    model = model.to(device, kind)
    prepared = processor.prepare(batch, device)
    prepared["img"] = prepared["img"].to(kind)
    prepared["gt_flow_levels"] = [level.to(kind) for level in prepared["gt_flow_levels"]]
    outputs = processor.forward_with_losses(model, prepared, device)
    loss = torch.stack(outputs["losses"]).sum()
    loss.backward()
    gradients = [p.grad.double().flatten().cpu() for p in model.parameters() if p.grad is not None]
    assert {p.device.type for p in model.parameters()} == {device.type}
    return float(loss.detach()), torch.cat(gradients), outputs


def test_a_step_on_this_device_is_that_of_the_cpu_in_float64(device: torch.device) -> None:
    expected, exact, _ = step(torch.device("cpu"), False, torch.float64)
    for kind, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        loss, gradient, _ = step(device, False, kind)
        assert loss == pytest.approx(expected, rel=tolerance)
        assert float((gradient - exact).norm() / exact.norm()) < tolerance


def test_autocast(device: torch.device) -> None:
    expected, exact, _ = step(torch.device("cpu"), False, torch.float64)
    loss, gradient, outputs = step(device, "force", torch.float32)
    assert loss == pytest.approx(expected, rel=0.05)
    assert float((gradient - exact).norm() / exact.norm()) < 0.5
    assert outputs["losses"][0].dtype == torch.float32
    plain, _, _ = step(device, False, torch.float32)
    assert loss != plain  # bfloat16 was used
    if device.type == "cuda":
        assert forward_dtype(True, device) == "bfloat16"


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_the_full_network_against_its_plain_formulation(device: torch.device) -> None:
    """The GPU's gradients; benchmarks.training_step has its time, tests/models the CPU's."""
    distances = gradient_distances(device)
    assert distances["float64"]["ours"] < 1e-8
    for name, limit in (("fp32", 2e-3), ("bf16", 0.25)):
        assert distances[name]["ours"] < limit
        assert distances[name]["ours"] < 2 * distances[name]["plain"] + limit / 10


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_run_and_its_second_sitting(
    device: torch.device, tmp_path: Path, channels_last: bool
) -> None:
    def config(epochs: int) -> dict[str, Any]:
        return tiny.trainer_config(
            callbacks=[
                {"type": "CosLrUpdater", "warmup_by": "fraction", "warmup_len": 0.2},
                tiny.validation(),
                {"type": "Checkpoint", "save_dir": tmp_path, "monitor_metric_key": "EPE"},
            ],
            val_metrics=[{"type": "EndPointError"}],
            ema_decay=0.9,
            device=device,
            num_epochs=epochs,
            channels_last=channels_last,
        )

    tiny.build(config(2)).fit()
    again = tiny.build(config(4))
    again.load_state_dict(load_checkpoint(tmp_path / "checkpoint-last.pth.tar"))
    again.fit()
    assert again.step == 16
    assert again.updater.skipped_total == 0
    assert 0 < again.val_results["EPE"] < 10
    content = load_checkpoint(tmp_path / "checkpoint-best.pth.tar")
    assert {value.device.type for value in content["state_dict"].values()} == {"cpu"}


def test_a_process_group_of_one(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL on a GPU, Gloo on the CPU: the engine's collectives, DDP, and SyncBatchNorm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "device_of", lambda index: device)
    assert distributed.run_distributed(in_a_group, None, None) == 0


def in_a_group(device: torch.device, argument: Any) -> int:
    assert dist.get_backend() == ("nccl" if device.type == "cuda" else "gloo")
    assert distributed.everywhere(True, device)
    assert not distributed.everywhere(False, device)
    assert distributed.least(7, device) == 7
    value = torch.tensor(2.5, dtype=torch.float64, device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    assert float(value) == 2.5
    torch.manual_seed(0)
    plain = tiny.TinyFlow().to(device)
    model = convert_sync_batchnorm(copy.deepcopy(plain), device)
    ids = [device.index] if device.type == "cuda" else None
    together = DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)
    pairs = tiny.TinyPairs()
    batch = to_device(collate_2d([pairs[index] for index in range(4)]), device)
    for network in (plain, together):
        network.train()
        network(batch)["losses"][0].backward()
    for one, other in zip(plain.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    trainer = tiny.build(tiny.trainer_config(device=device, sync_bn=True))
    trainer.fit()
    assert trainer.step == 8
    return 0
