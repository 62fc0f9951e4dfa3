"""End-point error, the metric that training watches."""

from __future__ import annotations

from torch import Tensor

from hat.metrics.base import ResultMetric, ratio
from hat.metrics.resize import check_pair, full_resolution, valid_mask
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class EndPointError(ResultMetric):
    """Mean Euclidean distance between predicted and true flow, in px.

    The mean over the pixels of an image that have ground truth, then the mean over the images.
    An image without such a pixel is left out. A prediction that is not finite makes the result
    NaN or infinite; :class:`hat.metrics.FlowMetrics` counts such images.

    Args:
        name: the key of the result.
    """

    total: Tensor
    images: Tensor

    def __init__(self, name: str = "EPE") -> None:
        super().__init__()
        self.name = name
        self.add_sum("total")
        self.add_sum("images")

    def update(self, labels: Tensor, preds: Tensor, valid: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            labels: true flow (B, 2, H, W), px.
            preds: predicted flow (B, 2, ceil(H/4), ceil(W/4)), px of the full-resolution image;
                resized to the labels' size. Any other pyramid level, or H x W, is fine too.
            valid: (B, 1, H, W), non-zero where there is ground truth; everywhere if None.

        Raises:
            ValueError: shapes that do not fit together.
        """
        check_pair(labels, preds)
        size = (labels.shape[2], labels.shape[3])
        mask = valid_mask(labels, valid)
        error = (full_resolution(preds, size) - labels.float()).norm(dim=1)
        pixels = mask.sum(dim=(1, 2))
        # where, not a product: an unknown label may be infinite, and 0 * inf is NaN.
        per_image = ratio(error.double().where(mask, 0.0).sum(dim=(1, 2)), pixels)
        used = pixels > 0
        self.total += per_image.where(used, 0.0).sum()
        self.images += used.sum()

    def compute(self) -> Tensor:
        """The end-point error in px, a float64 scalar; NaN before the first image."""
        return ratio(self.total, self.images)

    def known_names(self) -> list[str]:
        return [self.name]

    def results(self) -> dict[str, float]:
        return {self.name: float(self.compute())}
