"""spk: speaker verification, Kaldi style. The mathematics and the file formats behind steps/, local/ and utils/.

`spk.load("exp/x")` is a trained system to use from Python.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spk.verification.verifier import Verifier

__version__ = "0.1.0"


def load(model: str | os.PathLike[str], backend: str = "own", device: str = "cpu") -> Verifier:
    """The trained system in an experiment directory, or in a file of `spk export`, with one of its back-ends.

    `load(x).embed(wave, rate)` are embeddings, `load(x).verify("a.wav", "b.wav")` a score and what it says.
    Raises: InputError. See spk/verification/verifier.py.
    """
    from spk.verification.verifier import Verifier

    return Verifier.load(model, backend, device)
