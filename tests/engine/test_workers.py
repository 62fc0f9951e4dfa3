"""The number of data loader workers, and their failures."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hat.engine import distributed, workers
from hat.engine.data_loading import batches, build_eval_loader
from hat.engine.log_once import log_once
from hat.errors import InputError
from hat.registry import resolve
from tests.other_processes import WATCHDOG_SECONDS

MB = 2**20


class Images(Dataset):
    """Samples of 4 MB; or a failure in the worker."""

    def __init__(self, error=None, code=None):
        self.error = error
        self.code = code

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if self.code is not None and torch.utils.data.get_worker_info():
            os.kill(os.getpid(), self.code)
        if self.error is not None:
            raise self.error
        return {"img": torch.zeros(MB), "more": [torch.zeros(0)], "name": "a"}


@pytest.fixture(autouse=True)
def machine(monkeypatch, caplog):
    """Four CPUs and ample shared memory, whatever this machine has."""
    caplog.set_level(logging.INFO)
    log_once.cache_clear()
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setenv("HORIZON_CPUS", "4")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    monkeypatch.setattr(workers, "free_shared_memory", lambda: 8 * 2**30)


def chosen(**arguments):
    config = {"type": DataLoader, "dataset": {"type": Images}, "batch_size": 2, **arguments}
    return build_eval_loader(resolve(config, "data_loader")).num_workers


def test_no_more_workers_than_cpus_and_one_line_about_it(caplog, recwarn):
    assert [chosen(num_workers=n) for n in (0, 3, 4, 16, 16)] == [0, 3, 4, 4, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "Data loader workers: 4 instead of 16, one for each CPU that this process may use"
    ]
    assert not [w for w in recwarn if "suggested max" in str(w.message)]


def test_the_processes_of_a_machine_share_its_cpus(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    assert chosen(num_workers=16) == 2
    monkeypatch.setattr(distributed, "world_size", lambda: 64)
    assert chosen(num_workers=16) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # one process on each of 64 machines
    assert chosen(num_workers=16) == 4


@pytest.mark.parametrize(
    ("free", "prefetch", "expected"),
    [(64 * MB, None, 2), (64 * MB, 4, 1), (16 * MB, None, 0), (512 * MB, None, 4), (None, None, 4)],
)
def test_shared_memory_has_room_for_the_batches_in_flight(
    free, prefetch, expected, monkeypatch, caplog
):
    monkeypatch.setattr(workers, "free_shared_memory", lambda: free)
    assert chosen(num_workers=4, prefetch_factor=prefetch) == expected
    said = "\n".join(record.getMessage() for record in caplog.records)
    if expected < 4:
        assert f"{expected} instead of 4, because /dev/shm has {free // MB} MB free" in said
        assert "a batch takes 8 MB" in said
        assert "--shm-size" in said
    else:
        assert not said


def failing_batches(**arguments):
    dataset = {"type": Images, **arguments}
    config = {"type": DataLoader, "dataset": dataset, "num_workers": 1}
    return list(batches(build_eval_loader(resolve(config, "data_loader"))))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("unable to open shared memory object </torch_1_2>"),
            "shm",
        ),
        (RuntimeError("unable to write to file </torch_123_456_7>: x (28)"), "--shm-size=2g"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "shared memory is full"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many open files.*ulimit -n"),
    ],
)
def test_a_lack_of_shared_memory_or_files_is_one_line(error, message):
    with pytest.raises(InputError, match=message) as caught:
        failing_batches(error=error)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"), [(7, "shared memory is full.*num_workers=0"), (9, "lack of memory")]
)
def test_a_worker_that_the_system_ends(code, message, capfd):
    with pytest.raises(InputError, match=f"^data loader workers: .*{message}"):
        failing_batches(code=code)


def test_another_failure_stays_what_it_is():
    with pytest.raises(RuntimeError, match="mistake"):
        failing_batches(error=RuntimeError("mistake"))
    with pytest.raises(InputError, match=r"^bad file$"):
        failing_batches(error=InputError("bad file"))


PROGRAM = """
    import multiprocessing
    import sys
    from torch.utils.data import DataLoader
    from hat.engine.data_loading import batches, build_eval_loader
    from hat.errors import InputError
    from hat.registry import resolve
    from tests.engine.test_workers import Images

    def run(error, persistent):
        dataset = dict(type=Images, error=error)
        config = dict(
            type=DataLoader, dataset=dataset, num_workers=1, persistent_workers=persistent
        )
        sys.kept = batches(build_eval_loader(resolve(config, "loader")))  # until the very end
        next(sys.kept)
        raise InputError("of the main process")

    def main(where, persistent):
        try:
            run(KeyError("of a worker") if where == "worker" else None, persistent == "True")
        except (InputError, KeyError) as error:
            print(error, flush=True)
            sys.exit(2)

    if sys.argv[3] == "started":
        process = multiprocessing.get_context("fork").Process(target=main, args=sys.argv[1:3])
        process.start()
        process.join()
        sys.exit(process.exitcode)
    main(*sys.argv[1:3])
"""


@pytest.mark.parametrize(
    ("where", "persistent", "process"),
    [
        ("worker", False, "first"),
        ("worker", True, "first"),
        ("main process", False, "first"),
        ("main process", True, "first"),
        ("worker", False, "started"),  # by multiprocessing, as for each device
        ("main process", True, "started"),
    ],
)
def test_a_failure_ends_the_process_and_its_workers(where, persistent, process):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), where, str(persistent), process],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    assert (result.returncode, result.stderr) == (2, "")
    assert where in result.stdout
