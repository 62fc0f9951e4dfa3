"""From samples to batches; configs name ``hat.data.collates.collates.collate_2d`` as well."""

from hat.data.collates import collates
from hat.data.collates.collates import CollateBySize, collate_2d

__all__ = ["CollateBySize", "collate_2d", "collates"]
