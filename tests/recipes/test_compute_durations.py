"""compute_durations: utt2dur from the headers of the recordings, the same as make_feats writes it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile


@pytest.fixture
def data(tmp_path):
    """Three utterances of a file each, one of them at another speed."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, samples, rate in (("a", 16001, 16000), ("b", 22051, 22050), ("c", 8000, 16000)):
        soundfile.write(tmp_path / f"{name}.flac", 0.1 * random.standard_normal(samples), rate)
    (folder / "wav.scp").write_text("".join(f"{name} {tmp_path}/{name}.flac\n" for name in "abc"))
    (folder / "utt2spk").write_text("".join(f"{name} {name}\n" for name in "abc"))
    (folder / "utt2augmentation").write_text('c {"speed":0.8}\n')
    return folder


def test_durations_are_those_that_make_feats_writes(shell, data):
    shell("compute_durations --nj 2 data", check=True)
    durations = (data / "utt2dur").read_text()
    # b has 22051 samples at 22050 Hz, which are 16000.7 at 16000 Hz; the last one counts.
    assert durations == "a 1.000063\nb 1.000063\nc 0.625\n"
    assert "already made" in shell("compute_durations --nj 2 data", check=True).stderr
    shell("make_feats --nj 1 --features.online true data", check=True)
    assert (data / "utt2dur").read_text() == durations
    assert (data / "feats.yaml").read_text().splitlines()[1:] == ["name: fbank40", "window: hamming"]
    assert "made with the features" in shell("compute_durations data", check=True).stderr
    assert "already made" in shell("make_feats --nj 1 data", check=True).stderr  # online is no other front end


def test_segments_have_their_parts_durations_and_what_cannot_be_used_is_listed(shell, data, tmp_path):
    (data / "utt2augmentation").unlink()
    segments = {"a1": "a 0 0.25", "a2": "a 0.5 -1", "a3": "a 1.5 1.75", "b1": "b 0.5 1", "c1": "c 0 0.5"}
    (data / "segments").write_text("".join(f"{name} {part}\n" for name, part in segments.items()))
    (data / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in segments))
    (tmp_path / "c.flac").write_bytes(b"")
    failed = shell("compute_durations --nj 2 data")
    assert failed.returncode == 1 and not (data / "utt2dur").exists()
    assert "2 of 5 utterances (40 %) are rejected" in failed.stderr
    shell("compute_durations --nj 2 --max-rejected 50 data", check=True)
    assert (data / "utt2dur").read_text() == "a1 0.25\na2 0.500062\nb1 0.5\n"
    assert (data / "without_duration.tsv").read_text().splitlines() == [
        f"a3\t{tmp_path}/a.flac\tlasts 1.00 s; there is no part from 1.5 to 1.75 s",
        f"c1\t{tmp_path}/c.flac\tempty file",
    ]


def test_a_command_has_no_header(shell, data):
    (data / "wav.scp").write_text("a cat a.wav |\nb b.flac\nc c.flac\n")
    failed = shell("compute_durations --nj 1 data")
    assert failed.returncode != 0
    assert "utterance 'a' is the output of a command, which has no header" in failed.stdout + failed.stderr
