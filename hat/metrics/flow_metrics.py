"""The full set of numbers that optical flow is reported with."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hat.metrics.base import ResultMetric, ratio
from hat.metrics.regions import REGIONS, regions, result_names
from hat.metrics.resize import check_pair, full_resolution, valid_mask
from hat.registry import OBJECT_REGISTRY

OUTLIER_PX = (1.0, 3.0, 5.0)
SPEED_BOUNDS = (10.0, 40.0)
SPEED_NAMES = ("s0-10", "s10-40", "s40+")
PER_IMAGE = ("EPE", "zero-flow EPE")
PER_PIXEL = ("1px", "3px", "5px", "Fl-all")
PER_REGION = ("EPE", "3px", "Fl")


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

    Shares are over all pixels of the set that have ground truth. Where the data set has the mask,
    over all pixels of the set that it marks:

    ===================== ==================================================================
    ``EPE matched``       with ``gt_occlusion``: end-point error where pixels are visible in the
                          other image, ``EPE unmatched`` where they are not (MPI-Sintel)
    ``EPE d0-10`` ..      the same within [0, 10), [10, 60), [60, 140) px of an occlusion boundary
    ``EPE noc``           with ``gt_noc``: end-point error where pixels are visible in the other
                          image; so ``3px noc``, ``Fl-noc`` (KITTI)
    ``Fl-bg``, ``Fl-fg``  with ``gt_object``: ``Fl-all`` on the background and on objects; with
                          ``gt_noc`` too, ``Fl-bg noc`` and ``Fl-fg noc`` (KITTI 2015)
    ===================== ==================================================================
    """

    masks: ClassVar = {"occlusion": "gt_occlusion", "noc": "gt_noc", "objects": "gt_object"}
    """What :meth:`update` takes besides, and the keys of a batch that have it."""

    image_sums: Tensor
    images: Tensor
    outliers: Tensor
    pixels: Tensor
    speed_sums: Tensor
    speed_pixels: Tensor
    non_finite: Tensor
    region_sums: Tensor
    region_pixels: Tensor
    region_images: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("image_sums", len(PER_IMAGE))
        self.add_sum("outliers", len(PER_PIXEL))
        self.add_sum("speed_sums", len(SPEED_NAMES))
        self.add_sum("speed_pixels", len(SPEED_NAMES))
        self.add_sum("region_sums", len(REGIONS) * len(PER_REGION))
        self.add_sum("region_pixels", len(REGIONS))
        self.add_sum("region_images", len(REGIONS))
        for state in ("images", "pixels", "non_finite"):
            self.add_sum(state)

    def update(
        self,
        labels: Tensor,
        preds: Tensor,
        valid: Tensor | None = None,
        occlusion: Tensor | None = None,
        noc: Tensor | None = None,
        objects: Tensor | None = None,
    ) -> None:
        """Add a batch; arguments and errors of :meth:`EndPointError.update`.

        Args:
            occlusion, noc, objects: see :func:`hat.metrics.regions.regions`.
        """
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

        values = (error, above[OUTLIER_PX.index(3.0)].double(), above[-1].double())
        for name, (region, given) in regions(occlusion, noc, objects).items():
            row = REGIONS.index(name)
            chosen = mask & region & given[:, None, None]
            for column, value in enumerate(values):
                place = row * len(PER_REGION) + column
                self.region_sums[place] += value.where(chosen, 0.0).sum()
            self.region_pixels[row] += chosen.sum()
            self.region_images[row] += given.sum()

    def compute(self) -> dict[str, Tensor]:
        """Float64 scalars by name, in the order of the table above."""
        epe, zero_flow = ratio(self.image_sums, self.images)
        shares = 100.0 * ratio(self.outliers, self.pixels)
        speeds = ratio(self.speed_sums, self.speed_pixels)
        return {
            "EPE": epe,
            **dict(zip(PER_PIXEL, shares, strict=True)),
            **{f"EPE {name}": value for name, value in zip(SPEED_NAMES, speeds, strict=True)},
            **self._of_regions(),
            "zero-flow EPE": zero_flow,
            "images": self.images.clone(),
            "non-finite images": self.non_finite.clone(),
        }

    def _of_regions(self) -> dict[str, Tensor]:
        """The results of the regions that some image has the mask of."""
        means = ratio(
            self.region_sums.view(len(REGIONS), len(PER_REGION)), self.region_pixels[:, None]
        )
        found = {}
        for row, region in enumerate(REGIONS):
            if self.region_images[row] > 0:
                for name, kind in result_names(region):
                    value = means[row, PER_REGION.index(kind)]
                    found[name] = value if kind == "EPE" else 100.0 * value
        return found

    def known_names(self) -> list[str]:
        of_regions = [name for region in REGIONS for name, _ in result_names(region)]
        speeds = [f"EPE {name}" for name in SPEED_NAMES]
        counts = ["zero-flow EPE", "images", "non-finite images"]
        return ["EPE", *PER_PIXEL, *speeds, *of_regions, *counts]

    def results(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.compute().items()}
