"""Make data directories and trials of Speakers in the Wild from its distribution.

Usage: prepare_sitw [options] SITW DATA
SITW holds dev and eval (or one of them), each with audio, lists and keys as distributed. Writes DATA/sitw_dev and
DATA/sitw_eval, each ready for make_feats:
  wav.scp, segments            whole files, and the annotated pieces that models are enrolled with
  utt2spk, spk2utt, spk2gender the person of interest of each file, by keys/meta.lst; the file itself where it has none
  models_<enrol>               'model utterance utterance ...', for `score --enroll-models`
  trials_<enrol>-<test>        'model utterance target|nontarget' for every key: trials_core-core, trials_assist-multi
An utterance is called <speaker>-<file>, a piece of one <speaker>-<file>-<begin>-<end> in milliseconds. Labels are those
of the keys; where meta.lst says otherwise, as it may for tests of several speakers, this is counted and said. When
nothing has changed since the last call, nothing is done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from spk.bin.command import argument_parser, command
from spk.data.data_dir import write_table
from spk.data.sitw import Part, check_md5, enrolment_of, find_keys, find_parts, list_files, read_part
from spk.data.speaker_folders import write_data_dir
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.data.trials import write_trials
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.errors import InputError

log = logging.getLogger(__name__)
STAMP = ".prepare_sitw.done"


@command
def main() -> None:
    parser = argument_parser("prepare_sitw", __doc__)
    for option, meaning in (
        ("md5", "true: compare the audio with lists/audio_md5sum.lst"),
        ("aux", "true: the keys of subsets of trials in keys/aux, too, as trials_<name of the key>"),
    ):
        parser.add_argument(
            f"--{option}", choices=["true", "false"], default="false", help=f"{meaning} (default false)"
        )
    parser.add_argument("sitw", type=Path, metavar="SITW")
    parser.add_argument("data", type=Path, metavar="DATA")
    options = parser.parse_args()
    with_aux = options.aux == "true"
    targets = {path: options.data / f"sitw_{path.name}" for path in find_parts(options.sitw)}
    inputs = {
        path: describe_inputs(
            map(str, list_files(path)), {"SITW": str(path.resolve()), "--md5": options.md5, "--aux": options.aux}
        )
        for path in targets
    }
    if all(is_made(target, path, with_aux, inputs[path]) for path, target in targets.items()):
        log.info("already made: %s", ", ".join(map(str, targets.values())))
        return
    log.info("lists of %s -> %s", ", ".join(map(str, targets)), ", ".join(map(str, targets.values())))
    parts = {path: read_part(path, with_aux) for path in targets}  # all is checked before anything is written
    if options.md5 == "true":
        for path in targets:
            log.info("%s: the md5 sums of %d files are right", path, check_md5(path))
    for path, target in targets.items():
        for remark in parts[path].remarks:
            log.info("%s", remark)
        write_part(target, parts[path])
        log.info("%s: %s", target, summary(parts[path]))
        for line in conditions(parts[path]):
            log.info("%s, %s", target, line)
        write_stamp(target / STAMP, inputs[path])


def is_made(target: Path, path: Path, with_aux: bool, inputs: Mapping[str, str]) -> bool:
    """Whether all that this part gives is there, made from what there is now; says what changed."""
    different = differences(target / STAMP, inputs)
    if different:
        log.info("%s is made again, because this changed: %s", target, ", ".join(different))
    conditions = find_keys(Part(path), with_aux)
    names = ["wav.scp", "segments", "utt2spk", "spk2utt"]
    names += [f"trials_{name}" for name in conditions] + [f"models_{enrolment_of(name)}" for name in conditions]
    return different == [] and all((target / name).is_file() for name in names)


def write_part(target: Path, part: Part) -> None:
    """Lists of an earlier call that this part has not, as after --aux true or of another distribution, are removed."""
    (target / STAMP).unlink(missing_ok=True)  # it speaks of files that are now overwritten
    made = {f"models_{name}" for name in part.models} | {f"trials_{name}" for name in part.trials}
    for path in sorted([*target.glob("models_*"), *target.glob("trials_*")]):
        if path.name not in made and path.is_file():
            path.unlink()
            log.info("%s is removed: this call makes no such list", path)
    write_data_dir(target, part.data)
    write_table(target / "segments", part.segments)
    for enrolment, models in part.models.items():
        write_table(target / f"models_{enrolment}", {model: " ".join(names) for model, names in models.items()})
    for condition, trials in part.trials.items():
        write_trials(target / f"trials_{condition}", trials)
    checks = Checks(skip=frozenset(FEATURE_FILES), files_exist=False)
    findings, _ = validate_data_dir(target, checks)
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")


def summary(part: Part) -> str:
    num_pieces = sum(not value.endswith(" 0 -1") for value in part.segments.values())
    return (
        f"{len(part.data.speakers())} speakers, {len(part.data.wav)} files, {len(part.segments)} utterances "
        f"({num_pieces} of them pieces of a file)"
    )


def conditions(part: Part) -> Iterator[str]:
    """A line each on the models that are enrolled and on the trials."""
    for enrolment, models in part.models.items():
        num_utterances = len({utterance for names in models.values() for utterance in names})
        yield f"models_{enrolment}: {len(models)} models of {num_utterances} utterances"
    for condition, trials in part.trials.items():
        num_models, num_tests = len(np.unique(trials.enroll)), len(np.unique(trials.test))
        yield (
            f"trials_{condition}: {len(trials)} trials ({np.count_nonzero(trials.is_target)} target) of {num_models} "
            f"models and {num_tests} tests"
        )


if __name__ == "__main__":
    main()
