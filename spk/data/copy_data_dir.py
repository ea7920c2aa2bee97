"""Copy a data directory, with new ids if wanted."""

from __future__ import annotations

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
    left_out_note,
    model_lists,
    read_aligned,
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

    Where utterances get new ids, utt2uniq says of which original each is a copy, and trials and models are left
    out. With `segments`, recordings keep their ids.
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
    for names, new_keys in (
        (UTTERANCE_FILES, new_utterance),
        (RECORDING_FILES, {} if (source / "segments").exists() else new_utterance),
        (SPEAKER_FILES, new_speaker),
    ):
        old_keys = sorted(new_keys)
        renamed = list(map(new_keys.__getitem__, old_keys))
        for name in names:
            if name in ("utt2spk", "spk2utt") or not (source / name).exists():
                continue
            written.append(name)
            if not new_keys:
                write_table(destination / name, read_table(source / name))
                continue
            values, strangers = read_aligned(source / name, old_keys)
            if strangers:
                notes.append(left_out_note(source / name, strangers))
            rows = zip(renamed, values, strict=True)
            write_table(destination / name, {key: value for key, value in rows if value is not None})
    if not same_utterances and "utt2uniq" not in written:
        write_table(destination / "utt2uniq", {new: old for old, new in new_utterance.items()})
        written.append("utt2uniq")
    complete_data_dir(destination, new_utt2spk, written, directory_files_of(source))
    for path in [*trial_lists(source), *model_lists(source)]:
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
