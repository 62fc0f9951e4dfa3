"""Flow decoders."""

from hat.models.heads.pwcnet_head import PwcnetHead
from hat.models.heads.residual_head import ResidualHead

__all__ = ["PwcnetHead", "ResidualHead"]
