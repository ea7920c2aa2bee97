"""Time and memory of the data directory tools on a million utterances: python3 tests/benchmarks/data_dirs.py

Makes lists (no audio) in a temporary folder, runs each tool as a user does, and prints seconds by the clock and of the
CPU, and the most memory in use. A smaller directory gives the ratio to the plain way: sort, comm and awk, file by file
(which checks less, names no line and does not say what it drops).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

UTILS = Path(__file__).resolve().parents[2] / "utils"

# $1 is the data directory, $2 an output folder. Kaldi's scripts work in this way.
PLAIN = {
    "validate": """
        for f in utt2spk wav.scp feats.scp utt2num_frames utt2dur; do
          sort -c -k1,1 -u "$1/$f"
          cut -d' ' -f1 "$1/$f" | cmp - <(cut -d' ' -f1 "$1/utt2spk")
        done
        sort -c -k2,2 "$1/utt2spk"
        awk 'index($1, $2) != 1 { exit 1 }' "$1/utt2spk"
        awk '$2 !~ /^[0-9]+$/ || $2 <= 0 { exit 1 }' "$1/utt2num_frames"
        awk '$2 <= 0 { exit 1 }' "$1/utt2dur"
    """,
    "fix": """
        for f in utt2spk wav.scp feats.scp utt2num_frames utt2dur; do
          sort -k1,1 -u "$1/$f" >"$2/$f"
          cut -d' ' -f1 "$2/$f" >"$2/keys"
          if [ -f "$2/kept" ]; then comm -12 "$2/kept" "$2/keys" >"$2/both"; else cp "$2/keys" "$2/both"; fi
          mv "$2/both" "$2/kept"
        done
        for f in utt2spk wav.scp feats.scp utt2num_frames utt2dur; do
          awk 'NR == FNR { kept[$1]; next } $1 in kept' "$2/kept" "$2/$f" >"$2/$f.kept"
        done
    """,
    "split": """
        split -d -n l/40 "$1/utt2spk" "$2/part"
        for part in "$2"/part*; do
          for f in wav.scp feats.scp utt2num_frames utt2dur; do
            awk 'NR == FNR { kept[$1]; next } $1 in kept' "$part" "$1/$f" >"$part.$f"
          done
        done
    """,
    "subset": """
        awk 'NR % 2' "$1/utt2spk" >"$2/utt2spk"
        for f in wav.scp feats.scp utt2num_frames utt2dur; do
          awk 'NR == FNR { kept[$1]; next } $1 in kept' "$2/utt2spk" "$1/$f" >"$2/$f"
        done
    """,
}


@dataclass
class Cost:
    seconds: float
    cpu_seconds: float
    peak_gb: float


def measure(argv: list[str]) -> Cost:
    """Run a command to its end; its own time and memory, children included."""
    start = time.monotonic()
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}
    )
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv[:3])}: status {process.returncode}: {error.decode()[-500:]}")
    return Cost(time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def write_lists(data: Path, num_utterances: int, num_speakers: int) -> None:
    """Lists in the manner of VoxCeleb2, sorted; then broken ones beside them: shuffled, with gaps and repetitions."""
    data.mkdir(parents=True)
    rng = random.Random(0)
    per_speaker = -(-num_utterances // num_speakers)
    utterances = [
        (f"id{speaker:05d}-{speaker * 7919 % 99991:05d}x6uYq-{number:05d}", f"id{speaker:05d}")
        for speaker in range(num_speakers)
        for number in range(per_speaker)
    ][:num_utterances]
    rows = {
        "utt2spk": [f"{utterance} {speaker}\n" for utterance, speaker in utterances],
        "wav.scp": [f"{utt} /corpora/voxceleb2/dev/aac/{utt.replace('-', '/')}.m4a\n" for utt, _ in utterances],
        "feats.scp": [
            f"{utt} /exp/features/feats.{row * 40 // num_utterances}.ark:{row * 12345}\n"
            for row, (utt, _) in enumerate(utterances)
        ],
        "utt2num_frames": [f"{utterance} {rng.randrange(400, 2000)}\n" for utterance, _ in utterances],
        "utt2dur": [f"{utterance} {rng.randrange(400, 2000) / 100}\n" for utterance, _ in utterances],
    }
    broken = data.with_name(data.name + "_broken")
    broken.mkdir()
    for name, lines in rows.items():
        (data / name).write_text("".join(sorted(lines)))
        spoiled = lines[: -len(lines) // 1000] + rng.sample(lines, len(lines) // 1000)
        rng.shuffle(spoiled)
        (broken / name).write_text("".join(spoiled))
    speakers = subprocess.run([UTILS / "utt2spk_to_spk2utt", data / "utt2spk"], capture_output=True, check=True)
    (data / "spk2utt").write_bytes(speakers.stdout)


def tools(data: Path, scratch: Path) -> dict[str, list[str]]:
    """The command lines that are measured."""
    num_kept = sum(1 for _ in (data / "utt2spk").open()) // 2
    return {
        "validate": [f"{UTILS}/validate_data_dir.sh", "--no-check-files", str(data)],
        "fix": [f"{UTILS}/fix_data_dir.sh", f"{data}_broken"],
        "split": [f"{UTILS}/split_data.sh", str(data), "40"],
        "subset": [f"{UTILS}/subset_data_dir.sh", str(data), str(num_kept), str(scratch / "subset")],
        "copy": [
            f"{UTILS}/copy_data_dir.sh",
            "--utt-prefix",
            "x-",
            "--spk-prefix",
            "x-",
            str(data),
            str(scratch / "copy"),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1_100_000)
    parser.add_argument("--speakers", type=int, default=6000)
    parser.add_argument("--plain-utterances", type=int, default=110_000, help="for the ratio; 0: no ratio")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ratios = {}
        if options.plain_utterances:
            small = folder / "small"
            write_lists(small, options.plain_utterances, max(options.speakers // 10, 1))
            for name, script in PLAIN.items():
                scratch = folder / f"plain_{name}"
                scratch.mkdir()
                source = f"{small}_broken" if name == "fix" else str(small)
                plain = measure(["bash", "-euo", "pipefail", "-c", script, "bash", source, str(scratch)])
                ours = measure(tools(small, folder / "scratch")[name])
                ratios[name] = plain.cpu_seconds / ours.cpu_seconds
                shutil.rmtree(scratch)
        data = folder / "data"
        write_lists(data, options.utterances, options.speakers)
        print(f"{options.utterances} utterances, {options.speakers} speakers; plain way / ours: CPU time, ", end="")
        print(f"{options.plain_utterances} utterances")
        print(f"{'':10}{'seconds':>9}{'CPU s':>9}{'GB':>7}{'plain / ours':>15}")
        for name, argv in tools(data, folder / "scratch").items():
            cost = measure(argv)
            ratio = f"{ratios[name]:.1f}" if name in ratios else "-"
            print(f"{name:10}{cost.seconds:9.1f}{cost.cpu_seconds:9.1f}{cost.peak_gb:7.2f}{ratio:>15}", flush=True)


if __name__ == "__main__":
    main()
