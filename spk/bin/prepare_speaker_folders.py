"""Make data directories and trials from folders of speech in VoxCeleb's layout.

Usage: prepare_speaker_folders [options] DIR[,DIR...] DATA_DIR
Each DIR holds wav/<speaker>/<session>/<utterance>.wav or .flac, and perhaps speakers.tsv: a header and a line for each
speaker, tabs between, with the columns speaker and split (train or test), perhaps gender (m or f). Without it the test
speakers are drawn.

Writes DATA_DIR/train (the training speakers of all folders) and DATA_DIR/test_<name of DIR> for every folder with test
speakers: wav.scp, utt2spk, spk2utt, spk2gender when every speaker's gender is known, and in the test sets `trials`:
every two utterances of that folder's test speakers. An utterance is called <speaker>-<session>-<utterance>. Audio is
not opened here. When nothing has changed since the last call, nothing is done.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.speaker_folders import (
    DataSet,
    SpeakerFolder,
    make_sets,
    read_folders,
    stale_sets,
    write_data_dir,
)
from spk.data.stamp import differences, write_stamp
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("prepare_speaker_folders", __doc__)
    parser.add_argument(
        "--test-fraction", type=float, default=0.25, help="share of speakers drawn for testing (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of every draw (default %(default)s)")
    parser.add_argument(
        "--max-trials",
        type=int,
        default=2_000_000,
        help="with more pairs than this in a test set, so many are drawn (default %(default)s)",
    )
    parser.add_argument(
        "--test-folders",
        default="",
        metavar="NAME[,NAME...]",
        help="only these folders give test sets; test speakers of the others are left out (default: all folders)",
    )
    parser.add_argument("folders", metavar="DIR[,DIR...]")
    parser.add_argument("data_dir", type=Path)
    options = parser.parse_args()
    paths = [path for path in options.folders.split(",") if path]
    test_folders = [name for name in options.test_folders.split(",") if name]
    if not 0 <= options.test_fraction < 1:
        raise InputError(f"--test-fraction {options.test_fraction}: must be at least 0 and below 1")
    if options.max_trials < 2:
        raise InputError(f"--max-trials {options.max_trials}: needs at least 2, a target and a non-target trial")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: must not be negative")
    if not paths:
        raise InputError("DIR[,DIR...] names no folder")

    folders = read_folders(paths, options.test_fraction, options.seed, test_folders)
    sets = make_sets(folders, test_folders)
    data_dir = options.data_dir
    stamp = data_dir / ".done"
    inputs = {name: data_set.digest() for name, data_set in sets.items()}
    inputs |= {"--max-trials": str(options.max_trials), "--seed": str(options.seed)}
    different = differences(stamp, inputs)
    missing = [path for path in outputs(data_dir, sets) if not path.exists()]
    if different == [] and not missing:
        log.info("already made: %s", ", ".join(str(data_dir / name) for name in sets))
        return
    stale = stale_sets(data_dir, sets)
    if stale:
        names = ", ".join(map(str, stale))
        raise InputError(f"{names}: made from other folders; remove it, or choose another DATA_DIR than {data_dir}")
    if different:
        log.info("%s is made again, because this changed: %s", data_dir, ", ".join(different))
    elif different == []:
        log.info("%s is made again, because %s is missing", data_dir, missing[0])
    log.info("lists of %s -> %s", ", ".join(str(folder.path) for folder in folders), data_dir)
    say_what_is_left_out(folders, sets)
    stamp.unlink(missing_ok=True)  # it speaks of files that are now overwritten
    write_sets(data_dir, sets, options.max_trials, options.seed)
    write_stamp(stamp, inputs)


def outputs(data_dir: Path, sets: Mapping[str, DataSet]) -> list[Path]:
    names = ("wav.scp", "utt2spk", "spk2utt")
    return [data_dir / name / file for name in sets for file in (*names, *["trials"] * (name != "train"))]


def say_what_is_left_out(folders: Sequence[SpeakerFolder], sets: Mapping[str, DataSet]) -> None:
    for folder in folders:
        if folder.left_out:
            first = ", ".join(folder.left_out[:3]) + ", ..." * (len(folder.left_out) > 3)
            log.info("%s: left out %d entries that are no recordings: %s", folder.path, len(folder.left_out), first)
        testing = folder.speakers("test")
        if testing and folder.test_set not in sets:
            log.info("%s: left out %d test speakers, because of --test-folders", folder.path, len(testing))
        if not testing:
            log.info("%s: all %d speakers are for training", folder.path, len(folder.utterances))


def write_sets(data_dir: Path, sets: Mapping[str, DataSet], max_trials: int, seed: int) -> None:
    """Write and check the data directories, and say what is in each."""
    from spk.data.all_pairs import write_all_pairs  # numpy is not needed to find that all is made already

    for name, data_set in sets.items():
        target_dir = data_dir / name
        speakers = data_set.speakers()
        write_data_dir(target_dir, data_set)
        content = f"{len(speakers)} speakers, {len(data_set.wav)} utterances"
        if name != "train":
            counts = write_all_pairs(target_dir / "trials", data_set.utt2spk, max_trials, seed)
            written, pairs = counts.target + counts.nontarget, counts.all_target + counts.all_nontarget
            content += f", {written} trials ({counts.target} target)"
            if written < pairs:
                content += f" drawn from {pairs} pairs ({counts.all_target} target)"
        unknown = len(speakers) - len(data_set.genders)
        if 0 < unknown < len(speakers):
            content += f"; no spk2gender, because the gender of {unknown} speakers is unknown"
        log.info("%s: %s", target_dir, content)
        checks = Checks(skip=frozenset(FEATURE_FILES), files_exist=False)
        findings, _ = validate_data_dir(target_dir, checks)
        if findings.count:
            raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")


if __name__ == "__main__":
    main()
