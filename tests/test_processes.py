"""Work in other processes: order, exceptions, deaths, and results that nobody takes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hat.errors import InputError
from hat.processes import in_processes
from tests.conftest import ROOT
from tests.other_processes import halt, halted, wait_for_the_end_of, wait_until


def number_and_process(task: int) -> tuple[int, int]:
    return task, os.getpid()


def first_ends_last(task: tuple[int, Path]) -> tuple[int, int]:
    """Task 0 goes on until task 2 has begun, which it does when task 1 has ended."""
    number, folder = task
    (folder / str(number)).touch()
    if number == 0:
        wait_until((folder / "2").exists)
    return number, os.getpid()


def only_first_ends(task: tuple[int, Path]) -> None:
    number, folder = task
    if number:
        halt(folder)


def fail_on_one(task: int) -> int:
    if task == 1:
        raise InputError("task 1 is wrong")
    return task


def die(signal_number: int) -> int:
    if signal_number:
        os.kill(os.getpid(), signal_number)
    os._exit(3)


def test_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    found = list(in_processes(first_ends_last, [(number, tmp_path) for number in range(3)], 2))
    assert [task for task, _ in found] == [0, 1, 2]
    assert len({pid for _, pid in found} - {os.getpid()}) == 3


def interrupts_are_blocked(_: int) -> bool:
    return {signal.SIGINT, signal.SIGHUP} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_no_process_sees_ctrl_c() -> None:
    """Not even the first one of a program, with which multiprocessing starts its own helper."""
    program = (
        "from hat.processes import in_processes\n"
        "from tests.test_processes import interrupts_are_blocked\n"
        "print(list(in_processes(interrupts_are_blocked, range(3), 2)))"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, True]\n"


@pytest.mark.parametrize(("tasks", "jobs"), [(range(3), 1), (range(1), 4)])
def test_one_at_a_time_means_this_process(tasks: range, jobs: int) -> None:
    assert {pid for _, pid in in_processes(number_and_process, tasks, jobs)} == {os.getpid()}


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


def test_results_that_nobody_takes_end_their_processes(tmp_path: Path) -> None:
    tasks = [(number, tmp_path) for number in range(4)]
    with contextlib.closing(in_processes(only_first_ends, tasks, 2)) as results:
        next(results)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's prctl")
def test_a_command_of_a_killed_process_is_asked_to_end(tmp_path: Path) -> None:
    child = (
        "from pathlib import Path\n"
        "from tests.other_processes import halt\n"
        f"halt(Path({str(tmp_path)!r}))"
    )
    parent = f"import sys; from hat.processes import run_child; run_child({['-c', child]!r})"
    parent = parent.replace("run_child([", "run_child([sys.executable, ")
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, text=True) as process:
        wait_until(lambda: halted(tmp_path), process)
        process.kill()
    wait_for_the_end_of(halted(tmp_path))
