"""What is refused, and in which words."""

from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np
import pytest

from horizon import hbm
from horizon.errors import InputError
from horizon.runtime import Model, kernels_name
from tests.horizon.hbm.programs import short_program

GOOD = np.zeros((1, 1, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        ({}, r"inputs: found \[\], expected a mapping with the names \['x'\]"),
        ({"y": GOOD}, r"found \['y'\], expected .* \['x'\]"),
        ({"x": GOOD, "y": GOOD}, r"found \['x', 'y'\], expected .* \['x'\]"),
        (GOOD, "found ndarray, expected a mapping"),
        ({"x": GOOD.tolist()}, "input x: found list, expected a numpy array"),
        ({"x": GOOD.astype(np.int8)}, r"input x: found int8 .* expected uint8 \(1, 1, 2, 2\)"),
        ({"x": GOOD[0]}, r"found uint8 \(1, 2, 2\), expected uint8 \(1, 1, 2, 2\) \(NCHW\)"),
        ({"x": GOOD.reshape(1, 2, 2, 1)}, r"found uint8 \(1, 2, 2, 1\), expected"),
    ],
)
def test_wrong_inputs(inputs, match):
    model = Model(hbm.to_bytes(short_program()))
    with pytest.raises(InputError, match=match):
        model.run(inputs)


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, "2"])
def test_wrong_numbers_of_threads(threads):
    with pytest.raises(InputError, match=r"threads: found .*, expected 1 to 1024"):
        Model(hbm.to_bytes(short_program()), threads=threads)


def test_files_that_are_no_programs(tmp_path):
    missing = tmp_path / "missing.hbm"
    with pytest.raises(InputError, match=r"missing\.hbm"):
        Model(missing)
    text = tmp_path / "text.hbm"
    text.write_text("no program " * 20)
    with pytest.raises(InputError, match=r"text\.hbm.*; expected"):
        Model(text)
    with pytest.raises(InputError, match="expected"):
        Model(b"")


def test_a_changed_byte_is_found():
    data = bytearray(hbm.to_bytes(short_program()))
    data[len(data) // 2] ^= 1
    with pytest.raises(InputError, match="expected"):
        Model(bytes(data))


@pytest.fixture
def limited_memory():
    """A limit of addresses, so that the machine's memory does not matter."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**38, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_too_little_memory(limited_memory):
    greedy = hbm.to_bytes(replace(short_program(), sram_bytes=2**39))
    with pytest.raises(MemoryError, match=f"arena of a session: {2**39} bytes asked for"):
        Model(greedy)


@pytest.mark.parametrize("name", ["sse2", "neon", "AVX2"])
def test_kernels_that_this_cpu_does_not_have(name, monkeypatch):
    monkeypatch.setenv("HORIZON_KERNELS", name)
    for use in (kernels_name, lambda: Model(hbm.to_bytes(short_program()))):
        with pytest.raises(InputError, match=rf"HORIZON_KERNELS .*found '{name}'"):
            use()
