"""The full set of numbers that optical flow is reported with."""

from __future__ import annotations

import torch
from torch import Tensor

from hat.metrics.base import ResultMetric, ratio
from hat.metrics.resize import check_pair, full_resolution, valid_mask
from hat.registry import OBJECT_REGISTRY

OUTLIER_PX = (1.0, 3.0, 5.0)
SPEED_BOUNDS = (10.0, 40.0)
SPEED_NAMES = ("s0-10", "s10-40", "s40+")
PER_IMAGE = ("EPE", "zero-flow EPE")
PER_PIXEL = ("1px", "3px", "5px", "Fl-all")


@OBJECT_REGISTRY.register
class FlowMetrics(ResultMetric):
    """End-point error and everything that is reported beside it.

    ================= ======================================================================
    ``EPE``           end-point error, px: mean over an image's pixels, then over the images
    ``1px`` .. ``5px`` share of pixels, in %, whose error is above 1, 3, 5 px
    ``Fl-all``        share of pixels, in %, whose error is above 3 px and above 5 % of the true
                      speed (KITTI 2015)
    ``EPE s0-10`` ..  end-point error over all pixels of the set with true speed in [0, 10),
                      [10, 40), [40, inf) px (MPI-Sintel); NaN if there is none
    ``zero-flow EPE`` mean true speed, px: the end-point error of a network that predicts zero
    ``images``        images with ground truth
    ``non-finite images`` images with a prediction that is NaN or infinite. It counts as an
                      outlier and makes the end-point errors NaN or infinite.
    ================= ======================================================================

    Shares are over all pixels of the set that have ground truth.
    """

    image_sums: Tensor
    images: Tensor
    outliers: Tensor
    pixels: Tensor
    speed_sums: Tensor
    speed_pixels: Tensor
    non_finite: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("image_sums", len(PER_IMAGE))
        self.add_sum("outliers", len(PER_PIXEL))
        self.add_sum("speed_sums", len(SPEED_NAMES))
        self.add_sum("speed_pixels", len(SPEED_NAMES))
        for state in ("images", "pixels", "non_finite"):
            self.add_sum(state)

    def update(self, labels: Tensor, preds: Tensor, valid: Tensor | None = None) -> None:
        """Add a batch; arguments and errors of :meth:`EndPointError.update`."""
        check_pair(labels, preds)
        mask = valid_mask(labels, valid)
        labels = labels.float()
        predicted = full_resolution(preds, (labels.shape[2], labels.shape[3]))
        error = (predicted - labels).norm(dim=1).double()
        speed = labels.norm(dim=1).double()

        pixels = mask.sum(dim=(1, 2))
        used = pixels > 0
        for index, value in enumerate((error, speed)):
            mean = ratio(value.where(mask, 0.0).sum(dim=(1, 2)), pixels)
            self.image_sums[index] += mean.where(used, 0.0).sum()
        self.images += used.sum()
        self.pixels += pixels.sum()
        self.non_finite += (mask & ~error.isfinite()).any(dim=2).any(dim=1).sum()

        # "not at most" instead of "above": it holds for NaN as well.
        above = [~(error <= threshold) for threshold in OUTLIER_PX]
        above.append(~(error <= 3.0) & ~(error <= 0.05 * speed))
        self.outliers += torch.stack([(mask & outlier).sum() for outlier in above])

        low, high = SPEED_BOUNDS
        groups = (speed < low, (speed >= low) & (speed < high), speed >= high)
        for index, group in enumerate(groups):
            chosen = mask & group
            self.speed_sums[index] += error.where(chosen, 0.0).sum()
            self.speed_pixels[index] += chosen.sum()

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars by name, in the order of the table above."""
        epe, zero_flow = ratio(self.image_sums, self.images)
        shares = 100.0 * ratio(self.outliers, self.pixels)
        speeds = ratio(self.speed_sums, self.speed_pixels)
        return {
            "EPE": epe,
            **dict(zip(PER_PIXEL, shares, strict=True)),
            **{f"EPE {name}": value for name, value in zip(SPEED_NAMES, speeds, strict=True)},
            "zero-flow EPE": zero_flow,
            "images": self.images.clone(),
            "non-finite images": self.non_finite.clone(),
        }

    def results(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.compute().items()}
