"""Data directories whose audio is another's, and whose table utt2augmentation says what is done to each utterance."""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from tqdm import tqdm

from spk.data.audio import is_pipe
from spk.data.augmentation import Augmentation
from spk.data.augmentation_plan import Drawing, choose_copies
from spk.data.data_dir import (
    RECORDING_FILES,
    check_source,
    complete_data_dir,
    count_and_name,
    read_table,
    speakers_to_utterances,
    write_table,
    write_whole,
)
from spk.data.durations import SAMPLE_RATE, at_speed, duration, read_durations
from spk.data.features import Source, file_state, list_rejected, read_sources, seconds_text
from spk.data.noise_dir import read_lengths
from spk.data.validate_data_dir import Checks, validate_data_dir
from spk.errors import InputError

log = logging.getLogger(__name__)
# What an utterance keeps however it is augmented; voice activity too, as in Kaldi's recipe, where the speed stays.
COPIED_TABLES = ("segments", "text", "utt2lang", "vad.scp")
# Lists of a test set, which name its utterances.
LISTS = ("trials*", "models_*")


@dataclasses.dataclass(frozen=True)
class Copies:
    """Which copies there are, and what they are called."""

    each: bool = True  # one of every kind; else one, of a kind that is drawn
    number: int | None = None  # draw so many of them
    same_names: bool = False
    new_speakers: bool = True  # at another speed somebody is another speaker

    def name(self, kind: str, utterance: str, speaker: str) -> tuple[str, str]:
        """The new names of an utterance and its speaker; the one begins with the other, as Kaldi wants it."""
        if self.same_names:
            return utterance, speaker
        if kind.startswith("sp") and self.new_speakers:
            return f"{kind}-{utterance}", f"{kind}-{speaker}"
        return f"{utterance}-{kind}", speaker


def input_files(source: Path) -> list[Path]:
    """The files of a data directory by which `augment_data_dir` goes.

    Lengths are those of the audio, and so is utt2dur, which make_feats writes after the copies are drawn.
    """
    names = ("wav.scp", "utt2spk", "utt2uniq", "utt2augmentation", "spk2gender", "reco2dur", *COPIED_TABLES)
    return [path for name in names if (path := source / name).exists()] + lists_of(source)


def what_left_out(destination: Path) -> dict[str, str]:
    """For the stamp: as what the files are there that left utterances out for want of their length; {} without such.

    One that is another later has been mended, perhaps.
    """
    left_out = destination / "left_out.tsv"
    if not left_out.exists():
        return {}
    lines = left_out.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = sorted({line.split("\t")[1] for line in lines})
    return {"what left utterances out": json.dumps({path: file_state(path) for path in paths})}


def lists_of(source: Path) -> list[Path]:
    return sorted(path for pattern in LISTS for path in source.glob(pattern) if path.is_file())


def augment_data_dir(source: Path, destination: Path, drawing: Drawing, copies: Copies) -> None:
    """Write the augmented copies of `source`; features of an earlier run there are forgotten.

    Utterances whose length is unknown are left out, counted, and listed in left_out.tsv. InputError when nothing
    remains, when names would clash, or when `source` is augmented already by more than its speed.
    """
    check_source(source, destination)
    utt2spk = read_table(source / "utt2spk")
    if not utt2spk:
        raise InputError(f"{source / 'utt2spk'}: empty; there is nothing to augment")
    speed_of = speeds_of_source(source, drawing)
    durations, reasons = durations_of_utterances(source, utt2spk)
    list_rejected(destination / "left_out.tsv", [(name, *reason) for name, reason in reasons.items()])
    if reasons:
        said = f"{len(reasons)} of {len(utt2spk)} utterances are left out, listed in {destination}/left_out.tsv"
        log.info("%s; the first is %s: %s", said, min(reasons), reasons[min(reasons)][1])
    if not durations:
        raise InputError(f"{source}: no utterance has a known length")

    origins: dict[str, str] = {}
    new_utt2spk: dict[str, str] = {}
    new_durations: dict[str, str] = {}
    plan: dict[str, str] = {}
    counts: collections.Counter[str] = collections.Counter()
    total = 0.0
    chosen = choose_copies(drawing, list(durations), copies.each, copies.number)
    for kind, utterance in tqdm(chosen, desc="plan", disable=not sys.stderr.isatty()):
        # Hundredths are enough; whatever measured it, what is drawn is nearly always the same.
        augmentation = drawing.draw(kind, utterance, round(durations[utterance], 2))
        seconds = at_speed(durations[utterance], augmentation.speed)
        if utterance in speed_of:
            augmentation = dataclasses.replace(augmentation, speed=speed_of[utterance])
        new_utterance, new_speaker = copies.name(kind, utterance, utt2spk[utterance])
        if new_utterance in origins:
            raise InputError(f"{source}: copies of {origins[new_utterance]!r} and {utterance!r} would share one name")
        origins[new_utterance] = utterance
        new_utt2spk[new_utterance] = new_speaker
        new_durations[new_utterance] = seconds_text(seconds)
        plan[new_utterance] = augmentation.to_json()
        counts[kind] += 1
        total += seconds
    del chosen, durations

    write_table(destination / "utt2spk", new_utt2spk)
    write_table(destination / "utt2dur", new_durations)
    write_table(destination / "utt2augmentation", plan)
    del new_durations, plan
    written = ["utt2spk", "utt2dur", "utt2augmentation"]
    written += copy_tables(source, destination, origins, vad=not drawing.speeds)
    speakers = {new_speaker: utt2spk[origins[utterance]] for utterance, new_speaker in new_utt2spk.items()}
    if (source / "spk2gender").exists():
        genders = read_table(source / "spk2gender")
        write_table(destination / "spk2gender", {new: genders[old] for new, old in speakers.items() if old in genders})
        written.append("spk2gender")
    if not copies.same_names:
        uniq = read_table(source / "utt2uniq") if (source / "utt2uniq").exists() else {}
        write_table(destination / "utt2uniq", {new: uniq.get(old, old) for new, old in origins.items()})
        written.append("utt2uniq")
    complete_data_dir(destination, speakers_to_utterances(new_utt2spk), written, {})
    if copies.same_names:
        for path in lists_of(source):
            write_whole(destination / path.name, path.read_bytes())
    del utt2spk, origins, new_utt2spk, speakers  # the check below reads all of it again
    checks = Checks(
        skip=frozenset(["utt2augmentation"]), files_exist=False, allow_pipes=True
    )  # a million lines of JSON
    findings, _ = validate_data_dir(destination, checks)
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")
    by_kind = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    log.info("%s: %d utterances (%s), %.3g hours", destination, counts.total(), by_kind, total / 3600)


def copy_tables(source: Path, destination: Path, origins: Mapping[str, str], vad: bool) -> list[str]:
    """Write the audio's tables and those of COPIED_TABLES (`vad`: vad.scp, too); which were written."""
    written: list[str] = []
    if (source / "segments").exists():
        segments = read_table(source / "segments")
        used = {segments[old].split()[0] for old in set(origins.values())}
        for name in RECORDING_FILES:
            if (source / name).exists():
                table = read_table(source / name)
                write_table(destination / name, {key: value for key, value in table.items() if key in used})
                written.append(name)
    else:
        entries = read_table(source / "wav.scp")
        write_table(destination / "wav.scp", {new: entries[old] for new, old in origins.items()})
        written.append("wav.scp")
    for name in COPIED_TABLES:
        if not (source / name).exists() or (name == "vad.scp" and not vad):
            continue
        table = read_table(source / name)
        missing = [old for old in origins.values() if old not in table]
        if missing:
            log.info("%s is left out: it lacks utterances, %s", source / name, count_and_name(set(missing)))
            continue
        write_table(destination / name, {new: table[old] for new, old in origins.items()})
        written.append(name)
    return written


def durations_of_utterances(
    source: Path, utterances: Collection[str]
) -> tuple[dict[str, float], dict[str, tuple[str, str]]]:
    """{utterance: seconds} by utt2dur, else by the headers of the files; {utterance: (path, why not)}."""
    table = source / "utt2dur"
    if table.exists():
        lengths = read_lengths(table)
        missing = [utterance for utterance in utterances if utterance not in lengths]
        known = {utterance: lengths[utterance] for utterance in utterances if utterance in lengths}
        return known, dict.fromkeys(missing, (str(table), "does not have its length"))
    sources = read_sources(source, allow_pipes=True)
    missing = [utterance for utterance in utterances if utterance not in sources]
    if missing:
        fix = f"(run utils/fix_data_dir.sh {source})"
        raise InputError(f"{source}: utterances without audio, {count_and_name(missing)} {fix}")
    durations: dict[str, float] = {}
    files: dict[str, Source] = {}
    for utterance in utterances:
        place = sources[utterance]
        if not is_pipe(place.entry):
            files[utterance] = place
        elif place.part is not None and place.part[1] >= 0:
            num_samples = round((place.part[1] - place.part[0]) * SAMPLE_RATE)
            durations[utterance] = duration(num_samples, SAMPLE_RATE, place)
        else:
            raise InputError(
                f"{source}/wav.scp: the audio of {utterance!r} comes from a command, so {table} has to say how long "
                f"it is (steps/make_feats --allow-pipes true {source} writes it)"
            )
    del sources
    if files:
        log.info("%s: not there, so the lengths of %d utterances are read from headers", table, len(files))
    measured, faults = read_durations(files)
    reasons = {utterance: (files[utterance].entry, fault) for utterance, fault in faults.items()}
    return durations | measured, reasons


def speeds_of_source(source: Path, drawing: Drawing) -> dict[str, float]:
    """{utterance: speed} where `source` is augmented itself: only noise and rooms may follow, and only a speed."""
    table = source / "utt2augmentation"
    speeds: dict[str, float] = {}
    if not table.exists():
        return speeds
    for line, (utterance, said) in enumerate(read_table(table).items(), start=1):
        try:
            augmentation = Augmentation.from_json(said)
        except InputError as error:
            raise InputError(f"{table}:{line}: {utterance!r}: {error}") from None
        if augmentation == Augmentation():
            continue
        if augmentation.rir or augmentation.additions or drawing.speeds:
            raise InputError(
                f"{table}:{line}: {utterance!r} is augmented already; only noise and rooms can be added, to what has "
                "another speed alone: augment the clean data directory"
            )
        speeds[utterance] = augmentation.speed
    return speeds
