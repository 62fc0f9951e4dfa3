"""What all prepared layers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from horizon.errors import InputError
from horizon.quantization.calls import next_use, numbered
from horizon.quantization.movement.rearranged import maps_of
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor
from horizon.quantization.scales.fake_quantize import FakeQuantize, FakeQuantState


class QATLayer(nn.Module, ABC):
    """A prepared layer: calibrates, trains, evaluates and converts.

    ``fake_quant_state`` says what it does (see :class:`FakeQuantState`), ``observing`` whether its
    observer looks during calibration.

    A layer that runs several times in a forward pass has as many ``uses`` (None: nobody counted;
    then all calls share the scale). ``use`` is the number of the one that runs, ``layer`` the
    layer's name with that number, and ``act_quant`` the scale of that use's output: a submodule
    ``act_quant`` for the first, ``act_quant_1`` for the second.

    In evaluation a prepared layer runs its converted form (:meth:`lower`), so that the two cannot
    differ.
    """

    begins: ClassVar[bool] = False
    """Whether it makes quantised tensors of plain ones."""
    ends: ClassVar[bool] = False
    """Whether it makes plain tensors of quantised ones."""
    elementwise = False
    """Whether each element of its inputs counts by itself, wherever it lies."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer
        self.use = 0
        self.uses: int | None = None
        self.fake_quant_state = FakeQuantState.QAT
        self.observing = True
        self._lowered: dict[int, tuple[Any, nn.Module]] = {}

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        self.use = next_use(self, self._layer, self.uses)
        found = maps_of(inputs) if self.elementwise else None
        if found is not None:
            x, maps = found
            return x.with_source(super().__call__(*maps, **options))
        return super().__call__(*inputs, **options)

    @classmethod
    def is_elementwise(cls, source: nn.Module) -> bool:
        """``elementwise``, of the prepared form of a layer."""
        return cls.elementwise

    @classmethod
    def plan(
        cls, source: nn.Module, qconfig: QConfig, layer: str, *inputs: Any
    ) -> tuple[Tensor | None, int]:
        """Scale (None: one of its own) and bits that the output for ``inputs`` would have.

        Raises:
            InputError: inputs that the layer cannot take.
        """
        return None, qconfig.activation.bits

    @property
    def layer(self) -> str:
        return numbered(self._layer, self.use)

    @property
    def act_quant(self) -> FakeQuantize:
        quant = self._modules.get(_quant_name(self.use))
        if quant is None:
            raise AttributeError(f"{type(self).__name__} has no scale of its own")
        assert isinstance(quant, FakeQuantize)
        return quant

    def act_quants(self) -> Iterator[FakeQuantize]:
        """The scales of all uses."""
        for name, module in self._modules.items():
            if name.startswith("act_quant"):
                assert isinstance(module, FakeQuantize)
                yield module

    def set_uses(self, uses: int) -> None:
        """Give the layer so many uses."""
        self.uses = max(uses, 1)
        first = self._modules.get(_quant_name(0))
        if isinstance(first, FakeQuantize):
            for use in range(1, self.uses):
                quant = FakeQuantize(first.config, numbered(self._layer, use))
                self.add_module(_quant_name(use), quant)

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
        known = self._lowered.get(self.use)
        if known is None or known[0] != key:
            with torch.no_grad():
                known = self._lowered[self.use] = (key, self.lower(*inputs))
        return known[1]

    @property
    def last_lowered(self) -> nn.Module:
        """The converted layer that ran last for this use."""
        return self._lowered[self.use][1]

    def forget_lowered(self) -> None:
        self._lowered = {}

    def real_result(self, y: Tensor, bits: int) -> QTensor:
        """In calibration: observe ``y`` and hand it on; simulated: as its integers stand for."""
        if self.simulated:
            if not self.act_quant.keeps_accumulators:
                scale = self.act_quant.current()
                y = self.act_quant.quantize(y) * scale
        elif self.observing:
            self.act_quant.observe(y)
        return QTensor(y, None, bits)

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
        return {**self.__dict__, "_lowered": {}}


def refuse_accumulators(layer: str, *summands: QTensor, verb: str = "adds") -> None:
    """InputError for an int32 summand: times its multiplier it could pass 2**53."""
    if any(x.bits == 32 for x in summands):
        raise InputError(
            f"{layer}: it {verb} an int32 tensor; only a DeQuantStub takes those, give the "
            "layer that makes it get_default_qat_qconfig(dtype='int16')"
        )


def refuse_plain(layer: str, *inputs: Any) -> None:
    """InputError where a quantised layer gets a plain tensor among its inputs."""
    if any(isinstance(x, Tensor) for x in inputs):
        raise InputError(
            f"{layer}: a plain tensor (a constant, a parameter, a buffer or a dequantised one) "
            "meets a quantised one; make a constant part of a convolution's weights or bias, and "
            "send what else enters the quantised part through a QuantStub"
        )


def _quant_name(use: int) -> str:
    return f"act_quant_{use}" if use else "act_quant"


def _describe(x: Any) -> Any:
    if isinstance(x, QTensor):
        assert x.scale is not None
        return (x.scale.tolist(), x.bits, x.shape[1])
    if isinstance(x, Tensor):
        return (x.shape, x.tolist())
    if isinstance(x, list | tuple):
        return [_describe(y) for y in x]
    return x
