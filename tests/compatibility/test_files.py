"""Files that earlier versions wrote are read, and give the same integers, in all executors.

``make_files`` says what is in a folder of ``files/``. Where a format changes and its earlier
version is given up, the file of that version has to be refused with the command that makes a new
one: its test goes to ``REFUSED``.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from hat.engine.checkpoint import load_checkpoint
from hat.engine.convert import LoadIntegerModel
from hat.errors import InputError
from horizon import hbm, march
from horizon.compiler import compile_program
from horizon.hbir import Graph, resized, run
from horizon.hbir.onnx_common import session
from horizon.hbir.onnx_integer import export_integer
from horizon.runtime import Model
from horizon_flow import FlowModel
from horizon_flow.network_file import NetworkFile
from tests.compatibility.make_files import MACHINES, SIZE, description

FOLDERS = sorted((Path(__file__).parent / "files").iterdir())
VERSIONS = [folder.name for folder in FOLDERS]
# (version, name of the file): what the message has to say.
REFUSED: dict[tuple[str, str], str] = {}
CHECKPOINT = "int_infer-checkpoint-best.pth.tar"
every_version = pytest.mark.parametrize("folder", FOLDERS, ids=VERSIONS)


def kept(folder: Path, name: str) -> Path:
    """The file, if it is one that is still read."""
    if (folder.name, name) in REFUSED:
        pytest.skip(f"{name} of version {folder.name} is refused")
    return folder / name


def expected(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image pair, uint8 (1, 6, H, W), and the integers that belong to it, int32."""
    with np.load(folder / "expected.npz") as arrays:
        return arrays["image"], arrays["flow"]


def reference(graph: Graph, image: np.ndarray) -> np.ndarray:
    steps = image.transpose(0, 2, 3, 1).astype(np.int64) - 128
    return run(graph, {graph.inputs[0]: steps})[graph.outputs[0]].transpose(0, 3, 1, 2)


@every_version
@pytest.mark.parametrize("machine", MACHINES)
def test_programs_give_the_same_integers(folder: Path, machine: str) -> None:
    image, flow = expected(folder)
    path = kept(folder, f"{machine}.hbm")
    assert np.array_equal(Model(path).run({"img": image})["flow"], flow)
    assert hbm.to_bytes(hbm.read(path)) == path.read_bytes()


@every_version
def test_the_integer_checkpoint_gives_the_same_integers(folder: Path, tmp_path: Path) -> None:
    image, flow = expected(folder)
    model = LoadIntegerModel(kept(folder, CHECKPOINT))()
    step = np.float32(model.graph.tensors["img"].scales[0])
    real = torch.from_numpy((image.astype(np.float32) - 128) * step)
    assert np.array_equal(model.integers(real).numpy(), flow)
    assert np.array_equal(reference(model.graph, image), flow)
    export_integer(model.graph, tmp_path / "kept.onnx")
    signed = (image.astype(np.int16) - 128).astype(np.int8)
    (found,) = session(tmp_path / "kept.onnx").run(["flow"], {"img": signed})
    assert np.array_equal(found, flow)


@every_version
@pytest.mark.parametrize("machine", MACHINES)
def test_the_network_file_gives_the_same_integers(folder: Path, machine: str) -> None:
    image, flow = expected(folder)
    graph = resized(NetworkFile.read(kept(folder, "network.npz")).graph(), 1, *SIZE)
    assert np.array_equal(reference(graph, image), flow)
    program = compile_program(graph, march.load(machine), input_type="uint8").program
    assert np.array_equal(Model(hbm.to_bytes(program)).run({"img": image})["flow"], flow)


@every_version
def test_flow_model_runs_the_network_file(folder: Path, tmp_path: Path) -> None:
    first, second = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)
    model = FlowModel(kept(folder, "network.npz"), cache_dir=tmp_path)
    assert model(first, second).shape == (*SIZE, 2)


@every_version
@pytest.mark.parametrize("name", ["config.py", "derived_config.py"])
def test_configs_describe_the_same(folder: Path, name: str) -> None:
    wanted = json.loads((folder / "expected.json").read_text())[name]
    assert description(kept(folder, name)) == wanted


def test_what_is_no_longer_read_names_the_command() -> None:
    for (version, name), message in REFUSED.items():
        with pytest.raises(InputError, match=message):
            read(Path(__file__).parent / "files" / version / name)


def read(path: Path) -> object:
    """A file by the function that its name belongs to."""
    if path.suffix == ".hbm":
        return hbm.read(path)
    return NetworkFile.read(path).graph() if path.suffix == ".npz" else LoadIntegerModel(path)()


# Files of a version to come.


def test_a_program_of_the_future_is_refused(tmp_path: Path) -> None:
    data = bytearray((FOLDERS[-1] / "host.hbm").read_bytes())
    (version,) = struct.unpack_from("<I", data, 8)
    struct.pack_into("<I", data, 8, version + 1)
    struct.pack_into("<I", data, 28, 0)
    struct.pack_into("<I", data, 28, zlib.crc32(data[:64]))
    path = tmp_path / "future.hbm"
    path.write_bytes(data)
    message = rf"version {version + 1}; expected {version}; compile the model again"
    for load in (hbm.read, Model):
        with pytest.raises(InputError, match=message) as refused:
            load(path)
        assert "future.hbm" in str(refused.value)


@pytest.mark.parametrize("inside", [False, True], ids=["of the file", "of the program in it"])
def test_an_integer_checkpoint_of_the_future_is_refused(tmp_path: Path, inside: bool) -> None:
    content = load_checkpoint(FOLDERS[-1] / CHECKPOINT)
    holder = content["program"] if inside else content
    holder["version"] += 1
    path = tmp_path / CHECKPOINT
    torch.save(content, path)
    with pytest.raises(InputError, match=r"version 2, this program reads 1") as refused:
        LoadIntegerModel(path)()
    assert str(path) in str(refused.value)
    assert "'hat train --stage int_infer'" in str(refused.value)


def test_a_network_file_of_the_future_is_refused(tmp_path: Path) -> None:
    with np.load(FOLDERS[-1] / "network.npz") as arrays:
        content = dict(arrays)
    text = content["program"].tobytes().decode()
    text = re.sub(r"version 1$", "version 2", text, count=1, flags=re.MULTILINE)
    content["program"] = np.frombuffer(text.encode(), np.uint8)
    path = tmp_path / "future.npz"
    np.savez(path, **content)
    image = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(InputError, match=r"version 2, this program reads 1") as refused:
        FlowModel(path, cache_dir=tmp_path / "cache")(image, image)
    assert str(path) in str(refused.value)
    assert "hat export-network" in str(refused.value)


def test_a_key_of_the_future_is_refused(tmp_path: Path) -> None:
    text = (FOLDERS[-1] / "config.py").read_text()
    path = tmp_path / "future.py"
    path.write_text(text.replace("dict(type=nn.MSELoss)", "dict(type=nn.MSELoss, sharpness=2)"))
    with pytest.raises(InputError, match="sharpness"):
        description(path)
