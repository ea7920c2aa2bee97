"""Embedding networks: features [N, T, F] -> embeddings [N, D]. One file a network; a config names it."""

from spk.nets import (  # noqa: F401 (importing a network or a pooling registers it)
    fast_resnet34,
    rescnn,
    resnet34,
    resnet50,
    thin_resnet34,
    thin_resnet34_cai,
    thin_resnet34_ghostvlad,
    vgg_m,
    vgg_m_40,
    vlad,
    xvector,
)
from spk.nets.registry import NETWORKS

__all__ = ["NETWORKS"]
