"""Export of the quantised stages: what ONNX Runtime makes of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hat.cli.main import run_command
from hat.cli.sections import trained_model
from hat.config import Config
from hat.export import program_export
from horizon.quantization import IntegerModel

SIZE = ["--size", "64", "128", "--num-pairs", "2"]


def export(config: Path, stage: str, file: Path, *words: str) -> int:
    return run_command(
        "export_onnx",
        ["-c", str(config), "--stage", stage, "--output", str(file), *SIZE, *words],
    )


def test_integer_file_gives_identical_integers(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "int_infer.onnx"
    assert export(four_stages, "int_infer", file) == 0
    printed = capsys.readouterr().out
    assert "Differing integers: ONNX Runtime 0, reference executor 0" in printed
    assert "val_lmdb" in printed  # real pairs of the config, not generated ones
    session = onnxruntime.InferenceSession(str(file))
    model = trained_model(Config.fromfile(four_stages), "infer_cfg", "int_infer")[0]
    assert isinstance(model, IntegerModel)
    image = torch.randn(1, 6, 64, 128, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    (found,) = session.run(None, {"img": model.stub(image).values.numpy()})
    assert found.dtype == np.int32
    assert np.array_equal(found, model.integers(image).numpy())
    assert np.ptp(found) > 10  # there is something to differ in
    steps = session.get_modelmeta().custom_metadata_map["flow"].rpartition(" ")[2]
    assert float(steps) == 5 * 2.0**-10


@pytest.mark.parametrize("stage", ["calibration", "qat"])
def test_quantised_stages_have_quantize_and_dequantize(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    file = tmp_path / f"{stage}.onnx"
    assert export(four_stages, stage, file) == 0
    printed = capsys.readouterr().out
    assert "Differing integers of the reference executor: 0" in printed
    kinds = [node.op_type for node in onnx.load(str(file)).graph.node]
    assert kinds.count("QuantizeLinear") > 20
    assert kinds.count("DequantizeLinear") > kinds.count("QuantizeLinear")


def test_a_wrong_integer_fails(
    four_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same check, of a file made from another rounding."""
    original = program_export.export_integer

    def wrong(graph, path, metadata):
        node = next(n for n in graph.nodes if n.op == "conv2d")
        node.attributes["bias"] = node.attributes["bias"] + 40
        try:
            return original(graph, path, metadata)
        finally:
            node.attributes["bias"] = node.attributes["bias"] - 40

    monkeypatch.setattr(program_export, "export_integer", wrong)
    assert export(four_stages, "int_infer", tmp_path / "wrong.onnx") == 1


def test_tolerance_of_the_qat_file(four_stages: Path, tmp_path: Path) -> None:
    assert export(four_stages, "qat", tmp_path / "q.onnx", "--mean-tolerance", "1e-9") == 1


def test_mistakes_exit_with_2(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.onnx"
    words = ["-c", str(four_stages), "--stage", "int_infer", "--output", str(file)]
    assert run_command("export_onnx", [*words, "--size", "60", "128"]) == 2
    assert "multiple" in capsys.readouterr().err
    assert run_command("export_onnx", [*words, "--random-weights"]) == 2
    assert "--random-weights" in capsys.readouterr().err
    assert run_command("export_onnx", [*words, "--ckpt", str(tmp_path / "no.pth.tar")]) == 2
    assert not file.exists()


DRAWN = """
_base_ = {base!r}
val_data_loader = dict(
    dataset=dict(
        type="GeneratedPairs",
        textures=dict(type="TextureBank", path="{textures}", count=2),
        length=2,
        stages=[dict(motions={{"small": 1.0}}, size=(64, 128), objects=(0, 2))],
        transforms=[dict(type="ToTensor", to_yuv=False)],
        seed=1,
        fixed=True,
        _delete_=True,
    ),
)
"""


def test_pairs_that_are_drawn_and_have_no_file(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "drawn.py"
    config.write_text(DRAWN.format(base=str(four_stages), textures=tmp_path / "bank.npy"))
    assert export(config, "int_infer", tmp_path / "a.onnx") == 0
    printed = capsys.readouterr().out
    assert "on the config's GeneratedPairs, 64x128" in printed
    assert "Differing integers: ONNX Runtime 0, reference executor 0" in printed


def test_nothing_is_written_before_the_pairs_are_there(
    four_stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--opts", "val_batch_processor.type", "Nothing"]
    assert export(four_stages, "int_infer", tmp_path / "a.onnx", *words) == 2
    assert "val_batch_processor" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()
