"""How long a training run is, in epochs, steps or minutes, and how much of it is over."""

from __future__ import annotations

import math
from time import monotonic

UNITS = {"epoch": "num_epochs", "step": "num_steps", "minutes": "num_minutes"}


class RunLength:
    """The end of a run, and its clock.

    Minutes are those of the training loop by the clock, with its validations and checkpoints, and
    of all sittings of a run that was stopped and resumed. How many steps there will be follows from
    the pace so far, so that a schedule of steps ends with the time. What comes before the end of
    the first step (processes that start, kernels that are chosen) is left out of the pace.

    Args:
        stop_by: "epoch", "step" or "minutes".
        num_epochs, num_steps: whole numbers of at least 1.
        num_minutes: above 0.
        steps_per_epoch: of the data loader.

    Raises:
        ValueError: the number that ``stop_by`` needs is missing or wrong.
    """

    def __init__(
        self,
        stop_by: str,
        num_epochs: int | None,
        num_steps: int | None,
        num_minutes: float | None,
        steps_per_epoch: int,
    ) -> None:
        if stop_by not in UNITS:
            raise ValueError(f"stop_by must be one of {', '.join(UNITS)}, found {stop_by!r}")
        given = {"epoch": num_epochs, "step": num_steps, "minutes": num_minutes}[stop_by]
        if stop_by == "minutes":
            if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
                raise ValueError(
                    f"stop_by='minutes' needs num_minutes of more than 0, found {given!r}"
                )
        elif not isinstance(given, int) or given < 1:
            raise ValueError(
                f"stop_by={stop_by!r} needs {UNITS[stop_by]} of at least 1, found {given!r}"
            )
        self.by_time = stop_by == "minutes"
        self.steps = (
            0 if self.by_time else int(given) * (steps_per_epoch if stop_by == "epoch" else 1)
        )
        self.budget = 60.0 * given if self.by_time else math.inf
        self.seconds = 0.0
        """Of the run up to the last step, in all sittings."""
        self.start_up = 0.0
        """Of them, what came before the end of the first step."""
        self._since = monotonic()

    def start_clock(self) -> None:
        """The loop begins, or goes on after ``seconds`` of an earlier sitting."""
        self._since = monotonic() - self.seconds

    def read_clock(self) -> float:
        """Seconds of the run until now."""
        return monotonic() - self._since

    def step_done(self, step: int, seconds: float) -> None:
        """``step`` steps are done after ``seconds``, the same number in all processes."""
        self.seconds = seconds
        if step == 1:
            self.start_up = seconds

    def progress(self, step: int) -> float:
        """How much of the run is over after ``step`` steps, 0 to 1."""
        if not self.by_time:
            return min(1.0, step / self.steps)
        left = max(self.budget - self.start_up, 1e-9)
        return min(1.0, max(0.0, self.seconds - self.start_up) / left)

    def total_steps(self, step: int) -> float:
        """All steps of the run; by minutes an estimate, infinite before there is a pace."""
        if not self.by_time:
            return self.steps
        progress = self.progress(step)
        return step / progress if progress > 0 else math.inf

    def end_after(self, step: int) -> None:
        """Let a run by steps end with this one."""
        self.steps = min(self.steps, step)

    def finished(self, step: int) -> bool:
        return self.seconds >= self.budget if self.by_time else step >= self.steps

    def seconds_left(self, step: int, seconds_per_step: float) -> float:
        if self.by_time:
            return max(0.0, self.budget - self.seconds)
        return (self.steps - step) * seconds_per_step

    def describe(self) -> str:
        return f"{self.budget / 60:g} minutes" if self.by_time else f"{self.steps} steps"

    def position(self, step: int) -> str:
        """Where a run is, for people."""
        if not self.by_time:
            return f"at step {step} of {self.steps}"
        return f"at step {step}, after {self.seconds / 60:.1f} of {self.budget / 60:g} minutes"
