"""Feature pyramids."""

from hat.models.backbones.match_pyramid import MatchPyramid
from hat.models.backbones.pwcnet import PwcNet

__all__ = ["MatchPyramid", "PwcNet"]
