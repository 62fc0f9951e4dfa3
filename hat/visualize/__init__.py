"""Pictures of flow and of training runs."""

from hat.visualize.colours import error_colours, flow_colours
from hat.visualize.curves import plot_training_curve
from hat.visualize.flow_viz import FlowViz

__all__ = ["FlowViz", "error_colours", "flow_colours", "plot_training_curve"]
