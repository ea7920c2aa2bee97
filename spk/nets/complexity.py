"""How large a network is: the parameters of its layers, and the multiply-adds of one input.

Counted are the multiply-adds of convolutions, linear layers and matrix products (an attention's, a VLAD pooling's), at
every output frame, those that reach into zero padding too. Not counted: biases, batch norms, activations, means,
products of single elements.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Layer:
    """A module without the modules in it: its name ("" is the network), class, output for one input, and size."""

    name: str
    kind: str
    parameters: int
    has_parts: bool
    output: tuple[int, ...] | None = None  # of the last call; without the batch axis; None: never called
    reshapes: bool = False  # its output has another shape than its input
    multiply_adds: int = 0


@dataclass
class Complexity:
    """Layers in the order in which the network defines them; the totals are the sums over all of them."""

    layers: list[Layer] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)


def measure_complexity(network: nn.Module, *inputs: Tensor) -> Complexity:
    """Count one forward pass of `inputs`, a batch of one, in evaluation mode. Shared parameters count once."""
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and this module is, wherever networks are

    layers, counted = {}, set()
    for name, module in network.named_modules():
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in counted]
        counted.update(map(id, own))
        size = sum(parameter.numel() for parameter in own)
        layers[module] = Layer(name, type(module).__name__, size, any(True for _ in module.children()))
    counter = FlopCounterMode(display=False)
    running: list[Layer] = []  # the modules whose forward is under way, the innermost last
    seen = 0

    def assign() -> None:
        """What was computed since the last time belongs to the innermost module."""
        nonlocal seen
        total = counter.get_total_flops()
        if running:
            running[-1].multiply_adds += (total - seen) // 2  # two floating-point operations each
        seen = total

    def before(module: nn.Module, arguments: tuple) -> None:
        assign()
        running.append(layers[module])

    def after(module: nn.Module, arguments: tuple, result: Tensor | tuple) -> None:
        assign()
        layer = running.pop()
        output = result[0] if isinstance(result, tuple) else result  # layers that know lengths give them too
        layer.output = tuple(output.shape[1:])
        layer.reshapes = not arguments or arguments[0].shape != output.shape

    handles = [hook for module in layers for hook in hooks_of(module, before, after)]
    was_training = network.training
    try:
        with torch.no_grad(), counter:
            network.eval()(*inputs)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return Complexity(list(layers.values()))


def hooks_of(module: nn.Module, before, after) -> list:
    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def folded(complexity: Complexity, depth: int) -> Complexity:
    """The same with all that lies deeper than `depth` dots-and-names counted in the module of that depth around it."""
    rows: dict[str, Layer] = {}
    for layer in complexity.layers:
        name = ".".join(layer.name.split(".")[:depth])
        if name not in rows:
            rows[name] = Layer(name, layer.kind, 0, layer.has_parts, layer.output, layer.reshapes)
        rows[name].parameters += layer.parameters
        rows[name].multiply_adds += layer.multiply_adds
    return Complexity(list(rows.values()))
