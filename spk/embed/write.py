"""Embeddings to an ark and its scp, as Kaldi's programs read them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
from kaldiio.matio import write_array

from spk.data.files import whole_file


def write_embeddings(prefix: str, utterances: Sequence[str], embeddings: Iterable[np.ndarray]) -> None:
    """PREFIX.ark and PREFIX.scp (absolute path and offset): float32 vectors from [U, D], matrices from [U, K, D].

    What is not in memory at once may come one by one, and vectors of different lengths, too.
    """
    ark = os.path.abspath(f"{prefix}.ark")  # noqa: PTH100 (Kaldi keeps the path as the user wrote it, links unresolved)
    offsets = []
    with whole_file(ark, "wb") as file:
        for utterance, embedding in zip(utterances, embeddings, strict=True):
            file.write(f"{utterance} ".encode())
            offsets.append(file.tell())
            write_array(file, np.ascontiguousarray(embedding, dtype=np.float32))
    with whole_file(f"{prefix}.scp") as file:
        file.writelines(f"{utterance} {ark}:{offset}\n" for utterance, offset in zip(utterances, offsets, strict=True))
