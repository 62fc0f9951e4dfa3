"""The command line: model_info, infer and perf."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from horizon import hbm
from horizon.cpus import usable_cpus
from horizon.hbm import Opcode
from horizon.runtime import Model, available_kernels
from tests.conftest import ROOT
from tests.csrc.native import HRT_MODEL_EXEC
from tests.horizon.hbm.programs import short_program
from tests.horizon.runtime.networks import network
from tests.other_processes import WATCHDOG_SECONDS


def run(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [str(HRT_MODEL_EXEC), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS, **options
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """model.hbm, and its first image as image.bin and image.npy."""
    folder = tmp_path_factory.mktemp("hrt_model_exec")
    case = network("edge256")
    (folder / "model.hbm").write_bytes(case.file)
    (folder / "image.bin").write_bytes(case.images[0].tobytes())
    np.save(folder / "image.npy", case.images[0])
    return folder


def test_model_info(files):
    found = run("model_info", "--model_file", files / "model.hbm")
    assert (found.returncode, found.stderr) == (0, "")
    program = network("edge256").program
    lines = [line.split(":", 1) for line in found.stdout.splitlines() if ":" in line]
    texts = [(key.strip(), value.strip()) for key, value in lines]
    for expected in (
        ("model name", program.name),
        ("march", "edge256"),
        ("opt", "O2"),
        ("valid shape", "(1, 6, 64, 96)"),
        ("tensor type", "uint8"),
        ("tensor layout", "NCHW"),
        ("zero point", "128"),
        ("scale", "0.0078125"),
        ("valid shape", "(1, 2, 64, 96)"),
        ("tensor type", "int32"),
        ("scale", "1e-05, 2e-05"),
        ("instructions", str(len(program.instructions))),
    ):
        assert expected in texts
    for opcode in Opcode:
        count = sum(item.opcode is opcode for item in program.instructions)
        assert ((opcode.name, str(count)) in texts) == (count > 0)


def test_random_weights_are_said_by_every_command(files, tmp_path):
    marked = replace(network("edge256").program, metadata={"weights": "random"})
    path = tmp_path / "model.hbm"
    hbm.write(marked, path)
    info = run("model_info", "--model_file", path)
    assert "weights:              random: times and memory are those of" in info.stdout
    image = ("--input_file", files / "image.bin")
    for command in (("infer", *image), ("perf", "--frame_count", "1")):
        said = run(command[0], "--model_file", path, *command[1:])
        assert said.returncode == 0
        assert said.stderr.startswith("warning: the program's weights are random")
        silent = run(command[0], "--model_file", files / "model.hbm", *command[1:])
        assert (silent.returncode, silent.stderr) == (0, "")


def test_multiply_accumulates_are_counted(files):
    total = 0
    for item in network("edge256").program.instructions:
        pixels = int(np.prod((item.a if item.transposed else item.out).shape[:3]))
        taps = {
            Opcode.conv: item.kernel[0] * item.kernel[1] * item.a.shape[3],
            Opcode.correlation: item.a.shape[3],
            Opcode.warp: 4,
        }
        total += pixels * item.out.shape[3] * taps.get(item.opcode, 0)
    found = run("model_info", "--model_file", files / "model.hbm")
    assert re.search(rf"^multiply-accumulates: *{total}$", found.stdout, re.MULTILINE)


@pytest.mark.parametrize("image", ["image.bin", "image.npy"])
@pytest.mark.parametrize("form", ["bin", "npy"])
def test_infer_writes_the_outputs(files, tmp_path, image, form):
    folder = tmp_path / "new" / "out"
    found = run(
        "infer",
        f"--model_file={files / 'model.hbm'}",
        "--input_file",
        files / image,
        f"--output_dir={folder}",
        "--dump_format",
        form,
    )
    assert (found.returncode, found.stderr) == (0, "")
    flow = network("edge256").flows[0]
    path = folder / f"model_infer_output_0_large.{form}"
    values = np.load(path) if form == "npy" else np.fromfile(path, "<i4").reshape(flow.shape)
    assert values.dtype == np.int32
    np.testing.assert_array_equal(values, flow)
    assert str(path) in found.stdout


def test_infer_prints_a_summary_in_real_units(files):
    found = run("infer", "--model_file", files / "model.hbm", "--input_file", files / "image.bin")
    flow = network("edge256").flows[0] * np.array([1e-5, 2e-5])[:, None, None]
    numbers = re.findall(r"min (\S+), max (\S+), mean (\S+)", found.stdout)
    expected = [(c.min(), c.max(), c.mean()) for c in flow[0]]
    np.testing.assert_allclose(np.array(numbers, float), expected, rtol=1e-5)


@pytest.mark.parametrize("kernels", available_kernels())
def test_every_instruction_set_writes_the_same(files, tmp_path, kernels):
    found = run(
        *("infer", "--model_file", files / "model.hbm", "--input_file", files / "image.bin"),
        *("--dump_dir", tmp_path, "--core_num", 2),
        env=os.environ | {"HORIZON_KERNELS": kernels},
    )
    assert f"kernels {kernels}, 2 threads" in found.stdout
    values = (tmp_path / "model_infer_output_0_large.bin").read_bytes()
    assert values == network("edge256").flows[0].tobytes()


def test_perf_prints_what_users_know(files):
    found = run("perf", "--model_file", files / "model.hbm", "--frame_count=20")
    assert (found.returncode, found.stderr) == (0, "")
    cores = usable_cpus()
    for expected in ("Thread number is: 1", "Frame count   is: 20", f"Core number   is: {cores}"):
        assert expected in found.stdout
    latency = float(re.search(r"Average latency is: (\S+) ms", found.stdout)[1])
    rate = float(re.search(r"Frame rate      is: (\S+) FPS", found.stdout)[1])
    # Frames follow each other, whatever else the machine does in between; three digits are printed.
    assert 0 < rate <= 1000 / latency * 1.05
    line = re.search(r"Latency min, 50 %, 90 %, 99 %, max: (.*) ms", found.stdout)[1]
    assert sorted(map(float, line.split(", "))) == list(map(float, line.split(", ")))


@pytest.mark.parametrize(
    ("options", "threads", "cores"),
    [
        (["--thread_num", 3], 3, 1),
        (["--thread_num", 2, "--core_num", 2], 2, 2),
        (["--core_id=1"], 1, 1),
        (["--core_num=1", "--core_id", 0], 1, 1),
    ],
)
def test_perf_with_frames_in_flight_and_cores(files, options, threads, cores):
    found = run("perf", "--model_file", files / "model.hbm", "--frame_count", 9, *options)
    assert (found.returncode, found.stderr) == (0, "")
    assert f"Thread number is: {threads}\n" in found.stdout
    assert "Frame count   is: 9\n" in found.stdout
    assert f"Core number   is: {cores}\n" in found.stdout


@pytest.mark.parametrize("option", ["--thread_num", "--core_num"])
def test_more_threads_than_cpus_are_not_made_and_this_is_said(files, option):
    environment = os.environ | {"HORIZON_CPUS": "2"}
    words = ("perf", "--model_file", files / "model.hbm", "--frame_count=3")
    found = run(*words, option, 1000, env=environment)
    said = f"hrt_model_exec: {option} 1000: this process may use 2 CPUs; 2 are used\n"
    assert (found.returncode, found.stderr) == (0, said)
    line = "Thread number is: 2\n" if option == "--thread_num" else "Core number   is: 2\n"
    assert line in found.stdout
    found = run(*words, option, -1, env=environment)
    assert found.returncode == 2
    assert f"option {option}: found -1, expected a whole number from 1 to 1024" in found.stderr


def test_infer_takes_no_more_threads_than_cpus(files):
    words = ("--model_file", files / "model.hbm", "--input_file", files / "image.bin")
    found = run("infer", *words, "--core_num=9", env=os.environ | {"HORIZON_CPUS": "1"})
    said = "hrt_model_exec: --core_num 9: this process may use 1 CPU; 1 is used\n"
    assert (found.returncode, found.stderr) == (0, said)
    assert ", 1 threads," in found.stdout


def test_the_profile(files, tmp_path):
    found = run(
        *("perf", "--model_file", files / "model.hbm", "--input_file", files / "image.npy"),
        *("--frame_count=6", "--thread_num=2", "--profile_path", tmp_path / "profile"),
    )
    assert (found.returncode, found.stderr) == (0, "")
    profile = json.loads((tmp_path / "profile" / "profiler.log").read_text())
    program = network("edge256").program
    condition = profile["running_condition"]
    assert (condition["thread_num"], condition["frame_count"], condition["core_num"]) == (2, 6, 1)
    items = profile["instructions"]
    assert [item["layer"] for item in items] == [item.layer for item in program.instructions]
    assert [item["opcode"] for item in items] == [i.opcode.name for i in program.instructions]
    for kind in ("instructions", "layers"):
        assert sum(item["share"] for item in profile[kind]) == pytest.approx(1, abs=1e-3)
        for key in ("load_bytes", "store_bytes"):
            assert sum(item[key] for item in profile[kind]) == profile["perf_result"][key] > 0
    assert all(item["gmac_per_s"] > 0 for item in items if item["opcode"] == "conv")
    total = sum(item["ms"] for item in items)
    assert 0 < total <= profile["perf_result"]["average_latency_ms"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("perf", "--frame_count=1", "--profile_path"), "profiler.log"),
        (
            ("infer", "--input_file", "{}/image.bin", "--output_dir"),
            "model_infer_output_0_large.bin",
        ),
        (
            ("infer", "--input_file", "{}/image.bin", "--dump_format=npy", "--output_dir"),
            "model_infer_output_0_large.npy",
        ),
    ],
)
def test_results_replace_their_like_and_nothing_else(files, tmp_path, words, name):
    words = [word.format(files) for word in words]
    command = (*words, tmp_path, "--model_file", files / "model.hbm")
    for _ in range(2):
        assert run(*command).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).write_text("mine")
    found = run(*command)
    assert found.returncode == 2
    assert f"{name}: exists and is not what this program writes there" in found.stderr
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    assert run(*command).returncode == 2
    assert not (tmp_path / "elsewhere").exists()


MODEL = ("--model_file", "{}/model.hbm")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((), "no command; expected model_info, infer or perf"),
        (("fly",), "unknown command fly"),
        (("model_info",), "--model_file is missing"),
        (("model_info", "--model_file"), "--model_file has no value"),
        (("model_info", *MODEL, *MODEL), "--model_file stands twice"),
        (("model_info", "model.hbm"), "unknown option model.hbm"),
        (("model_info", *MODEL, "--frames=2"), "unknown option --frames=2; expected one of"),
        (("model_info", "--model_file", "{}/none.hbm"), "none.hbm: No such file"),
        (("model_info", "--model_file", "{}/image.bin"), r"image.bin: .*; expected"),
        (("model_info", "--model_file", "{}"), "expected"),
        (("infer", *MODEL), "--input_file is missing"),
        (("infer", *MODEL, "--input_file", "{}/none.bin"), "none.bin: cannot be read"),
        (("infer", *MODEL, "--input_file", "{}"), "cannot be read"),
        (
            ("infer", *MODEL, "--input_file", "{}/model.hbm"),
            r"model.hbm: found \d+ bytes, expected 36864, uint8 \(1, 6, 64, 96\) NCHW",
        ),
        (
            ("infer", *MODEL, "--input_file", "{0}/image.bin,{0}/image.bin"),
            "--input_file: found 2 files, expected 1",
        ),
        (
            ("infer", *MODEL, "--input_file", "{}/image.bin", "--dump_format=png"),
            "--dump_format: found png, expected bin or npy",
        ),
        (
            ("infer", *MODEL, "--input_file", "{}/image.bin", "--dump_dir=a", "--output_dir=b"),
            "mean the same",
        ),
        (
            ("infer", *MODEL, "--input_file", "{}/image.bin", "--dump_dir", "/dev/null/x"),
            "cannot be made",
        ),
        (("perf", *MODEL, "--frame_count=0"), "--frame_count: found 0, expected a whole number"),
        (("perf", *MODEL, "--frame_count=2x"), "--frame_count: found 2x"),
        (("perf", *MODEL, "--thread_num=99999999999"), "--thread_num: found 99999999999"),
        (("perf", *MODEL, "--core_id=1", "--core_num=2"), "--core_id 1 is one core"),
        (("perf", *MODEL, "--core_id=1024"), "may not use core 1023"),
        (("perf", *MODEL, "--profile_path", "/dev/null"), "cannot be made"),
    ],
)
def test_mistakes_are_named_and_end_in_2(files, arguments, match):
    found = run(*(argument.format(files) for argument in arguments))
    assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
    assert re.search(match, found.stderr)
    assert found.stderr.startswith("hrt_model_exec: ")


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((1, 6, 64, 96), np.int8), r"found .*\|i1.*, expected .*\|u1"),
        (np.zeros((1, 64, 96, 6), np.uint8), r"found .*\(1, 64, 96, 6\).*, expected"),
        (np.asfortranarray(np.zeros((1, 6, 64, 96), np.uint8)), "'fortran_order': True"),
    ],
)
def test_npy_files_of_another_kind(files, tmp_path, array, match):
    np.save(tmp_path / "x.npy", array)
    found = run("infer", "--model_file", files / "model.hbm", "--input_file", tmp_path / "x.npy")
    assert found.returncode == 2
    assert re.search(match, found.stderr)


@pytest.mark.parametrize("size", [0, 9, 11, 100, 128 + 36863])
def test_npy_files_that_are_cut_off(files, tmp_path, size):
    path = tmp_path / "x.npy"
    path.write_bytes((files / "image.npy").read_bytes()[:size])
    found = run("infer", "--model_file", files / "model.hbm", "--input_file", path)
    assert found.returncode == 2
    assert re.search(r"no \.npy file|cut off", found.stderr)


def test_too_little_memory(tmp_path):
    hbm.write(replace(short_program(), sram_bytes=2**39), tmp_path / "greedy.hbm")
    (tmp_path / "x.bin").write_bytes(bytes(4))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**38, 2**38))

    for command in (("infer", "--input_file", tmp_path / "x.bin"), ("perf",)):
        found = run(*command, "--model_file", tmp_path / "greedy.hbm", preexec_fn=limit)
        assert found.returncode == 2
        assert f"no memory for the arena of a session: {2**39} bytes asked for" in found.stderr


def test_kernels_that_this_cpu_does_not_have(files):
    arguments = ("infer", "--model_file", files / "model.hbm", "--input_file", files / "image.bin")
    found = run(*arguments, env=os.environ | {"HORIZON_KERNELS": "neon"})
    assert (found.returncode, found.stdout) == (2, "")
    assert "HORIZON_KERNELS" in found.stderr


def test_help():
    for arguments in (("--help",), ("perf", "--help"), ("help",)):
        found = run(*arguments)
        assert (found.returncode, found.stderr) == (0, "")
        assert "--profile_path" in found.stdout


@pytest.mark.parametrize("word", ["-v", "--version"])
def test_the_version_is_the_project_s(word):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = run(word)
    assert (found.returncode, found.stdout) == (0, f"hrt_model_exec {project['version']}\n")


@pytest.mark.parametrize(
    ("command", "own", "other"),
    [
        ("perf", "--frame_count", "--dump_format"),
        ("infer", "--dump_format", "--frame_count"),
        ("model_info", "what the program is", "--core_num"),
    ],
)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_for_one_command(command, own, other, word):
    found = run(command, word)
    assert (found.returncode, found.stderr) == (0, "")
    assert own in found.stdout
    assert other not in found.stdout
    assert "HORIZON_KERNELS" in found.stdout


def test_a_picture_as_input_says_what_is_taken(files, tmp_path):
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"\xff\xd8\xff\xe0 and so on")
    found = run("infer", "--model_file", files / "model.hbm", "--input_file", picture)
    tensor = Model(files / "model.hbm").inputs[0]
    size = int(np.prod(tensor.shape)) * tensor.dtype.itemsize
    assert found.returncode == 2
    assert found.stderr.startswith(f"hrt_model_exec: {picture}: a picture; expected")
    for words in (f"as {size} bytes of raw data", "a .npy file", "hat infer --model"):
        assert words in found.stderr


def test_an_option_that_is_nearly_right_is_named(files):
    found = run("perf", "--model_file", files / "model.hbm", "--frame_cuont", 3)
    assert found.returncode == 2
    assert "unknown option --frame_cuont, did you mean --frame_count?" in found.stderr
