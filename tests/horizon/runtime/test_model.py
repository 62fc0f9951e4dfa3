"""The executor from Python: values, descriptions, counters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from horizon import hbm
from horizon.hbm import Opcode
from horizon.runtime import Model, available_kernels, c_include_directory, c_library, kernels_name
from tests.conftest import ROOT
from tests.horizon.compiler.interpreter import run_program
from tests.horizon.hbm.programs import full_program, short_program
from tests.horizon.runtime.networks import network


@pytest.mark.parametrize("machine", ["host", "edge256"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_network_gives_the_references_integers(machine, threads):
    case = network(machine)
    model = Model(case.file, threads=threads)
    for image, flow in zip(case.images, case.flows, strict=True):
        np.testing.assert_array_equal(model.run({"img": image})["large"], flow)


@pytest.mark.parametrize("kernels", available_kernels())
def test_every_instruction_set_gives_the_same(kernels, monkeypatch):
    monkeypatch.setenv("HORIZON_KERNELS", kernels)
    assert kernels_name() == kernels
    case = network()
    model = Model(case.file, threads=2)
    np.testing.assert_array_equal(model.run({"img": case.images[0]})["large"], case.flows[0])


@pytest.mark.parametrize("seed", range(3))
def test_every_instruction_does_what_the_interpreter_does(seed):
    program = full_program(seed)
    rng = np.random.default_rng(seed)
    inputs = {"image": rng.integers(0, 256, program.inputs[0].shape, np.uint8)}
    (expected,) = run_program(program, inputs).values()
    found = Model(hbm.to_bytes(program)).run(inputs)
    assert list(found) == ["flow"]
    assert found["flow"].dtype == np.int32
    np.testing.assert_array_equal(found["flow"], expected)


def test_a_file_is_the_same_as_its_bytes(tmp_path):
    case = network()
    path = tmp_path / "model.hbm"
    path.write_bytes(case.file)
    for source in (path, str(path)):
        found = Model(source).run({"img": case.images[1]})
        np.testing.assert_array_equal(found["large"], case.flows[1])


def test_int8_inputs():
    case = network(input_type="int8")
    model = Model(case.file)
    assert model.inputs[0].dtype == np.int8
    assert model.inputs[0].zero_point == 0
    np.testing.assert_array_equal(model.run({"img": case.images[0]})["large"], case.flows[0])


def test_an_input_may_lie_in_memory_as_it_likes():
    case = network()
    image = np.asfortranarray(case.images[0])
    image.flags.writeable = False
    np.testing.assert_array_equal(Model(case.file).run({"img": image})["large"], case.flows[0])


def test_results_are_arrays_of_their_own():
    case = network()
    model = Model(case.file)
    first = model.run({"img": case.images[0]})["large"]
    model.run({"img": case.images[1]})
    np.testing.assert_array_equal(first, case.flows[0])


def test_the_description_is_the_programs():
    program = full_program()
    model = Model(hbm.to_bytes(program), threads=3)
    assert (model.name, model.march, model.opt) == ("every instruction", "edge256", 2)
    assert (model.size_multiple, model.threads) == (4, 3)
    (image,), (flow,) = model.inputs, model.outputs
    assert (image.name, image.dtype, image.layout) == ("image", np.dtype("uint8"), "NCHW")
    assert (image.shape, image.scales, image.zero_point) == ((1, 3, 4, 6), (1 / 128,), 128)
    assert (flow.name, flow.dtype, flow.layout) == ("flow", np.dtype("int32"), "NCHW")
    assert (flow.shape, flow.scales, flow.zero_point) == ((1, 2, 8, 12), (0.5, 0.125), 0)
    assert model.layers == [item.layer for item in program.instructions]
    rounded = [-(-size // 64) * 64 for size in (program.sram_bytes, program.ddr_bytes)]
    assert model.memory.arena == sum(rounded)
    assert model.memory.constants >= len(program.constants)


@pytest.mark.parametrize("machine", ["host", "edge256"])
def test_counters_are_the_bytes_of_the_loads_and_stores(machine):
    case = network(machine)
    outputs, counters = Model(case.file).run_counted({"img": case.images[0]})
    np.testing.assert_array_equal(outputs["large"], case.flows[0])

    def moved(opcode: Opcode) -> int:
        items = [item.out for item in case.program.instructions if item.opcode is opcode]
        return sum(int(np.prod(view.shape)) * view.dtype.size for view in items)

    assert counters.load_bytes == moved(Opcode.load) > 0
    assert counters.store_bytes == moved(Opcode.store) == case.flows[0].nbytes
    assert len(counters.instruction_nanoseconds) == len(case.program.instructions)
    assert 0 < sum(counters.instruction_nanoseconds) <= counters.nanoseconds


def test_nhwc_tensors():
    short = short_program()
    tensor = replace(short.outputs[0], layout=hbm.Layout.nhwc, shape=(1, 2, 2, 1))
    model = Model(hbm.to_bytes(replace(short, outputs=(tensor,))))
    assert model.outputs[0].layout == "NHWC"
    x = np.array([[[[1, 2], [3, 4]]]], np.uint8)
    assert model.run({"x": x})["y"].shape == (1, 2, 2, 1)


def test_the_c_library_is_where_it_is_said_to_be():
    assert c_library().is_file()
    assert (c_include_directory() / "horizon_runtime.h").is_file()


def test_it_runs_without_torch(tmp_path):
    path = tmp_path / "short.hbm"
    hbm.write(short_program(), path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from horizon.runtime import Model\n"
        "x = np.array([[[[128, 129], [0, 255]]]], np.uint8)\n"
        "print(Model(sys.argv[1]).run({'x': x})['y'].ravel().tolist())\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == "[0, 8, -5, 1000]\n", found.stderr


@pytest.mark.parametrize(("asked", "given"), [(1000, 2), (None, 2), (1, 1)])
def test_there_are_no_more_threads_than_cpus(monkeypatch, asked, given):
    monkeypatch.setenv("HORIZON_CPUS", "2")
    assert Model(hbm.to_bytes(network("edge256").program), threads=asked).threads == given
