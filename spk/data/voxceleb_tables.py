"""VoxCeleb's data directories, written speaker by speaker: no more than one speaker's utterances are in memory."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from spk.data.alone import alone_in
from spk.data.data_dir import encode, write_table
from spk.data.files import file_digest, whole_file
from spk.data.stamp import differences, write_stamp
from spk.data.voxceleb_metadata import Facts

TABLES = ("wav.scp", "utt2spk", "spk2utt", "spk2gender", "spk2nationality")
STAMP = ".prepare_voxceleb.done"


class TablesWriter:
    """Writes wav.scp, utt2spk and spk2utt in `folder`: add the speakers in their order, then what is known of them.

    The tables are whole when `open_files` is closed.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Facts], open_files: contextlib.ExitStack) -> None:
        self.folder, self.metadata = folder, metadata
        self.speakers: list[str] = []
        self.num_utterances = 0
        names = ("wav.scp", "utt2spk", "spk2utt")
        self.files = [open_files.enter_context(whole_file(folder / name, "wb")) for name in names]

    def add(self, speaker: str, entries: Mapping[str, str]) -> None:
        """`entries`: {utterance: value in wav.scp}, sorted."""
        wav_scp, utt2spk, spk2utt = self.files
        wav_scp.write(encode("".join([f"{utterance} {entry}\n" for utterance, entry in entries.items()])))
        utt2spk.write(encode("".join([f"{utterance} {speaker}\n" for utterance in entries])))
        spk2utt.write(encode(f"{speaker} {' '.join(entries)}\n"))
        self.speakers.append(speaker)
        self.num_utterances += len(entries)

    def add_facts(self) -> None:
        """spk2gender when every speaker's gender is known (Kaldi wants all or none), spk2nationality likewise."""
        for name, table in (("spk2gender", self.known("gender")), ("spk2nationality", self.known("nationality"))):
            if len(table) == len(self.speakers):
                write_table(self.folder / name, table)

    def known(self, fact: str) -> dict[str, str]:
        """{speaker: gender or nationality} for those of whom the metadata say it."""
        there = [speaker for speaker in self.speakers if speaker in self.metadata]
        return {speaker: value for speaker in there if (value := getattr(self.metadata[speaker], fact))}


def put_in_place(made: Path, data_dir: Path) -> list[str] | None:
    """Move the tables in the folder `made` to `data_dir`, unless they are those that were put there before.

    A new data directory appears whole. In one that is there the tables are replaced one by one, and other files stay:
    features, whose step sees that wav.scp has changed. Returns what differed: [] when nothing was done, None when there
    was nothing before.
    """
    inputs = {name: file_digest(made / name) for name in TABLES if (made / name).exists()}
    stamp = data_dir / STAMP
    different = differences(stamp, inputs)
    if different == []:
        different = [name for name in inputs if not (data_dir / name).exists()]
        if not different:
            return different
    if data_dir.exists():
        stamp.unlink(missing_ok=True)  # it speaks of files that are now replaced
        for name in TABLES:
            if name in inputs:
                (made / name).replace(data_dir / name)
            else:
                (data_dir / name).unlink(missing_ok=True)
        write_stamp(stamp, inputs)
    else:
        write_stamp(made / STAMP, inputs)
        made.rename(data_dir)
    return different


@contextlib.contextmanager
def temporary_folder(data: Path) -> Iterator[Path]:
    """A folder inside `data` in which data directories are made; what a killed run left there is removed.

    One call at a time has it; others wait.
    """
    folder = data / ".prepare_voxceleb.partial"
    with alone_in(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
