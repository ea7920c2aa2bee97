"""Models of several utterances: a speaker is enrolled with, or a cohort has, the mean of what its utterances are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.embedding_reader import mapped_blocks
from spk.data.columns import distinct_names
from spk.data.data_dir import first_names, lines_of
from spk.errors import InputError


@dataclass(frozen=True)
class Models:
    """Model m has the utterances[members[starts[m] : starts[m + 1]]].

    Names and utterances are distinct; an utterance may be in several models. `members` [N], `starts` [M + 1].
    """

    names: list[str]
    utterances: list[str]
    members: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_utterances(self) -> NDArray[np.int64]:
        """[M] how many utterances each model has."""
        return np.diff(self.starts)

    def owners(self) -> NDArray[np.int64]:
        """[N] the model of every member."""
        return np.repeat(np.arange(len(self)), self.num_utterances)

    def select(self, names: Sequence[str]) -> Models:
        """The models of these distinct names, in this order. Raises: UnknownModels."""
        row_of = {name: row for row, name in enumerate(self.names)}
        unknown = [name for name in names if name not in row_of]
        if unknown:
            raise UnknownModels(unknown)
        place = np.full(len(self), -1)
        place[[row_of[name] for name in names]] = np.arange(len(names))
        owners = place[self.owners()]
        return collected(list(names), self.utterances, owners[owners >= 0], self.members[owners >= 0])

    def without(self, is_absent: NDArray[np.bool_]) -> Models:
        """Without these of the utterances, and without the models that have no other; `is_absent` [U]."""
        present = ~is_absent[self.members]
        left, owners = np.unique(self.owners()[present], return_inverse=True)
        return collected([self.names[row] for row in left.tolist()], self.utterances, owners, self.members[present])


def collected(names: list[str], utterances: list[str], owners: NDArray[np.int64], members: NDArray[np.int64]) -> Models:
    """The models `names` where utterances[members[i]] belongs to names[owners[i]]; without utterances of no model."""
    order = np.argsort(owners, kind="stable")
    used, members = np.unique(members[order], return_inverse=True)
    starts = np.searchsorted(owners[order], np.arange(len(names) + 1))
    return Models(names, [utterances[index] for index in used.tolist()], members, starts)


def utterances_alone(utterances: Sequence[str]) -> Models:
    """Each of these distinct utterances as a model of its own."""
    rows = np.arange(len(utterances) + 1)
    return Models(list(utterances), list(utterances), rows[:-1], rows)


class UnknownModels(InputError):
    """Models that are asked for and not defined: `models`."""

    def __init__(self, models: list[str]) -> None:
        super().__init__(f"has no line for {len(models)} models ({first_names(models)})")
        self.models = models


def values_of_models(models: Models, value_of: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """{model: what a table of utterances says of all that it has}, and the models of whose utterances it says unlike.

    A model with utterances that the table does not know is in neither.
    """
    values = [value_of.get(utterance) for utterance in models.utterances]
    found, mixed = {}, []
    for name, start, end in zip(models.names, models.starts.tolist(), models.starts[1:].tolist(), strict=False):
        said = {values[member] for member in models.members[start:end].tolist()}
        if len(said - {None}) > 1:
            mixed.append(name)
        elif None not in said:
            found[name] = said.pop()
    return found, mixed


def read_models(path: str | os.PathLike[str]) -> Models:
    """Read 'model utterance utterance ...' lines, the form of Kaldi's spk2utt, in any order.

    Raises: InputError `path:line: ...` for an empty line, a model without utterances, a model that has a line already,
    an utterance that comes twice in one model.
    """
    try:
        lines = [line.split() for line in lines_of(Path(path).read_bytes())]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a line of it is 'model utterance utterance ...'") from None
    if not lines:
        raise InputError(f"{path}: empty; a line of it is 'model utterance utterance ...'")
    line_of: dict[bytes, int] = {}
    for number, fields in enumerate(lines, start=1):
        if not fields:
            raise InputError(f"{path}:{number}: empty line; a line is 'model utterance utterance ...'")
        name = fields[0].decode("utf-8", "replace")
        if len(fields) == 1:
            raise InputError(f"{path}:{number}: model {name!r} has no utterance")
        if line_of.setdefault(fields[0], number) != number:
            raise InputError(f"{path}:{number}: model {name!r} stands on line {line_of[fields[0]]} already")
        if len(set(fields[1:])) != len(fields) - 1:
            twice = next(field for field in fields[1:] if fields[1:].count(field) > 1).decode("utf-8", "replace")
            raise InputError(f"{path}:{number}: utterance {twice!r} stands twice in model {name!r}")
    utterances, members = distinct_names([field for fields in lines for field in fields[1:]])
    names = [name.decode("utf-8", "surrogateescape") for name in line_of]
    starts = np.concatenate([[0], np.cumsum([len(fields) - 1 for fields in lines])])
    return Models(names, utterances, members, starts)


def average_embeddings(
    directory: str | os.PathLike[str],
    models: Models,
    function: Callable[[NDArray[np.float32]], NDArray[np.floating]],
) -> NDArray[np.floating]:
    """[M, ...] for each model the mean of `function` of its utterances' crop embeddings, in the order of the models.

    `function` as for map_embeddings. Sums are kept in float64, one a model, and embeddings are read block by block: the
    memory is that of the models, however many utterances they have. Raises: as map_embeddings.
    """
    # Members by utterance: those of utterance u are owners[firsts[u] : firsts[u + 1]].
    order = np.argsort(models.members, kind="stable")
    owners = models.owners()[order]
    firsts = np.searchsorted(models.members[order], np.arange(len(models.utterances) + 1))
    sums: NDArray[np.float64] | None = None
    for rows, mapped in mapped_blocks(directory, models.utterances, function):
        if sums is None:
            sums, dtype = np.zeros((len(models), *mapped.shape[1:])), mapped.dtype
        counts = firsts[rows + 1] - firsts[rows]
        block_rows = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(block_rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        block_owners = owners[np.repeat(firsts[rows], counts) + within]
        by_owner = np.argsort(block_owners, kind="stable")
        touched, starts = np.unique(block_owners[by_owner], return_index=True)
        sums[touched] += np.add.reduceat(mapped[block_rows[by_owner]], starts, axis=0, dtype=np.float64)
    if sums is None:
        raise InputError(f"{directory}: no model is asked for")
    return (sums / models.num_utterances.reshape(-1, *[1] * (sums.ndim - 1))).astype(dtype)
