"""Training and evaluation loops, and what they are made of."""

from hat.engine import (
    calibrator,
    callbacks,
    convert,
    integer_trainer,
    predictor,
    processors,
    teacher,
    trainer,
)

__all__ = [
    "calibrator",
    "callbacks",
    "convert",
    "integer_trainer",
    "predictor",
    "processors",
    "teacher",
    "trainer",
]
