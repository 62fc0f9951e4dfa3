"""From the built model to the model of a stage: load weights, prepare, convert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hat.engine.checkpoint import load_checkpoint, load_weights
from hat.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class LoadCheckpoint:
    """Loads weights into the model.

    Args:
        checkpoint_path: the file.
        allow_miss: entries of the model that the file lacks keep their values.
        ignore_extra: entries of the file that the model lacks are left out.

    ``content`` is the checkpoint after the call (None before it); a trainer that resumes takes the
    optimizer's state and the counters from it.
    """

    def __init__(
        self, checkpoint_path: str | Path, allow_miss: bool = False, ignore_extra: bool = False
    ) -> None:
        self.checkpoint_path = checkpoint_path
        self.allow_miss = allow_miss
        self.ignore_extra = ignore_extra
        self.content: dict[str, Any] | None = None

    def __call__(self, model: nn.Module) -> nn.Module:
        self.content = load_checkpoint(self.checkpoint_path, self._hint())
        load_weights(
            model,
            self.content["state_dict"],
            str(self.checkpoint_path),
            self.allow_miss,
            self.ignore_extra,
        )
        return model

    def _hint(self) -> str:
        stage = Path(self.checkpoint_path).name.split("-checkpoint-")[0]
        return (
            f"make it with 'python3 tools/train.py --stage {stage} --config CONFIG' or name "
            "another file with --ckpt"
        )


@OBJECT_REGISTRY.register
class ModelConvertPipeline:
    """Applies converters to the model, one after the other.

    Args:
        converters: callables from a model to a model.
    """

    def __init__(self, converters: Sequence[Callable[[nn.Module], nn.Module]] = ()) -> None:
        self.converters = list(converters)

    def __call__(self, model: nn.Module) -> nn.Module:
        for converter in self.converters:
            model = converter(model)
        return model

    @property
    def checkpoint(self) -> dict[str, Any] | None:
        """The content of the last checkpoint that a converter loaded."""
        loaded = [c.content for c in self.converters if isinstance(c, LoadCheckpoint)]
        return loaded[-1] if loaded else None
