"""Flow decoders."""

from hat.models.heads.pwcnet_head import PwcnetHead

__all__ = ["PwcnetHead"]
