"""The names of the networks. Every network takes `num_bins` from the front end; the rest of its arguments is its config."""

from spk.registry import Registry

NETWORKS = Registry("network", given=("num_bins",))
