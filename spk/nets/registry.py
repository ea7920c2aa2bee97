"""The names of the networks. Every network takes `num_bins` from the front end; its other arguments are config."""

from spk.errors import InputError
from spk.registry import Registry

NETWORKS = Registry("network", given=("num_bins",))


def require_bins(network: str, num_bins: int, least: int) -> None:
    """Raise InputError when fewer bins than `least` would leave one of the network's layers without input."""
    if num_bins < least:
        raise InputError(
            f"network: {network} needs at least {least} bins, but the front end gives {num_bins}; "
            "take a front end with more, or another network"
        )
