"""compile_perf for several machines: files, table, exit codes, and processes side by side."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from horizon import hbm, march
from tests.cli.compile_config import NO_WARP, compile_perf, write_compile_config
from tests.conftest import ROOT
from tests.other_processes import FOLDER, WATCHDOG_SECONDS, halt, halted, wait_until

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


HALTING = """
import sys
from hat.cli import main
from hat.deploy import estimate
from tests.cli.test_compile_perf_machines import never_done
estimate._result_or_error = never_done
sys.exit(main.main(sys.argv[1:]))
"""


def never_done(*_: object) -> None:
    """In the place of compiling for a machine, which may be done before it is interrupted."""
    halt()


def test_ctrl_c_ends_all_processes(config: Path, tmp_path: Path) -> None:
    """With the whole group interrupted, as a terminal does it: one line, no process left."""
    words = ["-c", str(config), "--march", "edge256", "bayes", "nash-e", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", HALTING, "compile_perf", *words],
        cwd=ROOT,
        env={**os.environ, FOLDER: str(tmp_path)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(halted(tmp_path)) == 2, process)
    workers = halted(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=WATCHDOG_SECONDS)
    assert process.returncode == 130
    assert error == "interrupted\n"
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert halted(tmp_path) == workers
    assert not (tmp_path / "out" / "comparison.json").exists()
