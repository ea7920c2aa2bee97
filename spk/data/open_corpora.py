"""Corpora and lists that anybody may download: where they are, what they unpack to, and how egs/mini can take them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spk.data.files import whole_file
from spk.data.voxceleb_archives import HOW_TO_GET
from spk.errors import InputError
from spk.schema import nearest

OPENSLR = "https://www.openslr.org/resources/"
# The University of Oxford's; https://mm.kaist.ac.kr/datasets/voxceleb/meta/ has the same lists.
VOXCELEB_META = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/"


@dataclass(frozen=True)
class RemoteFile:
    """`address` follows the server's base. `top`: the folder that an archive unpacks to; '' for a plain file."""

    base: str
    address: str
    top: str = ""
    fault: Callable[[Path], str] = lambda path: ""  # what is wrong with the content, where no checksum is published

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    def url(self, mirror: str) -> str:
        return (mirror.rstrip("/") + "/" if mirror else self.base) + self.address


@dataclass(frozen=True)
class OpenCorpus:
    """`speech`: the folder (in DIR) that egs/mini can take, and how its layout is made from what was unpacked."""

    title: str
    files: tuple[RemoteFile, ...]
    speech: str = ""
    speakers: Callable[[Path], Iterator[Speaker]] | None = None

    def outputs(self, folder: Path) -> list[Path]:
        names = [file.top or file.name for file in self.files]
        return [
            folder / name for name in names + [f"{self.speech}/{name}" for name in ("wav", SPEAKERS) if self.speech]
        ]


@dataclass(frozen=True)
class Speaker:
    """A speaker of a corpus: {(session, utterance with suffix): path}."""

    name: str
    gender: str  # m, f or ''
    split: str  # train or test
    recordings: dict[tuple[str, str], Path]


SPEAKERS = "speakers.tsv"


def fault_of_overlap_list(path: Path) -> str:
    """voxceleb1_sitw_overlap.txt has a name a line; a page of HTML in its place has not."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return "is no text"
    for number, line in enumerate(lines, start=1):
        if not re.fullmatch(r"[\w.'-]+(\s+[\w.'-]+)?", line.strip()):
            return f"line {number}, {line[:60]!r}, is no speaker's name"
    return "" if lines else "is empty"


def fault_of_metadata(path: Path) -> str:
    """vox2_meta.csv begins with the names of its columns; tabs or commas are between them."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline()
    return "" if line.startswith("VoxCeleb2 ID") else f"line 1, {line[:60]!r}, does not begin with 'VoxCeleb2 ID'"


# ---- the layout wav/<speaker>/<session>/<utterance>


def mini_librispeech_speakers(folder: Path) -> Iterator[Speaker]:
    """LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac, SPEAKERS.TXT ('14 | F | ...')."""
    root = folder / "LibriSpeech"
    genders = {}
    for line in (root / "SPEAKERS.TXT").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith(";") and len(fields) > 1:
            genders[fields[0]] = fields[1].lower()
    for subset, split in (("train-clean-5", "train"), ("dev-clean-2", "test")):
        for speaker in sorted(path for path in (root / subset).iterdir() if path.is_dir()):
            found = [path for path in sorted(speaker.glob("*/*.flac")) if not path.name.startswith(".")]
            recordings = {
                (path.parent.name, path.name.removeprefix(f"{speaker.name}-{path.parent.name}-")): path
                for path in found
            }
            if recordings:
                yield Speaker(f"ls{speaker.name}", genders.get(speaker.name, ""), split, recordings)


def speechocean762_speakers(folder: Path) -> Iterator[Speaker]:
    """speechocean762/{train,test}/{wav.scp,utt2spk,spk2gender}, WAVE/SPEAKER0001/000010011.WAV; one session each."""
    root = folder / "speechocean762"
    for split in ("train", "test"):
        paths = read_pairs(root / split / "wav.scp")
        genders = read_pairs(root / split / "spk2gender") if (root / split / "spk2gender").exists() else {}
        speakers: dict[str, dict[tuple[str, str], Path]] = {}
        for utterance, speaker in read_pairs(root / split / "utt2spk").items():
            if utterance not in paths:
                raise InputError(
                    f"{root / split / 'wav.scp'}: lacks {utterance!r} of utt2spk; unpack the archive again"
                )
            path = root / paths[utterance]
            if not path.is_file():
                raise InputError(
                    f"{path}: is missing, but {root / split / 'wav.scp'} names it; unpack the archive again"
                )
            speakers.setdefault(speaker, {})["s0", utterance + path.suffix.lower()] = path
        for speaker in sorted(speakers):
            yield Speaker(f"so{speaker}", genders.get(speaker, "").lower(), split, speakers[speaker])


def read_pairs(path: Path) -> dict[str, str]:
    """A table of two columns, with blanks or tabs between."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the archive has not the layout that is known") from None
    return dict(line.split(None, 1) for line in lines if len(line.split(None, 1)) == 2)


def write_layout(folder: Path, speakers: Iterator[Speaker]) -> tuple[int, int]:
    """Make `folder`/wav of relative links and `folder`/speakers.tsv; how many speakers and recordings.

    Raises: InputError when a wav stands there that holds more than links.
    """
    wav, partial = folder / "wav", folder / ".wav.partial"
    if partial.exists():
        shutil.rmtree(partial)  # of a call that was killed
    rows, num_recordings = ["speaker\tgender\tsplit"], 0
    for speaker in speakers:
        rows.append(f"{speaker.name}\t{speaker.gender}\t{speaker.split}")
        for (session, name), path in speaker.recordings.items():
            link = partial / speaker.name / session / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(path.resolve(), link.parent.resolve()))
            num_recordings += 1
    if not num_recordings:
        raise InputError(f"{folder}: no recording was found to link to; unpack the archive again")
    remove_links(wav)
    with whole_file(folder / SPEAKERS) as file:
        file.writelines(f"{row}\n" for row in rows)
    partial.replace(wav)
    return len(rows) - 1, num_recordings


def remove_links(wav: Path) -> None:
    if not wav.exists():
        return
    files = [path for path in wav.rglob("*") if not path.is_symlink() and not path.is_dir()]
    if files:
        raise InputError(f"{files[0]}: {wav} is to be made of links to the corpus; move away what stands there")
    shutil.rmtree(wav)


# ---- the corpora

CORPORA = {
    "musan": OpenCorpus("MUSAN: music, speech and noise", (RemoteFile(OPENSLR, "17/musan.tar.gz", "musan"),)),
    "rirs_noises": OpenCorpus(
        "RIRS_NOISES: room impulse responses, simulated and real, and noises",
        (RemoteFile(OPENSLR, "28/rirs_noises.zip", "RIRS_NOISES"),),
    ),
    "speechocean762": OpenCorpus(
        "speechocean762: 250 speakers of English, whose mother tongue is Mandarin",
        (RemoteFile(OPENSLR, "101/speechocean762.tar.gz", "speechocean762"),),
        "speechocean762",
        speechocean762_speakers,
    ),
    "mini_librispeech": OpenCorpus(
        "Mini LibriSpeech: readers of English books",
        (
            RemoteFile(OPENSLR, "31/train-clean-5.tar.gz", "LibriSpeech/train-clean-5"),
            RemoteFile(OPENSLR, "31/dev-clean-2.tar.gz", "LibriSpeech/dev-clean-2"),
        ),
        "mini_librispeech",
        mini_librispeech_speakers,
    ),
    "voxceleb_lists": OpenCorpus(
        "VoxCeleb's trial lists and metadata",
        (
            *(
                RemoteFile(VOXCELEB_META, f"{name}.txt")
                for name in (
                    "veri_test",
                    "veri_test2",
                    "list_test_all",
                    "list_test_all2",
                    "list_test_hard",
                    "list_test_hard2",
                )
            ),
            RemoteFile(OPENSLR, "49/vox1_meta.csv"),
            RemoteFile(OPENSLR, "49/vox2_meta.csv", fault=fault_of_metadata),
        ),
    ),
    "sitw_overlap": OpenCorpus(
        "the speakers of VoxCeleb1 who speak in SITW too",
        (RemoteFile(OPENSLR, "49/voxceleb1_sitw_overlap.txt", fault=fault_of_overlap_list),),
    ),
}
ON_REQUEST = {
    **dict.fromkeys(
        ["voxceleb", "voxceleb1", "voxceleb2", "vox1", "vox2"],
        f"{HOW_TO_GET}; then local/unpack_voxceleb unpacks it",
    ),
    "sitw": "SITW (Speakers in the Wild) is given out by SRI International only: "
    "http://www.speech.sri.com/projects/sitw/ says how to ask for it",
}


def open_corpus(name: str) -> OpenCorpus:
    """Raises: InputError for an unknown name, and for a corpus that one has to ask for, with the way to it."""
    if name.lower() in ON_REQUEST:
        raise InputError(f"{name}: {ON_REQUEST[name.lower()]}")
    if name not in CORPORA:
        raise InputError(f"no corpus is named {name!r}; {nearest(name, CORPORA)}")
    return CORPORA[name]
