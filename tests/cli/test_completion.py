from __future__ import annotations

import shutil
import subprocess

import pytest

from hat.cli.completion import described
from hat.cli.completion_scripts import SCRIPTS
from hat.cli.main import ALIASES, COMMANDS, main
from tests.missing import skip_without


@pytest.fixture(scope="module")
def scripts():
    commands = described()
    return {shell: script(commands) for shell, script in SCRIPTS.items()}


def bash_offers(script: str, *words: str) -> list[str]:
    """What bash offers for the last of ``words``."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_hat\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tra"], ["train"]),
        (["val"], ["validate"]),
        (["train", "--stage", ""], ["float", "calibration", "qat", "int_infer"]),
        (["train", "-s", "q"], ["qat"]),
        (["train", "--pipe"], ["--pipeline-test"]),
        (["compile-perf", "--march", "nash"], ["nash-e", "nash-m"]),
        (["calops", "-c", "pwcnet_lite_g"], ["pwcnet_lite_generated"]),
        (["cp", "pwcnet_lite_g"], ["pwcnet_lite_generated"]),
        (["ls", "mo"], ["models"]),
        (["train", "--launcher", "x"], []),
    ],
)
def test_bash_completes(scripts, words, offered):
    assert bash_offers(scripts["bash"], "hat", *words) == offered


def test_bash_offers_files_where_a_file_may_stand(scripts, tmp_path, monkeypatch):
    (tmp_path / "my.py").touch()
    monkeypatch.chdir(tmp_path)
    assert bash_offers(scripts["bash"], "hat", "config-check", "my") == ["my.py"]
    assert bash_offers(scripts["bash"], "hat", "train", "--config", "my") == ["my.py"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_command_is_in_every_script(scripts, shell):
    for name in (*COMMANDS, *ALIASES):
        assert name.replace("_", "-") in scripts[shell]
    assert "%(" not in scripts[shell]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_reads_its_script(scripts, shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        skip_without(shell)
    file = tmp_path / "script"
    file.write_text(scripts[shell])
    done = subprocess.run([program, "-n", str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_prints_the_script(scripts, capsys):
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == scripts["bash"]
