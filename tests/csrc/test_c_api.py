"""The C API: what it gives, and what it refuses."""

from __future__ import annotations

import resource
import subprocess
import tomllib
from ctypes import POINTER, byref, c_char_p, c_uint64, c_void_p, string_at
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest

from horizon import hbm
from horizon.runtime import available_kernels, c_include_directory, c_library
from tests.conftest import ROOT
from tests.csrc.c_api import (
    BUSY,
    INVALID_ARGUMENT,
    INVALID_PROGRAM,
    OK,
    OUT_OF_MEMORY,
    Buffer,
    Counters,
    Info,
    Tensor,
    load,
)
from tests.csrc.native import tool
from tests.horizon.hbm.programs import full_program, short_program
from tests.horizon.runtime.networks import network

C = load()


def message() -> str:
    return C.hrt_last_error().decode()


@pytest.fixture
def model():
    handle = c_void_p()
    file = network().file
    assert C.hrt_model_from_memory(file, len(file), byref(handle)) == OK, message()
    yield handle
    C.hrt_model_close(handle)


@pytest.fixture
def session(model):
    handle = c_void_p()
    assert C.hrt_session_create(model, 2, byref(handle)) == OK, message()
    yield handle
    C.hrt_session_close(handle)


def buffer(array: np.ndarray, size: int | None = None) -> Buffer:
    return Buffer(array.ctypes.data, array.nbytes if size is None else size)


def run(session: c_void_p, image: np.ndarray, flow: np.ndarray) -> int:
    return C.hrt_session_run(session, byref(buffer(image)), 1, byref(buffer(flow)), 1)


def test_a_run_gives_the_references_integers(session):
    for image, flow in zip(network().images, network().flows, strict=True):
        out = np.empty_like(flow)
        assert run(session, image, out) == OK, message()
        np.testing.assert_array_equal(out, flow)


def test_the_description_is_the_programs(tmp_path):
    program = full_program()
    hbm.write(program, tmp_path / "model.hbm")
    model, info, image, flow = c_void_p(), Info(), Tensor(), Tensor()
    assert C.hrt_model_open(str(tmp_path / "model.hbm").encode(), byref(model)) == OK, message()
    assert C.hrt_model_info(model, byref(info)) == OK
    assert (info.name, info.march, info.opt) == (b"every instruction", b"edge256", 2)
    assert (info.size_multiple, info.input_count, info.output_count) == (4, 1, 1)
    assert info.instruction_count == len(program.instructions)
    assert info.arena_bytes >= program.sram_bytes + program.ddr_bytes
    assert info.constant_bytes >= len(program.constants)
    assert C.hrt_model_input(model, 0, byref(image)) == OK
    assert (image.name, image.type, image.layout, image.zero_point) == (b"image", 3, 0, 128)
    assert (list(image.shape), image.bytes) == ([1, 3, 4, 6], 72)
    assert C.hrt_model_output(model, 0, byref(flow)) == OK
    assert (flow.name, flow.type, flow.layout, flow.zero_point) == (b"flow", 2, 0, 0)
    assert (list(flow.shape), flow.bytes) == ([1, 2, 8, 12], 768)
    assert flow.scales[: flow.scale_count] == [0.5, 0.125]
    for number, item in enumerate(program.instructions):
        layer = c_char_p()
        assert C.hrt_model_layer(model, number, byref(layer)) == OK
        assert layer.value == item.layer.encode()
    C.hrt_model_close(model)


def test_counters_and_times(session):
    case = network()
    out = np.empty_like(case.flows[0])
    times = POINTER(c_uint64)()
    assert C.hrt_session_times(session, byref(times)) == INVALID_ARGUMENT
    assert "call hrt_session_profile" in message()
    assert C.hrt_session_profile(session, 1) == OK
    assert run(session, case.images[0], out) == OK
    counters = Counters()
    assert C.hrt_session_counters(session, byref(counters)) == OK
    assert counters.store_bytes == out.nbytes
    assert counters.load_bytes == case.images[0].nbytes
    assert C.hrt_session_times(session, byref(times)) == OK
    spent = sum(times[: len(case.program.instructions)])
    assert 0 < spent <= counters.nanoseconds


def test_a_session_outlives_its_model():
    case = network()
    model, session = c_void_p(), c_void_p()
    assert C.hrt_model_from_memory(case.file, len(case.file), byref(model)) == OK
    assert C.hrt_session_create(model, 1, byref(session)) == OK
    C.hrt_model_close(model)
    out = np.empty_like(case.flows[2])
    assert run(session, case.images[2], out) == OK
    np.testing.assert_array_equal(out, case.flows[2])
    C.hrt_session_close(session)


def test_a_session_that_runs_already_is_busy(monkeypatch):
    monkeypatch.setenv("HORIZON_KERNELS", "scalar")  # the slowest, so that a run takes its time
    case = network(height=256)
    model, session = c_void_p(), c_void_p()
    assert C.hrt_model_from_memory(case.file, len(case.file), byref(model)) == OK
    assert C.hrt_session_create(model, 1, byref(session)) == OK
    statuses, texts = [], set()

    def work() -> None:
        out = np.empty_like(case.flows[0])
        for _ in range(3):
            statuses.append(run(session, case.images[0], out))
            if statuses[-1] == BUSY:
                texts.add(message())
            else:
                np.testing.assert_array_equal(out, case.flows[0])

    workers = [Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(statuses) == {OK, BUSY}
    assert texts == {"the session is running in another thread; make one for each thread"}
    C.hrt_session_close(session)
    C.hrt_model_close(model)


def test_buffers_of_another_size_or_number(session):
    case = network()
    image, out = case.images[0], np.empty_like(case.flows[0])
    good, result = byref(buffer(image)), byref(buffer(out))
    short, long = byref(buffer(image, image.nbytes - 1)), byref(buffer(out, out.nbytes + 1))
    for arguments, text in (
        ((short, 1, result, 1), f"inputs[0] img: found {image.nbytes - 1} bytes, expected"),
        ((good, 1, long, 1), f"outputs[0] large: found {out.nbytes + 1} bytes, expected"),
        ((good, 0, result, 1), "inputs: found 0 buffers, expected 1"),
        ((good, 1, result, 2), "outputs: found 2 buffers, expected 1"),
        ((None, 1, result, 1), "inputs: found a null pointer"),
        ((good, 1, byref(Buffer(None, out.nbytes)), 1), "outputs: found a null pointer"),
    ):
        assert C.hrt_session_run(session, *arguments) == INVALID_ARGUMENT
        assert text in message()
    assert run(session, image, out) == OK


def test_null_pointers_and_indices(model, session):
    somewhere = byref(c_void_p())
    for function, arguments, text in (
        (C.hrt_model_open, (None, somewhere), "path: found a null pointer"),
        (C.hrt_model_open, (b"x", None), "model: found a null pointer"),
        (C.hrt_model_from_memory, (None, 0, somewhere), "data: found a null pointer"),
        (C.hrt_model_info, (None, byref(Info())), "model: found a null pointer"),
        (C.hrt_model_info, (model, None), "info: found a null pointer"),
        (C.hrt_model_input, (model, 1, byref(Tensor())), "found index 1, expected less than 1"),
        (C.hrt_model_output, (model, 9, byref(Tensor())), "output: found index 9"),
        (C.hrt_model_output, (model, 0, None), "tensor: found a null pointer"),
        (C.hrt_model_layer, (model, 10**6, somewhere), "instruction: found index 1000000"),
        (C.hrt_session_create, (None, 1, somewhere), "model: found a null pointer"),
        (C.hrt_session_create, (model, 1, None), "session: found a null pointer"),
        (C.hrt_session_create, (model, -1, somewhere), "threads: found -1, expected 0 to 1024"),
        (C.hrt_session_create, (model, 1025, somewhere), "threads: found 1025"),
        (C.hrt_session_run, (None, None, 0, None, 0), "session: found a null pointer"),
        (C.hrt_session_counters, (session, None), "counters: found a null pointer"),
        (C.hrt_session_profile, (None, 1), "session: found a null pointer"),
        (C.hrt_session_times, (session, None), "nanoseconds: found a null pointer"),
    ):
        assert function(*arguments) == INVALID_ARGUMENT
        assert text in message()
    C.hrt_model_close(None)
    C.hrt_session_close(None)


def test_files_that_are_no_programs(tmp_path):
    model = c_void_p(1)
    assert C.hrt_model_open(str(tmp_path / "none.hbm").encode(), byref(model)) == INVALID_PROGRAM
    assert "none.hbm" in message()
    assert model.value is None
    data = bytearray(network().file)
    data[len(data) // 2] ^= 4
    assert C.hrt_model_from_memory(bytes(data), len(data), byref(model)) == INVALID_PROGRAM
    assert "expected" in message()


def test_too_little_memory():
    file = hbm.to_bytes(replace(short_program(), sram_bytes=2**39))
    model, session = c_void_p(), c_void_p()
    assert C.hrt_model_from_memory(file, len(file), byref(model)) == OK
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**38, before[1]))
    status = C.hrt_session_create(model, 1, byref(session))
    resource.setrlimit(resource.RLIMIT_AS, before)
    assert status == OUT_OF_MEMORY
    assert f"{2**39} bytes asked for" in message()
    C.hrt_model_close(model)


def test_version_and_kernels(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert C.hrt_version().decode() == project["version"]
    for name in available_kernels():
        monkeypatch.setenv("HORIZON_KERNELS", name)
        assert C.hrt_kernels_name().decode() == name
    monkeypatch.setenv("HORIZON_KERNELS", "none")
    assert C.hrt_kernels_name() is None
    assert "HORIZON_KERNELS" in message()


def test_each_thread_has_its_own_last_error():
    assert C.hrt_model_open(None, None) == INVALID_ARGUMENT
    found = []
    thread = Thread(target=lambda: found.append(string_at(C.hrt_last_error())))
    thread.start()
    thread.join()
    assert found == [b""]
    assert message() != ""


def test_the_header_is_c11_and_the_library_exports_nothing_else(tmp_path):
    header = c_include_directory() / "horizon_runtime.h"
    source = tmp_path / "header.c"
    source.write_text(f'#include "{header}"\nint main(void) {{ return hrt_version() == 0; }}\n')
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    flags += [f"-Wl,-rpath,{c_library().parent}", "-o", str(tmp_path / "a.out")]
    command = [tool("gcc"), str(source), str(c_library()), *flags]
    subprocess.run(command, check=True)
    subprocess.run([tmp_path / "a.out"], check=True)
    listing = subprocess.run(
        [tool("nm"), "-D", "--defined-only", str(c_library())],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split()[-1] for line in listing.stdout.splitlines()}
    declared = {name for name in names if f" {name}(" in header.read_text().replace("*", "* ")}
    assert names == declared
    assert "hrt_session_run" in names
