"""Lengths by headers: those of the samples, and a reason for what has none."""

from __future__ import annotations

import numpy as np
import soundfile

from spk.data.durations import read_durations


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
    durations, reasons = read_durations(paths)
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


def test_the_order_of_many_files_is_kept(tmp_path):
    for number in range(1, 200):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(number), 1000)
    durations, reasons = read_durations({str(number): str(tmp_path / f"{number}.wav") for number in range(1, 200)})
    assert durations == {str(number): number / 1000 for number in range(1, 200)} and not reasons
