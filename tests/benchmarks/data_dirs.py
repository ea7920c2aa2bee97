"""Data directory tools against the plain way, on drawn lists: python3 tests/benchmarks/data_dirs.py

The plain way is sort, comm and awk, file by file, as Kaldi's scripts go (they check less, name no line and do not say
what they drop). Both as a user runs them, start included; seconds of the CPU, children included. How the tools grow up
to VoxCeleb2's size: growth.py.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from measure import Table, median_ratio, parser, report

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


def cpu_seconds(argv: list[str]) -> float:
    """Run a command to its end; its own time, children included."""
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}
    )
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv[:3])}: status {process.returncode}: {error.decode()[-500:]}")
    return usage.ru_utime + usage.ru_stime


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
        "fix": [f"{UTILS}/fix_data_dir.sh", str(data)],
        "split": [f"{UTILS}/split_data.sh", str(data), "40"],
        "subset": [f"{UTILS}/subset_data_dir.sh", str(data), str(num_kept), str(scratch / "subset")],
    }


def main() -> None:
    options = parser(__doc__, rounds=3, utterances=110_000, speakers=600).parse_args()
    table = Table(
        f"Tools for data directories: {options.utterances:,} utterances of {options.speakers} speakers",
        ["tool", "CPU seconds", "of sort, comm and awk", "ratio to sort, comm and awk"],
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_lists(data, options.utterances, options.speakers)
        for name, script in PLAIN.items():
            source = f"{data}_broken" if name == "fix" else str(data)
            own, plain = [], []
            for number in range(options.rounds):
                scratch = Path(folder) / f"{name}.{number}"
                (scratch / "plain").mkdir(parents=True)
                shutil.copytree(source, scratch / "data")  # fix mends it in place
                plain.append(
                    cpu_seconds(["bash", "-euo", "pipefail", "-c", script, "bash", source, str(scratch / "plain")])
                )
                own.append(cpu_seconds(tools(scratch / "data", scratch)[name]))
            table.add(name, statistics.median(own), statistics.median(plain), median_ratio(plain, own))
    report(options, table)


if __name__ == "__main__":
    main()
