"""What all prepared layers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.fake_quantize import FakeQuantize, FakeQuantState
from horizon.quantization.qtensor import QTensor


class QATLayer(nn.Module, ABC):
    """A prepared layer: calibrates, trains, evaluates and converts.

    ``layer`` is its name in the network, ``fake_quant_state`` what it does (see
    :class:`FakeQuantState`), ``observing`` whether its observer looks during calibration.

    In evaluation a prepared layer runs its converted form (:meth:`lower`), so that the two cannot
    differ.
    """

    act_quant: FakeQuantize

    def __init__(self, layer: str) -> None:
        super().__init__()
        self.layer = layer
        self.fake_quant_state = FakeQuantState.QAT
        self.observing = True
        self._lowered: tuple[Any, nn.Module] | None = None

    @property
    def in_float(self) -> bool:
        return self.fake_quant_state in (FakeQuantState.CALIBRATION, FakeQuantState.SIMULATED)

    @property
    def trains(self) -> bool:
        return self.training and self.fake_quant_state is FakeQuantState.QAT

    @property
    def simulated(self) -> bool:
        return self.fake_quant_state is FakeQuantState.SIMULATED

    @property
    def exact(self) -> bool:
        """Whether its converted form runs: neither real numbers nor a training step."""
        return not (self.in_float or self.trains)

    @abstractmethod
    def lower(self, *inputs: Any) -> nn.Module:
        """The converted layer for inputs of these scales."""

    def lowered(self, *inputs: Any) -> nn.Module:
        """:meth:`lower`, remembered until a tensor of this layer or an input's scale changes."""
        key = (
            [(t.data_ptr(), t._version) for t in (*self.parameters(), *self.buffers())],
            [_describe(x) for x in inputs],
        )
        if self._lowered is None or self._lowered[0] != key:
            with torch.no_grad():
                self._lowered = (key, self.lower(*inputs))
        return self._lowered[1]

    def real_result(self, y: Tensor, bits: int) -> QTensor:
        """In calibration: observe ``y`` and hand it on; simulated: as its integers stand for."""
        if self.simulated:
            if not self.act_quant.keeps_accumulators:
                scale = self.act_quant.current()
                y = self.act_quant.quantize(y) * scale
        elif self.observing:
            self.act_quant.observe(y)
        return QTensor(y, None, bits)

    def refuse_accumulators(self, *summands: QTensor) -> None:
        """InputError for an int32 summand: times its multiplier it could pass 2**53."""
        if any(x.bits == 32 for x in summands):
            raise InputError(
                f"{self.layer}: it adds an int32 tensor; only a DeQuantStub takes those, give the "
                "layer that makes it get_default_qat_qconfig(dtype='int16')"
            )

    def check(self, *inputs: Any) -> None:
        """InputError unless all inputs are quantised tensors of this layer's state."""
        for x in inputs:
            if not isinstance(x, QTensor):
                raise InputError(
                    f"{self.layer}: its input is a plain tensor; send what enters the quantised "
                    "part through a horizon.nn.QuantStub"
                )
            if (x.scale is None) != self.in_float:
                raise InputError(
                    f"{self.layer}: it is in state {self.fake_quant_state.value} and its input "
                    "comes from a layer in another; use set_fake_quantize on the whole model"
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lowered": None}


def _describe(x: Any) -> Any:
    if isinstance(x, QTensor):
        assert x.scale is not None
        return (x.scale.tolist(), x.bits, x.shape[1])
    if isinstance(x, list | tuple):
        return [_describe(y) for y in x]
    return x
