"""VoxCeleb 1 and 2 in the layouts in which people have them: speakers, which set they are in, and their recordings."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spk.data.decode import ENCODED
from spk.data.speaker_folders import AUDIO, check_name, sorted_entries
from spk.data.voxceleb_metadata import PARTS, SPEAKER, Facts
from spk.errors import InputError

# The whole corpora: speakers and utterances.
COMPLETE = {
    "vox1_dev": (1_211, 148_642),
    "vox1_test": (40, 4_874),
    "vox2_dev": (5_994, 1_092_009),
    "vox2_test": (118, 36_237),
}
SUFFIXES = AUDIO + ENCODED
FORMATS = ("wav", "aac", "flac", "m4a", "mp4")  # as folders are called
LEVELS = 5  # how far below a root a speaker's folder may lie
VOXCELEB1 = ("id10001", "id11251")  # its first and last speaker; all other numbers are of VoxCeleb2
LAYOUT = "<speaker>/<video>/<utterance>, such as wav/id10001/1zcIwhmdeo4/00001.wav"


@dataclass(frozen=True)
class Folder:
    """A folder, and the part that `named` tells: of it and the folders around it the nearest whose name says so."""

    path: str
    part: str = ""  # dev, test or ''
    named: str = ""


@dataclass
class Tally:
    """How many there were, and the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < 3:
            self.first.append(name)

    def __str__(self) -> str:
        return f"{self.count:,} ({', '.join(self.first)}{', ...' * (self.count > len(self.first))})"


@dataclass
class Remarks:
    """What was met on the way through the folders and is not in the lists as it stands."""

    no_audio: Tally = field(default_factory=Tally)  # files
    empty: Tally = field(default_factory=Tally)  # folders
    superseded: Tally = field(default_factory=Tally)  # encoded files whose decoded copy is taken
    encoded: Tally = field(default_factory=Tally)  # files that must be decoded
    rejected: Tally = field(default_factory=Tally)  # files that could not be


def find_speakers(roots: Sequence[str]) -> dict[str, list[Folder]]:
    """{speaker: their folders below the roots}, sorted. A speaker may have several: AAC in one, decoded in another.

    Raises: InputError for a root that is no folder or has no speaker's folder below it.
    """
    folders: dict[str, dict[str, Folder]] = {}
    for given in roots:
        root = os.path.abspath(given)  # noqa: PTH100 (resolve would lose the names of links)
        if not os.path.isdir(root):  # noqa: PTH112
            raise InputError(f"{given}: no such folder")
        if "\n" in root or "\r" in root:
            raise InputError(f"{root!r}: a line break in a folder's name, which Kaldi's tables cannot hold")
        found = list(speakers_below(around(root), LEVELS))
        if not found:
            raise InputError(
                f"{given}: no speaker's folder ('id' and five digits) down to {LEVELS} levels below it; VoxCeleb is "
                f"{LAYOUT} (archives are unpacked by unpack_voxceleb)"
            )
        for speaker, folder in found:
            folders.setdefault(speaker, {})[folder.path] = folder
    return {speaker: list(folders[speaker].values()) for speaker in sorted(folders)}


def around(root: str) -> Folder:
    """A root, with the part that its own name tells, or that of the folder around it where it is called wav or aac."""
    folder = Path(root)
    if folder.name.lower() in FORMATS:
        outer = part_in_name(folder.parent.name)
        return Folder(root, outer, str(folder.parent) if outer else "")
    part = part_in_name(folder.name)
    return Folder(root, part, root if part else "")


def part_in_name(name: str) -> str:
    """'dev' for dev, dev_wav or vox1_dev_wav, 'test' likewise; '' for names that tell neither or both.

    A folder called test_corpora, say, is none of VoxCeleb's and tells nothing.
    """
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    parts = words & set(PARTS)
    of_voxceleb = any(word.startswith("vox") for word in words) or words <= {*PARTS, *FORMATS}
    return parts.pop() if len(parts) == 1 and of_voxceleb else ""


def speakers_below(folder: Folder, levels: int) -> Iterator[tuple[str, Folder]]:
    for entry in sorted_entries(Path(folder.path)):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if SPEAKER.fullmatch(entry.name):
            yield entry.name, Folder(entry.path, folder.part, folder.named)
        elif levels > 1:
            part = part_in_name(entry.name)
            inner = Folder(entry.path, part, entry.path) if part else Folder(entry.path, folder.part, folder.named)
            yield from speakers_below(inner, levels - 1)


def set_of(speaker: str, folders: Sequence[Folder], metadata: Mapping[str, Facts]) -> str:
    """vox1_dev, vox1_test, vox2_dev or vox2_test: by the metadata, or by the names of folders where they do not tell.

    Raises: InputError when neither tells, and when they contradict each other.
    """
    facts = metadata.get(speaker)
    named = [folder for folder in folders if folder.part]
    if facts:
        for folder in named:
            if folder.part != facts.part:
                raise InputError(
                    f"{folder.path}: is in {folder.part} by the name of {folder.named}, but in {facts.part} by "
                    f"{facts.source}: move the speaker's folder, or rename {Path(folder.named).name}"
                )
        return f"{facts.corpus}_{facts.part}"
    corpus = "vox1" if VOXCELEB1[0] <= speaker <= VOXCELEB1[1] else "vox2"
    if not named:
        lacking = ", and --metadata does not have the speaker" if metadata else f"; give --metadata {corpus}_meta.csv"
        raise InputError(f"{folders[0].path}: no folder's name tells whether this is dev or test{lacking}")
    for folder in named:
        if folder.part != named[0].part:
            raise InputError(
                f"{named[0].path} and {folder.path}: one is in {named[0].part} and one in {folder.part}, but a speaker "
                f"is in one only; --metadata {corpus}_meta.csv tells which"
            )
    return f"{corpus}_{named[0].part}"


def list_recordings(speaker: str, folders: Iterable[Folder], remarks: Remarks) -> dict[str, str]:
    """{<speaker>-<video>-<utterance>: absolute path}, sorted. Of an encoded file and its decoded copy, the copy.

    No file is opened or asked for its size. Raises: InputError for two files of the same kind with the same id, and
    for a name with a blank.
    """
    recordings: dict[str, str] = {}
    for folder in folders:
        videos = sorted_entries(Path(folder.path))
        if not videos:
            remarks.empty.add(folder.path)
        for video in videos:
            if video.name.startswith(".") or not video.is_dir():
                remarks.no_audio.add(video.path)
                continue
            check_name(video)
            prefix, files = f"{speaker}-{video.name}-", sorted_entries(Path(video.path))
            if not files:
                remarks.empty.add(video.path)
            for file in files:
                stem, _, suffix = file.name.rpartition(".")
                if f".{suffix.lower()}" not in SUFFIXES or file.name[0] == "." or file.is_dir(follow_symlinks=False):
                    remarks.no_audio.add(file.path)
                    continue
                check_name(file)
                add_recording(recordings, prefix + stem, file.path, remarks)
    return {utterance: recordings[utterance] for utterance in sorted(recordings)}


def add_recording(recordings: dict[str, str], utterance: str, path: str, remarks: Remarks) -> None:
    other = recordings.get(utterance)
    if other is None:
        recordings[utterance] = path
        return
    if is_encoded(other) == is_encoded(path):
        raise InputError(f"{other} and {path}: both are {utterance!r}; name the folder of only one of them")
    recordings[utterance] = other if is_encoded(path) else path
    remarks.superseded.add(path if is_encoded(path) else other)


def is_encoded(path: str) -> bool:
    return path.lower().endswith(ENCODED)


def decoding_pipe(path: str) -> str:
    """The entry of wav.scp that decodes a file whenever it is read."""
    return f"ffmpeg -nostdin -loglevel error -i {shlex.quote(path)} -vn -ac 1 -ar 16000 -f wav - |"
