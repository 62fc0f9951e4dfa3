"""Training and evaluation loops, and what they are made of."""

from hat.engine import callbacks, convert, predictor, processors, trainer

__all__ = ["callbacks", "convert", "predictor", "processors", "trainer"]
