"""Networks as they were trained, brought to the form that preparing them for fixed point takes."""

from horizon.quantization.plain.quantisable import is_plain, quantisable

__all__ = ["is_plain", "quantisable"]
