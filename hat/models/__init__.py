"""Networks, losses and tasks."""

from hat.models import backbones, heads, losses, tasks

__all__ = ["backbones", "heads", "losses", "tasks"]
