"""What a network costs."""

from hat.analysis.op_count import LayerCount, OpCount, count_ops

__all__ = ["LayerCount", "OpCount", "count_ops"]
