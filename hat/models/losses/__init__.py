"""Training losses."""

from hat.models.losses.ln_norm_loss import LnNormLoss
from hat.models.losses.robust_flow_loss import RobustFlowLoss

__all__ = ["LnNormLoss", "RobustFlowLoss"]
