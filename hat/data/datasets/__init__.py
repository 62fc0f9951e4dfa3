"""Data sets of image pairs with flow."""

from hat.data.datasets.echo import Echo
from hat.data.datasets.flyingchairs import FlyingChairs
from hat.data.datasets.flyingchairs2 import FlyingChairs2
from hat.data.datasets.flyingthings3d import FlyingThings3D
from hat.data.datasets.generated_pairs import GeneratedPairs
from hat.data.datasets.hd1k import HD1K
from hat.data.datasets.kitti import KITTI2012, KITTI2015
from hat.data.datasets.middlebury import Middlebury
from hat.data.datasets.mixture import Mixture
from hat.data.datasets.pair_folder import PairFolder
from hat.data.datasets.sintel import Sintel
from hat.data.datasets.spring import Spring
from hat.data.synthesis.texture_bank import TextureBank

__all__ = [
    "HD1K",
    "KITTI2012",
    "KITTI2015",
    "Echo",
    "FlyingChairs",
    "FlyingChairs2",
    "FlyingThings3D",
    "GeneratedPairs",
    "Middlebury",
    "Mixture",
    "PairFolder",
    "Sintel",
    "Spring",
    "TextureBank",
]
