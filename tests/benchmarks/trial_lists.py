"""Time of the test sets of E and H at their real size: python3 tests/benchmarks/trial_lists.py

Makes lists of the published sizes over data directories as large as VoxCeleb1's (tables only, no audio) in a temporary
folder, runs the command as a user does, once and once more, and then its parts by themselves. The plain way reads one
list line by line, looks its utterances up in a dict, checks labels and repeated pairs and writes the trials.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spk.bin.prepare_voxceleb_trials import LIST_TABLE, PREPARED_FILES, write_test_set
from spk.data.data_dir import read_table, speakers_to_utterances, write_table
from spk.data.stamp import describe_inputs
from spk.data.trials import write_trials
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir
from spk.data.voxceleb_trials import read_list_table, read_voxceleb_trials

COMMAND = LIST_TABLE.parent / "prepare_voxceleb_trials"
PARTS = {"vox1_dev": (1211, 148_642), "vox1_test": (40, 4_874)}  # speakers, utterances
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    lists = [one for one in read_list_table(LIST_TABLE) if one.output.parent.name == "vox1"]
    with tempfile.TemporaryDirectory() as folder:
        data, list_dir = Path(folder) / "data", Path(folder) / "lists"
        list_dir.mkdir()
        groups = write_sources(data)
        for seed, one in enumerate(lists):
            write_list(list_dir / one.files[0], groups, one.num_trials, one.num_targets, seed)
        sources = [data / name for name in PARTS]
        argv = [str(COMMAND), "--lists", "e,h", str(list_dir), ",".join(map(str, sources)), str(data)]
        print(
            f"{sum(one.num_trials for one in lists)} trials in {len(lists)} lists, {sum(map(len, groups))} utterances"
        )
        for what in ("first call", "second call"):
            seconds, _ = timed(run, argv)
            print(f"{seconds:7.2f} s  the command, {what}", flush=True)

        one, path = lists[0], list_dir / lists[0].files[0]
        tables = [source / name for source in sources for name in PREPARED_FILES if (source / name).exists()]
        seconds, _ = timed(describe_inputs, [path, *tables])
        print(f"{seconds:7.2f} s  digests of a list and the sources")
        seconds, utt2spk_of = timed(lambda: {source: read_table(source / "utt2spk") for source in sources})
        print(f"{seconds:7.2f} s  utt2spk of the sources")
        reading, trials = timed(read_voxceleb_trials, path)
        print(f"{reading:7.2f} s  list {one.name} read and checked: {len(trials)} trials")
        looking, _ = timed(lambda: set(trials.utterances).difference(*utt2spk_of.values()))
        print(f"{looking:7.2f} s  its {len(trials.utterances)} utterances looked up")
        counting, _ = timed(trials.num_repeated)
        print(f"{counting:7.2f} s  repeated pairs counted")
        writing, _ = timed(write_trials, data / "trials", trials)
        print(f"{writing:7.2f} s  trials written")
        seconds, _ = timed(write_test_set, data / "vox1", {"trials_e": trials}, utt2spk_of)
        print(f"{seconds:7.2f} s  data directory with these trials written and checked")
        checks = Checks(skip=frozenset(FEATURE_FILES), files_exist=False)
        seconds, _ = timed(validate_data_dir, data / "vox1", checks)
        print(f"{seconds:7.2f} s  of that, the check")
        utt2spk = {utterance: speaker for table in utt2spk_of.values() for utterance, speaker in table.items()}
        plain, _ = timed(plain_way, path, utt2spk, data / "plain")
        assert (data / "plain").read_bytes() == (data / "trials").read_bytes()
        ours = reading + looking + counting + writing
        print(f"{plain:7.2f} s  the plain way, a list read, looked up and written; plain / ours {plain / ours:.1f}")


if __name__ == "__main__":
    main()
