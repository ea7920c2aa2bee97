"""steps/make_feats on generated recordings: jobs, kills, bad input, a full disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml

CONF = Path(__file__).parents[2] / "egs" / "voxceleb" / "conf"


def make_data_dir(folder: Path, count: int, seconds: float = 0.5) -> Path:
    """`count` recordings of noise by speakers of 5 each, with a data directory around them."""
    audio = folder.parent / f"{folder.name}_audio"
    for path in (folder, audio):
        path.mkdir(parents=True)
    random = np.random.default_rng(count)
    wav_scp, utt2spk = [], []
    for number in range(count):
        name = f"spk{number // 5:03d}-{number:04d}"
        wave = 0.1 * random.normal(size=int(16000 * seconds) + 37 * number)
        soundfile.write(audio / f"{name}.wav", wave, 16000)
        wav_scp.append(f"{name} {audio / name}.wav\n")
        utt2spk.append(f"{name} {name[:6]}\n")
    (folder / "wav.scp").write_text("".join(wav_scp))
    (folder / "utt2spk").write_text("".join(utt2spk))
    return folder


def records(data: Path) -> dict[str, bytes]:
    """{utterance: its record in the ark}"""
    places = [line.split() for line in (data / "feats.scp").read_text().splitlines()]
    by_ark: dict[str, list[tuple[int, str]]] = {}
    for utterance, place in places:
        ark, _, offset = place.rpartition(":")
        by_ark.setdefault(ark, []).append((int(offset), utterance))
    found = {}
    for ark, starts in by_ark.items():
        content = Path(ark).read_bytes()
        starts.sort()
        ends = [offset - len(utterance) - 1 for offset, utterance in starts[1:]] + [len(content)]
        found |= {utterance: content[offset:end] for (offset, utterance), end in zip(starts, ends, strict=True)}
    return found


def arks(data: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((data / "feats").glob("*.ark*"))}


def test_features_are_the_same_bytes_for_any_number_of_jobs(shell, tmp_path):
    one, three = make_data_dir(tmp_path / "one", 12), make_data_dir(tmp_path / "three", 12)
    first = shell("make_feats --nj 1 one", check=True)
    shell("make_feats --nj 3 three", check=True)
    assert records(one) == records(three) and len(records(one)) == 12
    assert len(arks(one)) == 1 and len(arks(three)) == 3
    for name in ("utt2num_frames", "utt2dur", "feats.yaml"):
        assert (one / name).read_bytes() == (three / name).read_bytes()
    assert yaml.safe_load((one / "feats.yaml").read_text()) == {"name": "fbank40", "window": "hamming"}
    num_frames = dict(line.split() for line in (one / "utt2num_frames").read_text().splitlines())
    for utterance, matrix in kaldiio.load_scp(str(one / "feats.scp")).items():
        assert matrix.shape == (int(num_frames[utterance]), 40)
    assert first.stderr.splitlines()[-1] == "make_feats: one/feats.scp"

    before = (one / "feats.scp").stat().st_mtime_ns
    again = shell("make_feats --nj 3 one", check=True)
    assert "already made" in again.stderr and (one / "feats.scp").stat().st_mtime_ns == before


def test_a_change_makes_the_features_again(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 3)
    shell('make_feats --nj 1 --config "$1" data', CONF / "fbank40.yaml", check=True)
    first = records(data)
    changed = shell('make_feats --nj 1 --config "$1" --features.window hann data', CONF / "fbank40.yaml", check=True)
    assert "made again, because this changed: features" in changed.stderr
    assert yaml.safe_load((data / "feats.yaml").read_text())["window"] == "hann"
    second = records(data)
    assert second.keys() == first.keys() and all(second[name] != first[name] for name in first)
    (tmp_path / "system.yaml").write_text("features: {name: spectrogram257}\nloss: {name: softmax}\n")
    shell("make_feats --nj 1 --config system.yaml data", check=True)
    assert all(record.startswith(b"\0BCM2 ") for record in records(data).values())
    shell("make_feats --nj 1 --config system.yaml --compress 0 data elsewhere", check=True)
    assert all(record.startswith(b"\0BFM ") for record in records(data).values())
    assert (tmp_path / "elsewhere").is_dir()


def test_a_default_that_is_written_down_changes_nothing(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 2)
    (tmp_path / "short.yaml").write_text("name: fbank40\n")
    shell("make_feats --nj 1 --config short.yaml data", check=True)
    before = (data / "feats.scp").stat().st_mtime_ns
    assert "already made" in shell('make_feats --nj 1 --config "$1" data', CONF / "fbank40.yaml", check=True).stderr
    assert (data / "feats.scp").stat().st_mtime_ns == before


def journal_lines(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes().count(b"\n")
    return 0


def wait_until(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.002)


def test_a_job_killed_in_the_middle_carries_on_to_the_same_bytes(shell, root, tmp_path):
    data = make_data_dir(tmp_path / "data", 150)
    shell(f"{sys.executable} -m spk.bin.feature_config --output config.yaml", check=True)
    command = [sys.executable, "-m", "spk.bin.make_feats", "--config", tmp_path / "config.yaml", data, data]
    environment = os.environ | {"PYTHONPATH": str(root)}
    for lines in (30, 80):
        process = subprocess.Popen([*command, tmp_path / "killed"], env=environment, stderr=subprocess.DEVNULL)
        journal = tmp_path / "killed.journal"
        wait_until(lambda journal=journal, lines=lines: journal_lines(journal) > lines, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert lines < journal_lines(tmp_path / "killed.journal") < 150 and not (tmp_path / "killed.ark").exists()
    finished = subprocess.run([*command, tmp_path / "killed"], env=environment, capture_output=True, text=True)
    assert finished.returncode == 0 and "of 150 utterances were made before" in finished.stderr
    subprocess.run([*command, tmp_path / "untouched"], env=environment, check=True)
    for suffix in (".ark", ".journal"):
        assert (tmp_path / f"killed{suffix}").read_bytes() == (tmp_path / f"untouched{suffix}").read_bytes()


def test_a_stage_killed_with_all_its_processes_carries_on_to_the_same_bytes(shell, root, tmp_path):
    data, untouched = make_data_dir(tmp_path / "data", 150), make_data_dir(tmp_path / "untouched" / "data", 150)
    step = subprocess.Popen(
        [root / "steps" / "make_feats", "--nj", "1", data], start_new_session=True, stderr=subprocess.DEVNULL
    )
    journal = data / "feats" / "feats_data.1.journal"
    wait_until(lambda: journal_lines(journal) > 20, step)
    os.killpg(step.pid, signal.SIGKILL)
    step.wait()
    assert not (data / "feats.scp").exists()
    shell('make_feats --nj 1 "$1"', data, check=True)
    shell('make_feats --nj 1 "$1"', untouched, check=True)
    assert arks(data) == arks(untouched) and len(records(data)) == 150


def test_bad_recordings_are_listed_each_with_its_reason(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 20)
    audio = tmp_path / "data_audio"
    files = sorted(audio.iterdir())
    good = files[0].read_bytes()
    files[1].write_text("these are words\n")
    files[2].write_bytes(b"")
    files[3].unlink()
    files[4].write_bytes(good[: len(good) // 2])
    soundfile.write(files[5], np.zeros(100), 16000)
    soundfile.write(files[6], np.full(16000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(files[7], np.zeros(8000), 8000)
    soundfile.write(files[8], np.random.default_rng(0).normal(size=16000) * 0.1, 16000, format="FLAC")
    files[8].write_bytes(files[8].read_bytes()[:9000])
    soundfile.write(files[9], np.random.default_rng(0).normal(size=(24000, 2)) * 0.1, 48000)
    failed = shell("make_feats --nj 2 data")
    assert failed.returncode == 1
    assert "8 of 20 utterances (40 %) are rejected, listed in data/rejected.tsv" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (data / "feats.scp").exists()
    lines = [line.split("\t") for line in (data / "rejected.tsv").read_text().splitlines()]
    reasons = {Path(path).name: reason for _, path, reason in lines}
    expected = [
        "Format not recognised",
        "empty file",
        "no such file",
        "truncated",
        "too short",
        "not finite",
        "8000 Hz",
    ]
    for file, reason in zip(files[1:8], expected, strict=True):
        assert reason in reasons[file.name]
    assert "flac decoder lost sync" in reasons[files[8].name]

    passed = shell("make_feats --nj 2 --max-rejected 40 data", check=True)
    assert "1 recordings were resampled: 1 from 48000 Hz" in passed.stderr
    assert "1 recordings were mixed down" in passed.stderr
    assert len(records(data)) == 12
    assert len((data / "wav.scp").read_text().splitlines()) == 20

    for file in (*files[1:5], *files[6:9]):
        file.write_bytes(good)
    shell("make_feats --nj 2 --max-rejected 5 data", check=True)
    assert len(records(data)) == 19 and len((data / "rejected.tsv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (
            "--config bad.yaml",
            "make_feats|feature_config: error: bad.yaml: features.windw: unknown key; did you mean 'window'",
        ),
        ("--features.window 3", "features.window: 3 is not known"),
        ("--features.name fbank41", "no front end is named 'fbank41'; did you mean 'fbank40'"),
        ("--loss.margin 0.3", "--loss.margin: unknown option"),
        ("--config none.yaml", "none.yaml: no such file"),
        ("--config system.yaml", "system.yaml: has neither a section 'features'"),
        ("--compress 9", "--compress: '9' is no method"),
        ("--max-rejected x", "--max-rejected takes a percentage, not 'x'"),
        ("--allow-pipes maybe", "takes true or false"),
        ("--ngpu 2", "--ngpu takes 0 or 1, not '2'"),
        ("--num-threads none", "--num-threads takes a number of at least 1, not 'none'"),
    ],
)
def test_bad_options_are_named_and_nothing_is_begun(options, message, shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 2)
    (tmp_path / "bad.yaml").write_text("name: fbank40\nwindw: hann\n")
    (tmp_path / "system.yaml").write_text("loss: {name: softmax}\n")
    failed = shell(f"make_feats --nj 1 {options} data")
    assert failed.returncode != 0 and "Traceback" not in failed.stderr
    assert message.rpartition("|")[2] in failed.stderr
    assert not (data / "feats.scp").exists() and not (data / "log").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_and_what_was_made_stays(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 2)
    shell("make_feats --nj 1 data", check=True)
    before = records(data)
    failed = shell("make_feats --nj 1 --ngpu 1 data")
    assert failed.returncode != 0 and "Traceback" not in failed.stderr
    assert "no CUDA device is available here; --ngpu 0" in failed.stderr
    assert records(data) == before and "already made" in shell("make_feats --nj 1 data", check=True).stderr


def test_commands_in_wav_scp_run_only_when_allowed(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 2)
    lines = (data / "wav.scp").read_text().splitlines()
    name, path = lines[1].split()
    lines[1] = f"{name} touch ran; cat {path} |"
    (data / "wav.scp").write_text("\n".join(lines) + "\n")
    failed = shell("make_feats --nj 1 data")
    assert failed.returncode == 1 and "data/wav.scp:2: is a command; --allow-pipes true" in failed.stderr
    assert not (tmp_path / "ran").exists()
    shell("make_feats --nj 1 --allow-pipes true data", check=True)
    assert (tmp_path / "ran").exists() and len(records(data)) == 2


def test_an_interrupt_does_not_wait_for_a_command_that_hangs(shell, root, tmp_path):
    data = make_data_dir(tmp_path / "data", 1)
    (data / "wav.scp").write_text(f"spk000-0000 touch {tmp_path}/began; exec sleep 30 |\n")
    shell(f"{sys.executable} -m spk.bin.feature_config --output config.yaml", check=True)
    command = [
        sys.executable,
        "-m",
        "spk.bin.make_feats",
        "--config",
        tmp_path / "config.yaml",
        "--allow-pipes",
        "true",
    ]
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen([*command, data, data, tmp_path / "feats"], env=environment)
    wait_until((tmp_path / "began").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_features_of_another_program_are_set_aside(shell, tmp_path):
    data = make_data_dir(tmp_path / "data", 2)
    (data / "feats.scp").write_text("spk000-0000 /elsewhere.ark:12\n")
    shell("make_feats --nj 1 data", check=True)
    assert (data / ".backup" / "feats.scp").read_text() == "spk000-0000 /elsewhere.ark:12\n"
    assert len(records(data)) == 2


def test_two_data_directories_of_one_name_do_not_share_a_folder(shell, tmp_path):
    make_data_dir(tmp_path / "a" / "train", 2)
    make_data_dir(tmp_path / "b" / "train", 2)
    shell("make_feats --nj 1 a/train feats", check=True)
    failed = shell("make_feats --nj 1 b/train feats")
    assert failed.returncode != 0 and "belongs to" in failed.stderr and "give another folder" in failed.stderr


def test_a_full_disk_is_said_in_one_line_and_the_stage_carries_on_when_there_is_room(shell, tmp_path, disk_of):
    small_disk = disk_of("512k")
    data, untouched = make_data_dir(tmp_path / "data", 300), make_data_dir(tmp_path / "untouched" / "data", 300)
    failed = shell("make_feats --nj 1 data disk")
    assert failed.returncode != 0 and "Traceback" not in failed.stderr
    said = [line for line in failed.stderr.splitlines() if "the disk is full" in line]
    assert said and "disk/feats_data.1" in said[0] and "run the same command again" in said[0]
    assert not (data / "feats.scp").exists()
    kept = journal_lines(small_disk / "feats_data.1.journal") - 1
    assert 20 < kept < 300
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    shell("make_feats --nj 1 data disk", check=True)
    assert f"{kept} of 300 utterances were made before" in (data / "log" / "make_feats.1.log").read_text()
    shell('make_feats --nj 1 "$1"', untouched, check=True)
    assert (small_disk / "feats_data.1.ark").read_bytes() == arks(untouched)["feats_data.1.ark"]


def test_help_is_the_head_of_the_script(shell):
    shown = shell("make_feats --help", check=True).stdout
    assert shown.startswith("Usage: make_feats") and "--max-rejected" in shown


@pytest.mark.parametrize("config", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_front_end_of_the_recipe_is_accepted(config, tmp_path):
    from spk.bin.feature_config import complete, read_section

    section = read_section(str(config), [])
    assert complete(section, "", str(config))["features"]["name"] == section["name"]
