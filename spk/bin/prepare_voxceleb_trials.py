"""Make the test sets of VoxCeleb1's published trial lists.

Usage: prepare_voxceleb_trials [options] LIST_DIR SOURCE_DATA[,SOURCE_DATA...] DATA
LIST_DIR holds the lists as they are published: veri_test.txt and veri_test2.txt (O, and cleaned), list_test_all.txt and
list_test_all2.txt (E), list_test_hard.txt and list_test_hard2.txt (H). SOURCE_DATA are data directories that
local/prepare_voxceleb made: vox1_test for O, vox1_dev and vox1_test for E and H.

Writes DATA/vox1_o with trials and trials_cleaned, and DATA/vox1 with trials_e, trials_e_cleaned, trials_h and
trials_h_cleaned: data directories of just the utterances that their lists name, with all tables of the sources. Each
list must have as many trials as the table of lists says, and is used as it is: in its order, with what it repeats.

When neither the lists nor the sources have changed since the last call, nothing is done; features that a source has got
since then are no change.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.combine_data import combine_data
from spk.data.data_dir import (
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    check_source,
    first_names,
    read_table,
    write_part,
)
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.data.trials import Trials, write_trials
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.data.voxceleb_trials import PublishedList, choose_lists, read_list_table, read_voxceleb_trials
from spk.errors import InputError

log = logging.getLogger(__name__)

LIST_TABLE = Path(__file__).resolve().parents[2] / "local" / "voxceleb_lists.tsv"
STAMP = ".prepare_voxceleb_trials.done"
# What a preparation makes. Later steps add features to the sources; the test sets need not be made again for that.
PREPARED_FILES = [name for name in (*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES) if name not in FEATURE_FILES]


@command
def main() -> None:
    parser = argument_parser("prepare_voxceleb_trials", __doc__)
    parser.add_argument(
        "--table",
        type=Path,
        default=LIST_TABLE,
        metavar="FILE",
        help="the lists, their files and sizes, in the form of local/voxceleb_lists.tsv (the default)",
    )
    parser.add_argument(
        "--lists",
        default="o,e,h",
        metavar="NAME[,NAME...]",
        help="which lists; o means o and o_cleaned (default %(default)s)",
    )
    parser.add_argument("list_dir", type=Path)
    parser.add_argument("sources", metavar="SOURCE_DATA[,SOURCE_DATA...]")
    parser.add_argument("data_dir", type=Path)
    options = parser.parse_args()
    names = [name for name in options.lists.split(",") if name]
    if not names:
        raise InputError("--lists names no list")
    if not options.list_dir.is_dir():
        raise InputError(f"{options.list_dir}: no such folder of trial lists; {how_to_get_lists(options.list_dir)}")

    table = read_list_table(options.table)
    paths = find_lists(choose_lists(table, names), options.list_dir)
    sources = find_sources([Path(source) for source in options.sources.split(",") if source])
    prepare(options.data_dir, table, paths, sources)


def how_to_get_lists(list_dir: Path) -> str:
    return f"local/download_corpus voxceleb_lists {list_dir} gets them"


def find_lists(lists: Sequence[PublishedList], list_dir: Path) -> dict[PublishedList, Path]:
    """Where each list is. Raises: InputError, after a line about each that is not there."""
    paths = {one: one.find(list_dir) for one in lists}
    missing = [one for one, path in paths.items() if path is None]
    for one in missing:
        log.error("%s: no such file; it is list %s", list_dir / one.files[0], one.name)
    if missing:
        raise InputError(f"{len(missing)} of {len(lists)} lists are missing; {how_to_get_lists(list_dir)}")
    return {one: path for one, path in paths.items() if path is not None}


def find_sources(sources: Sequence[Path]) -> list[Path]:
    """The data directories that are there: who tests on O only has perhaps no vox1_dev. Raises: InputError for none."""
    if not sources:
        raise InputError("SOURCE_DATA[,SOURCE_DATA...] names no data directory")
    there = [source for source in sources if source.is_dir()]
    if not there:
        raise InputError(f"{', '.join(map(str, sources))}: no such data directory; make it first")
    for source in sources:
        if source not in there:
            log.info("%s: not there, so none of its utterances is in the lists' data directories", source)
    return there


def prepare(
    data_dir: Path, table: Sequence[PublishedList], paths: Mapping[PublishedList, Path], sources: Sequence[Path]
) -> None:
    """Write the data directories of the lists `paths` that are not yet made. Nothing is written before all is checked.

    Raises: InputError for lists and sources that are wrong or do not belong together.
    """
    utt2spk_of: dict[Path, dict[str, str]] = {}
    trials_of: dict[PublishedList, Trials] = {}
    to_make: dict[Path, dict[str, str]] = {}
    for name, lists in by_directory(paths).items():
        destination = data_dir / name
        for source in sources:
            check_source(source, destination)
        inputs = inputs_of(lists, paths, sources)
        if is_made(destination, lists, inputs):
            log.info("already made: %s", destination)
            continue
        to_make[destination] = inputs
        utt2spk_of = utt2spk_of or {source: read_table(source / "utt2spk") for source in sources}
        for one in lists:
            trials_of[one] = read_list(one, paths[one], utt2spk_of)
    for destination, inputs in to_make.items():
        stamp = destination / STAMP
        stamp.unlink(missing_ok=True)  # it speaks of files that are now overwritten
        remove_other_lists(destination, table, paths)
        lists = [one for one in trials_of if (data_dir / one.output).parent == destination]
        write_test_set(destination, {one.output.name: trials_of[one] for one in lists}, utt2spk_of)
        write_stamp(stamp, inputs)


def by_directory(lists: Iterable[PublishedList]) -> dict[str, list[PublishedList]]:
    """{data directory: its lists}"""
    ordered = sorted(lists, key=lambda one: one.output.parent, reverse=True)
    return {str(name): list(group) for name, group in groupby(ordered, key=lambda one: one.output.parent)}


def inputs_of(
    lists: Sequence[PublishedList], paths: Mapping[PublishedList, Path], sources: Sequence[Path]
) -> dict[str, str]:
    """For the stamp."""
    tables = [source / name for source in sources for name in PREPARED_FILES if (source / name).exists()]
    sizes = {f"list {one.name}": f"{one.num_trials} trials, {one.num_targets} target" for one in lists}
    return describe_inputs([*(paths[one] for one in lists), *tables], sizes)


def is_made(destination: Path, lists: Sequence[PublishedList], inputs: Mapping[str, str]) -> bool:
    """Whether nothing has changed and nothing is missing; says what has or is."""
    different = differences(destination / STAMP, inputs)
    if different is None:
        return False
    names = ["utt2spk", "spk2utt", *(one.output.name for one in lists)]
    missing = [destination / name for name in names if not (destination / name).exists()]
    if different:
        log.info("%s is made again, because this changed: %s", destination, ", ".join(different))
    elif missing:
        log.info("%s is made again, because %s is missing", destination, missing[0])
    return not different and not missing


def read_list(one: PublishedList, path: Path, utt2spk_of: Mapping[Path, Mapping[str, str]]) -> Trials:
    """Raises: InputError for another number of trials than the table's, and for utterances that no source has."""
    trials = read_voxceleb_trials(path)
    one.check_size(path, trials)
    unknown = set(trials.utterances).difference(*utt2spk_of.values())
    if unknown:
        raise InputError(
            f"{path}: {len(unknown)} of its {len(trials.utterances)} utterances are not in "
            f"{', '.join(map(str, utt2spk_of))}: {first_names(sorted(unknown))} (name all data directories of "
            "VoxCeleb1, and see what local/prepare_voxceleb left out)"
        )
    repeated = trials.num_repeated()
    log.info(
        "%s: %d trials (%d target) of %d utterances%s",
        path,
        len(trials),
        trials.is_target.sum(),
        len(trials.utterances),
        f"; lines that repeat an earlier pair, and stay: {repeated}" if repeated else "",
    )
    return trials


def remove_other_lists(destination: Path, table: Sequence[PublishedList], paths: Mapping[PublishedList, Path]) -> None:
    """Lists of an earlier call, of which the utterances will not be there."""
    for one in table:
        path = destination / one.output.name
        if one not in paths and destination.name == one.output.parent.name and path.exists():
            log.info("%s is removed, as --lists does not name it", path)
            path.unlink()


def write_test_set(
    destination: Path, trials_of: Mapping[str, Trials], utt2spk_of: Mapping[Path, Mapping[str, str]]
) -> None:
    """A data directory of the utterances of these trials {file name: trials}, drawn from the sources, and checked."""
    utterances = set[str]().union(*(trials.utterances for trials in trials_of.values()))
    contributing = [source for source, utt2spk in utt2spk_of.items() if not utterances.isdisjoint(utt2spk)]
    if len(contributing) == 1:
        notes = write_part(contributing[0], destination, utterances)
    else:
        with tempfile.TemporaryDirectory() as combined:
            notes = combine_data(Path(combined), contributing)
            notes += write_part(Path(combined), destination, utterances)
    for note in notes:
        log.info("%s", note)
    for name, trials in trials_of.items():
        write_trials(destination / name, trials)
    findings, content = validate_data_dir(
        destination, Checks(skip=frozenset(FEATURE_FILES), files_exist=False, allow_pipes=True)
    )
    if findings.count:
        raise InputError(f"{findings.lines[0]} ({findings.count} problems in all)")
    log.info("%s: %s; %s", destination, content, ", ".join(trials_of))


if __name__ == "__main__":
    main()
