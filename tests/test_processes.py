"""Work in other processes: order, exceptions, deaths, and results that nobody takes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time

import pytest

from hat.errors import InputError
from hat.processes import in_processes


def slower_first(task: int) -> tuple[int, int]:
    time.sleep(0.5 if task == 0 else 0)
    return task, os.getpid()


def fail_on_one(task: int) -> int:
    if task == 1:
        raise InputError("task 1 is wrong")
    return task


def die(signal_number: int) -> int:
    if signal_number:
        os.kill(os.getpid(), signal_number)
    os._exit(3)


def test_in_the_order_of_the_tasks() -> None:
    found = list(in_processes(slower_first, range(3), 2))
    assert [task for task, _ in found] == [0, 1, 2]
    assert len({pid for _, pid in found} - {os.getpid()}) == 3


@pytest.mark.parametrize(("tasks", "jobs"), [(range(3), 1), (range(1), 4)])
def test_one_at_a_time_means_this_process(tasks: range, jobs: int) -> None:
    assert {pid for _, pid in in_processes(slower_first, tasks, jobs)} == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_work_raises_is_raised_here(jobs: int) -> None:
    results = in_processes(fail_on_one, range(3), jobs)
    assert next(results) == 0
    with pytest.raises(InputError, match="task 1 is wrong"):
        next(results)
    assert multiprocessing.active_children() == []


def test_a_killed_process_is_told() -> None:
    with pytest.raises(InputError, match=r"killed \(signal 9\), probably for want of memory"):
        list(in_processes(die, [int(signal.SIGKILL)] * 2, 2))
    with pytest.raises(RuntimeError, match="ended with exit code 3"):
        list(in_processes(die, [0, 0], 2))
    assert multiprocessing.active_children() == []


def test_results_that_nobody_takes_end_their_processes() -> None:
    with contextlib.closing(in_processes(slower_first, range(4), 2)) as results:
        next(results)
    assert multiprocessing.active_children() == []
