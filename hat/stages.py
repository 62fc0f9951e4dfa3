"""The stages of a model, in the order in which they are made."""

STAGES = ("float", "calibration", "qat", "int_infer")  # each begins with the one before it
