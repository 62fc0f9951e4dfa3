"""One run of a float network, to find what becomes a layer and what cannot be quantised."""

from horizon.quantization.survey.found import CONTAINERS, TRANSPARENT, Finding, Survey
from horizon.quantization.survey.run import survey

__all__ = ["CONTAINERS", "TRANSPARENT", "Finding", "Survey", "survey"]
