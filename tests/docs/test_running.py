"""The commands of every page, run one after the other in a folder with tiny data."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import hat.shipped
from hat.cli.main import main, run_command
from tests.conftest import ROOT
from tests.docs import pages
from tests.docs.sandbox import PWCNET, Sandbox
from tests.docs.shell import Command, commands_of

# Names that stand for something of the reader's.
PLACEHOLDERS = {
    "CONFIG": f"{PWCNET}/pwcnet_lite_flyingchairs.py",
    "OUT": "tmp_data/Generated",
    "SINTEL_FLOW_DIR": "tmp_data/MPI-Sintel/training/flow",
    "FIRST_RUN": "models/pwcnet_lite",
}
# What would take minutes without being another command: fewer pairs, one process.
SUBSTITUTIONS = (
    (r"--device-ids [\d,]+", "", "one process: others import torch for seconds each"),
    (r"--num-workers \d+", "--num-workers 0", "likewise"),
    (r"--jobs \d+", "--jobs 1", "likewise"),
    (r"--num-pairs \d+( --num-val \d+)?", "--num-pairs 3 --num-val 1", "pairs take 0.3 s each"),
    (r"flow-statistics --pairs \d+", "flow-statistics --pairs 2", "likewise"),
    (r"--frame_count \d+", "--frame_count 2", ""),
    (r"num_minutes [\d.]+", "num_minutes 0.02", ""),
    (r"float_trainer.num_steps \d+", "float_trainer.num_steps 2", ""),
    (r"(model.profiler.*)", r"\1 --functions similarity --num-pairs 1", "others: 10 s each"),
    (r"(export.onnx.*--stage qat.*)", r"\1 --mean-tolerance 1", "as it is, for trained networks"),
)
RUN = ("hat", "python", "python3", "hrt_model_exec")  # others build, or are the system's
# Not run here: where they run, or why they cannot.
ELSEWHERE = {
    r"python3? -m benchmarks\.": "minutes",
    r"python3? -m horizon\.isa\.generate": "writes sources",
    r"python3? -m (pytest|venv|pip)\b": "likewise",
    r"python3? examples/": "tests/test_examples.py",
    r"hat demo|python3 tools/demo": "minutes",
    r"python3 tools/fit_host|hat fit-host": "tests/cli/test_fit_host.py; a minute of full load",
    r".* my_cpu\.toml": "the file that fit_host makes",
    r"hat infer 0 ": "needs a camera",
}
# What these make lies in tmp_models, which all pages share, or nowhere: once for all is enough.
ONCE = (
    r"(hat |python3 tools/)"
    r"(train|predict|calops|model.checker|model.profiler|compile.perf|export|align)"
)
ELSEWHERE_TO = (
    r"(^|\s)(-o|--out-dir|--save-path|--output|--json|mine\.py|mine\.toml|my_sintel\.py)(\s|$)"
)
# Commands that the pages show because they fail.
FAIL = {r".*model.checker.* bernoulli2": 1}
SCRIPTS = [path for path in pages.paths() if commands_of(path)]


def test_the_lists_above_are_in_use() -> None:
    every = [str(command) for path in SCRIPTS for command in commands_of(path)]
    unused = [p for p in FAIL if not any(re.match(p, text) for text in every)]
    unused += [p for p, *_ in SUBSTITUTIONS if not any(re.search(p, text) for text in every)]
    assert not unused, pages.listed(unused)


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The commands that have run for an earlier page."""
    return set()


@pytest.mark.parametrize("path", SCRIPTS, ids=pages.name_of)
def test_the_commands_run(
    path: Path, sandbox: Sandbox, seen: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sandbox.folder_for(path, "commands", monkeypatch)
    for command in commands_of(path):
        listed = any(re.match(pattern, str(command)) for pattern in ELSEWHERE)
        if listed or command.words[0] not in RUN:
            continue
        text = made_small(command)
        if text in seen:
            continue
        if re.match(ONCE, text) and not re.search(ELSEWHERE_TO, text):
            seen.add(text)
        make_room(text, folder)
        code, printed = run(shlex.split(text), command.output)
        wanted = next((c for p, c in FAIL.items() if re.match(p, text)), 0)
        assert code == wanted, f"{command.place}: {text}\nexit code {code}\n{printed}"


def made_small(command: Command) -> str:
    """The command with fewer pairs and processes, and with files for the reader's names."""
    text = " ".join(shlex.quote(with_values(word)) for word in command.words)
    for pattern, replacement, _ in SUBSTITUTIONS:
        text = re.sub(pattern, replacement, text)
    if re.match(r"hat train|python3 tools/train", text) and "--resume" not in text:
        text += " --overwrite"  # some pages show one run in several ways
    return text


def with_values(word: str) -> str:
    return re.sub(r"^[A-Z][A-Z_]+\b", lambda match: PLACEHOLDERS.get(match[0], match[0]), word)


def make_room(text: str, folder: Path) -> None:
    """A data set is made where there is none, a run begun where none has been."""
    if match := re.search(r"--src-data-dir (\S+) --split-name (\w+)", text):
        shutil.rmtree(folder / match[1] / f"{match[2]}_lmdb", ignore_errors=True)
    elif text.endswith("horizon.hbm out/model.hbm"):  # of an earlier page
        (folder / "out").mkdir(exist_ok=True)
        shutil.copy(folder / "model.hbm", folder / "out/model.hbm")
    elif match := re.search(r"--target-data-dir (\S+)", text):
        shutil.rmtree(folder / match[1], ignore_errors=True)


def run(words: Sequence[str], output: str | None) -> tuple[int, str]:
    """Exit code and what was printed; ``output`` is the file that standard output goes to."""
    printed = io.StringIO()
    if (words[0] in ("python", "python3") and not words[1].startswith("tools/")) or (
        words[0] not in ("hat", "python", "python3")
    ):
        program = [sys.executable] if words[0].startswith("python") else [in_environment(words[0])]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*program, *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        return done.returncode, done.stdout
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.MonkeyPatch.context() as patch,
    ):
        if words[:2] == ["hat", "cp"]:  # copies what really comes along
            patch.setattr(hat.shipped, "ROOTS", (ROOT,))
        try:
            code = main(words[1:]) if words[0] == "hat" else run_command(stem(words[1]), words[2:])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    if output:
        file = Path(output).expanduser()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(printed.getvalue())
    return code, printed.getvalue()


def stem(script: str) -> str:
    return Path(script).stem


def in_environment(program: str) -> str:
    """The path of an installed program."""
    return str(Path(sys.executable).with_name(program))
