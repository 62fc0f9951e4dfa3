"""Two processes report what one reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hat.metrics import EndPointError, FlowMetrics, LossShow

# Samples per process: uneven on purpose.
PARTS = ((0, 4), (4, 5))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.normal(0, 20, (5, 2, 8, 12)).astype(np.float32))
    return labels, labels[:, :, ::4, ::4] + 1.0


def measure(first: int, last: int) -> dict[str, float]:
    labels, preds = samples()
    epe, flow, loss = EndPointError(), FlowMetrics(), LossShow()
    for index in range(first, last):
        one = slice(index, index + 1)
        epe.update(labels[one], preds[one])
        occlusion = torch.zeros(1, 1, 8, 12, dtype=torch.uint8)
        occlusion[..., : index + 1] = 1
        flow.update(labels[one], preds[one], occlusion=occlusion if index else None)
        loss.update([torch.tensor(float(index)), torch.tensor(1.0)])
    return {
        "epe": epe.results()["EPE"],
        **loss.results(),
        **{f"flow {name}": value for name, value in flow.results().items()},
    }


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(PARTS)
    )
    results = measure(*PARTS[rank])
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs the gloo backend")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(worker, args=(str(tmp_path),), nprocs=len(PARTS))
    expected = measure(0, 5)
    for rank in range(len(PARTS)):
        results = json.loads((tmp_path / f"{rank}.json").read_text())
        assert results == pytest.approx(expected, rel=1e-12, nan_ok=True), f"process {rank}"
