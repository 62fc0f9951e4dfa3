"""MobileNetV2's block (expand, depthwise, project, add) in every form, and groups that share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from horizon import march
from horizon.compiler import compile_program
from horizon.compiler.verify import verify_program
from horizon.hbir import Graph
from horizon.hbir.reference import run
from horizon.hbm import Opcode, WeightLayout, to_bytes
from horizon.nn import DeQuantStub, FloatFunctional, QuantStub
from horizon.quantization import fuse_modules
from horizon.runtime import Model
from tests.horizon.quantization.small_models import MINMAX, assert_all_stages, images


class InvertedResidual(nn.Module):
    """Sandler et al., "MobileNetV2", figure 4; with a residual where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int, groups: int) -> None:
        super().__init__()
        hidden = 33
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub()
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.expand_bn, self.expand_act = nn.BatchNorm2d(hidden), nn.ReLU6()
        padding = kernel // 2 if kernel % 2 else "same"
        self.middle = nn.Conv2d(
            hidden, hidden, kernel, stride, padding=padding, groups=groups, bias=False
        )
        self.middle_bn, self.middle_act = nn.BatchNorm2d(hidden), nn.ReLU6()
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.project_bn, self.add = nn.BatchNorm2d(outputs), FloatFunctional()
        self.residual = stride == 1 and inputs == outputs
        self.qconfig = MINMAX
        fuse_modules(self.eval(), ["expand", "expand_bn", "expand_act"])
        fuse_modules(self, ["middle", "middle_bn", "middle_act"])
        fuse_modules(self, ["project", "project_bn", *(["add"] if self.residual else [])])

    def forward(self, image: Tensor) -> Tensor:
        x = self.quant(image)
        y = self.project_bn(self.project(self.part(x)))
        return self.dequant(self.add.add(x, y) if self.residual else y)

    def part(self, x: Tensor) -> Tensor:
        x = self.expand_act(self.expand_bn(self.expand(x)))
        return self.middle_act(self.middle_bn(self.middle(x)))


# (inputs, outputs, stride, kernel, groups)
BLOCKS = {
    "residual": (5, 5, 1, 3, 33),
    "strided": (5, 7, 2, 3, 33),
    "even kernel": (5, 5, 1, 4, 33),
    "groups of 3": (5, 5, 1, 3, 11),
}


@pytest.fixture(scope="module", params=BLOCKS)
def block(request) -> tuple[str, Graph]:
    torch.manual_seed(0)
    model = InvertedResidual(*BLOCKS[request.param])
    return request.param, assert_all_stages(model, images(2, 9, 10, 5))


@pytest.mark.parametrize("machine", ["host", "bayes", "nash-e", "edge256"])
@pytest.mark.parametrize("opt", ["O0", "O2"])
def test_every_executor_gives_the_same_integers(block, machine, opt) -> None:
    name, graph = block
    compiled = compile_program(graph, march.load(machine), opt, "int8")
    verify_program(compiled)
    layouts = {
        instruction.weight_layout
        for instruction in compiled.program.instructions
        if instruction.opcode is Opcode.conv
    }
    assert (WeightLayout.depthwise in layouts) == (name != "groups of 3")
    (source,), (result,) = graph.inputs, graph.outputs
    values = np.random.default_rng(1).integers(-128, 128, graph.tensors[source].shape)
    found = Model(to_bytes(compiled.program)).run(
        {source: values.transpose(0, 3, 1, 2).astype(np.int8)}
    )
    expected = run(graph, {source: values})[result]
    assert expected.std() > 1
    assert np.array_equal(found[result], expected.transpose(0, 3, 1, 2))
