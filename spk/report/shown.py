"""Which systems a figure shows where there are more than a reader tells apart."""

from __future__ import annotations

from collections.abc import Mapping

MOST = 12  # of which a figure shows all
NUM_BEST = 5  # of more: these, the reference, and the worst


def shown_systems(eers: Mapping[str, float | None], reference: str) -> list[str]:
    """Of {system: its mean EER, None where it has no scores}, in this order."""
    if len(eers) <= MOST:
        return list(eers)
    ranked = sorted((name for name, eer in eers.items() if eer is not None), key=eers.__getitem__)
    chosen = {reference, *ranked[:NUM_BEST], *ranked[-1:]}
    return [name for name in eers if name in chosen]


def shown_text(num_shown: int, num_systems: int) -> str:
    """What a caption says of them; '' where all are shown."""
    if num_shown == num_systems:
        return ""
    return f"Of {num_systems} systems the {NUM_BEST} best, the worst and the reference are drawn."


def middle(values: list[float]) -> int:
    """The place of the median, of an even number that of the lower one in the middle."""
    return sorted(range(len(values)), key=values.__getitem__)[(len(values) - 1) // 2]
