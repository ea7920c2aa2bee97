"""Data directories and trials from folders of speech in VoxCeleb's layout: wav/<speaker>/<session>/<utterance>."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spk.data.data_dir import speakers_to_utterances, write_table
from spk.errors import InputError
from spk.schema import nearest

AUDIO = (".wav", ".flac")
GENDERS = {"m": "m", "male": "m", "f": "f", "female": "f", "": "", "-": "", "unknown": ""}
SPLITS = ("train", "test")


@dataclass
class DataSet:
    """What a data directory says. `genders` holds the speakers whose gender is known."""

    wav: dict[str, str] = field(default_factory=dict)  # utterance -> absolute path
    utt2spk: dict[str, str] = field(default_factory=dict)
    genders: dict[str, str] = field(default_factory=dict)

    def speakers(self) -> list[str]:
        return sorted(set(self.utt2spk.values()))

    def digest(self) -> str:
        """Of all that the data directory says, for a stamp."""
        digest = hashlib.sha256()
        for table in (self.wav, self.utt2spk, self.genders):
            lines = "".join([f"{key} {table[key]}\n" for key in sorted(table)])
            digest.update(f"{lines}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


@dataclass
class SpeakerFolder:
    """One folder of speech. `utterances`: speaker -> {utterance id: absolute path}; `left_out`: other entries."""

    path: Path
    utterances: dict[str, dict[str, str]]
    left_out: list[str]
    split: dict[str, str] = field(default_factory=dict)  # speaker -> train or test
    genders: dict[str, str] = field(default_factory=dict)  # of the speakers for whom it is known

    @property
    def test_set(self) -> str:
        return f"test_{self.path.name}"

    def speakers(self, split: str) -> list[str]:
        return [speaker for speaker in self.utterances if self.split[speaker] == split]


def read_folders(
    paths: Sequence[str | os.PathLike[str]], test_fraction: float, seed: int, test_folders: Sequence[str]
) -> list[SpeakerFolder]:
    """The folders with their splits: each folder's speakers.tsv, or a seeded draw of `test_fraction` of its speakers.

    Only the folders named in `test_folders` give test sets (all do, when it is empty). In the others nothing is drawn:
    all their speakers are for training. What their speakers.tsv calls test is left out by `make_sets`.

    Raises: InputError for anything that makes the folders ambiguous or unusable; see the functions below.
    """
    paths = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 (resolve would lose the names of links)
    check_folder_names(paths, test_folders)
    folders = []
    for path in paths:
        folder = find_recordings(path)
        table = path / "speakers.tsv"
        if table.exists():
            folder.split, folder.genders = read_speakers_table(table)
            check_named_speakers(table, folder)
        else:
            wanted = test_fraction if not test_folders or path.name in test_folders else 0.0
            folder.split = draw_split(path, list(folder.utterances), wanted, seed)
        folders.append(folder)
    check_speakers_of_one_folder(folders)
    return folders


def make_sets(folders: Sequence[SpeakerFolder], test_folders: Sequence[str]) -> dict[str, DataSet]:
    """{'train': all folders' training speakers, 'test_<folder>': its test speakers}; names in the order of the folders.

    Raises: InputError when there is nothing to train on, no test set, or a test set that gives no trials of both kinds.
    """
    sets = {"train": DataSet()}
    for folder in folders:
        add_speakers(sets["train"], folder, "train")
        testing = folder.speakers("test")
        if testing and (not test_folders or folder.path.name in test_folders):
            if len(testing) < 2:
                raise InputError(f"{folder.path}: only one test speaker, {testing[0]!r}; trials need at least 2")
            if all(len(folder.utterances[speaker]) < 2 for speaker in testing):
                raise InputError(f"{folder.path}: no test speaker has two utterances, so there are no target trials")
            add_speakers(sets.setdefault(folder.test_set, DataSet()), folder, "test")
    for name in test_folders:
        if f"test_{name}" not in sets:
            raise InputError(f"--test-folders {name}: the folder has no test speakers")
    names = ", ".join(str(folder.path) for folder in folders)
    if len(sets["train"].speakers()) < 2:
        raise InputError(f"{names}: {len(sets['train'].speakers())} training speakers in all; needs at least 2")
    if len(sets) == 1:
        raise InputError(f"{names}: no folder has test speakers, so there is nothing to test on")
    for name, data_set in sets.items():
        check_order(name, data_set)
    return sets


def add_speakers(data_set: DataSet, folder: SpeakerFolder, split: str) -> None:
    for speaker in folder.speakers(split):
        shared = folder.utterances[speaker].keys() & data_set.wav.keys()
        if shared:
            name = min(shared)
            paths = f"{data_set.wav[name]} and {folder.utterances[speaker][name]}"
            raise InputError(f"{paths}: would have the same id, {name!r}; rename a speaker or a session")
        data_set.wav |= folder.utterances[speaker]
        data_set.utt2spk |= dict.fromkeys(folder.utterances[speaker], speaker)
        if speaker in folder.genders:
            data_set.genders[speaker] = folder.genders[speaker]


def write_data_dir(data_dir: Path, data_set: DataSet) -> None:
    """Write wav.scp, utt2spk, spk2utt, and spk2gender when every speaker's gender is known: Kaldi wants all or none."""
    write_table(data_dir / "wav.scp", data_set.wav)
    write_table(data_dir / "utt2spk", data_set.utt2spk)
    write_table(data_dir / "spk2utt", speakers_to_utterances(data_set.utt2spk))
    if len(data_set.genders) == len(data_set.speakers()):
        write_table(data_dir / "spk2gender", data_set.genders)
    else:
        (data_dir / "spk2gender").unlink(missing_ok=True)


# ---- one folder


def find_recordings(path: Path) -> SpeakerFolder:
    """List wav/<speaker>/<session>/<utterance>.{wav,flac}; the utterance's id is <speaker>-<session>-<utterance>.

    Other files, hidden ones, deeper folders and speakers without a recording are left out and listed. Raises:
    InputError without wav/, without any recording, for a recording outside a session's folder, for a name with a blank
    and for two recordings that would have the same id.
    """
    wav = path / "wav"
    if not wav.is_dir():
        raise InputError(
            f"{path}: has no folder wav; speech is to lie in {wav}/<speaker>/<session>/<utterance>.wav or .flac"
        )
    utterances: dict[str, dict[str, str]] = {}
    left_out: list[str] = []
    seen: dict[str, str] = {}
    for speaker in list_folder(wav, left_out):
        recordings = {}
        for session in list_folder(Path(speaker.path), left_out):
            for name, file in list_recordings(session, left_out):
                utterance = f"{speaker.name}-{session.name}-{name}"
                if utterance in seen:
                    raise InputError(f"{file}: would have the same id as {seen[utterance]}, {utterance!r}; rename one")
                seen[utterance] = recordings[utterance] = file
        if recordings:
            utterances[speaker.name] = recordings
        else:
            left_out.append(speaker.path)
    if not utterances:
        raise InputError(f"{path}: no recording is {wav}/<speaker>/<session>/<utterance>.wav or .flac")
    return SpeakerFolder(path, utterances, left_out)


def list_folder(path: Path, left_out: list[str]) -> Iterator[os.DirEntry[str]]:
    """The folders inside wav/ or inside a speaker's folder, sorted. A recording there is in the wrong place."""
    for entry in sorted_entries(path):
        if entry.is_dir() and not entry.name.startswith("."):
            check_name(entry)
            yield entry
        elif is_recording(entry):
            raise InputError(f"{entry.path}: is not in wav/<speaker>/<session>/; move it into a folder for its session")
        else:
            left_out.append(entry.path)


def list_recordings(session: os.DirEntry[str], left_out: list[str]) -> Iterator[tuple[str, str]]:
    """(name without suffix, path) of the recordings of a session, sorted."""
    for entry in sorted_entries(Path(session.path)):
        if is_recording(entry):
            check_name(entry)
            yield entry.name.rpartition(".")[0], entry.path
        else:
            left_out.append(entry.path)


def sorted_entries(path: Path) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def is_recording(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(AUDIO) and not entry.name.startswith(".") and not entry.is_dir()


def check_name(entry: os.DirEntry[str]) -> None:
    if len(entry.name.split()) != 1 or entry.name != entry.name.strip():
        raise InputError(
            f"{entry.path}: there is a blank in {entry.name!r}, which Kaldi's tables cannot hold; rename it"
        )


def read_speakers_table(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """speakers.tsv as {speaker: train or test} and {speaker: m or f} for those whose gender is given.

    The first line names the columns, with tabs between: speaker and split, perhaps gender; others are not looked at.
    Raises InputError with file and line.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    for column in ("speaker", "split"):
        if column not in header:
            columns = ", ".join(header)
            raise InputError(f"{path}:1: no column is named {column!r}; the columns, with tabs between: {columns}")
    splits: dict[str, str] = {}
    genders: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            raise InputError(f"{path}:{number}: {len(fields)} fields, but the header has {len(header)}")
        row = dict(zip(header, fields, strict=True))
        speaker, split, gender = row["speaker"], row["split"], row.get("gender", "").strip().lower()
        if speaker in splits:
            raise InputError(f"{path}:{number}: speaker {speaker!r} stands on an earlier line already")
        if split not in SPLITS:
            raise InputError(f"{path}:{number}: split {split!r} of speaker {speaker!r}; allowed: {' or '.join(SPLITS)}")
        if gender not in GENDERS:
            raise InputError(
                f"{path}:{number}: gender {row['gender']!r} of speaker {speaker!r}; allowed: m, f or nothing"
            )
        splits[speaker] = split
        if GENDERS[gender]:
            genders[speaker] = GENDERS[gender]
    return splits, genders


def check_named_speakers(table: Path, folder: SpeakerFolder) -> None:
    """speakers.tsv must name the very speakers who have recordings."""
    unknown = [speaker for speaker in folder.split if speaker not in folder.utterances]
    lacking = [speaker for speaker in folder.utterances if speaker not in folder.split]
    faults = []
    if unknown:
        faults.append(f"names {count_and_first(unknown)} without a recording in {folder.path / 'wav'}")
    if lacking:
        faults.append(f"lacks {count_and_first(lacking)} who have recordings there")
    if faults:
        raise InputError(f"{table}: {' and '.join(faults)}; correct the table, or remove it for a drawn split")


def draw_split(path: Path, speakers: Sequence[str], test_fraction: float, seed: int) -> dict[str, str]:
    """Draw the test speakers, at least 2 unless the fraction is 0.

    The draw goes by a hash of each speaker's name, so that a speaker more or less hardly changes the others' split.
    Raises: InputError when there is only one speaker.
    """
    num_test = max(2, round(test_fraction * len(speakers))) if test_fraction else 0
    if num_test > len(speakers):
        raise InputError(
            f"{path}: only one speaker, {speakers[0]!r}, so none can be drawn for testing; say in "
            f"{path / 'speakers.tsv'} what it is for"
        )

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()

    testing = set(sorted(speakers, key=draw)[:num_test])
    return {speaker: "test" if speaker in testing else "train" for speaker in speakers}


# ---- several folders


def check_folder_names(paths: Sequence[Path], test_folders: Sequence[str]) -> None:
    """Folder names become names of data directories: they must differ and hold no blank."""
    known: dict[str, Path] = {}
    for path in paths:
        if not path.name or len(path.name.split()) != 1 or "\n" in str(path):
            raise InputError(f"{str(path)!r}: a folder that gives a test set its name must have one without blanks")
        if path.name in known:
            raise InputError(
                f"{known[path.name]} and {path}: two folders named {path.name!r}; their test sets would be one"
            )
        known[path.name] = path
    for name in test_folders:
        if name not in known:
            raise InputError(f"--test-folders: no folder is named {name!r}; {nearest(name, known)}")


def check_speakers_of_one_folder(folders: Sequence[SpeakerFolder]) -> None:
    for first, second in itertools.combinations(folders, 2):
        shared = [speaker for speaker in first.utterances if speaker in second.utterances]
        if shared:
            raise InputError(
                f"{first.path} and {second.path} share {count_and_first(shared)}: are these the same persons? "
                "Give different persons different names, and the same person one folder"
            )


def check_order(name: str, data_set: DataSet) -> None:
    """Sorted by utterance, the speakers must be sorted too; Kaldi's tables are sorted by both at once."""
    utterances = sorted(data_set.utt2spk)
    for utterance, following in itertools.pairwise(utterances):
        speaker, other = data_set.utt2spk[utterance], data_set.utt2spk[following]
        if speaker > other:
            raise InputError(
                f"{name}: speakers {other!r} and {speaker!r}: utterance {following!r} sorts after {utterance!r}, so "
                "that the tables cannot be sorted by utterance and by speaker at once; rename one of the speakers so "
                "that its name does not begin with the other's"
            )


def count_and_first(names: Iterable[str], shown: int = 3) -> str:
    """'5 speakers (a, b, c, ...)'"""
    names = list(names)
    more = ", ..." if len(names) > shown else ""
    return f"{len(names)} speaker{'s' * (len(names) != 1)} ({', '.join(names[:shown])}{more})"


def stale_sets(data_dir: Path, sets: Mapping[str, DataSet]) -> list[Path]:
    """Test sets in `data_dir` that are not among `sets`: a recipe would take them for sets of its own."""
    return sorted(path for path in data_dir.glob("test_*") if path.is_dir() and path.name not in sets)
