"""Training losses."""

from hat.models.losses.ln_norm_loss import LnNormLoss

__all__ = ["LnNormLoss"]
