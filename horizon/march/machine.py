"""The machine that a program is compiled for, checked against and timed on (``docs/march.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ARRAYS = ("conv", "narrow", "correlation", "depthwise")
"""What the tensor unit multiplies with, by names of :meth:`TensorUnit.array`."""
UNITS = ("load", "store", "tensor", "vector", "aux", "transform")
NEEDED_UNITS = ("load", "store")


@dataclass(frozen=True)
class Source:
    """The source of a number.

    Attributes:
        provenance: "published", "assumed" or "fitted".
        text: the publication, the reason, or what it was fitted to.
    """

    provenance: str
    text: str


@dataclass(frozen=True)
class Array:
    """An array of multipliers: one step computes ``pixels * inputs * outputs`` products.

    Attributes:
        pixels: neighbouring pixels of an output row that are computed together.
        inputs, outputs: channels that are computed together.
        step_cycles: cycles of one step, for one tap of the kernel.
        drain_cycles: cycles to start and to empty the accumulators of a group of pixels and
            outputs.
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
    """The unit that computes convolutions and correlations, with one array for each kind.

    Attributes:
        startup_cycles: cycles before each instruction.
        int16_steps: steps with int16 inputs in place of one with int8 inputs, at least 1.
        conv: for convolutions with weights in blocks.
        narrow: for convolutions of few outputs, with weights in rows.
        correlation: for correlations; its outputs are the displacements.
        depthwise: for convolutions whose outputs read one input each; its ``inputs`` is 1. If None,
            ``conv`` computes them with one of its inputs in use.
    """

    startup_cycles: float
    int16_steps: float
    conv: Array
    narrow: Array
    correlation: Array
    depthwise: Array | None = None

    def array(self, name: str) -> Array:
        """The array with this name, one of ``ARRAYS``."""
        if name == "depthwise":
            return self.depthwise or replace(self.conv, inputs=1)
        found: Array = getattr(self, name)
        return found


@dataclass(frozen=True)
class SimpleUnit:
    """A unit whose time is proportional to its output.

    Attributes:
        startup_cycles: cycles before each instruction.
        pixel_cycles: cycles for each pixel (n, y, x) of the output.
        bytes_per_cycle: bytes of the output per cycle.
    """

    startup_cycles: float
    pixel_cycles: float
    bytes_per_cycle: float


@dataclass(frozen=True)
class Machine:
    """A machine, as its description states it.

    Attributes:
        name: one word.
        title: a description for people.
        cores: number of cores. Each works on its own frame; they share the DDR's bandwidth.
        workers: threads of each core that share the work of an instruction.
        sequential: units take turns instead of working at the same time.
        clock_hz: clock of the cores.
        units: the machine's units, of ``UNITS``; a layer that needs another one is refused.
        sram_bytes: for each core, the memory in which instructions compute.
        alignment: bytes; addresses in SRAM are multiples of it.
        constants_in_place: weights are read where they lie in the program instead of being loaded
            into SRAM first.
        sram_bytes_per_cycle: bytes that a computing unit reads and writes per cycle and worker.
        ddr_bytes_per_second: peak bandwidth of all cores together.
        ddr_efficiency: the share of the peak that transfers reach, in (0, 1].
        burst_bytes: size of a burst; each contiguous run in DDR moves whole bursts.
        tensor: the tensor unit; None if the machine has none.
        simple: all other units, by name.
        limits: by operator of the graph and name (``horizon.march.limits``): the largest value,
            or the types of its inputs. A limit that is missing does not exist.
        sources: source of each number, by its key in the file, for instance "memory.sram_bytes".
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
        """Whether layers are computed tile by tile.

        A machine that reads constants in place has a single memory, in which units compute. All
        tensors are in it, and no layer is cut.
        """
        return not self.constants_in_place
