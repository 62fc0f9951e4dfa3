"""A result replaces only a file of its kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hat import file_kinds
from hat.cli.main import main
from hat.engine.checkpoint import save_weights
from hat.errors import InputError
from hat.file_kinds import FileKind
from hat.outputs import check_outputs
from horizon_flow.network_file import FOLDER
from tests.cli.tiny import write_checkpoint, write_config

FOREIGN = (
    *(b"", b"my notes\n", b"{}", b"[1, 2]", b'{"a": ', b"[" * 100_000, b"PK\x03\x04 rubbish"),
    *(b"\x08\x07", b"<!doctype html><title>My page</title>", b"name,price\n1,2\n"),
)


def kinds() -> list[FileKind]:
    return [one for one in vars(file_kinds).values() if isinstance(one, FileKind)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_no_kind_takes_what_is_somebody_else_s(tmp_path: Path, kind: FileKind) -> None:
    assert len(kinds()) >= 16
    path = tmp_path / "mine"
    for content in FOREIGN:
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"mine: is there already and is not {kind.name}"):
            check_outputs([(path, kind)], {}, "--output")
    np.savez(tmp_path / "mine.npz", program=np.zeros(3), flow=np.zeros(3))
    torch.save({"mine": 1}, tmp_path / "mine.pt")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "mine", [], []))
    onnx.save(model, tmp_path / "mine.onnx")
    for name in ("mine.npz", "mine.pt", "mine.onnx"):
        assert not kind.matches(tmp_path / name)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"found": 1, "published": 2}')
    for target in ("mine.json", "nowhere"):
        link = tmp_path / f"to-{target}"
        link.symlink_to(tmp_path / target)
        with pytest.raises(InputError, match="is a symbolic link"):
            check_outputs([(link, file_kinds.FIGURES)], {}, "--json")


def own_results(folder: Path) -> dict[str, list[str]]:
    """Commands, each with the file that it writes."""
    config = ["-c", str(write_config(folder))]
    return {
        "counts.json": ["calops", *config, "--json"],
        "figures.json": ["flow-statistics", "--pairs=1", "--motions=small", "--json"],
        "float.onnx": ["export-onnx", *config, "--stage=float", "--output"],
    }


@pytest.mark.parametrize("name", ["counts.json", "figures.json", "float.onnx"])
def test_a_result_is_replaced_by_the_next_and_nothing_else_is(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    from hat.export import onnx_check

    monkeypatch.setattr(onnx_check.check_onnx, "__defaults__", (((1, 64, 64),),))
    words = own_results(tmp_path)[name]
    write_checkpoint(tmp_path / "tiny.py")
    file = tmp_path / "new" / "folder" / name
    if name == "float.onnx":
        file.parent.mkdir(parents=True)
    for _ in range(2):
        assert main([*words, str(file)]) == 0
    file.write_text("my notes")
    capsys.readouterr()
    assert main([*words, str(file)]) == 2
    printed = capsys.readouterr()
    assert f"error: {file}: is there already and is not " in printed.err
    assert printed.out == ""  # nothing was computed
    assert file.read_text() == "my notes"


def test_files_of_every_format_are_known_again(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.pth.tar", {"w": torch.ones(2)})
    (tmp_path / "a.json").write_text(json.dumps({"summary": {}}))
    known: dict[Path, Callable[[Path], bool]] = {
        tmp_path / "a.pth.tar": file_kinds.CHECKPOINT.matches,
        tmp_path / "a.json": file_kinds.ESTIMATE.matches,
        FOLDER / "pwcnet_lite.npz": file_kinds.NETWORK.matches,
    }
    assert all(matches(path) for path, matches in known.items())
