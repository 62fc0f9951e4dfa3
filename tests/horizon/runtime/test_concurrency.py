"""Many threads, and processes that were forked off."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from horizon.runtime import Model
from tests.horizon.runtime.networks import network


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
    monkeypatch.setenv("HORIZON_KERNELS", "scalar")  # the slowest, so that a run takes its time
    case = network(height=256)
    model = Model(case.file, threads=1)
    spans: list[tuple[float, float]] = []

    def work() -> None:
        for _ in range(3):
            start = time.perf_counter()
            model.run({"img": case.images[0]})
            spans.append((start, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    seen = []
    while worker.is_alive():
        seen.append(time.perf_counter())
        time.sleep(0.0005)
    for start, end in spans:
        quarter = (end - start) / 4
        assert any(start + quarter < moment < end - quarter for moment in seen)


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
    found = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(found, case.flows[1])
