"""Copy a data directory, with new ids if wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    read_table,
    trial_lists,
    write_table,
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

    Where utterances get new ids, utt2uniq says of which original each is a copy, and trial lists are left out. With
    `segments`, recordings keep their ids.
    """
    check_source(source, destination)
    utt2spk = read_table(source / "utt2spk")
    new_utterance = {utterance: renaming.utterance(utterance, speaker) for utterance, speaker in utt2spk.items()}
    new_speaker = {speaker: renaming.speaker(speaker) for speaker in utt2spk.values()}
    if len(set(new_utterance.values())) < len(new_utterance):
        first: dict[str, str] = {}
        for old, new in new_utterance.items():
            if first.setdefault(new, old) != old:
                raise InputError(
                    f"{source / 'utt2spk'}: utterances {first[new]!r} and {old!r} would both become {new!r}"
                )
    same_utterances = all(old == new for old, new in new_utterance.items())
    new_utt2spk = {new_utterance[utterance]: new_speaker[speaker] for utterance, speaker in utt2spk.items()}

    notes, written = [], ["utt2spk"]
    write_table(destination / "utt2spk", new_utt2spk)
    for name, new_key in renamed_tables(source, new_utterance, new_speaker):
        table = read_table(source / name)
        strangers = [key for key in table if key not in new_key] if new_key is not None else []
        if strangers:
            notes.append(f"{source / name}: left out, as utt2spk does not have them: {count_and_name(strangers)}")
        if new_key is not None:
            table = {new_key[key]: value for key, value in table.items() if key in new_key}
        write_table(destination / name, table)
        written.append(name)
    if not same_utterances and "utt2uniq" not in written:
        write_table(destination / "utt2uniq", {new: old for old, new in new_utterance.items()})
        written.append("utt2uniq")
    complete_data_dir(destination, new_utt2spk, written, directory_files_of(source))
    for path in trial_lists(source):
        if same_utterances:
            write_whole(destination / path.name, path.read_bytes())
        else:
            notes.append(f"{path} is left out: it names utterances by their old ids")
    foreign = [utterance for utterance, speaker in new_utt2spk.items() if not utterance.startswith(speaker)]
    if foreign:
        hint = "--add-speaker-prefix true mends it"
        notes.append(
            f"{destination}: utterances that do not begin with their speaker, {count_and_name(foreign)} ({hint})"
        )
    return notes


def renamed_tables(
    source: Path, new_utterance: Mapping[str, str], new_speaker: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, str] | None]]:
    """(file name, {old key: new key}) for each table but utt2spk and spk2utt; None where the keys stay."""
    new_recording = None if (source / "segments").exists() else new_utterance
    for names, new_key in (
        (UTTERANCE_FILES, new_utterance),
        (RECORDING_FILES, new_recording),
        (SPEAKER_FILES, new_speaker),
    ):
        for name in names:
            if name not in ("utt2spk", "spk2utt") and (source / name).exists():
                yield name, new_key
