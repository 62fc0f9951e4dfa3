"""Data sets of image pairs with flow."""

from hat.data.datasets.echo import Echo
from hat.data.datasets.flyingchairs import FlyingChairs
from hat.data.datasets.generated_pairs import GeneratedPairs
from hat.data.datasets.mixture import Mixture
from hat.data.synthesis.texture_bank import TextureBank

__all__ = ["Echo", "FlyingChairs", "GeneratedPairs", "Mixture", "TextureBank"]
