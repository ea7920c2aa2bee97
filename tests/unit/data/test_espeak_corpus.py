"""The corpus of synthetic speakers: the same bytes every time, whole or not there, sessions that differ."""

from __future__ import annotations

import csv
import errno
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spk.data.espeak_corpus import CorpusOptions, make_corpus
from spk.data.synthesis import LONGEST, SHORTEST, speak

SMALL = CorpusOptions(speakers=5, test_speakers=2, sessions=2, utterances=5, seed=1)


def digests(folder: Path) -> dict[str, str]:
    """{file: digest} of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def make(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spk.bin.make_espeak_corpus", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def options(*changes: object) -> Sequence[object]:
    return ("--speakers", 4, "--utterances", 2, "--sessions", 2, "--test-speakers", 2, "--nj", 1, *changes)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "small"
    make_corpus(folder, SMALL)
    return folder


def test_it_has_the_speakers_sessions_and_utterances_asked_for(corpus):
    expected = [
        f"es{speaker:04d}/s{1 if number <= 3 else 2}/{number:03d}.flac"
        for speaker, number in itertools.product(range(1, 6), range(1, 6))
    ]
    assert sorted(str(path.relative_to(corpus / "wav")) for path in (corpus / "wav").rglob("*.flac")) == expected


def test_every_file_is_16_khz_mono_16_bit_flac_of_2_to_5_seconds_and_never_clips(corpus):
    for path in (corpus / "wav").rglob("*.flac"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
        assert SHORTEST <= info.duration <= LONGEST
        samples = soundfile.read(path, dtype="int16")[0]
        assert 1000 < np.abs(samples.astype(int)).max() < 32767


def test_the_tables_say_who_is_for_what_and_what_is_said(corpus):
    speakers, utterances = rows(corpus / "speakers.tsv"), rows(corpus / "utterances.tsv")
    assert [row["split"] for row in speakers] == ["train"] * 3 + ["test"] * 2
    assert [row["speaker"] for row in speakers] == sorted(path.name for path in (corpus / "wav").iterdir())
    assert {row["gender"] for row in speakers} == {"m", "f"}
    assert len({row["text"] for row in utterances}) == len(utterances) == 25
    for row in utterances:
        assert soundfile.info(corpus / row["file"]).duration == pytest.approx(float(row["seconds"]), abs=0.01)


def test_the_same_options_give_the_same_bytes_for_any_number_of_processes(corpus, tmp_path):
    make_corpus(tmp_path / "again", SMALL, num_processes=2)
    assert digests(tmp_path / "again") == digests(corpus)


def test_another_seed_gives_other_speakers_and_other_words(corpus, tmp_path):
    make_corpus(tmp_path / "other", CorpusOptions(5, 2, 2, 5, seed=2))
    mine, other = digests(corpus), digests(tmp_path / "other")
    assert not {mine[name] for name in mine if name.endswith(".flac")} & set(other.values())
    texts = [{row["text"] for row in rows(folder / "utterances.tsv")} for folder in (corpus, tmp_path / "other")]
    assert not texts[0] & texts[1]


def long_term_spectrum(sound: np.ndarray) -> np.ndarray:
    """Mean log energies [32] of bands from 0 to 8 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(float), 512)[::256] * np.hanning(512)
    power = (np.abs(np.fft.rfft(frames)) ** 2)[:, :256].reshape(len(frames), 32, 8).sum(axis=2)
    return np.log(power + 1).mean(axis=0)


def test_sessions_differ_in_level_colour_and_noise():
    """Two utterances of one session are nearer in their long-term spectrum than two of different sessions."""
    within, across = [], []
    for speaker in range(4):
        utterances = list(speak(1, speaker, num_sessions=3, num_utterances=6)[1])
        spectra = [(utterance.session, long_term_spectrum(utterance.sound)) for utterance in utterances]
        for (session, one), (other_session, other) in itertools.combinations(spectra, 2):
            (within if session == other_session else across).append(np.sqrt(np.mean((one - other) ** 2)))
    assert np.mean(across) > 2 * np.mean(within)


def equal_error_rate(scores: np.ndarray, is_target: np.ndarray) -> float:
    thresholds = np.sort(scores)[:: max(1, len(scores) // 500)]
    miss = np.array([(scores[is_target] < threshold).mean() for threshold in thresholds])
    false_alarm = np.array([(scores[~is_target] >= threshold).mean() for threshold in thresholds])
    return float(((miss + false_alarm) / 2)[np.argmin(np.abs(miss - false_alarm))])


def test_statistics_of_the_spectrum_tell_speakers_badly():
    """Means and deviations over time of log mel energies, by cosine: 20 to 40 % EER, so that there is much to learn."""
    import torch

    from spk.feats import FRONT_ENDS

    front_end = FRONT_ENDS.build("features", "fbank40")
    statistics, speakers = [], []
    for speaker in range(16):
        for utterance in speak(1, speaker, num_sessions=4, num_utterances=8)[1]:
            features = front_end(torch.from_numpy(utterance.sound[None] / np.float32(32768)))[0].numpy()
            statistics.append(np.concatenate([features.mean(axis=0), features.std(axis=0)]))
            speakers.append(speaker)
    vectors = np.array(statistics)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = np.triu_indices(len(vectors), 1)
    is_target = np.array(speakers)[first] == np.array(speakers)[second]
    assert 0.2 < equal_error_rate((vectors @ vectors.T)[first, second], is_target) < 0.4


def test_a_second_call_does_nothing(tmp_path):
    assert make(*options(tmp_path / "a")).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    finished = make(*options(tmp_path / "a"))
    assert (finished.returncode, "already made" in finished.stderr) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_other_options_replace_the_corpus_and_say_so(tmp_path):
    assert make(*options(tmp_path / "a")).returncode == 0
    before = digests(tmp_path / "a" / "wav")
    finished = make(*options("--seed", 2, tmp_path / "a"))
    assert finished.returncode == 0 and "made again, because this changed: --seed" in finished.stderr
    assert digests(tmp_path / "a" / "wav").keys() == before.keys() and digests(tmp_path / "a" / "wav") != before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["notes.txt", "speakers.tsv"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("dear\n")
    finished = make(*options(tmp_path / "mine"))
    assert finished.returncode == 1
    assert "holds something that was not made here" in finished.stderr and "Traceback" not in finished.stderr
    assert digests(tmp_path).keys() == {f"mine/{name}"}


def test_a_full_disk_leaves_nothing_behind_and_keeps_what_was_there(tmp_path, monkeypatch):
    make_corpus(tmp_path / "a", CorpusOptions(4, 2, 1, 2, 1))
    before = digests(tmp_path)
    written = []

    def write_until_full(self: Path, content: bytes) -> None:
        written.append(self)
        if len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(OSError, match=r"No space left on device: '.*es0003/s1/001.flac'") as failure:
        make_corpus(tmp_path / "a", CorpusOptions(4, 2, 1, 2, 2))
    assert failure.value.errno == errno.ENOSPC
    assert digests(tmp_path) == before


def test_killed_half_way_there_is_no_corpus_and_no_process_and_the_next_call_makes_it_whole(tmp_path, corpus):
    command = [sys.executable, "-m", "spk.bin.make_espeak_corpus", "--speakers=200", "--nj=2", str(tmp_path / "a")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("a.partial/wav/*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "a").exists() and (tmp_path / "a.partial").exists()
    while processes_of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_session(process.pid) == []
    again = ("--speakers=5", "--test-speakers=2", "--sessions=2", "--utterances=5", "--nj=1", tmp_path / "a")
    assert make(*again).returncode == 0
    assert digests(tmp_path) == {f"a/{name}": digest for name, digest in digests(corpus).items()}


def processes_of_session(session: int) -> list[int]:
    """Living processes (zombies are none) of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(its_session) == session and state != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--speakers", 3, "--test-speakers", 2], ["--speakers 3", "--test-speakers 2", "at least 2"]),
        (["--test-speakers", 1], ["--test-speakers 1", "at least 2"]),
        (["--utterances", 1], ["--utterances 1", "at least 2"]),
        (["--utterances", 3, "--sessions", 4], ["--utterances 3", "--sessions 4", "1 a session"]),
        (["--sessions", 0], ["--sessions 0"]),
        (["--seed", -1], ["--seed -1", "negative"]),
        (["--nj", 0], ["--nj 0", "at least 1"]),
        (["--speakers", "many"], ["--speakers", "many"]),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(tmp_path, wrong, words):
    finished = make(*options(*wrong, tmp_path / "a"))
    assert finished.returncode != 0 and "Traceback" not in finished.stderr
    assert all(word in finished.stderr.splitlines()[-1] for word in words), finished.stderr
    assert list(tmp_path.iterdir()) == []
