"""Make a test set of a trial list of the VoxCeleb Speaker Recognition Challenge (VoxSRC).

Usage: prepare_voxsrc LIST ROOT[,ROOT...] DATA_DIR
LIST has lines '1|0 path path', or 'path path' where the answers are kept secret. The files are looked for as
ROOT/path, and those of VoxCeleb (.../idNNNNN/video/file.wav) also as ROOT/idNNNNN/video/file.wav, in the order of the
roots. Without all of them nothing is written.

Writes DATA_DIR with wav.scp, utt2spk, spk2utt and trials, in the order of LIST. Files of VoxCeleb have their usual id,
idNNNNN-video-file; others are called by their path, with dashes. Where the path does not tell the speaker, the
utterance is a speaker of its own, so that nothing follows from the speakers: confidence intervals, which resample
speakers, mean nothing for such a list. Pairs without labels become trials without labels: steps/score takes them, and
there are no error rates. When nothing has changed since the last call, nothing is done.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.data_dir import complete_data_dir, first_names, speakers_to_utterances, write_table
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.data.trials import Trials, say_repeated, write_trials
from spk.data.validate_data_dir import Checks, validate_data_dir
from spk.data.voxsrc_lists import ListedFile, read_voxsrc_list
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("prepare_voxsrc", __doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("roots", metavar="ROOT[,ROOT...]")
    parser.add_argument("data_dir", type=Path)
    options = parser.parse_args()
    roots = [os.path.abspath(root) for root in options.roots.split(",") if root]  # noqa: PTH100 (resolve follows links)
    if not roots:
        raise InputError("ROOT[,ROOT...] names no folder")
    for root in roots:
        if not Path(root).is_dir():
            raise InputError(f"{root}: no such folder")

    if not options.list.exists():
        raise InputError(f"{options.list}: no such trial list")

    data_dir, stamp = options.data_dir, options.data_dir / ".prepare_voxsrc.done"
    inputs = describe_inputs([options.list], {"roots": ",".join(roots)})
    different = differences(stamp, inputs)
    missing = [name for name in ("wav.scp", "utt2spk", "spk2utt", "trials") if not (data_dir / name).exists()]
    if different == [] and not missing:
        log.info("already made: %s", data_dir)
        return
    if different:
        log.info("%s is made again, because this changed: %s", data_dir, ", ".join(different))
    elif different == []:
        log.info("%s is made again, because %s is missing", data_dir, data_dir / missing[0])

    files, pairs = read_voxsrc_list(options.list)
    wav = find_files(options.list, files, roots)
    stamp.unlink(missing_ok=True)  # it speaks of files that are now overwritten
    utt2spk = {file.utterance: file.speaker or file.utterance for file in files}
    write_table(data_dir / "wav.scp", wav)
    write_table(data_dir / "utt2spk", utt2spk)
    complete_data_dir(data_dir, speakers_to_utterances(utt2spk), ["wav.scp", "utt2spk"], {})
    write_trials(data_dir / "trials", pairs)
    findings, _ = validate_data_dir(data_dir, Checks(files_exist=False))
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")
    labels = f"{pairs.is_target.sum()} target" if isinstance(pairs, Trials) else "without labels: no error rates"
    log.info("%s: %d trials (%s) of %d utterances", data_dir, len(pairs), labels, len(files))
    say_repeated(options.list, pairs)
    alone = sum(file.speaker is None for file in files)
    if alone:
        log.info(
            "%s: the paths of %d utterances do not tell the speaker; each is a speaker of its own, so intervals over "
            "speakers mean nothing here",
            options.list,
            alone,
        )
    write_stamp(stamp, inputs)


def find_files(list_path: Path, files: list[ListedFile], roots: list[str]) -> dict[str, str]:
    """{utterance: its file}. Raises: InputError if some are not there."""
    wav = {file.utterance: file.find(roots) for file in files}
    absent = [file.path for file in files if wav[file.utterance] is None]
    if absent:
        raise InputError(
            f"{list_path}: {len(absent)} of its {len(files)} files are not below {', '.join(roots)}: "
            f"{first_names(absent)} (each is looked for as ROOT/path)"
        )
    return {utterance: path for utterance, path in wav.items() if path is not None}


if __name__ == "__main__":
    main()
