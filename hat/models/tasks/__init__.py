"""Networks with their losses: batch in, losses or predictions out."""

from hat.models.tasks.network_task import NetworkTask
from hat.models.tasks.program_outputs import ProgramTask
from hat.models.tasks.pwcnet_task import PwcnetTask

__all__ = ["NetworkTask", "ProgramTask", "PwcnetTask"]
