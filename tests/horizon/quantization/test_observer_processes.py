"""Several processes end with the scales that one process gets from all batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from horizon.quantization.scales.input_range import InputRange
from horizon.quantization.scales.observers import OBSERVERS
from tests.horizon.quantization.test_observers import HISTOGRAMS, heavy, observed

# Batches per process; the third process sees none.
PARTS = ((0, 1, 2), (3,), ())


def batch(index: int) -> torch.Tensor:
    return torch.relu(heavy(5000, 10 * index)) * 10.0 ** (index - 2)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(PARTS)
    )
    results: dict[str, list[float]] = {}
    for name in OBSERVERS:
        observer = observed(name, *(batch(index) for index in PARTS[rank]))
        observer.synchronize()
        results[name] = [observer.scale(), observer.largest]
        observer.synchronize()
        results[name].append(observer.scale())
        if rank == 0:
            observer.observe(batch(4))
            if name in HISTOGRAMS:  # its own batches until the next synchronize
                own = observed(name, *(batch(index) for index in (*PARTS[0], 4)))
                assert observer.scale() == pytest.approx(own.scale(), rel=1e-4), name
        observer.synchronize()
        results[name].append(observer.scale())
    inputs = InputRange("image", 8)
    for index in PARTS[rank]:
        inputs.add(heavy(5000, index), 1 / 128)
    inputs.synchronize()
    results["inputs"] = [
        inputs.values,
        inputs.clipped,
        inputs.smallest,
        inputs.largest,
        inputs.scale,
    ]
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs the gloo backend")
def test_processes_merge(tmp_path: Path) -> None:
    mp.spawn(worker, args=(str(tmp_path),), nprocs=len(PARTS))
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(len(PARTS))]
    assert found[0] == found[1] == found[2]
    for name in ("minmax", *HISTOGRAMS):
        alone = observed(name, *(batch(index) for index in range(4)))
        expected = [alone.scale(), alone.largest, alone.scale()]
        alone.observe(batch(4))
        assert found[0][name] == [*expected, alone.scale()], name
    inputs = InputRange("image", 8)
    for index in range(4):
        inputs.add(heavy(5000, index), 1 / 128)
    assert 0 < inputs.clipped < inputs.values
    expected = [inputs.values, inputs.clipped, inputs.smallest, inputs.largest, 1 / 128]
    assert found[0]["inputs"] == expected
    parts = [
        observed("moving_average", *(batch(index) for index in part)).scale()
        for part in PARTS
        if part
    ]
    assert found[0]["moving_average"][0] == pytest.approx(sum(parts) / 2, rel=1e-12)
    assert found[0]["moving_average"][2] == pytest.approx(sum(parts) / 2, rel=1e-12)
