"""Batch norm whose batch is that of all processes together, on the CPU and on GPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from spk.collectives import Group


class SyncBatchNorm(_BatchNorm):
    """nn.BatchNorm1d or 2d over the batches of a group's processes, whose sizes may differ.

    In evaluation it asks nobody. Parameters, buffers and their names are those of nn.BatchNorm. (torch's own
    SyncBatchNorm works on GPUs alone.)
    """

    group: Group
    is_left_alone = False  # by torch.compile

    @classmethod
    def from_batch_norm(cls, norm: _BatchNorm, group: Group) -> SyncBatchNorm:
        """With the same parameters and buffers, not copies of them."""
        if not cls.is_left_alone:
            # Not as a decorator: that imports torch._dynamo, for over a second, wherever networks are imported.
            cls.forward, cls.is_left_alone = torch.compiler.disable(cls.forward), True
        new = cls(norm.num_features, norm.eps, norm.momentum, affine=False, track_running_stats=False)
        new.affine, new.track_running_stats = norm.affine, norm.track_running_stats
        new.weight, new.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers(recurse=False):
            new.register_buffer(name, buffer)
        new.training = norm.training
        new.group = group
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected [N, C, ...], not {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.group.size == 1:
            return super().forward(input)
        self._check_input_dim(input)
        mean_C, variance_C, count = statistics(input.detach(), self.group)
        if self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), momentum)
            unbiased_C = variance_C * (count / (count - 1).clamp_min(1))
            self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), momentum)
        weight_C = torch.ones_like(mean_C) if self.weight is None else self.weight
        bias_C = torch.zeros_like(mean_C) if self.bias is None else self.bias
        return Normalize.apply(input, weight_C, bias_C, mean_C, variance_C, count, self.eps, self.group)


def statistics(x: Tensor, group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C] and biased variance [C] of x [N, C, ...] over the processes' batches, and the number of values.

    Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979: means and
    variances of parts are combined, as sums of squares would lose the variance of values far from zero.
    """
    full = x if x.dtype == torch.float64 else x.float()
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance_C, mean_C = torch.var_mean(full, axes, correction=0)
    num_values = x.numel() // x.shape[1]
    own = torch.cat([mean_C, variance_C, torch.full_like(mean_C[:1], num_values)])
    of_ranks = group.gather_rows(own[None], [1] * group.size)
    mean_RC, variance_RC, count_R1 = of_ranks.split([len(mean_C), len(mean_C), 1], dim=1)
    count = count_R1.sum()
    mean_C = (count_R1 * mean_RC).sum(dim=0) / count
    variance_C = (count_R1 * (variance_RC + (mean_RC - mean_C).square())).sum(dim=0) / count
    return mean_C, variance_C, count


class Normalize(torch.autograd.Function):
    """y = w (x - mean) / sqrt(variance + eps) + b, where mean and variance are functions of all processes' x.

    Ioffe and Szegedy, Batch Normalization, 2015 (arXiv:1502.03167), section 3: with g = dL/dy, h the normalised x and
    n values in all, dL/dx = w / sqrt(variance + eps) (g - sum(g) / n - h sum(g h) / n), sums over all processes. The
    gradients of w and b are this process's part. Given mean and variance, the forward pass is that of evaluation, and
    so is the first term of the backward pass: one fused operation each.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_C: Tensor, bias_C: Tensor, mean_C: Tensor, variance_C: Tensor, count: Tensor, *rest
    ) -> Tensor:
        ctx.eps, ctx.group = rest
        ctx.save_for_backward(x, weight_C, mean_C, variance_C, count)
        return F.batch_norm(x, mean_C, variance_C, weight_C, bias_C, training=False, eps=ctx.eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, mean_C, variance_C, count = ctx.saved_tensors
        if x.stride() != gradient.stride():
            layout = torch.channels_last if x.dim() == 4 and not x.is_contiguous() else torch.contiguous_format
            gradient = gradient.contiguous(memory_format=layout)
        direct, weight_gradient_C, bias_gradient_C = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight_C, mean_C, variance_C, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([weight_gradient_C, bias_gradient_C]).to(mean_C.dtype)
        sum_gh_C, sum_g_C = ctx.group.all_reduce_sum(sums) / count
        slope_C = weight_C * torch.rsqrt(variance_C + ctx.eps)
        if x.dtype.itemsize < mean_C.dtype.itemsize:  # rounded once, at the end
            shape = [-1] + [1] * (x.dim() - 2)
            of_x_C = -slope_C * torch.rsqrt(variance_C + ctx.eps) * sum_gh_C
            constant_C = -slope_C * sum_g_C - of_x_C * mean_C
            full = torch.addcmul(constant_C.view(shape), x, of_x_C.view(shape))
            full.addcmul_(gradient, slope_C.view(shape))
            return full.to(x.dtype), weight_gradient_C, bias_gradient_C, *[None] * 5
        through_statistics = F.batch_norm(
            x, mean_C, variance_C, slope_C * sum_gh_C, slope_C * sum_g_C, training=False, eps=ctx.eps
        )
        return direct - through_statistics, weight_gradient_C, bias_gradient_C, *[None] * 5


def synchronize_batch_norms(module: nn.Module, group: Group) -> None:
    """Put a SyncBatchNorm in the place of every batch norm in the module; names of its state stay."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, SyncBatchNorm.from_batch_norm(child, group))
        else:
            synchronize_batch_norms(child, group)
