"""The x-vector network against table 1 of its paper, and its layers as splices of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from spk.nets import NETWORKS

CONTEXTS = [(-2, -1, 0, 1, 2), (-2, 0, 2), (-3, 0, 3), (0,), (0,)]
WIDTHS = [512, 512, 512, 512, 1500]


def test_xvectors_equal_affine_layers_over_spliced_frames():
    torch.manual_seed(5)
    network = NETWORKS.build("network", {"name": "xvector", "embedding_dim": 512}, num_bins=24).eval()
    assert network.min_frames == 15  # t-7 to t+7
    frames_TC = x_TF = torch.randn(18, 24)
    with torch.no_grad():
        for norm in network.norms:
            norm.running_mean.normal_(0, 0.1)
        for context, width, affine, norm in zip(CONTEXTS, WIDTHS, network.affines, network.norms, strict=True):
            reach = context[-1]
            spliced = torch.stack(
                [torch.cat([frames_TC[t + offset] for offset in context]) for t in range(reach, len(frames_TC) - reach)]
            )
            weight = affine.weight.transpose(1, 2).flatten(1)  # [out, taps x in], as the frames are spliced
            assert weight.shape[0] == width
            frames_TC = F.linear(spliced, weight, affine.bias).relu()
            frames_TC = (frames_TC - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        statistics = torch.cat([frames_TC.mean(dim=0), frames_TC.std(dim=0, correction=0).clamp_min(1e-5**0.5)])
        expected = F.linear(statistics, network.embedding.weight, network.embedding.bias)
        torch.testing.assert_close(network(x_TF[None])[0], expected, rtol=1e-4, atol=1e-4)
