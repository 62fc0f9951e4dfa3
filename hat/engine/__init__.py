"""Training and evaluation loops, and what they are made of."""

from hat.engine import (
    board_predictor,
    calibrator,
    callbacks,
    convert,
    integer_trainer,
    predictor,
    processors,
    trainer,
)

__all__ = [
    "board_predictor",
    "calibrator",
    "callbacks",
    "convert",
    "integer_trainer",
    "predictor",
    "processors",
    "trainer",
]
