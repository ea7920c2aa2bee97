"""Crops of waveforms give the features that the arks hold there, wherever they lie and whatever the file is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch

from spk.data.ark import copy_wrapped
from spk.data.audio import read_audio, resample
from spk.data.augmentation import Addition, Augmentation, augment, change_speed
from spk.data.crops import CropDataset, load_batches
from spk.data.features import Source
from spk.data.sampler import Batch, SpeakerSampler
from spk.data.wave_crops import WaveCropDataset, WaveReader, open_wave
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.train.wave_features import CropFeatures, WaveFeatureReader

CPU = torch.device("cpu")
SECTIONS = [
    *FRONT_ENDS,
    {"name": "kaldi_mfcc", "snip_edges": False},
    {"name": "kaldi_fbank", "snip_edges": False, "frame_length": 31.0, "frame_shift": 12.5},
]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000) -> Source:
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")
    return Source(str(path))


def reader_of(sources: list[Source], front_end, speeds=(1.0,)) -> WaveReader:
    names = [f"u{index}" for index in range(len(sources))]
    seconds = [len(read_audio(source.entry, 16000, part=source.part).samples) / 16000 for source in sources]
    return WaveReader(dict(zip(names, sources, strict=True)), names, np.array(seconds), front_end, speeds)


def features_of(samples: np.ndarray, front_end) -> np.ndarray:
    """As make_feats works them out, before the ark."""
    with torch.inference_mode():
        return front_end(torch.from_numpy(np.ascontiguousarray(samples))[None])[0].numpy()


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).mean()))


@pytest.mark.parametrize("section", SECTIONS, ids=str)
@pytest.mark.parametrize("samples", [4000, 16000, 16079, 16159])
def test_a_crop_has_the_frames_of_the_utterances_features_at_its_edges_too(tmp_path, section, samples):
    front_end = FRONT_ENDS.build("features", section)
    source = write_wave(tmp_path / "u.wav", noise(samples))
    whole = features_of(read_audio(source.entry, 16000).samples, front_end)
    reader, make = reader_of([source], front_end), CropFeatures(front_end, CPU)
    assert reader.num_frames.tolist() == [len(whole)]
    for length in (1, 7, len(whole), len(whole) + 9):
        room = max(0, len(whole) - length)
        starts = sorted({0, 1, 2, room // 2, room - 2, room - 1, room} & set(range(room + 1)))
        crops = make(reader.crops([0] * len(starts), starts, length)).numpy()
        for crop, start in zip(crops, starts, strict=True):
            expected = np.empty((length, front_end.dim), np.float32)
            copy_wrapped(expected, whole, start)
            assert_close(crop, expected)


class Untouched(list):
    def __getitem__(self, index):
        raise AssertionError("names are shared by the workers, until one touches them")


def test_a_crop_touches_no_name(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    source = write_wave(tmp_path / "u.wav", noise(16000))
    reader = WaveReader({"u": source}, Untouched(["u"]), np.array([1.0]), front_end)
    assert reader.crops([0], [3], 20).num_frames.tolist() == [20]
    (tmp_path / "u.wav").unlink()
    with pytest.raises(AssertionError, match="until one touches them"):  # an error names the utterance
        reader.crops([0], [3], 20)


def test_only_the_samples_of_the_crops_frames_are_read(tmp_path, monkeypatch):
    front_end = FRONT_ENDS.build("features", "fbank40")
    source = write_wave(tmp_path / "u.wav", noise(160_000))
    read = []
    original = soundfile.SoundFile.read

    def counting(self, frames=-1, *args, **kwargs):
        read.append((self.tell(), frames))
        return original(self, frames, *args, **kwargs)

    reader = reader_of([source], front_end)
    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    reader.crops([0], [300], 20)
    assert read == [(300 * 160 - 256, 19 * 160 + 512)]


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("speed", [1.0, 0.9, 1.1])
def test_a_stretch_of_what_is_resampled_is_that_of_the_whole(tmp_path, rate, speed):
    samples = noise(3 * rate + 17)
    source = write_wave(tmp_path / "u.wav", samples, rate)
    whole = change_speed(resample("u", samples, rate, 16000), speed)
    with open_wave(source, 16000, speed) as wave:
        assert wave.num_samples == len(whole)
        for first, last in [(0, 1), (0, 500), (1, 2), (9999, 10803), (len(whole) - 700, len(whole)), (0, len(whole))]:
            np.testing.assert_allclose(wave.read(first, last), whole[first:last], atol=1e-6)


def test_parts_channels_and_formats_are_those_of_read_audio(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    stereo = np.stack([noise(50_000, 1), noise(50_000, 2)], axis=1)
    entry = write_wave(tmp_path / "u.flac", stereo).entry
    sources = [Source(entry), Source(entry, (0.5, 2.0)), Source(entry, (1.0, -1)), Source(entry, (2.0, 3.3))]
    reader = WaveFeatureReader(reader_of(sources, front_end), front_end, CPU)
    for index, source in enumerate(sources):
        assert_close(reader.whole(index), features_of(read_audio(entry, 16000, part=source.part).samples, front_end))


def test_a_planned_augmentation_is_that_of_the_whole_utterance_in_every_crop(tmp_path):
    front_end = FRONT_ENDS.build("features", "kaldi_fbank")
    speech, other = write_wave(tmp_path / "u.wav", noise(40_000)), write_wave(tmp_path / "n.wav", noise(70_000, 5))
    response = np.zeros(3000, np.float32)
    response[[10, 700, 2900]] = 1, 0.5, 0.3
    plan = Augmentation(0.9, write_wave(tmp_path / "r.wav", response).entry, (Addition(other.entry, 0.5, 3.0),))
    whole = features_of(augment(read_audio(speech.entry, 16000).samples, 16000, plan), front_end)
    source = Source(speech.entry, None, plan.to_json())
    reader = WaveReader({"u": source}, ["u"], np.array([40_000 / 0.9 / 16000]), front_end)
    crops = CropFeatures(front_end, CPU)(reader.crops([0, 0, 0], [0, 100, len(whole) - 30], 30)).numpy()
    for crop, start in zip(crops, (0, 100, len(whole) - 30), strict=True):
        assert_close(crop, whole[start : start + 30])


@pytest.mark.parametrize("name", list(FRONT_ENDS))
@pytest.mark.parametrize("samples", [16000, 16123])
def test_a_crop_of_all_frames_is_augmented_as_the_utterance(tmp_path, name, samples):
    front_end = FRONT_ENDS.build("features", name)
    speech, other = write_wave(tmp_path / "u.wav", noise(samples)), write_wave(tmp_path / "n.wav", noise(30_000, 5))
    added = Augmentation(additions=(Addition(other.entry, 0.25, 5.0), Addition(other.entry, 1.0, 0.0, at=0.3)))
    expected = features_of(augment(read_audio(speech.entry, 16000).samples, 16000, added), front_end)
    reader = reader_of([speech], front_end)
    crops = CropFeatures(front_end, CPU)(reader.crops([0, 0], [0, 0], len(expected), [added, None]))
    assert_close(crops[0].numpy(), expected)
    assert not np.allclose(crops[1].numpy(), expected, atol=0.1)


def test_an_utterance_at_another_speed_is_that_of_the_whole(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    sources = [write_wave(tmp_path / f"{index}.wav", noise(20_000 + 777 * index, index)) for index in range(3)]
    reader = reader_of(sources, front_end, (1.0, 0.9, 1.1))
    assert len(reader) == 9
    assert [reader.utterances[index] for index in (0, 4, 8)] == ["u0", "sp0.9-u1", "sp1.1-u2"]
    make = CropFeatures(front_end, CPU)
    for index, speed in ((1, 1.0), (4, 0.9), (7, 1.1)):
        whole = features_of(change_speed(read_audio(sources[1].entry, 16000).samples, speed), front_end)
        assert reader.num_frames[index] == len(whole)
        assert_close(make(reader.crops([index], [33], 40)).numpy()[0], whole[33:73])


def test_a_batch_has_the_crops_that_arks_would_give_with_any_number_of_workers(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    sources = [write_wave(tmp_path / f"{index}.wav", noise(3000 + 2000 * index, index)) for index in range(8)]
    reader = reader_of(sources, front_end)
    labels = np.arange(8) // 2

    class Whole:
        """A reader of features that are in memory."""

        features: ClassVar = [features_of(read_audio(source.entry, 16000).samples, front_end) for source in sources]

        def check_num_frames(self, indices, expected):
            assert [len(self.features[index]) for index in indices] == expected.tolist()

        def crops(self, indices, starts, length):
            out = np.empty((len(indices), length, 40), np.float32)
            for row, (index, start) in enumerate(zip(indices, starts, strict=True)):
                copy_wrapped(out[row], self.features[index], start)
            return out

    def batches(dataset, workers):
        sampler = SpeakerSampler(labels, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)
        stream = load_batches(dataset, sampler, workers=workers, pin_memory=False)
        return [next(stream) for _ in range(5)]

    make = CropFeatures(front_end, CPU)
    online = {workers: batches(WaveCropDataset(reader, labels, 30), workers) for workers in (0, 2)}
    offline = batches(CropDataset(Whole(), reader.num_frames, labels, 30), 0)
    for (crops, _, _), (others, _, _) in zip(online[0], online[2], strict=True):
        assert torch.equal(crops.stretches, others.stretches)
    for (crops, found, batch), (features, expected, same) in zip(online[0], offline, strict=True):
        assert torch.equal(found, expected) and np.array_equal(batch.utterances, same.utterances)
        assert_close(make(crops).numpy(), features.numpy())


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_read_is_said_in_one_line_that_names_the_utterance(tmp_path, workers):
    front_end = FRONT_ENDS.build("features", "fbank40")
    sources = [write_wave(tmp_path / f"{index}.wav", noise(9000, index)) for index in range(3)]
    reader = reader_of(sources, front_end)

    def message() -> str:
        sampler = SpeakerSampler(np.zeros(3, int), num_speakers_per_batch=1, utterances_per_speaker=3)
        stream = load_batches(WaveCropDataset(reader, np.zeros(3), 20), sampler, workers=workers, pin_memory=False)
        with pytest.raises(InputError) as caught:
            next(stream)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    path = Path(sources[1].entry)
    path.unlink()
    assert message() == f"{path}: utterance 'u1': no such file or directory"
    if workers:  # the message has come through
        return
    for content, said in ((b"", "empty file"), (b"no audio", "no audio that can be read")):
        path.write_bytes(content)
        assert message().startswith(f"{path}: utterance 'u1': {said}")
    write_wave(path, noise(4000))
    assert (
        message()
        == f"{path}: utterance 'u1': has 26 frames, but by utt2dur it had 57; run steps/compute_durations again"
    )
    soundfile.write(path, noise(9000), 8000)
    assert "sampled at 8000 Hz" in message()
    samples = noise(9000)
    samples[::10] = np.nan
    write_wave(path, samples)
    assert "values are not finite" in message()


def test_a_noise_that_cannot_be_read_is_named_with_the_utterance(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    reader = reader_of([write_wave(tmp_path / "u.wav", noise(9000))], front_end)
    gone = Augmentation(additions=(Addition(str(tmp_path / "gone.wav"), 0.0, 5.0),))
    with pytest.raises(InputError, match=r"gone\.wav: utterance 'u0': noise: no such file"):
        reader.crops([0], [0], 20, [gone])


def test_a_duration_that_is_a_frame_off_moves_the_crop_to_where_it_fits(tmp_path):
    front_end = FRONT_ENDS.build("features", "fbank40")
    source = write_wave(tmp_path / "u.wav", noise(16000))
    reader = WaveReader({"u": source}, ["u"], np.array([1.01]), front_end)
    assert reader.num_frames.tolist() == [102]
    crop = CropFeatures(front_end, CPU)(reader.crops([0], [82], 20)).numpy()[0]
    assert_close(crop, features_of(noise(16000), front_end)[81:101])


def test_the_sources_survive_being_packed(tmp_path):
    sources = {
        "a": Source("/x/ä b.wav"),
        "b": Source("/y.wav", (0.25, 3.5)),
        "c": Source("/z.wav", (1.0, -1.0), '{"speed":0.9}'),
    }
    reader = WaveReader(sources, ["c", "a", "b"], np.ones(3), FRONT_ENDS.build("features", "fbank40"), (1.0, 1.1))
    assert [reader.source(index) for index in (0, 1, 5)] == [
        (sources["c"], 1.0),
        (sources["a"], 1.0),
        (sources["b"], 1.1),
    ]


def test_what_is_drawn_for_a_batch_is_a_function_of_the_batch():
    batch = Batch(np.arange(4), seed=1, epoch=2, position=3)
    other = Batch(np.arange(4), seed=1, epoch=2, position=4)
    assert batch.random().random() == batch.random(0).random() == np.random.default_rng([1, 2, 3]).random()
    assert len({batch.random().random(), batch.random(1).random(), other.random(1).random()}) == 3
