"""The module that is trained and saved: input normalisation, then the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from spk.errors import InputError
from spk.nets import NETWORKS
from spk.nets.normalization import NORMALIZATIONS


class Embedder(nn.Module):
    """Features as they lie in the ark [N, T, F], and how many frames of each are real [N] -> embeddings [N, D].

    In training, where `masked_NTF` is True, the network sees 0 instead of the normalised features. The input is left as
    it is.
    """

    def __init__(self, normalization: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.normalization = normalization
        self.network = network

    @property
    def min_frames(self) -> int:
        """The shortest input that the network can embed."""
        return self.network.min_frames

    def forward(
        self, features_NTF: Tensor, lengths_N: Tensor | None = None, masked_NTF: Tensor | None = None
    ) -> Tensor:
        shortest = features_NTF.shape[1] if lengths_N is None else int(lengths_N.min())
        if shortest < self.min_frames:
            raise InputError(f"an input of {shortest} frames is too short: this network needs {self.min_frames}")
        if lengths_N is not None and features_NTF.is_inference():
            features_NTF = features_NTF.clone()  # the layers zero padding in place there, which is the caller's here
        x_NTF = self.normalization(features_NTF.transpose(1, 2), lengths_N).transpose(1, 2)
        if masked_NTF is not None:
            x_NTF = x_NTF.masked_fill(masked_NTF, 0)
        return self.network(x_NTF, lengths_N)


def build_embedder(normalization: str | Mapping[str, Any], network: Mapping[str, Any], num_bins: int) -> Embedder:
    """From the config sections of the same names; the weights are drawn from torch's global generator."""
    return Embedder(
        NORMALIZATIONS.build("normalization", normalization, num_bins=num_bins),
        NETWORKS.build("network", network, num_bins=num_bins),
    )
