"""What is published about the motions of flow data sets, each figure with its source.

Sintel's shares of fast and slow pixels are not published as numbers, but its table of results gives
every method's error over all pixels and over those of each class, and the one is the mean of the
others weighted by the classes' shares. Four methods give four equations for two unknown shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hat.data.synthesis.statistics import PUBLISHED_STATISTICS

__all__ = ["PUBLISHED", "SINTEL_ERRORS", "sintel_shares"]

# sintel.is.tue.mpg.de/results, test set: all, matched, unmatched, s0-10, s10-40, s40+, px
SINTEL_ERRORS = {
    "PWC-Net, clean": (4.386, 1.719, 26.166, 0.606, 2.070, 28.793),
    "PWC-Net, final": (5.042, 2.445, 26.221, 0.799, 2.986, 31.070),
    "RAFT, clean": (1.609, 0.623, 9.647, 0.341, 1.036, 9.288),
    "RAFT, final": (2.855, 1.405, 14.680, 0.634, 1.823, 16.371),
}


def sintel_shares() -> tuple[list[float], float, float]:
    """Shares of s0-10, s10-40 and s40+, the share of unmatched pixels, and the worst residual, px.

    Unmatched pixels are occluded or leave the picture.
    """
    every, matched, unmatched, slow, middle, fast = np.array(list(SINTEL_ERRORS.values())).T
    # all = slow + (middle - slow) b + (fast - slow) c, with the shares 1 - b - c, b, c
    system = np.stack([middle - slow, fast - slow], axis=1)
    solution, *_ = np.linalg.lstsq(system, every - slow, rcond=None)
    residual = float(np.abs(system @ solution - (every - slow)).max())
    b, c = (float(share) for share in solution)
    hidden = float(np.mean((every - matched) / (unmatched - matched)))
    return [1 - b - c, b, c], hidden, residual


def _published() -> dict[str, dict[str, Any]]:
    shares, hidden, _ = sintel_shares()
    return {
        "FlyingChairs' generator": {
            **PUBLISHED_STATISTICS,
            "source": "distributions of Mayer et al., IJCV 2018, and their generator; 384x512",
        },
        "FlyingChairs": {"mean": 11.1, "source": "reported mean of the data set; 384x512"},
        "Sintel, test": {
            "speeds": shares,
            "unmatched": hidden,
            "source": "solved from the errors by speed of PWC-Net and RAFT on "
            "sintel.is.tue.mpg.de; 436x1024",
        },
    }


PUBLISHED = _published()
