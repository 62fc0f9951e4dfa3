"""A video's flow in three steps that run in several threads."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from horizon_flow import FlowModel, InputError
from tests.horizon_flow.conftest import images

SIZE = (60, 90)  # of which the network's stride is no divisor


@pytest.mark.parametrize("name", ["pwcnet_lite", "pwcnet_small"])
def test_the_steps_give_what_the_calls_give(name, shared_cache):
    model = FlowModel(name, cache_dir=shared_cache)
    frames = images(5, *SIZE)
    steps = model.video_steps(frames[0])
    with ThreadPoolExecutor(3) as pool:
        planes = list(pool.map(steps.convert, frames, "abcde"))
        integers = [steps.next(one) for one in planes]
        assert integers[0] is None
        found = list(pool.map(steps.finish, integers[1:]))
    for flow, pair in zip(found, itertools.pairwise(frames), strict=True):
        assert flow.shape == (*SIZE, 2)
        np.testing.assert_array_equal(flow, model(*pair))


def test_frames_of_other_sizes_are_told(shared_cache):
    steps = FlowModel(cache_dir=shared_cache).video_steps(images(1, *SIZE)[0])
    with pytest.raises(InputError, match=r"b\.png: found \(60, 80\) pixels .* expected \(60, 90\)"):
        steps.convert(images(1, 60, 80)[0], "b.png")
    with pytest.raises(InputError, match=r"b\.png: found a batch"):
        steps.convert(np.stack(images(2, *SIZE)), "b.png")
