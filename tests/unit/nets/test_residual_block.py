"""Residual blocks against their equations in plain functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from spk.nets.residual_block import BasicBlock, Bottleneck


def norm_after_conv(x, layer, kernel, stride):
    y = F.conv2d(x, layer.conv.weight, stride=stride, padding=kernel // 2)
    assert layer.conv.bias is None
    bn = layer.bn
    return F.batch_norm(y, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-5)


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (4, 1), (6, 2)])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_blocks_equal_their_equations(in_channels, stride, bottleneck):
    torch.manual_seed(4)
    block = Bottleneck(in_channels, 3, 6, stride) if bottleneck else BasicBlock(in_channels, 6, stride)
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias)
    x = torch.randn(2, in_channels, 7, 9)
    y = x
    for index, (conv, kernel) in enumerate(zip(block.convs, (1, 3, 1) if bottleneck else (3, 3), strict=True)):
        y = norm_after_conv(y.relu() if index else y, conv, kernel, stride if index == 0 else 1)
    changes = in_channels != 6 or stride != 1
    assert (block.shortcut is not None) == changes
    expected = (y + (norm_after_conv(x, block.shortcut, 1, stride) if changes else x)).relu()
    torch.testing.assert_close(block.eval()(x, None)[0], expected)
