"""The names of the networks. Every network takes `num_bins` from the front end; its other arguments are config."""

from spk.registry import Registry

NETWORKS = Registry("network", given=("num_bins",))
