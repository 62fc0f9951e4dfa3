"""Networks in formats that other runtimes read."""

from hat.export.onnx_check import Comparison, check_onnx
from hat.export.onnx_export import export_onnx

__all__ = ["Comparison", "check_onnx", "export_onnx"]
