"""Shares of a data directory: where their audio is, what becomes of each utterance, and how shares are joined."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from spk.data.ark import FeatureReader
from spk.data.data_dir import read_table
from spk.data.features import Source, describe, join_shares, make_share, read_sources, remove_shares_after
from spk.errors import InputError

SECTION = {"name": "means", "hop": 100}


class Means:
    """A front end for tests: mean and number of every 100 samples."""

    sample_rate = 16000
    min_samples = 100
    samples_at_once = 0

    def __call__(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [means(samples) for samples in waves]


def means(samples: np.ndarray) -> np.ndarray:
    frames = samples[: len(samples) // 100 * 100].reshape(-1, 100).mean(axis=1)
    return np.stack([frames, np.arange(len(frames))], axis=1).astype(np.float32)


def make_data_dir(folder: Path, waves: dict[str, np.ndarray], rate: int = 16000) -> Path:
    folder.mkdir()
    lines = []
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, rate)
        lines.append(f"{name} {folder / name}.wav\n")
    (folder / "wav.scp").write_text("".join(lines))
    return folder


def make(data_dir: Path, *prefixes: Path, max_rejected: float = 1.0, compression: int = 0) -> None:
    """One share for each prefix, and the join."""
    sources = read_sources(data_dir, allow_pipes=False)
    names = list(sources)
    for number, prefix in enumerate(prefixes):
        part = {name: sources[name] for name in names[number :: len(prefixes)]}
        make_share(part, prefix, describe(part, SECTION, compression, str(data_dir)), Means, allow_pipes=False)
    join_shares(data_dir, prefixes, max_rejected=max_rejected)


@pytest.fixture
def waves() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"s{i}": 0.1 * random.normal(size=1000 + 160 * i) for i in range(7)}


def test_shares_join_into_sorted_tables_that_the_reader_reads(waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    make(data, tmp_path / "f.1", tmp_path / "f.2")
    assert list(read_table(data / "feats.scp")) == sorted(waves)
    assert read_table(data / "utt2num_frames") == {f"s{i}": str((1000 + 160 * i) // 100) for i in range(7)}
    assert read_table(data / "utt2dur")["s1"] == "0.0725"
    assert (data / "feats.yaml").read_text().endswith("name: means\nhop: 100\n")
    assert not (data / "rejected.tsv").exists()
    reader = FeatureReader(data / "feats.scp")
    for index, name in enumerate(sorted(waves)):
        expected = means(soundfile.read(data / f"{name}.wav", dtype="float32")[0])
        np.testing.assert_array_equal(reader.whole(index), expected)
    assert all(Path(place.rpartition(":")[0]).is_absolute() for place in read_table(data / "feats.scp").values())


def test_segments_choose_parts_of_recordings(tmp_path):
    ramp = np.arange(1600, dtype=np.int16)
    data = make_data_dir(tmp_path / "data", {"r1": ramp, "r2": -ramp})
    (data / "segments").write_text("u1 r2 0.05 0.0875\nu2 r1 0.0125 -1\n")
    assert read_sources(data, allow_pipes=False)["u1"] == Source(f"{data}/r2.wav", (0.05, 0.0875))
    make(data, tmp_path / "f.1")
    reader = FeatureReader(data / "feats.scp")
    np.testing.assert_allclose(reader.whole(0)[:, 0] * 32768, -np.arange(849.5, 1400, 100), rtol=1e-6)
    np.testing.assert_allclose(reader.whole(1)[:, 0] * 32768, np.arange(249.5, 1600, 100), rtol=1e-6)
    assert read_table(data / "utt2dur") == {"u1": "0.0375", "u2": "0.0875"}


@pytest.mark.parametrize(
    "name, line, message",
    [
        ("wav.scp", "y cat y.wav |", r"wav\.scp:8: 'y' is a command, which --allow-pipes true"),
        ("segments", "u s0 0.1", r"segments:1: wanted 'utterance recording begin end', not 's0 0\.1'"),
        ("segments", "u s0 0.1 x", r"segments:1: wanted"),
        ("segments", "u s99 0.1 0.2", r"segments:1: recording 's99' is not in"),
    ],
)
def test_a_bad_line_is_named(name, line, message, waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    with (data / name).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match=message):
        read_sources(data, allow_pipes=False)


def test_rejected_utterances_are_listed_counted_and_left_out(waves, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    data = make_data_dir(tmp_path / "data", waves)
    (data / "s3.wav").write_text("these are words")
    (data / "s5.wav").unlink()
    with pytest.raises(
        InputError, match=r"2 of 7 utterances \(29 %\) are rejected, .*'s3': no audio.*--max-rejected 20"
    ):
        make(data, tmp_path / "f.1", max_rejected=20)
    assert not (data / "feats.scp").exists()
    rejected = [line.split("\t") for line in (data / "rejected.tsv").read_text().splitlines()]
    assert [line[:2] for line in rejected] == [["s3", f"{data}/s3.wav"], ["s5", f"{data}/s5.wav"]]
    assert "Format not recognised" in rejected[0][2] and "no such file" in rejected[1][2]

    make(data, tmp_path / "f.1", max_rejected=30)
    assert list(read_table(data / "feats.scp")) == ["s0", "s1", "s2", "s4", "s6"]
    assert "2 of 7 utterances (29 %) are rejected" in caplog.text


def test_a_mended_file_is_taken_up_with_the_bytes_of_one_that_was_always_sound(waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    sound = (data / "s3.wav").read_bytes()
    (data / "s3.wav").write_bytes(sound[:500])
    make(data, tmp_path / "f.1", max_rejected=50)
    (data / "s3.wav").write_bytes(sound)
    make(data, tmp_path / "f.1")
    make(data, tmp_path / "g.1")
    assert len(read_table(data / "feats.scp")) == 7 and not (data / "rejected.tsv").exists()
    assert (tmp_path / "f.1.ark").read_bytes() == (tmp_path / "g.1.ark").read_bytes()


def test_nothing_left_is_an_error_whatever_may_be_rejected(waves, tmp_path):
    data = make_data_dir(tmp_path / "data", {"s0": np.zeros(50)})
    with pytest.raises(InputError, match="1 of 1 utterances"):
        make(data, tmp_path / "f.1", max_rejected=100)


def test_resampling_and_mixing_down_are_counted(waves, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    data = make_data_dir(tmp_path / "data", {"s0": waves["s0"], "s1": np.stack([waves["s1"]] * 2, axis=1)}, rate=32000)
    make(data, tmp_path / "f.1")
    assert "2 recordings were resampled: 2 from 32000 Hz" in caplog.text
    assert "1 recordings were mixed down to one channel" in caplog.text
    assert read_table(data / "utt2num_frames")["s0"] == "5"


def test_shares_that_do_not_cover_the_data_directory_are_an_error(waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    part = {name: source for name, source in read_sources(data, allow_pipes=False).items() if name != "s2"}
    make_share(part, tmp_path / "f.1", describe(part, SECTION, 0, str(data)), Means, allow_pipes=False)
    with pytest.raises(InputError, match=r"wav\.scp: has 7 utterances, but 6 were processed"):
        join_shares(data, [tmp_path / "f.1"], max_rejected=1)


@pytest.mark.parametrize("change", ["section", "compression", "audio"])
def test_what_decides_the_bytes_decides_what_can_be_carried_on(change, waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    sources = read_sources(data, allow_pipes=False)
    before = describe(sources, SECTION, 1, str(data))
    assert before == describe(dict(sources), dict(SECTION), 1, f"{data}/")
    after = {
        "section": lambda: describe(sources, SECTION | {"hop": 99}, 1, str(data)),
        "compression": lambda: describe(sources, SECTION, 2, str(data)),
        "audio": lambda: describe(sources | {"s1": Source("/else.wav")}, SECTION, 1, str(data)),
    }[change]()
    assert before != after


def test_shares_of_an_earlier_run_with_more_jobs_are_removed(waves, tmp_path):
    data = make_data_dir(tmp_path / "data", waves)
    make(data, *(tmp_path / f"f.{job}" for job in range(1, 6)))
    (tmp_path / "f.x.journal").touch()
    remove_shares_after(tmp_path / "f", 2)
    there = sorted(path.name for path in tmp_path.glob("f.*"))
    assert there == ["f.1.ark", "f.1.journal", "f.2.ark", "f.2.journal", "f.x.journal"]


@pytest.mark.parametrize("threads", [1, 3])
def test_several_utterances_at_a_time_in_threads_are_each_their_own_in_order(threads, waves, tmp_path):
    class Several(Means):
        samples_at_once = 4000
        calls: ClassVar[list[int]] = []

        def __call__(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
            self.calls.append(len(waves))
            return super().__call__(waves)

    data = make_data_dir(tmp_path / "data", waves)
    make(data, tmp_path / "f.1")
    sources = read_sources(data, allow_pipes=False)
    (data / "s2.wav").write_bytes(b"RIFF")  # rejected in the middle of a group
    for prefix, front_end in (("one", Means), ("several", Several)):
        made_from = describe(sources, SECTION, 0, str(data))
        make_share(sources, tmp_path / prefix, made_from, front_end, allow_pipes=False, threads=threads)
    # Samples: 1000, 1160, none, 1480, 1640, 1800, 1960.
    assert Several.calls == [4, 2]
    for suffix in ("ark", "journal"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"several.{suffix}").read_bytes()


def test_what_one_device_made_is_not_carried_on_by_another_and_shares_of_two_are_said(waves, tmp_path, caplog):
    data = make_data_dir(tmp_path / "data", waves)
    sources = read_sources(data, allow_pipes=False)
    names = list(sources)
    for number, device in enumerate(["", "GPU of one kind"]):
        part = {name: sources[name] for name in names[number::2]}
        on_cpu = describe(part, SECTION, 0, str(data))
        made_from = describe(part, SECTION, 0, str(data), device)
        assert (made_from == on_cpu) == (device == "")
        make_share(part, tmp_path / f"f.{number}", made_from, Means, allow_pipes=False)
    with caplog.at_level(logging.WARNING):
        join_shares(data, [tmp_path / "f.0", tmp_path / "f.1"], max_rejected=1)
    assert "made on GPU of one kind and the CPU" in caplog.text
    first_line = "# The front end that made feats.scp, on GPU of one kind and the CPU.\n"
    assert (data / "feats.yaml").read_text().startswith(first_line)
    part = {name: sources[name] for name in names[1::2]}
    make_share(part, tmp_path / "f.1", describe(part, SECTION, 0, str(data)), Means, allow_pipes=False)  # begun anew
    caplog.clear()
    join_shares(data, [tmp_path / "f.0", tmp_path / "f.1"], max_rejected=1)
    assert not caplog.text and "GPU" not in (data / "feats.yaml").read_text()
