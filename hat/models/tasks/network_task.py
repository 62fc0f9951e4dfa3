"""Any network as a task: from a batch to its outputs, its loss, and its form in fixed point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from hat.errors import InputError
from hat.models.tasks.program_outputs import ProgramTask, outputs_of, program_outputs
from hat.own_functions import MISTAKES, reason, refusal, shapes
from hat.registry import OBJECT_REGISTRY
from horizon.hbir import Graph
from horizon.quantization import quantisable
from horizon.quantization.examples import call_with
from horizon.quantization.plain import is_plain

HOW = "deploy_inputs = dict(image=(1, 3, 224, 224)), in the order of the arguments of forward()"

ONE_VALUE = "more than 1 value per channel"
"""Part of what torch says where batch normalisation would be that of a single value."""


@OBJECT_REGISTRY.register
class NetworkTask(nn.Module):
    """A plain network, with neither stubs nor a qconfig, as all stages and commands take it.

    Args:
        network: takes and gives tensors, as it was written.
        inputs: the shape of each input, or an example, by name, in the order of the arguments of
            ``network.forward``. A batch has the inputs under these names.
        targets: keys of a batch that the loss gets behind the outputs.
        loss: ``loss(outputs, *targets)`` gives a scalar, or several as a sequence or mapping.

    Raises:
        ValueError: no network, no example input, or one that the network refuses.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: Mapping[str, Any],
        targets: Sequence[str] = (),
        loss: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"found {network!r} as the network; expected a torch.nn.Module: write "
                "model = dict(type=MyNetwork), a class or a function that gives one"
            )
        if not is_plain(network):
            raise ValueError(
                f"{type(network).__name__} has stubs or a qconfig of its own; expected a network "
                "without; take them out, or write a task around it as PwcnetTask does"
            )
        self.network = network
        self.loss = loss
        self.targets = [targets] if isinstance(targets, str) else list(targets)
        self.example = {name: _example(name, value) for name, value in _entries(inputs)}
        self._check_example()

    @property
    def names(self) -> list[str]:
        """The inputs, in the order of the network's arguments."""
        return list(self.example)

    @property
    def arguments(self) -> Any:
        """The example as :func:`horizon.quantization.prepare_calibration` takes it."""
        values = tuple(self.example_input().values())
        return values if len(values) > 1 else values[0]

    @property
    def program_names(self) -> dict[str, list[str]]:
        """``input_names`` and ``output_names`` for :func:`horizon.quantization.trace`."""
        return self._names_of(self._quantisable())

    def example_input(self) -> dict[str, Tensor]:
        """One image, or set of inputs, as a batch."""
        device = next(self.network.parameters(), torch.empty(0)).device
        return {name: value.to(device) for name, value in self.example.items()}

    def forward(self, data: Mapping[str, Any]) -> Any:
        """The network's outputs; in training mode a dict of ``losses``, a list, and ``outputs``.

        Raises:
            InputError: a batch without an input or target, one of another shape than the network
                takes, training without a loss, or with one that refuses the batch or gives
                nothing that can be trained by.
        """
        given = [self._input(data, name) for name in self.names]
        outputs = self._run(given)
        if not self.training:
            return outputs
        if self.loss is None:
            raise InputError("training needs a loss: set loss in the config")
        targets = [entry(data, name) for name in self.targets]
        try:
            losses = self.loss(outputs, *targets)
        except MISTAKES as error:
            text = refusal("loss", outputs, targets, self.targets, error)
            raise InputError(text + self._other_sizes(given)) from error
        return {"losses": _losses(losses), "outputs": outputs}

    def prepare(self, how: Callable[[nn.Module, Any], nn.Module]) -> NetworkTask:
        """Put ``how(network, example)`` into the network's place: a prepared form of it."""
        self.network = how(self.network, self.arguments)
        return self

    def with_program(self, graph: Graph) -> ProgramTask:
        """An integer program of this network that gives its outputs as the network does.

        Raises:
            InputError: a program of another network.
        """
        module = self._quantisable()
        known = self._names_of(module)
        found = {"input_names": list(graph.inputs), "output_names": list(graph.outputs)}
        if found != known:
            texts = [
                f"inputs {', '.join(names['input_names'])}, outputs "
                f"{', '.join(names['output_names'])}"
                for names in (found, known)
            ]
            raise InputError(
                f"program {graph.name}: {texts[0]}; expected those of the config's network: "
                f"{texts[1]}; use the config that the checkpoint was made with"
            )
        return ProgramTask(graph, self.names, outputs_of(module))

    def _quantisable(self) -> fx.GraphModule:
        """The network's graph with its stubs, prepared or not."""
        if is_plain(self.network):
            return quantisable(self.network, self.arguments)
        assert isinstance(self.network, fx.GraphModule)
        return self.network

    def _names_of(self, module: fx.GraphModule) -> dict[str, list[str]]:
        real = [name for name, value in self.example.items() if value.is_floating_point()]
        outputs = [name for name, _ in program_outputs(module)]
        return {"input_names": real, "output_names": outputs}

    def _check_example(self) -> None:
        """Run the network on the example, so that a wrong one is told before all work."""
        known = list(inspect.signature(self.network.forward).parameters)
        if set(self.names) <= set(known) and self.names != [n for n in known if n in self.names]:
            raise ValueError(
                f"inputs {', '.join(self.names)}: the arguments of forward() are "
                f"{', '.join(known)}; give the inputs in their order"
            )
        training = self.network.training
        try:
            with torch.no_grad():
                call_with(self.network.eval(), self.arguments)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in self.example.items())
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{type(self.network).__name__} refuses the example input ({shapes}): {reason}; "
                f"expected shapes that it takes: {HOW}"
            ) from error
        finally:
            self.network.train(training)

    def _input(self, data: Mapping[str, Any], name: str) -> Tensor:
        value, example = entry(data, name), self.example[name]
        fits = (
            isinstance(value, Tensor)
            and value.shape[1:2] == example.shape[1:2]
            and value.dim() == example.dim()
            and _kind(value) == _kind(example)
        )
        if not fits:
            found = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else value
            raise InputError(
                f"batch[{name!r}]: found {found}; expected {example.dtype} (N, "
                f"{', '.join(map(str, example.shape[1:]))}), as deploy_inputs says"
            )
        return value

    def _run(self, given: Sequence[Tensor]) -> Any:
        try:
            return self.network(*given)
        except MISTAKES as error:
            foreign = not self._other_sizes(given) and not is_plain(self.network)
            if foreign or ONE_VALUE in str(error):
                raise
            raise InputError(
                f"{type(self.network).__name__} refuses {self._sizes(given)}: {reason(error)}"
                f"{self._other_sizes(given)}"
            ) from error

    def _sizes(self, given: Iterable[Tensor]) -> str:
        """The inputs' names with the shapes of ``given``."""
        return ", ".join(f"{n} {tuple(x.shape)}" for n, x in zip(self.names, given, strict=True))

    def _other_sizes(self, given: Sequence[Tensor]) -> str:
        """What to do where a batch has other sizes than the example; else nothing."""
        wanted = self.example.values()
        if [x.shape[1:] for x in given] == [x.shape[1:] for x in wanted]:
            return ""
        return (
            f"; found {self._sizes(given)}; expected the sizes of deploy_inputs: "
            f"{self._sizes(wanted)}; resize the images of the data set, or change deploy_inputs"
        )


def entry(data: Mapping[str, Any], name: str) -> Any:
    """``data[name]``; InputError with what there is if it is missing."""
    if name not in data:
        raise InputError(
            f"the batch has no {name!r}; it has: {', '.join(map(str, data))}; deploy_inputs and "
            "targets name the entries of a batch"
        )
    return data[name]


def _kind(value: Tensor) -> torch.dtype | None:
    """The type of real numbers; None for integers, of which a network may take any."""
    return value.dtype if value.is_floating_point() else None


def _losses(value: Any) -> list[Tensor]:
    """What a loss gives as a list of tensors of one number each.

    Raises:
        InputError: anything else, or nothing that depends on the network's weights.
    """
    values = list(value.values()) if isinstance(value, Mapping) else value
    values = values if isinstance(values, list | tuple) else [values]
    if not values or not all(
        isinstance(x, int | float) or (isinstance(x, Tensor) and x.numel() == 1) for x in values
    ):
        found = shapes(value) if tree_leaves(value) and value is not None else repr(value)
        raise InputError(
            f"loss gives {found}; expected one number, or a list or dict of such: return the "
            "mean() of a tensor"
        )
    losses = [torch.as_tensor(x) for x in values]
    if torch.is_grad_enabled() and not any(x.requires_grad for x in losses):
        raise InputError(
            "loss gives a number without a gradient, so that nothing can be trained; compute it "
            "from the network's outputs without item(), detach(), argmax() and torch.no_grad(), "
            "and leave some weights trainable"
        )
    return losses


def _entries(inputs: Any) -> list[tuple[str, Any]]:
    if not isinstance(inputs, Mapping) or not inputs:
        raise ValueError(
            f"no example input given, found {inputs!r}; say what the network takes: {HOW}"
        )
    return list(inputs.items())


def _example(name: str, value: Any) -> Tensor:
    """A tensor for an entry of ``inputs``, one image (N = 1)."""
    sizes = value.shape if isinstance(value, Tensor) else value
    if not isinstance(sizes, list | tuple) or not all(
        isinstance(side, int) and side > 0 for side in sizes
    ):
        raise ValueError(f"input {name}: found {value!r}; expected a shape or a tensor: {HOW}")
    if len(sizes) < 2 or sizes[0] != 1:
        raise ValueError(
            f"input {name}: found the shape {tuple(sizes)}; expected a batch of one, such as "
            f"{(1, *sizes[1:]) if len(sizes) > 1 else (1, *sizes)}"
        )
    return value if isinstance(value, Tensor) else torch.zeros(tuple(sizes))
