"""Many threads, and processes that were forked off."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from horizon.runtime import Model
from tests.horizon.runtime.networks import network
from tests.other_processes import WATCHDOG_SECONDS


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads_at_once_give_the_same(threads):
    case = network()
    model = Model(case.file, threads=threads)
    numbers = np.random.default_rng(0).integers(0, len(case.images), 60).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: model.run({"img": case.images[n]})["large"], numbers))
    for number, flow in zip(numbers, found, strict=True):
        np.testing.assert_array_equal(flow, case.flows[number])


def test_the_interpreter_goes_on_during_a_run(monkeypatch):
    """Another thread counts; nothing but the run can give it the interpreter's lock meanwhile."""
    monkeypatch.setenv("HORIZON_KERNELS", "scalar")  # the slowest, so that a run takes its time
    case = network(height=256)
    model = Model(case.file, threads=1)
    counted = 0
    ended = threading.Event()

    def count() -> None:
        nonlocal counted
        while not ended.is_set():
            counted += 1
            time.sleep(0)  # lets go of the lock

    def runs_until_it_is_counted() -> int:
        for run in range(1, 1000):  # where the system gives the other thread no time, once more
            before = counted
            model.run({"img": case.images[0]})
            if counted > before:
                return run
        return 0

    interval = sys.getswitchinterval()
    counter = threading.Thread(target=count)
    try:
        sys.setswitchinterval(1e6)  # no thread is made to let go of the lock
        counter.start()
        assert runs_until_it_is_counted()
    finally:
        sys.setswitchinterval(interval)
        ended.set()
        counter.join()


def _run_in_child(model: Model, image: np.ndarray, answers) -> None:
    answers.put(model.run({"img": image})["large"])


def test_a_forked_process_can_go_on_with_a_model():
    case = network()
    model = Model(case.file, threads=2)
    model.run({"img": case.images[0]})  # now its threads exist here, and not in the child
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_run_in_child, args=(model, case.images[1], answers))
    child.start()
    found = answers.get(timeout=WATCHDOG_SECONDS)
    child.join(WATCHDOG_SECONDS)
    assert child.exitcode == 0
    np.testing.assert_array_equal(found, case.flows[1])
