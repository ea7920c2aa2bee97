"""Lengths by headers: those of the samples, and a reason for what has none."""

from __future__ import annotations

import numpy as np
import soundfile

from spk.data import durations as module
from spk.data.durations import read_durations
from spk.data.features import Source


def test_lengths_are_those_of_the_samples_and_the_rest_has_reasons(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(12000), 16000)
    soundfile.write(tmp_path / "b.flac", np.zeros((11025, 2)), 44100)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "cut.wav", np.zeros(12000), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:1000])
    (tmp_path / "words.wav").write_text("words\n")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    paths = {path.name: str(path) for path in tmp_path.iterdir()} | {"gone": "/nowhere.wav", "pipe": "cat a.wav |"}
    durations, reasons = read_durations({name: Source(path) for name, path in paths.items()})
    assert durations == {"a.wav": 0.75, "b.flac": 0.25}
    assert reasons.keys() == paths.keys() - durations.keys()
    expected = {
        "none.wav": "holds no samples",
        "cut.wav": "truncated",
        "words.wav": "no audio that can be read",
        "empty.wav": "empty file",
        "folder.wav": "is a directory",
        "gone": "no such file",
        "pipe": "is a command",
    }
    assert all(words in reasons[name] for name, words in expected.items()), reasons


def test_parts_and_speeds_are_those_that_make_feats_would_make(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(22051), 22050)
    soundfile.write(tmp_path / "b.wav", np.zeros(16001), 16000)
    a, b = str(tmp_path / "a.wav"), str(tmp_path / "b.wav")
    sources = {
        "whole": Source(a),  # 16000.7 samples at 16 kHz, of which 16001 are made
        "half": Source(a, (0.0, 0.5)),
        "past": Source(b, (0.5, 1.25)),  # ends with the file
        "beyond": Source(b, (1.5, 1.75)),
        "slow": Source(a, None, '{"speed":0.9}'),  # 17778.9
        "fast": Source(b, (0.0, -1.0), '{"speed":2}'),  # 8000.5
        "noisy": Source(b, None, '{"additions":[{"path":"n","begin":0,"snr":3}]}'),
    }
    durations, reasons = read_durations(sources)
    samples = {"whole": 16001, "half": 8000, "past": 8001, "slow": 17779, "fast": 8001, "noisy": 16001}
    assert durations == {name: round(number / 16000, 6) for name, number in samples.items()}
    assert reasons == {"beyond": "lasts 1.00 s; there is no part from 1.5 to 1.75 s"}


def test_many_files_are_read_in_order_a_block_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RECORDINGS_AT_ONCE", 50)
    for number in range(1, 200):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(number), 1000)
    sources = {str(number): Source(str(tmp_path / f"{number}.wav")) for number in range(1, 200)}
    durations, reasons = read_durations(sources)
    assert list(durations.items()) == [(str(number), number / 1000) for number in range(1, 200)] and not reasons
