"""Speakers in the Wild as its distribution lays it out: enrolment lists, keys and speakers of each part, dev and eval.

A part is PART/audio, PART/lists, PART/keys. lists/enroll-<enrol>.lst has 'model audio/file.flac', or with annotated
speech in recordings of several speakers 'model audio/file.flac begin end' in seconds, perhaps several lines a model.
keys/<enrol>-<test>.lst has 'model audio/file.flac tgt|imp'. keys/meta.lst begins each line with 'audio/file.flac
speaker gender'; there each file belongs to one person of interest, and a session with two of them is two files.
  McLaren, Ferrer, Castan and Lawson, The Speakers in the Wild (SITW) speaker recognition database, Interspeech 2016
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from spk.data.audio import OVERSHOOT
from spk.data.checksums import md5_sums
from spk.data.columns import read_columns
from spk.data.data_dir import first_names
from spk.data.speaker_folders import DataSet, check_order
from spk.data.table_rules import seconds
from spk.data.trials import Trials, flags, refuse_contradictions
from spk.errors import InputError

PARTS = ("dev", "eval")
CONDITIONS = ("core-core", "core-multi", "assist-core", "assist-multi")
LABELS = {"tgt": True, "imp": False}
META_COLUMNS = 8  # path speaker gender microphone session begin end speakers; behind these, words with blanks
WHOLE = (0.0, -1.0)  # begin and end of a whole file, as in `segments`


@dataclass(frozen=True)
class Piece:
    """What a line of an enrolment list names: of a file, `path` in its part, the seconds from `begin` to `end`."""

    path: str
    begin: float
    end: float
    line: int = 0  # of the list

    @property
    def recording(self) -> str:
        return recording_of(self.path)


@dataclass(frozen=True)
class Speakers:
    """meta.lst: the persons of interest of each recording, in the order of its lines; genders, m or f, where clear."""

    of_recording: dict[str, list[str]]
    genders: dict[str, str]

    def all_of(self, recording: str) -> list[str]:
        """One that meta.lst does not know is its own speaker's."""
        return self.of_recording.get(recording, [recording])

    def first_of(self, recording: str) -> str:
        """Whose the recording is."""
        return self.all_of(recording)[0]


@dataclass
class Part:
    """One data directory: `data.wav` by recording, `data.utt2spk` by utterance, `segments` of the utterances.

    `models`: enrolment condition -> model -> its utterances. `trials`: condition -> trials of models and utterances.
    `remarks` say what the lists leave open.
    """

    path: Path
    data: DataSet = field(default_factory=DataSet)
    segments: dict[str, str] = field(default_factory=dict)
    models: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    trials: dict[str, Trials] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def find_parts(root: Path) -> list[Path]:
    """The parts, dev and eval, that are there. InputError without any."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    parts = [root / name for name in PARTS if (root / name).is_dir()]
    if not parts:
        inside = sorted({path.parent for name in PARTS for path in root.glob(f"*/{name}")})
        inside += [root.parent] * (root / "keys").is_dir()
        hint = f"; did you mean {inside[0]}?" if inside else "; its folders audio, keys and lists are to lie in these"
        raise InputError(f"{root}: has neither a folder dev nor eval of Speakers in the Wild{hint}")
    return parts


def list_files(part: Path) -> list[Path]:
    """All lists of a part."""
    return sorted([*part.glob("lists/*.lst"), *part.glob("keys/**/*.lst")])


def read_part(path: Path, with_aux: bool = False) -> Part:
    """All that the lists of a part say; `with_aux` also the keys of subsets of trials, in keys/aux.

    Raises: InputError for a line that is malformed, a key of models without enrolment, files that are not there and
    pieces that are not within their file.
    """
    part = Part(path)
    keys = find_keys(part, with_aux)
    speakers = read_speakers(path / "keys" / "meta.lst")
    enrolments = {name: read_enrolment(part, name) for name in dict.fromkeys(map(enrolment_of, keys))}
    raw_trials = {name: read_key(key) for name, key in keys.items()}
    for name, trials in raw_trials.items():
        check_models(keys[name], trials, enrolments[enrolment_of(name)], enrolment_list(path, enrolment_of(name)))

    pieces = [piece for models in enrolments.values() for of_model in models.values() for piece in of_model]
    tested = dict.fromkeys(name for trials in raw_trials.values() for name in tested_files(trials))
    add_recordings(part, dict.fromkeys([piece.path for piece in pieces] + list(tested)))
    for name, models in enrolments.items():
        check_pieces(enrolment_list(path, name), path, models)
    for name, models in enrolments.items():
        part.models[name] = {
            model: [add_utterance(part, speakers, piece) for piece in of_model] for model, of_model in models.items()
        }
        check_one_speaker(part, enrolment_list(path, name), models, speakers)
    utterance_of = {file: add_utterance(part, speakers, Piece(file, *WHOLE)) for file in tested}
    for name, trials in raw_trials.items():
        compare_with_speakers(part, keys[name], trials, enrolments[enrolment_of(name)], speakers)
        names = [utterance_of.get(name, name) for name in trials.utterances]
        part.trials[name] = Trials(names, trials.enroll, trials.test, trials.is_target)
    add_genders(part, speakers)
    check_order(str(path), part.data)
    return part


# ---- the lists


def find_keys(part: Part, with_aux: bool) -> dict[str, Path]:
    """{condition: its key} of those whose enrolment list is there; InputError when there is none."""
    folder = part.path / "keys"
    found = sorted(folder.glob("*-*.lst")) + (sorted((folder / "aux").glob("*-*.lst")) if with_aux else [])
    keys: dict[str, Path] = {}
    for key in found:
        name = key.name.removesuffix(".lst")
        enrolment = enrolment_list(part.path, enrolment_of(name))
        if name in keys:
            raise InputError(f"{key} and {keys[name]}: two keys named {name}; rename one")
        if len(name.split()) != 1:
            raise InputError(f"{key}: there is a blank in its name, which becomes that of a list of trials; rename it")
        if enrolment.is_file():
            keys[name] = key
        else:
            part.remarks.append(f"{key} is left out, because {enrolment} is not there")
    if not keys:
        raise InputError(
            f"{part.path}: no keys/<enrol>-<test>.lst with its lists/enroll-<enrol>.lst, such as keys/core-core.lst "
            "and lists/enroll-core.lst"
        )
    lacking = [name for name in CONDITIONS if not (folder / f"{name}.lst").is_file()]
    if lacking:
        part.remarks.append(f"{folder}: no key of {', '.join(lacking)}")
    return keys


def enrolment_of(condition: str) -> str:
    """'assist-multi.10s' -> 'assist'"""
    return condition.partition("-")[0]


def enrolment_list(path: Path, enrolment: str) -> Path:
    return path / "lists" / f"enroll-{enrolment}.lst"


def fields_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of the lines that are not empty. InputError when there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it belongs to Speakers in the Wild") from None
    if not content.split():
        raise InputError(f"{path}: empty")
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").split("\n"), start=1):
        if fields := line.split():
            yield number, fields


def recording_of(path: str) -> str:
    """'audio/unotx.flac' -> 'unotx'"""
    return path.rpartition("/")[2].rpartition(".")[0]


def is_within(path: str) -> bool:
    """Is this a file of the part, in a folder and with a suffix, as 'audio/unotx.flac'?"""
    parts = path.split("/")
    return len(parts) > 1 and "" not in parts and ".." not in parts and recording_of(path) != ""


def check_path(where: str, path: str) -> str:
    if not is_within(path):
        raise InputError(f"{where}: {path!r} is no file of this part, such as audio/unotx.flac")
    return path


def read_speakers(path: Path) -> Speakers:
    of_recording: dict[str, list[str]] = {}
    genders: dict[str, set[str]] = {}
    for line, fields in fields_of(path):
        if len(fields) < META_COLUMNS:
            raise InputError(
                f"{path}:{line}: {len(fields)} fields; a line is 'file speaker gender microphone session begin end "
                "speakers ...'"
            )
        recording, (speaker, gender) = recording_of(check_path(f"{path}:{line}", fields[0])), fields[1:3]
        known = of_recording.setdefault(recording, [])
        if speaker not in known:
            known.append(speaker)
        genders.setdefault(speaker, set()).add(gender)
    return Speakers(of_recording, {speaker: min(said) for speaker, said in genders.items() if said in ({"m"}, {"f"})})


def read_enrolment(part: Part, name: str) -> dict[str, list[Piece]]:
    """{model: what it is enrolled with}, each piece once."""
    path = enrolment_list(part.path, name)
    models: dict[str, list[Piece]] = {}
    seen: set[tuple[str, str, float, float]] = set()
    repeated = []
    for line, fields in fields_of(path):
        if len(fields) not in (2, 4):
            raise InputError(f"{path}:{line}: {len(fields)} fields; a line is 'model file' or 'model file begin end'")
        begin, end = WHOLE if len(fields) == 2 else (round(seconds(time), 3) for time in fields[2:])
        if len(fields) == 4 and not 0 <= begin < end:
            raise InputError(
                f"{path}:{line}: from {fields[2]} to {fields[3]}: wanted seconds, and an end after the begin"
            )
        piece = Piece(check_path(f"{path}:{line}", fields[1]), begin, end, line)
        if (fields[0], piece.path, begin, end) in seen:
            repeated.append(str(line))
            continue
        seen.add((fields[0], piece.path, begin, end))
        models.setdefault(fields[0], []).append(piece)
    if repeated:
        part.remarks.append(
            f"{path}: lines that repeat earlier ones count once, {len(repeated)}: {first_names(repeated)}"
        )
    return models


def read_key(path: Path) -> Trials:
    """Trials of models and files. InputError with file and line."""
    columns = read_columns(path, 3)
    is_target = flags(path, columns, 2, LABELS, "a line is 'model file tgt|imp'")
    names, (enroll, test) = columns.distinct(0, 1)
    trials = Trials(names, enroll, test, is_target)
    for file in np.unique(trials.test).tolist():
        if not is_within(names[file]):
            check_path(f"{path}:{np.argmax(trials.test == file) + 1}", names[file])
    refuse_contradictions(path, trials)
    return trials


def tested_files(trials: Trials) -> list[str]:
    return [trials.utterances[index] for index in np.unique(trials.test).tolist()]


def check_models(key: Path, trials: Trials, models: Mapping[str, Sequence[Piece]], enrolment: Path) -> None:
    enrolled = [trials.utterances[index] for index in np.unique(trials.enroll).tolist()]
    unknown = [name for name in enrolled if name not in models]
    if unknown:
        raise InputError(f"{key}: {enrolment} has no line for {len(unknown)} of its models: {first_names(unknown)}")


# ---- audio


def add_recordings(part: Part, files: Iterable[str]) -> None:
    """wav.scp. InputError for files that are not there, and for two of one name."""
    file_of: dict[str, str] = {}
    for file in files:
        other = file_of.setdefault(recording_of(file), file)
        if other != file:
            raise InputError(f"{part.path}: {other} and {file} are different recordings of one name; rename one")
    paths = {recording: os.path.abspath(part.path / file) for recording, file in file_of.items()}  # noqa: PTH100
    missing = [file_of[recording] for recording, path in paths.items() if not os.path.isfile(path)]  # noqa: PTH113
    if missing:
        raise InputError(
            f"{part.path}: its lists name {len(missing)} files that are not there: {first_names(missing)}; is the "
            "distribution unpacked completely?"
        )
    part.data.wav = paths


def check_pieces(enrolment: Path, part: Path, models: Mapping[str, Sequence[Piece]]) -> None:
    """InputError for pieces past the end of their file; a little more than its length is rounding, as for features."""
    durations: dict[str, float] = {}
    faults = []
    for piece in (piece for pieces in models.values() for piece in pieces if piece.end >= 0):
        if piece.path not in durations:
            durations[piece.path] = duration_of(part / piece.path)
        if piece.begin >= durations[piece.path] or piece.end > durations[piece.path] + OVERSHOOT:
            faults.append(piece)
    if faults:
        first = min(faults, key=lambda piece: piece.line)
        raise InputError(
            f"{enrolment}:{first.line}: from {first.begin:g} to {first.end:g} s of {first.path}, which lasts "
            f"{durations[first.path]:.2f} s; {len(faults)} lines go past the end of their files"
        )


def duration_of(path: Path) -> float:
    """Seconds, by the header."""
    try:
        return soundfile.info(path).duration
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(f"{path}: no audio that can be read: {error}") from None


def check_md5(part: Path) -> int:
    """Compare lists/audio_md5sum.lst, lines of md5sum, with the files; returns how many there are.

    Raises: InputError for a malformed line, for files that are not there or that differ.
    """
    path = part / "lists" / "audio_md5sum.lst"
    missing, different, count = [], [], 0
    for line, fields in fields_of(path):
        if len(fields) != 2 or len(fields[0]) != 32:
            raise InputError(f"{path}:{line}: wanted a line of md5sum, 'digest file'")
        digest, name = fields[0].lower(), fields[1].removeprefix("*").removeprefix("./")
        file = part / check_path(f"{path}:{line}", name if "/" in name else f"audio/{name}")
        count += 1
        if not file.is_file():
            missing.append(name)
        elif md5_sums([file])[0] != digest:
            different.append(name)
    faults = [f"{len(missing)} files are not there: {first_names(missing)}"] * bool(missing)
    faults += [f"{len(different)} files differ: {first_names(different)}"] * bool(different)
    if faults:
        raise InputError(f"{path}: {'; '.join(faults)}; unpack the distribution again")
    return count


# ---- utterances and their speakers


def add_utterance(part: Part, speakers: Speakers, piece: Piece) -> str:
    """Its id, '<speaker>-<recording>', and behind that begin and end in milliseconds for a piece of a recording."""
    speaker = speakers.first_of(piece.recording)
    utterance, value = f"{speaker}-{piece.recording}", f"{piece.recording} 0 -1"
    if (piece.begin, piece.end) != WHOLE:
        utterance += f"-{round(1000 * piece.begin):07d}-{round(1000 * piece.end):07d}"
        value = f"{piece.recording} {piece.begin:.3f} {piece.end:.3f}"
    if part.segments.setdefault(utterance, value) != value:
        raise InputError(
            f"{part.path}: {value!r} and {part.segments[utterance]!r} would both be {utterance!r}; rename one"
        )
    part.data.utt2spk[utterance] = speaker
    return utterance


def check_one_speaker(part: Part, enrolment: Path, models: Mapping[str, Sequence[Piece]], speakers: Speakers) -> None:
    """Say which models have recordings of several speakers: whose they are is not known then."""
    mixed = [
        model for model, pieces in models.items() if len({speakers.first_of(piece.recording) for piece in pieces}) > 1
    ]
    if mixed:
        part.remarks.append(f"{enrolment}: {len(mixed)} models of recordings of several speakers: {first_names(mixed)}")


def compare_with_speakers(
    part: Part, key: Path, trials: Trials, models: Mapping[str, Sequence[Piece]], speakers: Speakers
) -> None:
    """Say which labels the speakers of meta.lst contradict.

    That is no error: the keys were made by ear. A test of several speakers may well have the model's among them
    although the file is there for another, and then meta.lst names only that other.
    """
    enrolled, enroll = np.unique(trials.enroll, return_inverse=True)
    tested, test = np.unique(trials.test, return_inverse=True)
    names = trials.utterances
    enrolled_speakers = [
        [speakers.first_of(piece.recording) for piece in models[names[index]]] for index in enrolled.tolist()
    ]
    tested_speakers = [speakers.all_of(recording_of(names[index])) for index in tested.tolist()]
    is_same = share_a_speaker(enrolled_speakers, tested_speakers)[enroll, test]
    for is_target, label, word in ((True, "tgt", "different speakers"), (False, "imp", "the same speaker")):
        contradicting = np.flatnonzero((trials.is_target == is_target) & (is_same != is_target))
        if contradicting.size:
            total = np.count_nonzero(trials.is_target == is_target)
            first = contradicting[0]
            part.remarks.append(
                f"{key}: {contradicting.size} of {total} {label} trials have {word} by meta.lst and keep their label, "
                f"the first in line {first + 1}, '{trials.names(first)}'"
            )


def share_a_speaker(enrolled: Sequence[Sequence[str]], tested: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """[E, T] whether one of the speakers of the one is one of the other's."""
    names = {speaker for side in (enrolled, tested) for group in side for speaker in group}
    column_of = dict(zip(names, range(len(names)), strict=True))
    tables = []
    for side in (enrolled, tested):
        table = np.zeros((len(side), len(names)), np.float32)
        for row, group in enumerate(side):
            table[row, [column_of[speaker] for speaker in group]] = 1
        tables.append(table)
    return tables[0] @ tables[1].T > 0


def add_genders(part: Part, speakers: Speakers) -> None:
    """spk2gender, and remarks on recordings of unknown speakers, and of several."""
    unknown = [recording for recording in part.data.wav if recording not in speakers.of_recording]
    several = [recording for recording in part.data.wav if len(speakers.all_of(recording)) > 1]
    names = part.data.speakers()
    part.data.genders = {name: speakers.genders[name] for name in names if name in speakers.genders}
    meta = part.path / "keys" / "meta.lst"
    if unknown:
        part.remarks.append(
            f"{meta}: {len(unknown)} files are not in it, and each its own speaker: {first_names(unknown)}"
        )
    if several:
        part.remarks.append(
            f"{meta}: {len(several)} files of several speakers, of which the first counts: {first_names(several)}"
        )
    if 0 < len(part.data.genders) < len(names):
        part.remarks.append(
            f"no spk2gender, because the gender of {len(names) - len(part.data.genders)} speakers is unknown"
        )
