"""Build VoxCeleb1, VoxCeleb2, SITW, MUSAN and RIRS_NOISES in miniature, in the form in which they are published.

Usage: build.py [options] SPEECH_DIR NOISE_RIR_DIR LISTS_DIR OUT
SPEECH_DIR has wav/<speaker>/<session>/<utterance>.flac (16 kHz, mono) and, if genders are known, speakers.tsv.
NOISE_RIR_DIR has noise/<class>/*.flac and rir/{small,medium,large}_*.flac; -: noises and rooms are drawn.
LISTS_DIR has vox1_meta.csv and vox2_meta.csv, whose real lines are used; -: such lines are made.
Writes OUT/archives (vox1_dev_wav_partaa ..., vox1_test_wav.zip, vox2_dev_aac_partaa ..., vox2_test_aac.zip,
musan.tar.gz, rirs_noises.zip), OUT/checksums (their MD5, of parts when joined), OUT/lists (the six trial lists, the
metadata, voxceleb1_sitw_overlap.txt), OUT/lists.tsv (the sizes of the lists) and OUT/sitw. The same options and speech
give the same bytes. OUT appears when it is whole.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from miniature import celebrities, musan_corpus, packing, rirs_corpus, sitw_corpus, voxceleb_corpus, voxceleb_lists
from miniature.source_speech import SourceSpeaker, read_speakers, read_speech

from spk.bin.command import argument_parser, command
from spk.errors import InputError

MUSAN_SPEAKERS = 4


@dataclass(frozen=True)
class Sizes:
    """How large a miniature is; the defaults take seconds to build."""

    vox1_dev: int = 8
    vox1_test: int = 5
    vox2_dev: int = 16
    vox2_test: int = 3
    sitw_dev: int = 4
    sitw_eval: int = 5
    shared: int = 2
    utterances: int = 5
    seconds: float = 4.0
    trials: int = 4
    noises: int = 6
    rooms: int = 2
    responses: int = 2
    parts: int = 3
    seed: int = 1

    def check(self) -> None:
        least = {"utterances": 2, "seconds": 1, "shared": 0, "seed": 0, "sitw_dev": 2, "sitw_eval": 2, "vox1_test": 2}
        for name, value in dataclasses.asdict(self).items():
            if value < least.get(name, 1):
                raise InputError(f"--{name.replace('_', '-')} {value}: needs at least {least.get(name, 1)}")
        if self.parts > len(ascii_lowercase):
            raise InputError(f"--parts {self.parts}: needs at most {len(ascii_lowercase)}")
        if self.shared > min(self.vox1_dev, self.sitw_dev + self.sitw_eval):
            raise InputError(f"--shared {self.shared}: no more than there are in VoxCeleb1 dev and in SITW")

    @property
    def voxceleb(self) -> list[tuple[str, str, int]]:
        """(corpus, part, number of speakers)"""
        return [
            ("vox1", "dev", self.vox1_dev),
            ("vox1", "test", self.vox1_test),
            ("vox2", "dev", self.vox2_dev),
            ("vox2", "test", self.vox2_test),
        ]


def build_miniature(
    speech: Path, noise_rir: Path | None, lists: Path | None, out: Path, sizes: Sizes | None = None
) -> Path:
    """Build what the head of this file says below `out`, which must not exist yet; return `out`.

    Raises: InputError for too little speech, a wrong size, an `out` that is there, or no ffmpeg.
    """
    sizes = sizes or Sizes()
    sizes.check()
    if out.exists():
        raise InputError(f"{out}: is there already; remove it, or build elsewhere")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name in ("archives", "lists"):
            (partial / name).mkdir(parents=True)
        Miniature(speech, noise_rir, lists, partial, sizes).write()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


class Miniature:
    """A miniature while it is made in the folder `out`."""

    def __init__(self, speech: Path, noise_rir: Path | None, lists: Path | None, out: Path, sizes: Sizes):
        self.noise_rir, self.lists, self.out, self.sizes = noise_rir, lists, out, sizes
        own = sum(number for _, _, number in sizes.voxceleb)
        in_sitw = sizes.sitw_dev + sizes.sitw_eval - sizes.shared
        needed = max(sizes.utterances, sitw_corpus.NUM_UTTERANCES)
        speakers = read_speakers(speech, own + in_sitw + MUSAN_SPEAKERS, needed, sizes.seed)
        self.in_voxceleb, others = speakers[:own], speakers[own:]
        self.only_in_sitw, self.in_musan = others[:in_sitw], others[in_sitw:]
        self.sums: dict[str, str] = {}

    def write(self) -> None:
        vox1_dev = self.write_voxceleb()
        self.write_sitw(vox1_dev)
        archives, sizes = self.out / "archives", self.sizes
        spoken = [
            (speaker.gender, np.concatenate(self.read(speaker)[first : first + 2]))
            for speaker in self.in_musan
            for first in (0, 2)
        ]
        drawn = np.random.default_rng([sizes.seed, 1])
        musan = packing.tar_gz_bytes(musan_corpus.musan_members(self.noise_rir, spoken, sizes.noises, drawn))
        (archives / "musan.tar.gz").write_bytes(musan)
        drawn = np.random.default_rng([sizes.seed, 2])
        rirs = packing.zip_bytes(rirs_corpus.rirs_members(self.noise_rir, sizes.rooms, sizes.responses, drawn))
        (archives / "rirs_noises.zip").write_bytes(rirs)
        self.sums |= {"musan.tar.gz": packing.md5(musan), "rirs_noises.zip": packing.md5(rirs)}
        (self.out / "checksums").write_text("".join(f"{md5}  {name}\n" for name, md5 in self.sums.items()))

    def read(self, speaker: SourceSpeaker) -> list[np.ndarray]:
        return [read_speech(path, self.sizes.seconds) for path in speaker.utterances]

    def write_voxceleb(self) -> list[celebrities.Celebrity]:
        """Archives, trial lists and metadata; the development speakers of VoxCeleb1, in the order of their source."""
        tables = {"vox1": celebrities.vox1_table(self.lists), "vox2": celebrities.vox2_table(self.lists)}
        parts = [(corpus, part) for corpus, part, number in self.sizes.voxceleb for _ in range(number)]
        chosen: dict[tuple[str, str], list[voxceleb_corpus.Utterance]] = {}
        persons: dict[str, list[celebrities.Celebrity]] = {}
        for corpus, table in tables.items():
            speakers = [
                (source, part) for source, (own, part) in zip(self.in_voxceleb, parts, strict=True) if own == corpus
            ]
            persons[corpus] = celebrities.choose(table, [(source.gender, part) for source, part in speakers])
            speech = [self.read(source)[: self.sizes.utterances] for source, _ in speakers]
            drawn = random.Random(f"videos of {corpus} {self.sizes.seed}")
            utterances = voxceleb_corpus.name_utterances(persons[corpus], speech, drawn)
            for part in ("dev", "test"):
                own = [utterance for utterance in utterances if utterance.celebrity.set == part]
                chosen[corpus, part] = sorted(own, key=lambda utterance: utterance.name)
        self.write_archives(chosen)
        self.write_lists([*chosen["vox1", "dev"], *chosen["vox1", "test"]])
        (self.out / "lists/vox1_meta.csv").write_text(celebrities.vox1_meta(persons["vox1"]))
        (self.out / "lists/vox2_meta.csv").write_text(celebrities.vox2_meta(persons["vox2"]))
        return persons["vox1"][: self.sizes.vox1_dev]

    def write_archives(self, chosen: dict[tuple[str, str], list[voxceleb_corpus.Utterance]]) -> None:
        archives, parts = self.out / "archives", self.sizes.parts
        vox1_dev = packing.zip_bytes(voxceleb_corpus.wav_members(chosen["vox1", "dev"], "wav"))
        vox1_test = packing.zip_bytes(voxceleb_corpus.wav_members(chosen["vox1", "test"], "wav"))
        members = voxceleb_corpus.m4a_members([*chosen["vox2", "dev"], *chosen["vox2", "test"]], "aac")
        of_dev = {f"aac/{utterance.name}.m4a" for utterance in chosen["vox2", "dev"]}
        vox2_dev = packing.zip_bytes({f"dev/{name}": members[name] for name in members if name in of_dev})
        vox2_test = packing.zip_bytes({name: members[name] for name in members if name not in of_dev})
        packing.write_parts(archives / "vox1_dev_wav_part", vox1_dev, parts)
        packing.write_parts(archives / "vox2_dev_aac_part", vox2_dev, parts)
        (archives / "vox1_test_wav.zip").write_bytes(vox1_test)
        (archives / "vox2_test_aac.zip").write_bytes(vox2_test)
        # The zip of VoxCeleb2's parts has a name of its own, without "dev".
        names = ("vox1_dev_wav.zip", "vox1_test_wav.zip", "vox2_aac.zip", "vox2_test_aac.zip")
        contents = (vox1_dev, vox1_test, vox2_dev, vox2_test)
        self.sums |= {name: packing.md5(content) for name, content in zip(names, contents, strict=True)}

    def write_lists(self, vox1: Sequence[voxceleb_corpus.Utterance]) -> None:
        drawn = random.Random(f"trials {self.sizes.seed}")
        lines = ["list\tfile\ttrials\ttarget trials\n"]
        for name, trials in voxceleb_lists.make_lists(vox1, self.sizes.trials, drawn).items():
            file = voxceleb_lists.LIST_FILES[name]
            (self.out / "lists" / file).write_text(voxceleb_lists.list_text(trials))
            lines.append(f"{name}\t{file}\t{len(trials)}\t{sum(label for label, _, _ in trials)}\n")
        (self.out / "lists.tsv").write_text("".join(lines))

    def write_sitw(self, vox1_dev: Sequence[celebrities.Celebrity]) -> None:
        """Both parts of SITW, and the names that those of VoxCeleb1's development part who are in it have there."""
        sizes = self.sizes
        shared = self.in_voxceleb[: sizes.shared]
        names = sitw_corpus.draw_speaker_names(
            sizes.sitw_dev + sizes.sitw_eval, random.Random(f"speakers of SITW {sizes.seed}")
        )
        # In turns, so that the shared speakers are in both parts.
        sources = [*shared, *self.only_in_sitw]
        in_dev = sources[0 : 2 * sizes.sitw_dev : 2]
        in_eval = [source for source in sources if source not in in_dev]
        in_dev, in_eval = (in_dev + in_eval)[: sizes.sitw_dev], (in_dev + in_eval)[sizes.sitw_dev :]
        named = dict(zip([source.name for source in [*in_dev, *in_eval]], names, strict=True))
        for part, speakers in (("dev", in_dev), ("eval", in_eval)):
            spoken = {named[one.name]: (one.gender, self.read(one)) for one in speakers}
            drawn = random.Random(f"SITW {part} {sizes.seed}")
            sitw_corpus.SitwPart(self.out / "sitw" / part, spoken, drawn).write()
        overlap = sorted(celebrity.face for celebrity in vox1_dev[: sizes.shared])
        (self.out / "lists/voxceleb1_sitw_overlap.txt").write_text("".join(f"{name}\n" for name in overlap))


HELP = {
    "vox1_dev": "speakers of VoxCeleb1's development part",
    "vox1_test": "speakers of its test part",
    "vox2_dev": "speakers of VoxCeleb2's development part",
    "vox2_test": "speakers of its test part",
    "sitw_dev": "speakers of SITW's development part",
    "sitw_eval": "speakers of its evaluation part",
    "shared": "how many of VoxCeleb1's development part are in SITW, too",
    "utterances": "utterances of each speaker of VoxCeleb",
    "seconds": "no utterance is longer",
    "trials": "target trials of an utterance in a list, and as many others",
    "noises": "noises of MUSAN, and pieces of music",
    "rooms": "simulated rooms of each size",
    "responses": "impulse responses of each room",
    "parts": "parts that the zips of the development parts are cut into",
    "seed": "another seed, other speakers, names and trials",
}


@command
def main() -> None:
    parser = argument_parser("build.py", __doc__)
    for field in dataclasses.fields(Sizes):
        kind = float if field.name == "seconds" else int
        shown = f"{HELP[field.name]} (default %(default)s)"
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help=shown)
    for name in ("speech_dir", "noise_rir_dir", "lists_dir", "out"):
        parser.add_argument(name, metavar=name.upper(), type=Path)
    given = vars(parser.parse_args())
    folders = [given.pop(name) for name in ("speech_dir", "noise_rir_dir", "lists_dir", "out")]
    for folder in folders[:3]:
        if str(folder) != "-" and not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
    speech, noise_rir, lists = (None if str(folder) == "-" else folder for folder in folders[:3])
    if speech is None:
        raise InputError("SPEECH_DIR is needed: wav/<speaker>/<session>/<utterance>.flac")
    print(build_miniature(speech, noise_rir, lists, folders[3].resolve(), Sizes(**given)))


if __name__ == "__main__":
    main()
