"""Which training speakers are in Speakers in the Wild, too: those on a published list, and VoxCeleb2's test part.

The list, voxceleb1_sitw_overlap.txt of OpenSLR 49, has a name of VoxCeleb1 a line, as the column VGGFace1 ID of
vox1_meta.csv has it, or an id (id10001). No list of VoxCeleb2's is published; its test part overlaps SITW, and Kaldi's
recipe for SITW leaves all of it out (egs/sitw/v2/run.sh).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spk.data.data_dir import first_names
from spk.data.original_speaker import original
from spk.data.voxceleb import VOXCELEB1
from spk.data.voxceleb_metadata import SPEAKER, read_metadata, read_rows
from spk.errors import InputError

ON_LIST, VOX2_TEST = "on the list", "VoxCeleb2's test part"


@dataclass(frozen=True)
class Overlap:
    """`listed`: how many speakers the list has; `reason_of`: why a speaker, by id and by name, is not to train."""

    listed: int
    reason_of: dict[str, str]
    known: frozenset[str]

    def reason(self, speaker: str) -> str:
        """'' for a speaker who may train."""
        return self.reason_of.get(original(speaker), "")

    def unknown(self, speakers: Iterable[str]) -> list[str]:
        """Of whom nobody says who they are: neither the list nor the metadata has them."""
        return [who for who in speakers if original(who) not in self.known and original(who) not in self.reason_of]


def may_be_voxceleb2(speaker: str) -> bool:
    """By the form of the name; who of VoxCeleb2 is in its test part, ids do not tell."""
    first, last = VOXCELEB1
    name = original(speaker)
    return SPEAKER.fullmatch(name) is not None and not first <= name <= last


def read_names(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """{id: name} of VoxCeleb1's speakers, by vox1_meta.csv. Raises: InputError when two have one name."""
    name_of: dict[str, str] = {}
    owner: dict[str, str] = {}
    for path in paths:
        for line, row in read_rows(Path(path)):
            if "VoxCeleb1 ID" in row:
                speaker, name = row["VoxCeleb1 ID"], row.get("VGGFace1 ID") or row["VoxCeleb1 ID"]
                if owner.setdefault(name, speaker) != speaker:
                    raise InputError(f"{path}:{line}: {name!r} is the name of {owner[name]} already")
                name_of[speaker] = name
    return name_of


def read_overlap(path: str | os.PathLike[str], metadata: Sequence[str | os.PathLike[str]]) -> Overlap:
    """The list, with the ids of its names by vox1_meta.csv. Empty lines and what follows a # do not count.

    Raises: InputError for an empty list, for entries that are no id and no name of the metadata, because nobody knows
    whom they mean, and for faulty metadata.
    """
    entries: dict[str, int] = {}  # and the line of each
    for line, text in enumerate(Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n"), 1):
        if entry := text.partition("#")[0].strip():
            entries.setdefault(entry, line)
    if not entries:
        raise InputError(f"{path}: names nobody; a line is a speaker of VoxCeleb1, by name or id")
    facts, name_of = read_metadata(metadata), read_names(metadata)
    id_of = {name: speaker for speaker, name in name_of.items()}
    reason_of = {speaker: VOX2_TEST for speaker, fact in facts.items() if (fact.corpus, fact.part) == ("vox2", "test")}
    listed: set[str] = set()
    strangers = []
    for entry in entries:
        speaker = id_of.get(entry, entry)
        if not SPEAKER.fullmatch(speaker) or (name_of and speaker not in name_of):
            strangers.append(entry)
        listed.add(speaker)
        reason_of |= dict.fromkeys((speaker, name_of.get(speaker, speaker)), ON_LIST)
    if strangers:
        hint = (
            "neither a VoxCeleb1 ID nor a VGGFace1 ID of the metadata"
            if name_of
            else "no ids; give --metadata vox1_meta.csv, which has the ids of VoxCeleb1's names"
        )
        raise InputError(
            f"{path}:{entries[strangers[0]]}: {len(strangers)} of {len(entries)} entries are {hint}: "
            f"{first_names(strangers)}"
        )
    return Overlap(len(listed), reason_of, frozenset(facts) | frozenset(id_of))
