"""Data directories whose audio is another's, and whose table utt2augmentation says what is done to each utterance."""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from spk.data.audio import is_pipe
from spk.data.augmentation import Augmentation
from spk.data.augmentation_plan import Drawing, choose_copies
from spk.data.data_dir import (
    RECORDING_FILES,
    align,
    at,
    blocks_of_lines,
    check_source,
    complete_data_dir,
    count_and_name,
    distinct,
    group_by_speaker,
    read_aligned,
    read_columns,
    read_sorted,
    read_table,
    recording_of,
    strictly_sorted,
    write_columns,
    write_table,
    write_whole,
)
from spk.data.durations import SAMPLE_RATE, at_speed, duration, read_durations
from spk.data.features import Source, file_state, list_rejected, read_sources, seconds_text
from spk.data.files import whole_file
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
    counts, seconds = write_copies(source, destination, drawing, copies)
    checks = Checks(
        skip=frozenset(["utt2augmentation"]), files_exist=False, allow_pipes=True
    )  # a million lines of JSON
    findings, _ = validate_data_dir(destination, checks)
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")
    by_kind = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    log.info("%s: %d utterances (%s), %.3g hours", destination, counts.total(), by_kind, seconds / 3600)


def write_copies(
    source: Path, destination: Path, drawing: Drawing, copies: Copies
) -> tuple[collections.Counter[str], float]:
    """All that `augment_data_dir` writes; how many copies of each kind there are, and their seconds."""
    utterances, speakers = read_sorted(source / "utt2spk")
    if not utterances:
        raise InputError(f"{source / 'utt2spk'}: empty; there is nothing to augment")
    speed_of = speeds_of_source(source, drawing)
    durations, reasons = durations_of_utterances(source, utterances)
    list_rejected(destination / "left_out.tsv", [(name, *reason) for name, reason in reasons.items()])
    if reasons:
        said = f"{len(reasons)} of {len(utterances)} utterances are left out, listed in {destination}/left_out.tsv"
        log.info("%s; the first is %s: %s", said, min(reasons), reasons[min(reasons)][1])
        known = [row for row, seconds in enumerate(durations) if seconds is not None]
        utterances, speakers, durations = (at(column, known) for column in (utterances, speakers, durations))
    if not durations:
        raise InputError(f"{source}: no utterance has a known length")

    kinds, rows = choose_copies(drawing, utterances, copies.each, copies.number)
    counts = collections.Counter(kinds)
    names, new_speakers = [], []
    for kind, row in zip(kinds, rows, strict=True):
        name, new_speaker = copies.name(kind, utterances[row], speakers[row])
        names.append(name)
        new_speakers.append(new_speaker)
    order = sorted(range(len(names)), key=names.__getitem__)
    if not strictly_sorted(at(names, order)):
        raise InputError(f"{source}: {first_clash(names, at(utterances, rows))}")
    names, new_speakers, kinds, rows = (at(column, order) for column in (names, new_speakers, kinds, rows))
    del order

    audio = audio_of(source, utterances, rows)
    seconds = array("d")

    def plan() -> Iterator[tuple[str, str]]:
        copied = zip(names, kinds, rows, strict=True)
        for name, kind, row in tqdm(copied, desc="plan", total=len(names), disable=not sys.stderr.isatty()):
            # Hundredths are enough; whatever measured it, what is drawn is nearly always the same.
            augmentation = drawing.draw(kind, utterances[row], round(durations[row], 2))
            seconds.append(at_speed(durations[row], augmentation.speed))
            if utterances[row] in speed_of:
                augmentation = dataclasses.replace(augmentation, speed=speed_of[utterances[row]])
            yield name, augmentation.to_json()

    with whole_file(destination / "utt2augmentation", "wb") as file:
        file.writelines(blocks_of_lines(plan()))
    write_columns(destination / "utt2spk", names, new_speakers)
    write_columns(destination / "utt2dur", names, list(map(seconds_text, seconds)))
    written = ["utt2augmentation", "utt2spk", "utt2dur"]
    written += copy_tables(source, destination, utterances, names, rows, *audio, vad=not drawing.speeds)
    if (source / "spk2gender").exists():
        genders = read_table(source / "spk2gender")
        origins = dict(zip(new_speakers, at(speakers, rows), strict=True))
        write_table(destination / "spk2gender", {new: genders[old] for new, old in origins.items() if old in genders})
        written.append("spk2gender")
    if not copies.same_names:
        sources = utterances
        if (source / "utt2uniq").exists():
            known = read_aligned(source / "utt2uniq", utterances)[0]
            sources = [uniq or utterance for uniq, utterance in zip(known, utterances, strict=True)]
        write_columns(destination / "utt2uniq", names, at(sources, rows))
        written.append("utt2uniq")
    complete_data_dir(destination, group_by_speaker(names, new_speakers), written, {})
    if copies.same_names:
        for path in lists_of(source):
            write_whole(destination / path.name, path.read_bytes())
    return counts, sum(seconds)


def first_clash(names: list[str], origins: list[str]) -> str:
    """What is wrong with the first of the copies whose name an earlier one has; `origins`: what they are copies of."""
    origin_of: dict[str, str] = {}
    for name, origin in zip(names, origins, strict=True):
        if name in origin_of:
            return f"copies of {origin_of[name]!r} and {origin!r} would share one name"
        origin_of[name] = origin
    raise AssertionError("no two names are the same")


def audio_of(source: Path, utterances: list[str], rows: list[int]) -> tuple[Path, list[str]]:
    """(segments or wav.scp, what it says of the utterances in these rows). Raises: InputError for those it lacks."""
    table = source / "segments" if (source / "segments").exists() else source / "wav.scp"
    places = at(read_aligned(table, utterances)[0], rows)
    if None in places:
        missing = {utterances[row] for row, place in zip(rows, places, strict=True) if place is None}
        fix = f"(run utils/fix_data_dir.sh {source})"
        raise InputError(f"{table}: lacks utterances, {count_and_name(missing)} {fix}")
    return table, places


def copy_tables(
    source: Path,
    destination: Path,
    utterances: list[str],
    names: list[str],
    rows: list[int],
    table: Path,
    places: list[str],
    vad: bool,
) -> list[str]:
    """Write the audio's tables and those of COPIED_TABLES (`vad`: vad.scp, too); which were written.

    names[i] is a copy of utterances[rows[i]], which lies where `table` says places[i]; all are sorted by name.
    """
    written: list[str] = []
    if table.name == "segments":
        used = distinct(map(recording_of, places))
        for name in RECORDING_FILES:
            if (source / name).exists():
                write_columns(destination / name, used, read_aligned(source / name, used)[0])
                written.append(name)
    else:
        write_columns(destination / "wav.scp", names, places)
        written.append("wav.scp")
    for name in COPIED_TABLES:
        if not (source / name).exists() or (name == "vad.scp" and not vad):
            continue
        values = at(read_aligned(source / name, utterances)[0], rows)
        if None in values:
            missing = {utterances[row] for row, value in zip(rows, values, strict=True) if value is None}
            log.info("%s is left out: it lacks utterances, %s", source / name, count_and_name(missing))
            continue
        write_columns(destination / name, names, values)
        written.append(name)
    return written


def durations_of_utterances(
    source: Path, utterances: list[str]
) -> tuple[list[float | None], dict[str, tuple[str, str]]]:
    """Seconds [U] by utt2dur, else by the headers of the files; {utterance whose seconds are None: (path, why)}."""
    table = source / "utt2dur"
    if table.exists():
        known = align(*read_lengths(table), utterances)[0]
        missing = [utterance for utterance, seconds in zip(utterances, known, strict=True) if seconds is None]
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
    durations |= measured
    return list(map(durations.get, utterances)), reasons


def speeds_of_source(source: Path, drawing: Drawing) -> dict[str, float]:
    """{utterance: speed} where `source` is augmented itself: only noise and rooms may follow, and only a speed."""
    table = source / "utt2augmentation"
    speeds: dict[str, float] = {}
    if not table.exists():
        return speeds
    for line, (utterance, said) in enumerate(zip(*read_columns(table), strict=True), start=1):
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
