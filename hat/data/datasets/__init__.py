"""Data sets of image pairs with flow."""

from hat.data.datasets.flyingchairs import FlyingChairs

__all__ = ["FlyingChairs"]
