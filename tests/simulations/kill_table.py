"""What SIGKILL at random moments does to each stage, and to the whole of egs/mini: a table of kills.

Usage: python3 tests/simulations/kill_table.py [--kills 20] [--whole-kills 5] [--chains 3] [--stages NAME,...]
           [--corpus DIR] [--seed 1] [--work DIR]
A small system of a network and one of i-vectors are made once, each stage untouched. Then each stage is run again so
many times: at a moment drawn uniformly from the time that it took untouched, it is killed, every other time with all
the processes that it has started, else one of them alone; and it is started again until it ends well. All that it
leaves behind (but logs) must be what the untouched run left, nothing more, nothing less. In a chain, every stage is
killed once, one after the other, and all of it must be the same again, the final scores too. Last, egs/mini/run.sh is
killed so many times.
  --corpus DIR   a folder of speech (default: 16 speakers by espeak-ng)
  --work DIR     where to work (default: a temporary folder, removed in the end)
Prints a Markdown table; exit status 1 when anything differs, or a message was a traceback. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
MARK = "KILL_TABLE_RUN"  # in the environment of all that a run starts
MOST_STARTS = 12
SMALL = (
    "--network.channels 0.125 --network.embedding_dim 16 --batch.size 4 --batch.crop_frames 80 --train.steps 40 "
    "--train.save_every 5 --train.threads 1 --train.log_every 5 --validation.speakers 2 --validation.every 10"
)
MINI = ROOT / "egs/mini"
CONFIG = MINI / "conf/fast_resnet34_dam.yaml"
MFCC = ROOT / "egs/voxceleb/conf/ivector_mfcc.yaml"
STAGES = {
    "features": f"for set in data/*; do make_feats --nj 2 --config {CONFIG} $set; done",
    "features and voice activity of i-vectors": f"for set in mfcc/*; do make_feats --nj 2 --config {MFCC} $set; "
    "compute_vad --nj 2 $set; done",
    "training": f"train --ngpu 0 --config {CONFIG} {SMALL} --train.workers 1 data/train exp",
    "sharded training in 2 processes": f"train --ngpu 0 --nproc 2 --config {CONFIG} {SMALL} --train.workers 1 "
    "--train.shard_classifier true data/train exp_sharded",
    "extraction": "for set in data/*; do "
    "extract_embeddings --nj 2 --ngpu 0 exp $set exp/embeddings_$(basename $set); done",
    "LDA and PLDA": "train_lda data/train exp/embeddings_train exp/lda; "
    "train_plda data/train exp/embeddings_train exp/plda",
    "UBM": "train_ubm --ngpu 0 --threads 1 --num-gauss 16 --num-frames 4000 --num-init-iters 6 --num-gselect 8 "
    "--num-gselect-diag 8 mfcc/train iv/ubm",
    "i-vector EM": "train_ivector_extractor --ngpu 0 --threads 1 --ivector-dim 20 mfcc/train iv/ubm iv/extractor",
    "i-vectors": "for set in mfcc/*; do extract_ivectors --nj 2 iv/extractor $set iv/embeddings_$(basename $set); done",
    "i-vectors' PLDA": "train_plda --lda-dim 5 mfcc/train iv/embeddings_train iv/plda",
    "scoring": """for set in data/test*; do name=$(basename $set)
  score $set/trials exp/embeddings_$name exp/embeddings_$name exp/scores_${name}_cosine
  score --backend plda --backend-dir exp/plda --norm as --top-n 5 --cohort exp/embeddings_train \\
    --cohort-models data/train/spk2utt $set/trials exp/embeddings_$name exp/embeddings_$name exp/scores_${name}_plda_as
  score --backend plda --backend-dir iv/plda $set/trials iv/embeddings_$name iv/embeddings_$name iv/scores_${name}_plda
done""",
}


@dataclass
class Row:
    """What became of one stage's kills."""

    name: str
    seconds: float = 0.0
    kills: int = 0
    hit: int = 0
    starts: int = 0
    identical: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"| {self.name} | {self.seconds:.1f} | {self.kills} | {self.hit} | {self.starts} | "
            f"{self.identical} of {self.kills} |"
        )


class Process:
    """A line of bash with path.sh sourced, and all that it starts, found by a mark in the environment."""

    def __init__(self, line: str, folder: Path, output: Path) -> None:
        self.mark = f"{MARK}={os.urandom(8).hex()}"
        environment = {**os.environ, MARK: self.mark.partition("=")[2], "OMP_NUM_THREADS": "1"}
        with output.open("ab") as file:
            self.popen = subprocess.Popen(
                ["bash", "-c", f'set -euo pipefail; . "{ROOT}/path.sh"; {line}'],
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )

    def family(self) -> list[int]:
        """Every living process with the mark."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def kill_all(self) -> None:
        """Stopped first, so that none of them can start another meanwhile."""
        stopped: set[int] = set()
        while fresh := set(self.family()) - stopped:
            for pid in fresh:
                send(pid, signal.SIGSTOP)
            stopped |= fresh
        for pid in stopped:
            send(pid, signal.SIGKILL)

    def wait_for_family(self, seconds: float = 120) -> list[int]:
        """Wait for what outlived the process; what is left after that long."""
        deadline = time.monotonic() + seconds
        while (left := self.family()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def content_of(path: Path) -> str:
    """A digest of a file; of those with times or a pickle's accidents in them, of what they say."""
    if path.suffix == ".pt":
        digest = hashlib.sha256()
        content = torch.load(path, weights_only=True)
        for entry in content.get("row_files", []):
            del entry["digest"]  # of a file's bytes; what it says is compared by itself
        for part in canonical(content):
            digest.update(part)
        return digest.hexdigest()
    if path.name == "run.json":
        return json.dumps(json.loads(path.read_text()) | {"begun": ""}, sort_keys=True)
    if path.name == "training.csv":
        rows = [line.split(",") for line in path.read_text().splitlines()]
        timed = rows[0].index("crops_per_second")
        return "\n".join(",".join(row[:timed] + row[timed + 1 :]) for row in rows)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def canonical(value: object) -> Iterator[bytes]:
    """A value of tensors, mappings and lists as bytes that depend on nothing else."""
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, dict):
        for key in value:
            yield repr(key).encode()
            yield from canonical(value[key])
    elif isinstance(value, (list, tuple)):
        yield str(len(value)).encode()
        for part in value:
            yield from canonical(part)
    else:
        yield repr(value).encode()


def tree(folder: Path) -> dict[str, str]:
    """{name: content} of all that a run leaves but logs, the lock and TensorBoard's events, which hold times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not {"log", "tensorboard"} & set(name.parts) and path.name != ".lock":
            found[os.fspath(name)] = content_of(path)
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    return [
        f"{name}: {'left over' if name not in expected else 'missing' if name not in found else 'differs'}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


class Workplace:
    """A folder in which stages run, put back to what it was before a stage as often as needed."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.work, self.saved, self.outputs = folder / "work", folder / "saved", folder / "outputs"
        self.chance = chance
        for path in (self.work, self.saved, self.outputs):
            path.mkdir(parents=True)
        self.count = 0

    def save(self, name: str) -> None:
        shutil.copytree(self.work, self.saved / name, symlinks=True)

    def restore(self, name: str) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(self.saved / name, self.work, symlinks=True)

    def output(self, row: str) -> Path:
        self.count += 1
        return self.outputs / f"{self.count:04d}_{row.replace(' ', '_').replace('/', '_')}"

    def untouched(self, name: str, line: str) -> float:
        """Run a line to its end; the seconds that it took."""
        output = self.output(name)
        begin = time.monotonic()
        process = Process(line, self.work, output)
        if process.popen.wait() != 0:
            sys.exit(f"kill_table: {name} fails without being killed:\n{output.read_text()[-3000:]}")
        return time.monotonic() - begin

    def killed(self, row: Row, line: str, whole: bool) -> None:
        """Kill a line at a random moment of `row.seconds`, and start it again until it ends well."""
        output = self.output(row.name)
        process = Process(line, self.work, output)
        processes = [process]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(self.chance.uniform(0, row.seconds))
        row.kills += 1
        if process.popen.poll() is None and (family := process.family()):
            row.hit += 1
            if whole:
                process.kill_all()
            else:
                send(self.chance.choice(sorted(family)), signal.SIGKILL)
        status = process.popen.wait()
        starts = 0
        while status != 0 and starts < MOST_STARTS:
            starts += 1
            with output.open("a") as file:
                file.write(f"== status {status}; start {starts}\n")
            process = Process(line, self.work, output)
            processes.append(process)
            status = process.popen.wait()
            if status != 0:  # what an orphan holds, it holds for some seconds
                for one in processes:
                    one.wait_for_family(10)
        row.starts += starts
        if status != 0:
            row.faults.append(f"still fails after {starts} starts (see {output.name})")
        if "Traceback" in output.read_text(errors="replace"):
            row.faults.append(f"a traceback (see {output.name})")
        for one in processes:
            if one.wait_for_family():
                row.faults.append(f"a process lived on for two minutes (see {output.name})")
                one.kill_all()


def kill_stage(place: Workplace, row: Row, line: str, kills: int) -> None:
    """`place` is as before the stage; it is left as after it, untouched."""
    place.save("before")
    row.seconds = place.untouched(row.name, line)
    expected = tree(place.work)
    place.save("after")
    for number in range(kills):
        place.restore("before")
        place.killed(row, line, whole=number % 2 == 0)
        found = differences(expected, tree(place.work))
        row.identical += not found
        row.faults += found
        say(f"{row.name}: kill {number + 1} of {kills}: {'; '.join(found) or 'identical'}")
    place.restore("after")
    for name in ("before", "after"):
        shutil.rmtree(place.saved / name)


def kill_chain(place: Workplace, row: Row, stages: dict[str, Row], expected: dict[str, str], number: int) -> None:
    """Every stage is killed once, one after the other, from the data directories on."""
    place.restore("begin")
    parts = {name: Row(f"{row.name}: {name}", stage.seconds) for name, stage in stages.items()}
    for position, (name, part) in enumerate(parts.items()):
        place.killed(part, STAGES[name], whole=(position + number) % 2 == 0)
    row.kills += 1
    row.hit += all(part.hit for part in parts.values())
    row.starts += sum(part.starts for part in parts.values())
    found = differences(expected, tree(place.work))
    row.identical += not found
    row.faults += [*found, *(fault for part in parts.values() for fault in part.faults)]
    say(f"{row.name}: {number + 1}: {'; '.join(found) or 'identical'}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--whole-kills", type=int, default=5)
    parser.add_argument("--chains", type=int, default=3)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    chosen = options.stages.split(",") if options.stages else []
    if unknown := [name for name in chosen if name not in STAGES]:
        parser.error(f"--stages: no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    with contextlib.ExitStack() as stack:
        folder = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kill_table_")))
        return kill_everything(folder.resolve(), options, chosen)


def kill_everything(folder: Path, options: argparse.Namespace, chosen: list[str]) -> int:
    place = Workplace(folder, random.Random(options.seed))
    corpus = options.corpus.resolve() if options.corpus else folder / "espeak"
    if not options.corpus:
        place.untouched(
            "corpus", f"make_espeak_corpus --speakers 16 --test-speakers 5 --utterances 8 --sessions 2 --nj 1 {corpus}"
        )
    place.untouched("data", f"prepare_speaker_folders {corpus} data; prepare_speaker_folders {corpus} mfcc")
    place.save("begin")
    rows: dict[str, Row] = {}
    for name, line in STAGES.items():
        if not options.chains and set(chosen) <= rows.keys():
            break
        row = Row(name)
        kill_stage(place, row, line, options.kills if name in chosen else 0)
        rows[name] = row
    table = [rows[name] for name in chosen]
    if options.chains:
        chain = Row("all of these, each killed once", sum(row.seconds for row in rows.values()))
        expected = tree(place.work)
        for number in range(options.chains):
            kill_chain(place, chain, rows, expected, number)
        table.append(chain)
    if options.whole_kills:
        whole = Row("the whole of egs/mini/run.sh")
        shutil.rmtree(place.work)
        place.work.mkdir()
        folders = f'--corpus {corpus} --data "$PWD/data" --exp "$PWD/exp" --baseline "$PWD/statistics"'
        kill_stage(place, whole, f"{MINI}/run.sh {folders} {SMALL}", options.whole_kills)
        table.append(whole)
    print("| stage | s untouched | kills | hit while it ran | starts again | all that it leaves identical |")
    print("|---|---|---|---|---|---|")
    for row in table:
        print(row)
    for row in table:
        for fault in dict.fromkeys(row.faults):
            print(f"\n{row.name}: {fault}")
    return int(any(row.faults for row in table))


if __name__ == "__main__":
    sys.exit(main())
