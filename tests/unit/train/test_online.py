"""Training from waveforms: as training on the arks of the same features, with augmentation, and taken up again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile
import torch
import yaml
from unit.train.commands import ENVIRONMENT, train_command
from unit.train.conftest import SYSTEM

from spk.bin import extract_embeddings, held_out_trials
from spk.bin.make_feats import open_front_end
from spk.config import ValidationConfig
from spk.data.ark import read_vectors
from spk.data.data_dir import read_table, write_table
from spk.data.features import join_shares, make_share, read_sources
from spk.data.files import file_digest
from spk.feats import FRONT_ENDS
from spk.train.seen_speakers import speakers_seen
from spk.train.training_data import read_training_data

ONLINE = ("--features.online", "true")


def write_noises(folder, count=3):
    folder.mkdir()
    random = np.random.default_rng(9)
    lines = {"wav.scp": [], "utt2dur": []}
    for index in range(count):
        path = folder / f"{index}.wav"
        soundfile.write(path, 0.1 * random.standard_normal(8000 + 4000 * index), 16000)
        lines["wav.scp"].append(f"n{index} {path}\n")
        lines["utt2dur"].append(f"n{index} {0.5 + 0.25 * index}\n")
    for name, content in lines.items():
        (folder / name).write_text("".join(content))
    return folder


@pytest.fixture
def waves(tmp_path):
    """8 speakers, 4 utterances each, of coloured noise; one is shorter than a crop, one is cut out of a longer file."""
    folder = tmp_path / "waves"
    folder.mkdir()
    random = np.random.default_rng(1)
    tables = {name: [] for name in ("wav.scp", "segments", "utt2spk", "utt2dur")}
    for speaker in range(8):
        colour = random.normal(size=9)
        for utterance in range(4):
            name = f"s{speaker}-{utterance}"
            samples = 2000 if (speaker, utterance) == (0, 0) else int(random.integers(5000, 9000))
            wave = np.convolve(random.standard_normal(samples), colour)[:samples]
            soundfile.write(folder / f"{name}.wav", 0.02 * wave, 16000)
            begin = 0.05 if (speaker, utterance) == (5, 1) else 0
            tables["wav.scp"].append(f"{name} {folder}/{name}.wav\n")
            tables["segments"].append(f"{name} {name} {begin} -1\n")
            tables["utt2spk"].append(f"{name} s{speaker}\n")
            seconds = f"{samples / 16000 - begin:.6f}".rstrip("0")
            tables["utt2dur"].append(f"{name} {seconds}\n")
    for name, lines in tables.items():
        (folder / name).write_text("".join(lines))
    return folder


def make_feats(folder):
    """As steps/make_feats --compress 0."""
    section = FRONT_ENDS.check("features", SYSTEM["features"])
    sources = read_sources(folder, allow_pipes=False)
    made_from = {"features": section, "compression": 0, "audio": "", "data": str(folder)}
    make_share(sources, folder / "feats.1", made_from, lambda: open_front_end(section, None), allow_pipes=False)
    join_shares(folder, [folder / "feats.1"], max_rejected=0)


def final(exp):
    return torch.load(exp / "final.pt", weights_only=True)


def losses(exp):
    rows = list(csv.DictReader((exp / "training.csv").open()))
    return [[float(row[name]) for name in ("loss", "gradient_norm", "validation_eer") if row[name]] for row in rows]


def assert_same_weights(first, second):
    for name, value in final(first)["embedder"].items():
        assert torch.equal(value, final(second)["embedder"][name]), name


def test_the_losses_are_those_of_training_on_uncompressed_arks(train, system_yaml, waves, tmp_path):
    assert train(system_yaml, waves, tmp_path / "online", *ONLINE).returncode == 0  # there are no features yet
    make_feats(waves)
    assert train(system_yaml, waves, tmp_path / "offline").returncode == 0
    assert len(losses(tmp_path / "online")) == 6
    for online, offline in zip(losses(tmp_path / "online"), losses(tmp_path / "offline"), strict=True):
        assert online == pytest.approx(offline, rel=1e-3)
    first_online, first_offline = losses(tmp_path / "online")[0][0], losses(tmp_path / "offline")[0][0]
    assert first_online == pytest.approx(first_offline, rel=1e-5)
    saved = final(tmp_path / "online")["config"]
    assert saved["features"] == {"name": "fbank40", "window": "hamming", "online": True}
    assert sorted(json.loads((tmp_path / "online" / "run.json").read_text())["data_digests"]) == [
        *("segments", "utt2dur", "utt2spk", "wav.scp")
    ]


@pytest.fixture
def augmented_yaml(tmp_path):
    """A system that is augmented in every way."""
    response = np.zeros(1600)
    response[[5, 400, 1500]] = 1, 0.4, 0.2
    noises = write_noises(tmp_path / "noises")
    rirs = tmp_path / "rirs"
    rirs.mkdir()
    soundfile.write(rirs / "r.wav", response, 16000)
    (rirs / "wav.scp").write_text(f"r {rirs}/r.wav\n")
    (rirs / "utt2dur").write_text("r 0.1\n")
    augmentation = {"noises": str(noises), "babble": str(noises), "rirs": str(rirs), "probability": 0.8}
    augmentation |= {"speeds": [0.9, 1.1], "spec_augment": {"time_width": 4}}
    path = tmp_path / "augmented.yaml"
    path.write_text(
        yaml.safe_dump({**SYSTEM, "features": {"name": "fbank40", "online": True}, "augmentation": augmentation})
    )
    return path


def test_with_augmentation_a_killed_run_and_one_with_workers_end_with_the_same_bits(
    train, augmented_yaml, waves, tmp_path
):
    done = train(augmented_yaml, waves, tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    assert "72 utterances of 18 speakers, 2 more held out" in done.stderr  # 6 speakers at three speeds
    exp = tmp_path / "killed"
    command = train_command(augmented_yaml, waves, exp, "--train.workers", "2")
    running = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list((exp / "checkpoints").glob("step-*.pt")):
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    (exp / "final.pt").unlink(missing_ok=True)
    while "is in use" in (done := train(augmented_yaml, waves, exp)).stderr:  # its workers take a moment to die
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stderr
    assert_same_weights(tmp_path / "whole", exp)


@pytest.mark.parametrize(
    "overrides",
    [
        ["--augmentation.noises", "null", "--augmentation.babble", "null", "--augmentation.rirs", "null"],
        ["--augmentation.speeds", "[]"],
        ["--augmentation.spec_augment", "null"],
    ],
)
def test_each_augmentation_changes_the_losses(train, augmented_yaml, waves, tmp_path, overrides):
    short = ["--train.steps", "2", "--validation.speakers", "0"]
    assert train(augmented_yaml, waves, tmp_path / "with", *short).returncode == 0
    assert train(augmented_yaml, waves, tmp_path / "without", *short, *overrides).returncode == 0
    assert losses(tmp_path / "with") != losses(tmp_path / "without")


def test_spec_augment_works_on_arks_too(train, system_yaml, data_dir, tmp_path):
    short = ["--train.steps", "3", "--validation.speakers", "0"]
    for name in ("a", "b"):
        masked = ["--augmentation.spec_augment.time_masks", "1"]
        assert train(system_yaml, data_dir, tmp_path / name, *short, *masked).returncode == 0
    assert train(system_yaml, data_dir, tmp_path / "plain", *short).returncode == 0
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert losses(tmp_path / "a") != losses(tmp_path / "plain")


def test_a_run_with_other_noises_is_refused_and_one_whose_noises_moved_is_not(train, augmented_yaml, waves, tmp_path):
    short = ["--train.steps", "2", "--validation.speakers", "0"]
    exp, noises = tmp_path / "exp", tmp_path / "noises"
    assert train(augmented_yaml, waves, exp, *short).returncode == 0
    shutil.copytree(noises, tmp_path / "moved")
    moved = ["--augmentation.noises", str(tmp_path / "moved")]
    assert "already trained" in train(augmented_yaml, waves, exp, *short, *moved).stderr
    without = train(augmented_yaml, waves, exp, *short, "--augmentation.noises", "null")
    assert f"{exp} was begun with augmentation.noises; name another" in without.stderr
    more = train(augmented_yaml, waves, exp, *short, "--augmentation.music", str(noises))
    assert f"{exp} was begun without augmentation.music; name another" in more.stderr
    (tmp_path / "moved" / "wav.scp").write_text((noises / "wav.scp").read_text().replace("noises/", "moved/"))
    assert "already trained" in train(augmented_yaml, waves, exp, *short, *moved).stderr
    soundfile.write(tmp_path / "moved" / "1.wav", np.full(12000, 0.1), 16000)  # as long as it was
    other = train(augmented_yaml, waves, exp, *short, *moved)
    assert f"in augmentation.noises (recordings of {tmp_path / 'moved'} changed since)" in other.stderr
    shutil.copy(noises / "1.wav", tmp_path / "moved" / "1.wav")
    lines = (tmp_path / "moved" / "utt2dur").read_text().splitlines()
    (tmp_path / "moved" / "utt2dur").write_text("\n".join([*lines[:-1], "n2 0.9"]) + "\n")
    other = train(augmented_yaml, waves, exp, *short, *moved)
    assert other.returncode == 1
    assert f"other recordings in augmentation.noises (utt2dur of {tmp_path / 'moved'} changed" in other.stderr
    without = train(augmented_yaml, waves, exp, *short, "--augmentation.probability", "0.5")
    assert "augmentation.probability: 0.8 -> 0.5" in without.stderr
    (waves / "wav.scp").write_text((waves / "wav.scp").read_text().replace("s3-1.wav", "s3-2.wav"))
    assert "other data (wav.scp of" in train(augmented_yaml, waves, exp, *short).stderr


def test_noises_of_unknown_length_are_refused_in_one_line(train, augmented_yaml, waves, tmp_path):
    (tmp_path / "noises" / "utt2dur").unlink()
    done = train(augmented_yaml, waves, tmp_path / "exp")
    assert done.returncode == 1 and "\n" not in done.stderr
    assert (
        f"{tmp_path}/noises/utt2dur: no such file; run steps/compute_durations {tmp_path}/noises first" in done.stderr
    )


@pytest.mark.parametrize("speakers", ["same", "new"])
def test_speeds_of_data_that_has_them_already_are_refused_in_one_line(train, augmented_yaml, waves, tmp_path, speakers):
    name = "sp0.9-{}" if speakers == "new" else "{}-sp0.9"
    for table in ("segments", "utt2dur", "utt2spk"):
        content = read_table(waves / table)
        copies = {name.format(key): value for key, value in content.items()}
        if table == "utt2spk" and speakers == "new":
            copies = {key: f"sp0.9-{speaker}" for key, speaker in copies.items()}
        write_table(waves / table, content | copies)
    if speakers == "same":
        write_table(waves / "utt2augmentation", {"s0-0-sp0.9": '{"speed":0.9}'})
    done = train(augmented_yaml, waves, tmp_path / "exp")
    assert done.returncode == 1 and "\n" not in done.stderr
    assert f"augmentation.speeds: {waves} has speech at other speeds already" in done.stderr
    short = ["--augmentation.speeds", "[]", "--train.steps", "2"]
    assert train(augmented_yaml, waves, tmp_path / "exp", *short).returncode == 0


def test_the_config_of_a_run_from_before_there_was_augmentation_is_the_same(train, system_yaml, data_dir, tmp_path):
    exp = tmp_path / "exp"
    assert train(system_yaml, data_dir, exp).returncode == 0
    config = yaml.safe_load((exp / "config.yaml").read_text())
    assert config.pop("augmentation")["spec_augment"] is None
    assert "online" not in config["features"]
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    run = json.loads((exp / "run.json").read_text())
    del run["noises"]
    (exp / "run.json").write_text(json.dumps(run))
    assert "already trained" in train(system_yaml, data_dir, exp).stderr
    masked = train(system_yaml, data_dir, exp, "--augmentation.spec_augment.time_masks", "1")
    assert "augmentation.spec_augment.time_masks: None -> 1" in masked.stderr


def test_a_network_may_start_from_one_that_was_trained_online(train, system_yaml, waves, tmp_path):
    first, short = tmp_path / "first", ["--train.steps", "2"]
    assert train(system_yaml, waves, first, *ONLINE, *short).returncode == 0
    make_feats(waves)
    validation = ValidationConfig(speakers=2, utterances_per_speaker=3)
    trained_on = set(read_training_data(waves, validation, seed=3)[0].speakers)
    assert (
        speakers_seen({"file": str(first / "final.pt"), "digest": file_digest(first / "final.pt")}, waves) == trained_on
    )
    for name, options in (("online", ONLINE), ("offline", ())):
        done = train(system_yaml, waves, tmp_path / name, *options, *short, "--init-from", str(first))
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr


def test_what_follows_training_needs_no_features_either(train, system_yaml, waves, tmp_path, monkeypatch):
    exp = tmp_path / "exp"
    assert train(system_yaml, waves, exp, *ONLINE, "--train.steps", "2").returncode == 0

    def run(main, *arguments):
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        main()

    for name in ("waves", "arks"):
        run(extract_embeddings.main, "--device", "cpu", exp, waves, tmp_path / name)
        run(held_out_trials.main, exp, waves, tmp_path / f"held_out_{name}")
        assert (waves / "feats.scp").exists() == (name == "arks")
        if name == "waves":
            make_feats(waves)
    (utterances, from_waves), (same, from_arks) = (read_vectors(tmp_path / f"{name}.scp") for name in ("waves", "arks"))
    assert len(utterances) == 32 and utterances == same
    np.testing.assert_allclose(from_waves, from_arks, rtol=1e-3, atol=1e-4)
    trials = [(tmp_path / f"held_out_{name}" / "trials").read_text() for name in ("waves", "arks")]
    assert trials[0] == trials[1] and trials[0].count("\n") == 28  # all pairs of 2 speakers' 8 utterances


@pytest.mark.parametrize(
    "table, old, new, message",
    [
        ("utt2dur", None, None, "utt2dur: no such file; run steps/compute_durations"),
        ("utt2dur", "s3-1 ", "s3-1 long", "utt2dur: 's3-1' has 'long"),
        ("utt2dur", "s3-1 0.", "s3-1 0.0000", "utterances are too short for one frame, 1: s3-1"),
        ("wav.scp", None, None, "wav.scp: no such file"),
        ("segments", "s3-1 s3-1 0 -1\n", "", "utterance 's3-1' of utt2dur is missing in wav.scp or segments"),
        ("utt2spk", "s3-1 s3\n", "", "utterance 's3-1' of utt2dur is missing in utt2spk"),
        ("wav.scp", "s3-1.wav", "s3-1.wav |", "is the output of a command, and features.online reads parts of files"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused_in_one_line(
    train, system_yaml, waves, tmp_path, table, old, new, message
):
    if old is None:
        (waves / table).unlink()
    else:
        content = (waves / table).read_text()
        assert old in content
        (waves / table).write_text(content.replace(old, new))
    done = train(system_yaml, waves, tmp_path / "exp", *ONLINE)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 0
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_recording_that_is_gone_stops_the_training_in_one_line(system_yaml, waves, tmp_path, workers):
    for path in waves.glob("s[0-3]-*.wav"):
        path.unlink()
    command = train_command(
        system_yaml, waves, tmp_path / "exp", *ONLINE, "--train.workers", workers, "--validation.speakers", "0"
    )
    done = subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, timeout=100)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("train.py: error: ") or last.startswith("train: error: ")
    assert "no such file or directory" in last and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["--augmentation.noises", "gone"], "features.online"),
        ([*ONLINE, "--augmentation.noises", "gone"], "gone/wav.scp: no such file"),
        ([*ONLINE, "--augmentation.noise_snrs", "[]"], "augmentation.noise_snrs: is empty"),
        ([*ONLINE, "--augmentation.speeds", "[1.0]"], "augmentation.speeds: [1.0]: 1 is not from 0.5 to 2 in hund"),
        ([*ONLINE, "--augmentation.speeds", "[0.996]"], "0.996 is not from 0.5 to 2 in hundredths, or is no change"),
        ([*ONLINE, "--augmentation.speeds", "[0.9, 0.9001]"], "0.9001 is not from 0.5 to 2 in hundredths"),
        ([*ONLINE, "--augmentation.speeds", "[0.9, 0.9]"], "[0.9, 0.9]: one of them stands there twice"),
        (
            [*ONLINE, "--features.name", "kaldi_fbank", "--features.dither", "1"],
            "features.dither: features.online makes each crop by itself",
        ),
        ([*ONLINE, "--augmentation.speeds", "[3]"], "augmentation.speeds[0]: 3 is out of range"),
        (["--features.online", "maybe"], "features.online: 'maybe' must be true or false"),
    ],
)
def test_a_section_that_cannot_be_right_is_refused_in_one_line(train, system_yaml, waves, tmp_path, overrides, message):
    done = train(system_yaml, waves, tmp_path / "exp", *overrides)
    assert done.returncode == 1
    assert message in done.stderr and "\n" not in done.stderr
