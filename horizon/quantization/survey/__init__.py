"""A survey runs a float network once and finds which calls need layers, and what is unsupported."""

from horizon.quantization.survey.found import CONTAINERS, TRANSPARENT, Finding, Survey
from horizon.quantization.survey.run import survey

__all__ = ["CONTAINERS", "TRANSPARENT", "Finding", "Survey", "survey"]
