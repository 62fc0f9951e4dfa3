"""What a program is compiled for, checked and timed on. ``docs/march.md`` explains every field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ARRAYS = ("conv", "narrow", "correlation", "depthwise")
"""What the tensor unit multiplies with, by names of :meth:`TensorUnit.array`."""
UNITS = ("load", "store", "tensor", "vector", "aux", "transform")
NEEDED_UNITS = ("load", "store")


@dataclass(frozen=True)
class Source:
    """Where a number comes from.

    Attributes:
        provenance: "published", "assumed" or "fitted".
        text: the publication, the reason, or what it was fitted to.
    """

    provenance: str
    text: str


@dataclass(frozen=True)
class Array:
    """How the tensor unit multiplies: a step is ``pixels * inputs * outputs`` products.

    Attributes:
        pixels: neighbours in a row of the output that are computed together.
        inputs, outputs: channels.
        step_cycles: of one step, for one tap of the kernel.
        drain_cycles: to start and to empty the accumulators of a group of pixels and outputs.
    """

    pixels: int
    inputs: int
    outputs: int
    step_cycles: float
    drain_cycles: float

    @property
    def products_per_cycle(self) -> float:
        return self.pixels * self.inputs * self.outputs / self.step_cycles


@dataclass(frozen=True)
class TensorUnit:
    """Convolutions and correlations.

    Attributes:
        startup_cycles: of each instruction.
        int16_steps: steps with int16 inputs for one with int8 inputs, at least 1.
        conv: for weights in blocks.
        narrow: for weights in rows, of convolutions with few outputs.
        correlation: its outputs are the displacements.
        depthwise: for convolutions whose outputs read one input each, of ``inputs`` 1; None for
            what ``conv`` does with one of its inputs.
    """

    startup_cycles: float
    int16_steps: float
    conv: Array
    narrow: Array
    correlation: Array
    depthwise: Array | None = None

    def array(self, name: str) -> Array:
        """One of ``ARRAYS``."""
        if name == "depthwise":
            return self.depthwise or replace(self.conv, inputs=1)
        found: Array = getattr(self, name)
        return found


@dataclass(frozen=True)
class SimpleUnit:
    """A unit whose work is in proportion to its output.

    Attributes:
        startup_cycles: of each instruction.
        pixel_cycles: for each pixel (n, y, x) of the output.
        bytes_per_cycle: of the output.
    """

    startup_cycles: float
    pixel_cycles: float
    bytes_per_cycle: float


@dataclass(frozen=True)
class Machine:
    """A machine.

    Attributes:
        name: one word.
        title: for people.
        cores: each works on a frame of its own; they share the DDR's bandwidth.
        workers: of each core: threads that share the work of an instruction.
        sequential: units take turns instead of working at the same time.
        clock_hz: of the cores.
        units: the units that it has, of ``UNITS``; a layer that needs another one is refused.
        sram_bytes: memory that instructions compute in, of each core.
        alignment: bytes; addresses in SRAM are multiples of it.
        constants_in_place: weights are read where they lie in the program instead of being loaded
            into SRAM first.
        sram_bytes_per_cycle: that a unit which computes reads and writes, of each worker.
        ddr_bytes_per_second: of all cores together, at best.
        ddr_efficiency: the share of that which transfers reach, in (0, 1].
        burst_bytes: what lies together in DDR is moved in whole bursts.
        tensor: None if it is not among the units.
        simple: all other units, by name.
        limits: by operator of the graph and name (``horizon.march.limits``): the largest value,
            or the types of its inputs. What is not there is not limited.
        sources: of each number, by its key in the file, for instance "memory.sram_bytes".
    """

    name: str
    title: str
    cores: int
    workers: int
    sequential: bool
    clock_hz: float
    units: tuple[str, ...]
    sram_bytes: int
    alignment: int
    constants_in_place: bool
    sram_bytes_per_cycle: float
    ddr_bytes_per_second: float
    ddr_efficiency: float
    burst_bytes: int
    tensor: TensorUnit | None
    simple: Mapping[str, SimpleUnit] = field(hash=False)
    limits: Mapping[str, Mapping[str, int | tuple[str, ...]]] = field(hash=False)
    sources: Mapping[str, Source] = field(hash=False, repr=False)

    @property
    def cuts_layers(self) -> bool:
        """Whether layers are carried out tile by tile.

        Where constants are read in place, the memory that units compute in is the only one: all
        tensors are in it and no layer is cut.
        """
        return not self.constants_in_place
