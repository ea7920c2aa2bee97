"""Padding that does not show: layers that know how many frames of each utterance are real.

A batch of utterances of unequal lengths is padded at the end. A convolution wider than one frame, a max-pool or a mean
over time would read the padding, so each of them gets its input with the padding set to zero, which is also what lies
beyond the end of an utterance embedded alone (max-pools follow a ReLU, where zero never wins wrongly). `lengths` is
None for a batch of equal lengths, and then nothing is masked.

Letters: N utterances, C channels, F frequency bins, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frame_mask(lengths_N: Tensor, num_frames: int) -> Tensor:
    """[N, T] bool, true at real frames."""
    return torch.arange(num_frames, device=lengths_N.device)[None, :] < lengths_N[:, None]


def zero_padding(x: Tensor, lengths_N: Tensor | None) -> Tensor:
    """x [N, ..., T] with the frames past each length set to zero: in x itself where inference mode made it.

    There, on a CPU, only the padding is touched: a product with a mask at each layer takes a third of the time of all.
    What a caller still needs is to be copied before: `Embedder` copies its input.
    """
    if lengths_N is None:
        return x
    if x.is_inference() and x.device.type == "cpu":
        for of_utterance, length in zip(x, lengths_N.tolist(), strict=True):
            of_utterance[..., length:] = 0
        return x
    mask_NT = frame_mask(lengths_N, x.shape[-1])
    mask = mask_NT.view(x.shape[0], *[1] * (x.dim() - 2), x.shape[-1]).to(x.dtype)
    return x.mul_(mask) if x.is_inference() else x * mask


def masked_mean(x: Tensor, lengths_N: Tensor | None) -> Tensor:
    """Mean over the last axis, time: [N, ..., T] -> [N, ...]."""
    if lengths_N is None:
        return x.mean(dim=-1)
    counts = lengths_N.view(-1, *[1] * (x.dim() - 2)).to(x.dtype)
    return zero_padding(x, lengths_N).sum(dim=-1) / counts


class MaskedConv2d(nn.Conv2d):
    """Conv2d over [N, C, F, T] that zeroes padded frames first and says how long each utterance is afterwards."""

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        y_NCFT = super().forward(zero_padding(x_NCFT, lengths_N))
        return y_NCFT, lengths_after(lengths_N, *along_time(self))


class MaskedConv1d(nn.Conv1d):
    """Conv1d over [N, C, T], dilated or not. Lengths as in MaskedConv2d."""

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        y_NCT = super().forward(zero_padding(x_NCT, lengths_N))
        return y_NCT, lengths_after(lengths_N, *along_time(self))


class MaskedMaxPool2d(nn.MaxPool2d):
    """MaxPool2d over [N, C, F, T] after a ReLU; kernel, stride and padding as pairs. Lengths as in MaskedConv2d."""

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x_NCFT = zero_padding(x_NCFT, lengths_N)
        # torch also notes where each maximum was: on a CPU a tenth to a quarter of a network's time.
        alone = x_NCFT.device.type == "cpu" and not torch.is_grad_enabled()
        y_NCFT = self.maxima(x_NCFT) if alone else super().forward(x_NCFT)
        return y_NCFT, lengths_after(lengths_N, *along_time(self))

    def maxima(self, x_NCFT: Tensor) -> Tensor:
        """The same values, over frequency and then over time."""
        over_frequency, over_time = self.padding
        if over_frequency or over_time:
            x_NCFT = F.pad(x_NCFT, (over_time, over_time, over_frequency, over_frequency), value=-torch.inf)
        for axis, kernel, stride in zip((2, 3), self.kernel_size, self.stride, strict=True):
            last = x_NCFT.shape[axis] - kernel
            if last < 0:
                raise RuntimeError(f"max-pool of {kernel} over {x_NCFT.shape[axis]} values")
            taps = [x_NCFT.narrow(axis, tap, last + 1) for tap in range(kernel)]
            first, *others = (tap[:, :, ::stride] if axis == 2 else tap[..., ::stride] for tap in taps)
            x_NCFT = first if not others else torch.maximum(first, others[0])
            for other in others[1:]:
                torch.maximum(x_NCFT, other, out=x_NCFT)
        return x_NCFT


def along_time(layer: MaskedConv1d | MaskedConv2d | MaskedMaxPool2d) -> tuple[int, int, int]:
    """Kernel (the frames from its first tap to its last, dilation and all), stride and padding along the last axis."""
    sizes = (layer.kernel_size, layer.dilation, layer.stride, layer.padding)
    taps, dilation, stride, padding = (size if isinstance(size, int) else size[-1] for size in sizes)
    return (taps - 1) * dilation + 1, stride, padding


def least_frames(layers: nn.Module) -> int:
    """The shortest input of a chain of masked layers (as `modules()` lists them) that leaves one frame at its end.

    A block's shortcut (a name with `shortcut` in it) lies beside its other layers and is no link of the chain.
    """
    frames = 1
    masked = [
        module
        for name, module in layers.named_modules()
        if isinstance(module, (MaskedConv1d, MaskedConv2d, MaskedMaxPool2d)) and "shortcut" not in name
    ]
    for kernel, stride, padding in map(along_time, reversed(masked)):
        frames = max(1, (frames - 1) * stride + kernel - 2 * padding)
    return frames


def lengths_after(lengths_N: Tensor | None, kernel: int, stride: int, padding: int) -> Tensor | None:
    """Frames left after a convolution or pooling along time."""
    if lengths_N is None:
        return None
    return torch.div(lengths_N + 2 * padding - kernel, stride, rounding_mode="floor") + 1
