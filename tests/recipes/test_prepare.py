"""local/: data directories from real corpora and from synthetic speech, by the commands that recipes call."""

from __future__ import annotations

from pathlib import Path

import pytest


def count_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def trial_counts(path: Path) -> tuple[int, int]:
    """(target, nontarget)"""
    labels = [line.rsplit(" ", 1)[1] for line in path.read_text().splitlines()]
    return labels.count("target"), labels.count("nontarget")


@pytest.fixture
def real(corpora) -> str:
    folders = [corpora / name for name in ("an4", "librispeech-mini", "speechocean762")]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        pytest.skip(f"no corpora at {', '.join(missing)}")
    return ",".join(map(str, folders))


# Speakers, utterances, target trials, all trials. 125 speakers with 7 utterances: 125 * 21 and 875 * 874 / 2.
REAL = {
    "train": (450, 2508, 0, 0),
    "test_an4": (10, 130, 780, 8385),
    "test_librispeech-mini": (10, 100, 450, 4950),
    "test_speechocean762": (125, 875, 2625, 382_375),
}


def test_three_real_corpora_have_the_speakers_and_trials_of_their_tables(shell, tmp_path, real):
    shell('prepare_speaker_folders "$1" data', real, check=True)
    data = tmp_path / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == REAL.keys()
    for name, (speakers, utterances, target, trials) in REAL.items():
        assert count_lines(data / name / "spk2utt") == count_lines(data / name / "spk2gender") == speakers
        assert count_lines(data / name / "wav.scp") == count_lines(data / name / "utt2spk") == utterances
        if trials:
            assert trial_counts(data / name / "trials") == (target, trials - target)
        paths = [Path(line.split(" ", 1)[1]) for line in (data / name / "wav.scp").read_text().splitlines()]
        assert all(path.is_absolute() and path.is_file() for path in paths)


def test_the_real_data_directories_pass_the_checks_and_share_no_speaker(shell, real):
    shell('prepare_speaker_folders "$1" data', real, check=True)
    shell("for set in data/*/; do validate_data_dir.sh --no-feats $set; done", check=True)
    shell("check_disjoint_speakers data/train data/test_*/", check=True)
    again = shell('prepare_speaker_folders "$1" data', real, check=True)
    assert again.stderr.startswith("already made") and len(again.stderr.splitlines()) == 1


def test_one_of_the_folders_can_be_the_only_test(shell, tmp_path, real):
    shell('prepare_speaker_folders --test-folders speechocean762 "$1" data', real, check=True)
    assert {path.name for path in (tmp_path / "data").iterdir() if path.is_dir()} == {"train", "test_speechocean762"}
    assert count_lines(tmp_path / "data/train/spk2utt") == 450


def test_synthetic_speech_becomes_data_directories(shell, tmp_path):
    made = shell(
        "make_espeak_corpus --speakers 6 --test-speakers 2 --utterances 4 --sessions 2 --nj 1 speech", check=True
    )
    assert made.stderr.splitlines()[-1].endswith("speech")
    shell("prepare_speaker_folders speech data; validate_data_dir.sh --no-feats data/test_speech", check=True)
    assert count_lines(tmp_path / "data/train/spk2utt") == 4
    assert trial_counts(tmp_path / "data/test_speech/trials") == (2 * 6, 16)
    assert (tmp_path / "data/train/spk2gender").read_text() == "es0001 m\nes0002 f\nes0003 m\nes0004 f\n"


@pytest.mark.parametrize("name", ["make_espeak_corpus", "prepare_speaker_folders"])
def test_help_names_the_options_and_the_outputs(shell, name):
    shown = shell(f"{name} --help", check=True).stdout
    assert "--seed" in shown and "Writes" in shown
