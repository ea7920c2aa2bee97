"""Time of the test sets of E and H at their real size.

Usage: python3 tests/benchmarks/trial_lists.py [--rounds R] [--json FILE]
Makes lists of the published sizes over data directories as large as VoxCeleb1's (tables only, no audio) in a temporary
folder, runs the command as a user does, once and once more, and then its parts by themselves. The plain way reads one
list line by line, looks its utterances up in a dict, checks labels and repeated pairs and writes the trials.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import Table, by_turns, median_ratio, parser, report

from spk.bin.prepare_voxceleb_trials import LIST_TABLE, PREPARED_FILES, write_test_set
from spk.data.data_dir import read_table, speakers_to_utterances, write_table
from spk.data.stamp import describe_inputs
from spk.data.trials import write_trials
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.data.voxceleb_trials import PublishedList, read_list_table, read_voxceleb_trials

COMMAND = LIST_TABLE.parent / "prepare_voxceleb_trials"
PARTS = {"vox1_dev": (1211, 148_642), "vox1_test": (40, 4_874)}  # speakers, utterances
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def run(argv: list[str]) -> None:
    done = subprocess.run(argv, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)


def write_sources(data: Path) -> list[list[str]]:
    """Data directories in the manner of local/prepare_voxceleb; the paths in lists, a group per speaker."""
    rng = random.Random(0)
    speaker, groups = 10001, []
    for name, (num_speakers, num_utterances) in PARTS.items():
        wav = {}
        for index in range(num_speakers):
            share = num_utterances * (index + 1) // num_speakers - num_utterances * index // num_speakers
            group = []
            while len(group) < share:
                video = "".join(rng.choices(LETTERS, k=11))
                group += [f"id{speaker}/{video}/{number:05d}.wav" for number in range(1, 8)]
            groups.append(group[:share])
            wav |= {path[:-4].replace("/", "-"): f"/corpora/voxceleb1/wav/{path}" for path in group[:share]}
            speaker += 1
        utt2spk = {utterance: utterance[:7] for utterance in wav}
        (data / name).mkdir(parents=True)
        write_table(data / name / "wav.scp", wav)
        write_table(data / name / "utt2spk", utt2spk)
        write_table(data / name / "spk2utt", speakers_to_utterances(utt2spk))
        write_table(data / name / "spk2gender", dict.fromkeys(utt2spk.values(), "m"))
    return groups


def write_list(path: Path, groups: list[list[str]], num_trials: int, num_targets: int, seed: int) -> None:
    """As many target and non-target trials as a published list has, in turn."""
    rng = random.Random(seed)
    lines = []
    for number in range(num_targets):
        one, other = rng.sample(range(len(groups)), 2)
        enroll, test = rng.sample(groups[one], 2)
        lines.append(f"1 {enroll} {test}\n")
        if number < num_trials - num_targets:
            lines.append(f"0 {enroll} {rng.choice(groups[other])}\n")
    path.write_text("".join(lines))


def plain_way(path: Path, utt2spk: dict[str, str], output: Path) -> None:
    seen, repeated = set(), 0
    with path.open() as lines, output.open("w") as written:
        for number, line in enumerate(lines, start=1):
            label, *pair = line.split()
            enroll, test = ("-".join(name.removesuffix(".wav").split("/")) for name in pair)
            if label not in ("0", "1") or (utt2spk[enroll] == utt2spk[test]) != (label == "1"):
                raise SystemExit(f"{path}:{number}: {label}")
            repeated += (enroll, test) in seen
            seen.add((enroll, test))
            written.write(f"{enroll} {test} {'target' if label == '1' else 'nontarget'}\n")


def main() -> None:
    options = parser(__doc__, rounds=3).parse_args()
    lists = [one for one in read_list_table(LIST_TABLE) if one.output.parent.name == "vox1"]
    with tempfile.TemporaryDirectory() as folder:
        tables = measure(lists, Path(folder), options.rounds)
    report(options, *tables)


def measure(lists: list[PublishedList], folder: Path, rounds: int) -> list[Table]:
    data, list_dir = folder / "data", folder / "lists"
    list_dir.mkdir()
    groups = write_sources(data)
    for seed, one in enumerate(lists):
        write_list(list_dir / one.files[0], groups, one.num_trials, one.num_targets, seed)
    sources = [data / name for name in PARTS]
    argv = [str(COMMAND), "--lists", "e,h", str(list_dir), ",".join(map(str, sources)), str(data)]
    whole = Table(
        f"The command: {sum(one.num_trials for one in lists):,} trials in {len(lists)} lists, "
        f"{sum(map(len, groups)):,} utterances",
        ["call", "s"],
    )
    for what in ("first", "second"):
        start = time.perf_counter()
        run(argv)
        whole.add(what, time.perf_counter() - start)

    one, path = lists[0], list_dir / lists[0].files[0]
    trials, utt2spk_of = read_voxceleb_trials(path), {source: read_table(source / "utt2spk") for source in sources}
    utt2spk = {utterance: speaker for table in utt2spk_of.values() for utterance, speaker in table.items()}
    checks = Checks(skip=frozenset(FEATURE_FILES), files_exist=False)
    tables = [source / name for source in sources for name in PREPARED_FILES if (source / name).exists()]
    parts = {
        "digests of a list and the sources": lambda: describe_inputs([path, *tables]),
        "utt2spk of the sources": lambda: {source: read_table(source / "utt2spk") for source in sources},
        "list read and checked": lambda: read_voxceleb_trials(path),
        "its utterances looked up": lambda: set(trials.utterances).difference(*utt2spk_of.values()),
        "repeated pairs counted": trials.num_repeated,
        "trials written": lambda: write_trials(data / "trials", trials),
        "data directory written and checked": lambda: write_test_set(data / "vox1", {"trials_e": trials}, utt2spk_of),
        "of that, the check": lambda: validate_data_dir(data / "vox1", checks),
    }
    seconds = by_turns(parts, rounds, time.process_time)
    shares = Table(
        f"Parts, list {one.name}: {len(trials):,} trials, {len(trials.utterances):,} utterances", ["part", "s"]
    )
    for part, taken in seconds.items():
        shares.add(part, statistics.median(taken))

    def ours() -> None:
        read = read_voxceleb_trials(path)
        set(read.utterances).difference(*utt2spk_of.values())
        read.num_repeated()
        write_trials(data / "trials", read)

    ways = {"line by line": lambda: plain_way(path, utt2spk, data / "plain"), "spk": ours}
    seconds = by_turns(ways, rounds, time.process_time)
    assert (data / "plain").read_bytes() == (data / "trials").read_bytes()
    compared = Table("A list read, looked up and written", ["way", "s of CPU", "ratio"])
    for way, taken in seconds.items():
        compared.add(way, statistics.median(taken), median_ratio(seconds["line by line"], taken))
    return [whole, shares, compared]


if __name__ == "__main__":
    main()
