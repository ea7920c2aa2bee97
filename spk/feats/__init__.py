"""Front ends: waves [N, samples] -> features [N, T, dim]. One file a front end; a config names it."""

from spk.feats.registry import FRONT_ENDS
from spk.registry import import_files

__all__ = ["FRONT_ENDS"]

import_files(__name__, __path__)
