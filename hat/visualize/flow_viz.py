"""Pictures of one pair and its flow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hat.data.files import make_folder, write_file
from hat.data.image_io import write_png
from hat.registry import OBJECT_REGISTRY
from hat.visualize.colours import error_colours, flow_colours
from hat.visualize.figure import Pair, error_picture, flow_picture, pair_figure
from hat.visualize.scale import colour_scale


@OBJECT_REGISTRY.register
class FlowViz:
    """Writes the pictures of a pair: colour-wheel picture, figure, and error map with ground truth.

    Args:
        is_plot: also write the side-by-side figure.
        save_path: folder of the pictures, made if missing; a call may give another.
        max_flow: speed, px, with full colour, to compare pictures with each other. If None, a
            round speed that 95 % of the pixels of the true flow (if there is none, of the predicted
            flow) stay below, and 1 px at the least: still images are white and no magnified noise.
        legend: draw what the colours mean, in px, at the right of the colour-wheel picture and of
            the error map. False leaves these at the size of the images.
    """

    def __init__(
        self,
        is_plot: bool = True,
        save_path: str | Path | None = None,
        max_flow: float | None = None,
        legend: bool = True,
    ) -> None:
        if max_flow is not None and not max_flow > 0:
            raise ValueError(f"max_flow: expected a speed above 0 px or None, found {max_flow!r}")
        self.is_plot = is_plot
        self.save_path = save_path
        self.max_flow = max_flow
        self.legend = legend

    def __call__(
        self,
        image1: np.ndarray,
        image2: np.ndarray,
        flow: np.ndarray,
        name: str,
        gt_flow: np.ndarray | None = None,
        gt_valid: np.ndarray | None = None,
        save_path: str | Path | None = None,
    ) -> dict[str, Path]:
        """Write ``{name}_flow.png``, ``{name}_figure.png`` and ``{name}_error.png``.

        Args:
            image1, image2: uint8 RGB (H, W, 3).
            flow: predicted flow (H, W, 2), px. Pixels that are not finite are black.
            name: beginning of the file names.
            gt_flow: true flow (H, W, 2), px.
            gt_valid: (H, W), non-zero where the true flow is known; everywhere if None.
            save_path: folder, instead of the constructor's.

        Returns:
            The files by kind: ``"flow"``, ``"figure"``, ``"error"``.

        Raises:
            ValueError: arrays of different sizes, or no folder given.
            InputError: the folder cannot be made or written.
        """
        size = image1.shape[:2]
        for what, array in (("image2", image2), ("flow", flow), ("gt_flow", gt_flow)):
            if array is not None and array.shape[:2] != size:
                raise ValueError(f"{what}: {array.shape[:2]} pixels, but image1 has {size}")
        folder = save_path or self.save_path
        if folder is None:
            raise ValueError("save_path: FlowViz was given no folder for its pictures")
        folder = make_folder(folder)

        pair = Pair(image1, image2, flow, gt_flow, gt_valid)
        scale = self.max_flow or self._scale(pair)
        files = self.files(name, folder, gt_flow is not None)
        write_png(files["flow"], (flow_picture if self.legend else flow_colours)(flow, scale))
        if gt_flow is not None:
            paint = error_picture if self.legend else error_colours
            write_png(files["error"], paint(pair.error, gt_valid))
        if self.is_plot:
            write_file(files["figure"], pair_figure(pair, scale))
        return files

    def files(self, name: str, folder: Path, with_truth: bool) -> dict[str, Path]:
        """The files by kind that a call with this name writes to ``folder``."""
        kinds = {"flow": True, "error": with_truth, "figure": self.is_plot}
        return {kind: folder / f"{name}_{kind}.png" for kind, made in kinds.items() if made}

    @staticmethod
    def _scale(pair: Pair) -> float:
        """One scale for both flows, so that equal colours are equal flows."""
        predicted = (pair.flow, None)
        if pair.gt_flow is None:
            return colour_scale(predicted)
        return colour_scale((pair.gt_flow, pair.gt_valid), predicted)
