from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path

import pytest
import torch

from hat.engine import distributed, run_length
from hat.errors import InputError
from hat.registry import build_from_registry
from tests.engine import tiny

PREDICTOR_BATCH = {"type": "MultiBatchProcessor", "need_grad_update": False}


def config_for(processes: int, folder: Path) -> dict:
    """The same global batch of four, whatever the number of processes."""
    config = tiny.trainer_config(
        sync_bn=True,
        optimizer={"type": torch.optim.SGD, "lr": 0.05, "momentum": 0.9},
        callbacks=[
            {
                "type": "MetricUpdater",
                "metric_update_func": tiny.update_metrics,
                "step_log_freq": 4,
            },
            # 7 samples: an odd number, which must not be counted twice
            tiny.validation(data_loader=tiny.loader(count=7, jitter=False)),
            {
                "type": "Checkpoint",
                "save_dir": folder / str(processes),
                "name_prefix": "float-",
                "monitor_metric_key": "EPE",
            },
            {"type": "TrainingLog", "save_dir": folder / str(processes)},
        ],
        train_metrics=[{"type": "LossShow"}],
        val_metrics=[{"type": "EndPointError"}],
    )
    config["data_loader"]["batch_size"] = 4 // processes
    return config


def worker(device: torch.device, argument: tuple[int, Path]) -> int:
    processes, folder = argument
    assert distributed.world_size() == processes
    trainer = tiny.build(config_for(processes, folder), seed=distributed.rank())
    trainer.fit()
    predictor = build_from_registry(
        {
            "type": "Predictor",
            "model": trainer.model,
            "data_loader": [tiny.loader(count=5, jitter=False)],
            "batch_processor": PREDICTOR_BATCH,
            "metrics": [{"type": "EndPointError"}],
            "device": "cpu",
        }
    )
    results = predictor.fit()[0]
    if distributed.is_main():
        folder.joinpath(f"predict-{processes}.json").write_text(json.dumps(results))
        torch.save(trainer.model.state_dict(), folder / f"weights-{processes}.pt")
    if processes == 2:
        run_by_minutes(folder)
    return 0


def run_by_minutes(folder: Path) -> None:
    """Nine seconds by the clocks of two processes, which tick one and two seconds a step."""
    pace = 1 + distributed.rank()
    ticks = itertools.count(step=pace)
    run_length.monotonic = lambda: float(next(ticks))  # this process ends with the test
    cosine = {"type": "CosLrUpdater", "warmup_by": "fraction", "warmup_len": 0.2}
    config = tiny.trainer_config(stop_by="minutes", num_minutes=9 / 60, callbacks=[cosine])
    trainer = tiny.build(config)
    trainer.fit()
    found = {"step": trainer.step, "lr": trainer.optimizer.param_groups[0]["lr"]}
    folder.joinpath(f"minutes-{distributed.rank()}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    # rank 0 builds the model from the same seed in both runs, DDP hands it to rank 1
    assert distributed.run_distributed(worker, (1, folder), "0") == 0
    assert distributed.run_distributed(worker, (2, folder), "0,1") == 0
    return folder


def test_processes_with_clocks_of_their_own_end_at_the_same_step(runs):
    found = [json.loads((runs / f"minutes-{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]
    assert found[0]["step"] == 5  # the faster clock counts


def read_log(folder, processes):
    lines = (folder / str(processes) / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_train_like_one(runs):
    one, two = (torch.load(runs / f"weights-{n}.pt") for n in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_two_processes_report_the_metrics_of_one(runs):
    one, two = (json.loads((runs / f"predict-{n}.json").read_text())["EPE"] for n in (1, 2))
    assert two == pytest.approx(one, rel=1e-4)
    for key in ("val/EPE", "train/loss"):
        values = [[line[key] for line in read_log(runs, n) if key in line] for n in (1, 2)]
        assert len(values[0]) == 2
        assert values[1] == pytest.approx(values[0], rel=1e-4)


def test_one_process_writes(runs):
    names = sorted(path.name for path in (runs / "2").glob("*.pth.tar"))
    expected = ["best", "epoch-0000", "epoch-0001", "last"]
    assert names == [f"float-checkpoint-{which}.pth.tar" for which in expected]


def failing_worker(device: torch.device, argument: str) -> int:
    if distributed.rank() == 1:
        raise InputError(argument)
    distributed.barrier()  # which the other process never reaches
    return 0


def test_a_mistake_seen_by_one_process_ends_them_all_with_its_message():
    with pytest.raises(InputError, match=r"^img\.ppm is damaged$"):
        distributed.run_distributed(failing_worker, "img.ppm is damaged", "0,1")


def test_no_other_program_can_take_the_port_before_it_is_used(monkeypatch):
    class Started(Exception):
        pass

    def spawn(function, args, **_):
        port = next(part for part in args if isinstance(part, int))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        raise Started

    monkeypatch.setattr(distributed.multiprocessing, "spawn", spawn)
    with pytest.raises(Started):
        distributed.run_distributed(failing_worker, "unused", "0,1")


@pytest.mark.parametrize("text", ["a", "0,0", "-1", ""])
def test_wrong_device_ids(text):
    with pytest.raises(InputError, match="--device-ids"):
        distributed.parse_device_ids(text)


def test_torchrun_is_asked_for():
    with pytest.raises(InputError, match="torchrun"):
        distributed.run_distributed(worker, None, None, launcher="pytorch")
