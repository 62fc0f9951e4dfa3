"""compile_perf for several machines: files, table, exit codes, and processes side by side."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from horizon import hbm, march
from tests.cli.compile_config import NO_WARP, compile_perf, write_compile_config
from tests.conftest import ROOT

MACHINES = ("bayes", "edge256", "host")
FILES = {"model.hbm", "model.hbir", "small.html", "small.json"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_compile_config(tmp_path)


def test_each_machine_has_its_folder_and_its_row(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(config, "--march", *MACHINES) == 0
    printed = capsys.readouterr().out
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {*MACHINES, "comparison.json"}
    lines = re.findall(r"^FPS=.*us$", printed, re.MULTILINE)
    table = printed[printed.index("images of 64x128") :].splitlines()[4:7]
    record = json.loads((out / "comparison.json").read_text())
    assert (record["name"], record["size"], record["weights"]) == ("small", [64, 128], "random")
    for name, line, row, figures in zip(MACHINES, lines, table, record["machines"], strict=True):
        assert {path.name for path in (out / name).iterdir()} == FILES
        assert hbm.read(out / name / "model.hbm").march == name
        summary = json.loads((out / name / "small.json").read_text())["summary"]
        assert figures["machine"] == name
        assert figures["FPS"] == summary["performance"]["FPS"]
        assert figures["bounded by"] == summary["estimate"]["bounded by"]
        access = summary["DDR access data"]
        cells = row.split()
        assert cells[0] == name
        assert f"FPS={cells[2]}, latency = {cells[3]} us" == line
        assert cells[4] == figures["bounded by"]
        moved = access["loaded bytes per run"] + access["stored bytes per run"]
        assert cells[6] == f"{moved:,}"
    assert "RANDOM WEIGHTS" in printed.splitlines()[0]
    assert "RANDOM WEIGHTS" in printed.splitlines()[-1]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_machine_that_cannot_run_the_network_is_a_row(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: str
) -> None:
    words = ["--march", NO_WARP, "bayes", "--jobs", jobs]
    assert compile_perf(config, *words) == 1
    printed = capsys.readouterr().out
    assert re.search(rf"^{NO_WARP}  cannot run it: layer ", printed, re.M)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"bayes", "comparison.json"}
    missing, good = json.loads((out / "comparison.json").read_text())["machines"]
    assert NO_WARP in missing["error"]
    assert good["FPS"] > 0


def test_processes_give_the_same_bytes(config: Path, tmp_path: Path) -> None:
    folders = [tmp_path / jobs for jobs in ("1", "3")]
    for folder in folders:
        words = ["--out-dir", str(folder), "--jobs", folder.name]
        assert compile_perf(config, "--march", *MACHINES, *words) == 0
    one, three = (
        {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in folders
    )
    assert len(one) == len(MACHINES) * len(FILES) + 1
    assert one == three


def test_machines_of_the_config_and_of_a_file(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    text = (march.description.FOLDER / "bayes.toml").read_text()
    own.write_text(re.sub(r"^name = .*$", 'name = "mine"', text, count=1, flags=re.M))
    opts = ["--opts", "compile_cfg.march", f"['bayes', {str(own)!r}]"]
    assert compile_perf(config, *opts) == 0
    programs = [hbm.read(tmp_path / "out" / name / "model.hbm") for name in ("bayes", "mine")]
    assert programs[0].instructions == programs[1].instructions
    assert programs[1].march == "mine"


def test_the_same_machine_twice_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_perf(config, "--march", "bayes", "host", "bayes") == 2
    assert "2 machines are called 'bayes'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_all_processes(config: Path, tmp_path: Path) -> None:
    """With the whole group interrupted, as a terminal does it: one line, no process left."""
    words = ["-c", str(config), "--march", "edge256", "bayes", "nash-e", "--jobs", "2"]
    words += ["--size", "1024", "2048"]  # seconds of work
    command = [sys.executable, "-m", "hat.cli.main", "compile_perf", *words]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "interrupted\n"
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not (tmp_path / "out" / "comparison.json").exists()


def children(pid: int) -> list[int]:
    """The processes that work for ``pid``, without multiprocessing's own helper."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    if not found.exists():
        return []
    return [
        int(child)
        for child in found.read_text().split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
