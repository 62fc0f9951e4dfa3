from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.cli.main import main
from hat.engine.convert import LoadIntegerModel
from horizon.errors import InputError
from horizon_flow.colour import fill_planes
from horizon_flow.network_file import FOLDER, NetworkFile, network_bytes, shipped_networks
from horizon_flow.sources import find_source
from tests.conftest import ROOT
from tests.horizon.hbir.programs import pyramid
from tests.horizon_flow.conftest import images

CHECKPOINTS = {
    f"pwcnet_{name}": f"models/pwcnet_{name}_generated/int_infer-checkpoint-best.pth.tar"
    for name in ("lite", "small")
}
CONFIG = "configs/opticalflow_pred/pwcnet/pwcnet_lite_generated.py"


def test_a_network_comes_back_from_its_file():
    graph = pyramid()
    data = network_bytes(graph)
    assert data == network_bytes(pyramid())
    network = NetworkFile(Path("a.npz"), data)
    assert network.graph() == graph
    assert network.multiple == 4
    assert NetworkFile(Path("a.npz"), network_bytes(replace(graph, attributes={}))).multiple == 1


@pytest.mark.parametrize("damage", ["cut", "text", "constant", "other", "empty"])
def test_a_damaged_file_is_told(damage, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(network_bytes(pyramid()))
    data = bytearray(path.read_bytes())
    if damage in ("cut", "empty"):
        path.write_bytes(data[: len(data) // 2 if damage == "cut" else 0])
    elif damage == "other":
        np.savez(path, a=np.zeros(3))
    else:
        with np.load(path) as arrays:
            found = dict(arrays)
        key = "program" if damage == "text" else next(key for key in found if key != "program")
        found[key] = np.zeros_like(found[key])
        np.savez(path, **found)
    with pytest.raises(InputError, match=r"a\.npz: "):
        NetworkFile.read(path).graph()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: cannot be read: No such file"):
        NetworkFile.read(tmp_path / "none.npz")


def test_every_shipped_network_has_its_checkpoint():
    assert set(shipped_networks()) == set(CHECKPOINTS)
    assert all((FOLDER / f"{name}.npz").stat().st_size < 2_000_000 for name in CHECKPOINTS)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_shipped_network_gives_the_integers_of_its_checkpoint(name, shared_cache):
    """After training: hat export-network --config CONFIG --output horizon_flow/networks/NAME.npz"""
    model = LoadIntegerModel(ROOT / CHECKPOINTS[name])()
    program = find_source(name, None, shared_cache).program((128, 128))
    planes = np.empty((6, *program.size), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for first, second in (images(2, 128, 128), [noise, noise[::-1]]):
        fill_planes(first, planes[:3])
        fill_planes(second, planes[3:])
        integers = torch.from_numpy((planes ^ 0x80).view(np.int8)[None])
        expected = model.integers(integers)[0].numpy()
        np.testing.assert_array_equal(program.run(planes), expected)
        assert np.ptp(expected) > 0


def test_the_command_writes_the_shipped_file_again(tmp_path, capsys):
    path = tmp_path / "made" / "pwcnet_lite.npz"
    checkpoint = str(ROOT / CHECKPOINTS["pwcnet_lite"])
    arguments = ["export-network", "--config", str(ROOT / CONFIG), "--ckpt", checkpoint]
    assert main([*arguments, "--output", str(path)]) == 0
    assert "pwcnet_lite.npz: " in capsys.readouterr().out
    assert NetworkFile.read(path).graph() == NetworkFile.read(FOLDER / path.name).graph()
    for wrong, message in ((tmp_path / "a.txt", "ends in .npz"), (checkpoint, "ends in .npz")):
        assert main([*arguments, "--output", str(wrong)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", ""])
def test_a_task_name_that_no_file_can_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-c", "pwcnet_lite_generated", "--opts", "task_name", name]
    assert main(["export-network", *words]) == 2
    assert f"task_name is {name!r}; expected a name that a file can have" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
