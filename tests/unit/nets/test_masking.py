"""Layers that know lengths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spk.nets.masking import MaskedConv1d, MaskedConv2d, MaskedMaxPool2d, least_frames, zero_padding


def test_a_dilated_convolution_says_how_many_frames_are_left():
    conv = MaskedConv1d(2, 3, 3, stride=2, padding=1, dilation=4)
    x = torch.randn(4, 2, 30)
    lengths = torch.tensor([30, 17, 9, 10])
    y, after = conv(x, lengths)
    for i, length in enumerate(lengths):
        alone, _ = conv(x[i : i + 1, :, :length])
        assert after[i] == alone.shape[2]
        torch.testing.assert_close(y[i : i + 1, :, : after[i]], alone)


@pytest.mark.parametrize(
    "layers",
    [
        [MaskedConv1d(1, 1, 5), MaskedConv1d(1, 1, 3, dilation=2), MaskedConv1d(1, 1, 3, dilation=3)],
        [MaskedConv1d(1, 1, 3, stride=2, padding=1, dilation=3), MaskedConv1d(1, 1, 2, stride=3)],
        [MaskedConv2d(1, 1, 7, (1, 2), (3, 1)), MaskedMaxPool2d((1, 3), (1, 2), (0, 0)), MaskedConv2d(1, 1, (1, 4))],
        [MaskedConv2d(1, 1, 3, padding=1), MaskedMaxPool2d((1, 3), (1, 2), (0, 1))],
    ],
)
def test_the_least_frames_are_the_first_that_all_layers_take(layers):
    def takes(num_frames):
        x = torch.zeros(1, num_frames) if isinstance(layers[0], nn.Conv1d) else torch.zeros(1, 7, num_frames)
        try:
            for layer in layers:
                x, _ = layer(x[None] if x.dim() == (2 if isinstance(layer, nn.Conv1d) else 3) else x)
        except RuntimeError:
            return False
        return x.shape[-1] >= 1

    assert least_frames(nn.ModuleList(layers)) == next(frames for frames in range(1, 100) if takes(frames))


def test_inference_mode_zeroes_what_it_made_in_place_and_leaves_the_callers_tensors():
    x, lengths = torch.ones(2, 3, 4), torch.tensor([4, 1])
    expected = torch.ones(2, 3, 4)
    expected[1, :, 1:] = 0
    with torch.inference_mode():
        assert torch.equal(zero_padding(x, lengths), expected) and x.all()
        made = x + 0
        assert zero_padding(made, lengths) is made and torch.equal(made, expected)
    with torch.no_grad():
        made = x + 0
        assert torch.equal(zero_padding(made, lengths), expected) and made.all()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((1, 3), (1, 2), (0, 0)), ((3, 3), (2, 2), (0, 0)), ((3, 3), (2, 1), (1, 1)), ((2, 5), (3, 4), (0, 2))],
)
def test_a_max_pool_without_gradients_is_the_one_with_them(kernel, stride, padding):
    pool = MaskedMaxPool2d(kernel, stride, padding)
    x = torch.randn(3, 4, 11, 13)
    x[1, 2, 3, 4] = torch.nan
    lengths = torch.tensor([13, 12, 7])
    expected, after = pool(x, lengths)
    with torch.no_grad():
        values, after_alone = pool(x, lengths)
    assert torch.equal(after, after_alone)
    torch.testing.assert_close(values, expected, rtol=0, atol=0, equal_nan=True)
