"""The run of a survey, which finds which calls need layers and what cannot be quantised.

The network runs in evaluation mode on real numbers. Between a QuantStub and a DeQuantStub, these
are in a :class:`QTensor` with a made-up scale, which differs from layer to layer and so identifies
the layer. The twins of the modules and calls decide what these become in fixed point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from horizon.errors import InputError
from horizon.quantization.calls import answering
from horizon.quantization.examples import call_with
from horizon.quantization.layers import prepared_form
from horizon.quantization.movement.rearranged import Rearranged, maps_of, refuse_rearranged
from horizon.quantization.qconfig import QConfig
from horizon.quantization.qtensor import QTensor
from horizon.quantization.remedies import instead_of
from horizon.quantization.sites import SiteCounter
from horizon.quantization.survey.calls import Calls, copies_of, values_of
from horizon.quantization.survey.found import Survey, is_opaque
from horizon.quantization.survey.origins import DEQUANTISED
from horizon.quantization.survey.source_line import line_of_caller, line_of_error


def survey(model: nn.Module, example: Any) -> Survey:
    """Run ``model`` on ``example``; afterwards its modes and weights are as before.

    Exceptions of the float network itself are not caught.
    """
    modes = {module: module.training for module in model.modules()}
    runner = _Runner(model)
    try:
        model.eval()
        with torch.no_grad():
            runner.run(example)
    finally:
        runner.remove_hooks()
        for module, mode in modes.items():
            module.training = mode
    return runner.found


class _Runner(Calls):
    """The hooks of one run."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.model = model
        self.inputs: list[Any] = []
        self.handles: list[Any] = []
        self._hook(model, "", None)

    def run(self, example: Any) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            output = self._run(example)
            if output is None or self.found.findings:
                return
            self.remove_hooks()
            torch.manual_seed(0)
            if not _same(output, call_with(self.model, example)):
                self._refuse(
                    "",
                    "call",
                    "in fixed point the output would be different: a tensor that is also used "
                    "under another name is changed in place (x += y, relu_, inplace=True); write "
                    "x = x + y, and use what the call returns",
                    "",
                    "output",
                )

    def _run(self, example: Any) -> Any:
        """The output; None if ``forward`` could not be carried out."""
        plain = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, example)
        for x in tree_leaves(plain):
            self.origins.mark_input(x)
        try:
            with answering(self), self.origins:
                output = call_with(self.model, plain)
        except Exception as error:
            self.remove_hooks()
            call_with(self.model, example)  # the user gets an exception of the network itself
            if self.found.findings:  # of which this one may be a consequence
                return None
            module, path, _ = self.running[-1] if self.running else (self.model, "", None)
            line = line_of_error(error)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._refuse(path, "call", f"in forward(): {reason}", line, type(module).__name__)
            return None
        leaves = tree_leaves(output)
        if not self.found.findings and any(isinstance(x, QTensor) for x in leaves):
            self._refuse(
                "",
                "call",
                "the network returns a quantised tensor; send its outputs through a DeQuantStub",
                "",
                "output",
            )
        if not self.found.uses and not self.found.findings:
            raise InputError(
                "prepare: the example input reached no QuantStub and DeQuantStub, so nothing would "
                "be quantised; send the inputs of the quantised part through a "
                "horizon.nn.QuantStub and its outputs through a DeQuantStub"
            )
        return output

    def remove_hooks(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _hook(self, module: nn.Module, path: str, qconfig: QConfig | None) -> None:
        """Hook the layers below ``module``, and the modules whose forward may have calls."""
        if module in self.qconfigs:
            return
        qconfig = getattr(module, "qconfig", qconfig)
        self.qconfigs[module] = qconfig
        opaque = bool(path) and is_opaque(module)
        before = self._before_layer if opaque else self._before_module
        after = self._after_layer if opaque else self._after_module
        self.handles += [
            module.register_forward_pre_hook(
                lambda m, args, kwargs: before(m, path, args, kwargs), with_kwargs=True
            ),
            module.register_forward_hook(lambda m, _, output: after(m, path, output)),
        ]
        if not opaque:
            for name, child in module.named_children():
                self._hook(child, f"{path}.{name}" if path else name, qconfig)

    # Modules that are no layers: the survey sees their calls.

    def _before_module(self, module: nn.Module, path: str, args: Any, kwargs: Any) -> None:
        self.running.append((module, path, SiteCounter()))

    def _after_module(self, module: nn.Module, path: str, output: Any) -> None:
        self.running.pop()

    # Layers: the survey does not see their calls.

    def _before_layer(self, module: nn.Module, path: str, args: Any, kwargs: Any) -> Any:
        self.running.append((module, path, SiteCounter()))
        if self.inputs:  # a part of another layer, fused with it
            self.inputs.append((None, False, None))
            return None
        leaves = tree_leaves((args, kwargs))
        quantised = [x for x in leaves if isinstance(x, QTensor | Rearranged)]
        form = prepared_form(module)
        kind = type(module).__name__
        moved: Rearranged | None = None
        by_element = form is not None and form.is_elementwise(module)
        if by_element and (maps := maps_of(args)) is not None:
            moved, args = maps[0], tuple(maps[1])
        planned: tuple[Tensor | None, int] | None = None
        begins = form is not None and form.begins
        if begins and not quantised:
            self._check_origin(path, leaves)
        if not quantised and not begins:
            self.found.plain[module] += 1
        else:
            self.found.uses[module] += 1
            qconfig = self.qconfigs[module]
            planned = (None, 8)
            if form is None:
                self._refuse_layer(module, path, quantised[0])
            elif qconfig is None:
                message = (
                    f"{kind} has qconfig None and stays in float, but a quantised tensor reaches "
                    "it; give it a qconfig, or place a DeQuantStub before it"
                )
                self._refuse(path, "unquantised", message, line_of_caller(), kind)
            else:
                try:
                    if kwargs:
                        raise InputError(
                            f"{kind} is called with {', '.join(kwargs)} by name; pass it by "
                            "position, or use a setting of the layer instead (output_padding for "
                            "output_size)"
                        )
                    if not form.ends and moved is None:
                        refuse_rearranged(path, *leaves)
                    planned = (None, 8) if form.ends else form.plan(module, qconfig, path, *args)
                except InputError as error:
                    message = str(error).removeprefix(f"{path}: ")
                    self._refuse(path, "unquantised", message, line_of_caller(), kind)
        self.inputs.append((planned, form is not None and form.ends, moved))
        return tree_map(copies_of if _is_inplace(module) else values_of, (args, kwargs))

    def _after_layer(self, module: nn.Module, path: str, output: Any) -> Any:
        self.running.pop()
        planned, ends, moved = self.inputs.pop()
        if planned is None:
            return None
        if ends:
            return tree_map(self.origins.mark_dequantised, output)
        scale, bits = planned
        made = self._quantised(output, self._next_scale() if scale is None else scale, bits)
        return made if moved is None else moved.with_source(made)

    def _refuse_layer(self, module: nn.Module, path: str, read: QTensor | Rearranged) -> None:
        kind = type(module).__name__
        instead = instead_of(kind)
        message = f"{kind} has no fixed-point form; use {instead}"
        if isinstance(module, nn.Linear):
            shape = tuple(read.values.shape)
            expected = "a flat tensor (N, C), or a map whose channels come last, (N, H, W, C)"
            if len(shape) == 1:
                instead = "x.flatten(1) instead of x.squeeze(), which takes the axis of one image"
            message = f"Linear of a tensor {shape}: expected {expected}; use {instead}"
        self._refuse(path, "unquantised", message, line_of_caller(), kind, instead)

    def _check_origin(self, path: str, leaves: Sequence[Any]) -> None:
        for x in leaves:
            if self.origins.of(x) == DEQUANTISED:
                self._refuse(
                    path,
                    "call",
                    "the output of a DeQuantStub enters a QuantStub: the integer program would end "
                    "there and a second one would begin; remove both stubs, or split the network "
                    "into two models",
                    line_of_caller(),
                    "QuantStub",
                )
            elif self.origins.is_constant(x):
                self._refuse(
                    path,
                    "call",
                    "a constant (a parameter, a buffer, or a tensor computed from them) enters a "
                    "QuantStub, which would make it an input of the program; pass it to the "
                    "network as an input, or make it part of a convolution's weights or bias",
                    line_of_caller(),
                    "QuantStub",
                )


def _is_inplace(module: nn.Module) -> bool:
    return any(getattr(part, "inplace", False) for part in module.modules())


def _same(first: Any, second: Any) -> bool:
    """Whether two outputs agree up to rounding."""
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    return all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-6, equal_nan=True)
        for a, b in pairs
        if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape
    )
