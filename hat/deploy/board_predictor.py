"""Evaluation of a compiled program: what the board will compute, beside the integer model."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hat import interruption
from hat.data.transforms.sample import image_pair, sample_name
from hat.deploy.one_thread import one_torch_thread
from hat.engine import distributed
from hat.engine.convert import ModelConvertPipeline
from hat.engine.data_loading import build_eval_loader
from hat.engine.processors import BatchProcessor
from hat.engine.shared_metrics import SharedMetrics
from hat.errors import InputError
from hat.registry import OBJECT_REGISTRY, Component
from horizon.quantization import IntegerModel

if TYPE_CHECKING:  # training does without the compiler
    from hat.deploy.board_program import BoardProgram

# Pairs that are in memory at a time: 32 of 384x512 with their flow take 90 MB.
CHUNK = 32

BOARD = "board program"
SAME_INPUT = "int_infer, the board's input"
FLOAT_INPUT = "int_infer, predict.py's input"


@dataclass
class Alignment:
    """The result for one data set.

    Attributes:
        metrics: results by name, of the board's program and of the integer model.
        values, differing: number of output integers of the program, and how many of them differ
            from the integer model's for the same input.
        first_differing: name of the first pair with a differing integer.
        inputs, other_inputs: number of input integers, and how many of them differ in
            ``predict.py``, which converts in float and then rounds.
        padded: number of pairs that are smaller than the program's images.
        program_seconds: wall time of decoding, colour conversion and the program.
        comparison_seconds: wall time of the integer model and the metrics.
    """

    pairs: int = 0
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    values: int = 0
    differing: int = 0
    first_differing: str | None = None
    inputs: int = 0
    other_inputs: int = 0
    padded: int = 0
    program_seconds: float = 0.0
    comparison_seconds: float = 0.0


@dataclass
class _Result:
    """One pair: the sample, the board's input (6, H, W) and output (2, H / r, W / r)."""

    sample: dict[str, Any]
    image: np.ndarray
    integers: np.ndarray


@OBJECT_REGISTRY.register
class BoardPredictor:
    """Runs a compiled program over data sets and compares it with the integer model.

    The program gets what the board gets: images as uint8 YUV444 from the exact integer conversion.
    It runs in worker threads that decode and convert their images themselves; after every
    ``CHUNK`` pairs the same threads run the integer model on the same inputs, and on those of
    ``batch_processor``.

    Args:
        data_loader: config of a data loader, or a list of them; its data set gives uint8 images in
            RGB or BGR, its batch size is the integer model's at most.
        batch_processor: of ``predict.py``, with need_grad_update=False.
        metrics: what to compute.
        model: the integer model; None where the pipeline brings it along (LoadIntegerModel).
        model_convert_pipeline: gives the integer model.
        device: of the integer model; None takes the process's own device.
    """

    deferred_args = ("data_loader",)

    def __init__(
        self,
        data_loader: Component | Sequence[Any],
        batch_processor: BatchProcessor,
        metrics: Sequence[Any],
        model: nn.Module | None = None,
        model_convert_pipeline: ModelConvertPipeline | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        self.device = torch.device(device if device is not None else distributed.default_device())
        pipeline = model_convert_pipeline or ModelConvertPipeline()
        integer = pipeline(model)
        if not isinstance(integer, IntegerModel):
            raise ValueError(
                "the pipeline must end with LoadIntegerModel or QAT2Quantize; it gives a "
                f"{type(integer).__name__}"
            )
        self.model = integer.to(self.device).eval()
        loaders = [data_loader] if isinstance(data_loader, Component) else list(data_loader)
        self.loaders = [build_eval_loader(loader) for loader in loaders]
        self.batch_processor = batch_processor
        self.metrics = [metric.to(self.device) for metric in metrics]

    def image_size(self, index: int = 0) -> tuple[int, int]:
        """(H, W) of the first pair of data set ``index``."""
        height, width = image_pair(self.loaders[index].dataset[0]).shape[:2]
        return height, width

    def fit(
        self,
        program: BoardProgram,
        workers: int,
        index: int = 0,
        num_pairs: int | None = None,
        progress: Callable[[int], Any] = lambda pairs: None,
    ) -> Alignment:
        """Evaluate data set ``index``.

        Args:
            program: with one thread, because the workers run it at the same time.
            workers: threads that decode, convert and run.
            num_pairs: the first pairs only.
            progress: called with the number of pairs that have just been done.

        Raises:
            InputError: the program's output or size cannot be the integer model's; no pairs.
        """
        self._check(program)
        loader = self.loaders[index]
        dataset = loader.dataset
        count = len(dataset)  # type: ignore[arg-type]
        if num_pairs is not None:
            count = min(count, num_pairs)
        if count == 0:
            raise InputError("nothing to compare: the data set is empty")
        chunk = max(CHUNK, 4 * workers)
        batch_size = min(loader.batch_size or 1, max(1, chunk // (2 * workers)))
        sides = SharedMetrics(self.metrics)
        totals = Alignment(pairs=count)
        with (
            interruption.watched(),
            one_torch_thread(),
            ThreadPoolExecutor(workers) as pool,
        ):
            for start in range(0, count, chunk):
                interruption.check()
                numbers = range(start, min(start + chunk, count))
                begun = time.perf_counter()
                results = list(pool.map(lambda n: run_pair(program, dataset[n]), numbers))
                ended = time.perf_counter()
                totals.program_seconds += ended - begun
                batches = list(equal_sizes(results, batch_size))
                for batch, compared in zip(
                    batches,
                    pool.map(lambda b: self._compare(program, b, loader.collate_fn), batches),
                    strict=True,
                ):
                    sides.update(compared.prepared, compared.flows)
                    add_counts(totals, compared, batch)
                    progress(len(batch))
                    interruption.check()
                totals.comparison_seconds += time.perf_counter() - ended
        totals.metrics = sides.results()
        return totals

    def _check(self, program: BoardProgram) -> None:
        """InputError unless program and integer model give flow of one size."""
        reduction, multiple = self.model.reduction, self.model.multiple
        if program.reduction == reduction and not any(s % multiple for s in program.size):
            return
        height, width = program.size
        raise InputError(
            f"{program.source}: the program of another network than the checkpoint: images "
            f"{width}x{height}, flow 1/{program.reduction} of them; expected multiples of "
            f"{multiple} and 1/{reduction}; compile the checkpoint (compile_perf.py) or give "
            "the one that the program was compiled from (--ckpt)"
        )

    @torch.inference_mode()
    def _compare(self, program: BoardProgram, batch: list[_Result], collate: Any) -> _Compared:
        """The integer model on a batch of equally large pairs."""
        samples = [result.sample for result in batch]
        height, width = image_pair(samples[0]).shape[:2]
        prepared = self.batch_processor.prepare(collate(samples), self.device)
        image = torch.from_numpy(np.stack([result.image for result in batch])).to(self.device)
        image = (image ^ 128).view(torch.int8)  # the program's own integers: minus 128
        found = torch.from_numpy(np.stack([result.integers for result in batch])).to(self.device)
        wanted = self.model.integers(image)
        different = (found != wanted).flatten(1).sum(1).tolist()

        def flow(integers: Tensor) -> Tensor:
            return torch.from_numpy(
                np.stack([program.flow(i, (height, width)) for i in integers.cpu().numpy()])
            ).to(self.device)

        float_input = self.model.stub(prepared[self.model.input_name]).values
        others = int((float_input != image[..., :height, :width]).sum())
        same = flow(wanted)
        flows = {
            BOARD: flow(found) if any(different) else same,
            SAME_INPUT: same,
            FLOAT_INPUT: self.model(float_input) if others else same,
        }
        padded = (height, width) != program.size
        return _Compared(
            prepared, flows, different, wanted.numel(), others, float_input.numel(), padded
        )


@dataclass
class _Compared:
    """What :meth:`BoardPredictor._compare` finds for a batch.

    Attributes:
        prepared: the batch as the metrics take it.
        flows: px, by the names of the table.
        different: differing output integers of each pair; ``values``: all of the batch.
        others: input integers that are others in ``predict.py``; ``inputs``: all.
        padded: are the images smaller than the program's?
    """

    prepared: dict[str, Any]
    flows: dict[str, Tensor]
    different: list[int]
    values: int
    others: int
    inputs: int
    padded: bool


def add_counts(totals: Alignment, compared: _Compared, batch: list[_Result]) -> None:
    """Add a batch's counts to the data set's."""
    totals.values += compared.values
    totals.differing += sum(compared.different)
    totals.inputs += compared.inputs
    totals.other_inputs += compared.others
    totals.padded += len(batch) if compared.padded else 0
    for result, different in zip(batch, compared.different, strict=True):
        if different and totals.first_differing is None:
            totals.first_differing = sample_name(result.sample)


def run_pair(program: BoardProgram, sample: dict[str, Any]) -> _Result:
    """Convert and run one sample of a data set.

    Raises:
        InputError: images that are not uint8 RGB or BGR, or too large; the sample is named.
    """
    order = sample.get("color_space", "rgb")
    if order not in ("rgb", "bgr"):
        raise InputError(
            f"{sample_name(sample)}: the board's input is made of rgb or bgr images, found "
            f"{order!r}; set to_yuv=False in the data set's transforms"
        )
    image = program.prepare(image_pair(sample), bgr=order == "bgr")
    return _Result(sample, image, program.run(image))


def equal_sizes(results: Sequence[_Result], most: int) -> Iterator[list[_Result]]:
    """Runs of neighbours with images of one size, at most ``most`` long."""
    for _, group in itertools.groupby(results, lambda r: tuple(r.sample["img"].shape)):
        members = list(group)
        for start in range(0, len(members), most):
            yield members[start : start + most]
