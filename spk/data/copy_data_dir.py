"""Copy a data directory, with new ids if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spk.data.data_dir import (
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    check_source,
    complete_data_dir,
    count_and_name,
    directory_files_of,
    distinct,
    group_by_speaker,
    left_out_note,
    model_lists,
    read_aligned,
    read_sorted,
    read_table,
    sort_columns,
    strictly_sorted,
    trial_lists,
    write_columns,
    write_whole,
)
from spk.errors import InputError


@dataclass(frozen=True)
class Renaming:
    """How ids change. `add_speaker_prefix` puts the speaker and a dash before utterances that lack the speaker."""

    utt_prefix: str = ""
    utt_suffix: str = ""
    spk_prefix: str = ""
    spk_suffix: str = ""
    add_speaker_prefix: bool = False

    def speaker(self, speaker: str) -> str:
        return f"{self.spk_prefix}{speaker}{self.spk_suffix}"

    def utterance(self, utterance: str, speaker: str) -> str:
        new = f"{self.utt_prefix}{utterance}{self.utt_suffix}"
        if self.add_speaker_prefix and not new.startswith(self.speaker(speaker)):
            return f"{self.speaker(speaker)}-{new}"
        return new


def copy_data_dir(source: Path, destination: Path, renaming: Renaming) -> list[str]:
    """Copy all tables with the new ids; returns lines about what is left out or remains to be mended.

    Where utterances get new ids, utt2uniq says of which original each is a copy, and trials and models are left
    out. With `segments`, recordings keep their ids.
    """
    check_source(source, destination)
    utterances, speakers = read_sorted(source / "utt2spk")
    renamed = list(map(renaming.utterance, utterances, speakers))
    names = distinct(speakers)
    new_speaker = {speaker: renaming.speaker(speaker) for speaker in names}
    new_utterances, new_speakers = sort_columns(renamed, list(map(new_speaker.__getitem__, speakers)))
    if not strictly_sorted(new_utterances):
        raise InputError(f"{source / 'utt2spk'}: {first_clash(read_table(source / 'utt2spk'), renaming)}")
    same_utterances = renamed == utterances

    recordings = ([], []) if (source / "segments").exists() else (utterances, renamed)
    notes, written = [], ["utt2spk"]
    write_columns(destination / "utt2spk", new_utterances, new_speakers)
    for files, keys, new_keys in (
        (UTTERANCE_FILES, utterances, renamed),
        (RECORDING_FILES, *recordings),
        (SPEAKER_FILES, names, list(new_speaker.values())),
    ):
        for name in files:
            if name in ("utt2spk", "spk2utt") or not (source / name).exists():
                continue
            written.append(name)
            if not keys:
                write_columns(destination / name, *read_sorted(source / name))
                continue
            values, strangers = read_aligned(source / name, keys)
            if strangers:
                notes.append(left_out_note(source / name, strangers))
            write_columns(destination / name, *sort_columns(new_keys, values))
    if not same_utterances and "utt2uniq" not in written:
        write_columns(destination / "utt2uniq", *sort_columns(renamed, utterances))
        written.append("utt2uniq")
    spk2utt = group_by_speaker(new_utterances, new_speakers)
    complete_data_dir(destination, spk2utt, written, directory_files_of(source))
    for path in [*trial_lists(source), *model_lists(source)]:
        if same_utterances:
            write_whole(destination / path.name, path.read_bytes())
        else:
            notes.append(f"{path} is left out: it names utterances by their old ids")
    pairs = zip(new_utterances, new_speakers, strict=True)
    foreign = [utterance for utterance, speaker in pairs if not utterance.startswith(speaker)]
    if foreign:
        hint = "--add-speaker-prefix true mends it"
        notes.append(
            f"{destination}: utterances that do not begin with their speaker, {count_and_name(foreign)} ({hint})"
        )
    return notes


def first_clash(utt2spk: Mapping[str, str], renaming: Renaming) -> str:
    """Which two utterances would have one new id."""
    old_of: dict[str, str] = {}
    for utterance, speaker in utt2spk.items():
        new = renaming.utterance(utterance, speaker)
        if old_of.setdefault(new, utterance) != utterance:
            return f"utterances {old_of[new]!r} and {utterance!r} would both become {new!r}"
    raise AssertionError("every new id is another one")
