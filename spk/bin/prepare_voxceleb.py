"""Make data directories of VoxCeleb 1 and 2.

Usage: prepare_voxceleb [options] ROOT[,ROOT...] DATA
Below each ROOT, down to five levels, the folders of speakers (id10001) are found, and in them
<video>/<utterance>.wav, .flac, .m4a or .mp4: vox1_dev_wav/wav/id10001/..., vox1_test_wav/wav/..., dev/wav/...,
vox2_dev_aac/dev/aac/id00012/..., what steps/decode_audio made of it, or both parts of VoxCeleb1 mixed under one wav/.

Writes those of DATA/vox1_dev, vox1_test, vox2_dev and vox2_test that have recordings: wav.scp, utt2spk, spk2utt, and
when the metadata tell it of every speaker, spk2gender and spk2nationality (VoxCeleb1). An utterance is called
<speaker>-<video>-<utterance>. The metadata say which speakers are in dev and which in test, else the names of the
folders do. Where a recording is there both as it came and decoded, the decoded one is taken. Audio is not opened here.
A data directory whose lists have not changed is left as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from typing import NoReturn

from spk.bin.command import argument_parser, command
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.data.voxceleb import (
    COMPLETE,
    Folder,
    Remarks,
    Tally,
    decoding_pipe,
    find_speakers,
    is_encoded,
    list_recordings,
    set_of,
)
from spk.data.voxceleb_metadata import Facts, read_metadata
from spk.data.voxceleb_tables import TablesWriter, put_in_place, temporary_folder
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("prepare_voxceleb", __doc__)
    parser.add_argument(
        "--metadata",
        default="",
        metavar="FILE[,FILE]",
        help="vox1_meta.csv and vox2_meta.csv: parts, genders and nationalities of the speakers",
    )
    parser.add_argument(
        "--pipes",
        choices=["true", "false"],
        default="false",
        help="for what is not decoded, wav.scp holds an ffmpeg command, which make_feats --allow-pipes true "
        "runs whenever the audio is read (default %(default)s: such files are an error)",
    )
    parser.add_argument(
        "--rejected",
        default="",
        metavar="FILE[,FILE...]",
        help="rejected.tsv of decode_audio: these files are left out; any other that is not decoded is an error",
    )
    parser.add_argument("roots", metavar="ROOT[,ROOT...]")
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    roots = [root for root in options.roots.split(",") if root]
    if not roots:
        raise InputError("ROOT[,ROOT...] names no folder")
    pipes = options.pipes == "true"
    rejected = read_rejected([path for path in options.rejected.split(",") if path])
    metadata = read_metadata(path for path in options.metadata.split(",") if path)
    speakers = find_speakers(roots)
    log.info("%d speakers in %s", len(speakers), ", ".join(roots))
    with temporary_folder(options.data) as folder:
        writers, remarks = list_speakers(speakers, metadata, folder, rejected)
        if remarks.encoded.count and not pipes:
            refuse_encoded(remarks, roots)
        say_what_was_met(remarks, pipes)
        if not writers:
            raise InputError(f"{', '.join(roots)}: the speakers' folders hold no audio")
        for name in sorted(writers):
            finish(name, writers[name], options.data / name, pipes)


def list_speakers(
    speakers: Mapping[str, list[Folder]], metadata: Mapping[str, Facts], folder: Path, rejected: Set[str]
) -> tuple[dict[str, TablesWriter], Remarks]:
    """Write the lists of all speakers into `folder`/vox1_dev, ... as far as there are recordings.

    Of an encoded one the list has a pipe; of one whose path is among `rejected`, nothing.
    """
    from tqdm import tqdm

    writers: dict[str, TablesWriter] = {}
    remarks, unknown = Remarks(), Tally()
    described = {facts.corpus for facts in metadata.values()}
    with contextlib.ExitStack() as open_files:
        for speaker, folders in tqdm(speakers.items(), unit="speaker", disable=not sys.stderr.isatty()):
            recordings = list_recordings(speaker, folders, remarks)
            encoded = [utterance for utterance, path in recordings.items() if is_encoded(path)]
            for utterance in encoded:
                path = recordings.pop(utterance)
                if path in rejected:
                    remarks.rejected.add(path)
                else:
                    remarks.encoded.add(path)
                    recordings[utterance] = decoding_pipe(path)
            if not recordings:
                continue
            name = set_of(speaker, folders, metadata)
            if speaker not in metadata and name.partition("_")[0] in described:
                unknown.add(speaker)
            if name not in writers:
                writers[name] = TablesWriter(folder / name, metadata, open_files)
            writers[name].add(speaker, dict(sorted(recordings.items())))
    for writer in writers.values():
        writer.add_facts()
    if unknown.count:
        log.info("speakers who are not in the metadata, placed by the names of their folders: %s", unknown)
    return writers, remarks


def read_rejected(paths: list[str]) -> set[str]:
    """The absolute paths of the files that decode_audio has rejected."""
    rejected = set()
    for path in paths:
        with Path(path).open(encoding="utf-8", errors="surrogateescape") as lines:
            rejected.update(os.path.abspath(line.split("\t")[1]) for line in lines)  # noqa: PTH100
    return rejected


def refuse_encoded(remarks: Remarks, roots: list[str]) -> NoReturn:
    first = remarks.encoded.first[0]
    source = next(root for root in roots if Path(first).is_relative_to(os.path.abspath(root)))  # noqa: PTH100
    raise InputError(
        f"{first}: is not decoded ({remarks.encoded.count:,} files in all); run `decode_audio {source} DEST` and "
        "give DEST in place of what was decoded, or let --pipes true decode whenever they are read"
    )


def say_what_was_met(remarks: Remarks, pipes: bool) -> None:
    if remarks.no_audio.count:
        log.info("left out, as they are no recordings in a video's folder: %s", remarks.no_audio)
    if remarks.empty.count:
        log.info("empty folders: %s", remarks.empty)
    if remarks.superseded.count:
        log.info("of recordings that are here twice, the decoded ones are taken instead of %s", remarks.superseded)
    if remarks.rejected.count:
        log.info("left out, as they could not be decoded: %s", remarks.rejected)
    if remarks.encoded.count:
        log.info("decoded by ffmpeg whenever they are read (make_feats --allow-pipes true): %s", remarks.encoded)
        if shutil.which("ffmpeg") is None:
            log.info("ffmpeg is not installed here; machines that read the audio need it (apt-get install ffmpeg)")


def finish(name: str, writer: TablesWriter, data_dir: Path, pipes: bool) -> None:
    """Check a data directory, put it in its place, and say what it holds."""
    checks = Checks(skip=frozenset(FEATURE_FILES), files_exist=False, allow_pipes=pipes)
    findings, _ = validate_data_dir(writer.folder, checks)
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")
    different = put_in_place(writer.folder, data_dir)
    if different == []:
        state = "already made: "
    elif different:
        state = f"made again, because this changed: {', '.join(different)}: "
    else:
        state = ""
    log.info("%s: %s%s", data_dir, state, content(name, writer))


def content(name: str, writer: TablesWriter) -> str:
    """'148,642 utterances of 1,211 speakers: complete', or how many of how many there are."""
    speakers, utterances = len(writer.speakers), writer.num_utterances
    all_speakers, all_utterances = COMPLETE[name]
    if (speakers, utterances) == COMPLETE[name]:
        said = f"{utterances:,} utterances of {speakers:,} speakers: complete"
    else:
        said = f"{speakers:,} of {all_speakers:,} speakers, {utterances:,} of {all_utterances:,} utterances"
    unknown = speakers - len(writer.known("gender"))
    if 0 < unknown < speakers:
        said += f"; no spk2gender, because the gender of {unknown:,} speakers is unknown"
    return said


if __name__ == "__main__":
    main()
