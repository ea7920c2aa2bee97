"""Datasets of crops and how they are read ahead: the same items in the same order, and errors that end it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from unit.data.test_ark import write_ark

from spk.data import crops
from spk.data.ark import FeatureReader
from spk.data.ark_format import encode_matrix
from spk.data.coded_crops import decode_crops
from spk.data.crops import CodedCropDataset, CropDataset, ResidentCropDataset, load_batches
from spk.data.resident import ResidentArks
from spk.data.sampler import SpeakerSampler
from spk.data.share import WHOLE, Share
from spk.errors import InputError

CPU = torch.device("cpu")
NUM_FRAMES = np.array([40, 12, 33, 80, 25, 26, 50, 41])  # one is shorter than a crop
LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
CROP = 20


@pytest.fixture
def scp(tmp_path):
    random = np.random.default_rng(0)
    records = {
        f"u{index}": encode_matrix(random.normal(size=(count, 6)), (2, 5, 3, 0)[index % 4])
        for index, count in enumerate(NUM_FRAMES)
    }
    return write_ark(tmp_path / "x", records)


def datasets(scp, share=WHOLE, num_frames=NUM_FRAMES):
    """{name: (the dataset, what makes features of its crops)}"""
    store = ResidentArks(FeatureReader(scp), num_frames, CPU)
    return {
        "arks": (CropDataset(FeatureReader(scp), num_frames, LABELS, CROP, share), lambda features: features),
        "stream": (
            CodedCropDataset(FeatureReader(scp), num_frames, LABELS, CROP, share),
            lambda parts: decode_crops(parts, CPU),
        ),
        "resident": (
            ResidentCropDataset(store, LABELS, CROP, share),
            lambda parts: store.crops_at(parts, CROP),
        ),
    }


def sampler():
    return SpeakerSampler(LABELS, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)


def first_batches(dataset, features_of, count=30, workers=0):
    stream = load_batches(dataset, sampler(), workers=workers, pin_memory=False)
    items = [next(stream) for _ in range(count)]
    stream.close()
    return [(features_of(parts).numpy(), labels, batch) for parts, labels, batch in items]


@pytest.mark.parametrize("share", [WHOLE, Share(0, 2, 2), Share(1, 2, 2), Share(2, 3, 2)])
def test_all_ways_give_the_same_batches(share, scp):
    ways = {name: first_batches(*way) for name, way in datasets(scp, share).items()}
    assert {len(items) for items in ways.values()} == {30}
    for name in ("stream", "resident"):
        for (expected, labels, batch), (features, same_labels, same_batch) in zip(
            ways["arks"], ways[name], strict=True
        ):
            np.testing.assert_array_equal(features.view(np.uint32), expected.view(np.uint32))
            assert torch.equal(labels, same_labels)
            assert (batch.epoch, batch.position) == (same_batch.epoch, same_batch.position)


@pytest.mark.parametrize("name", ["stream", "resident"])
def test_worker_processes_change_nothing(name, scp):
    for one, other in zip(
        first_batches(*datasets(scp)[name]), first_batches(*datasets(scp)[name], workers=1), strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])


def test_a_resident_training_starts_no_process(scp, monkeypatch):
    monkeypatch.setattr(torch.multiprocessing.get_context(), "Process", None)
    first_batches(*datasets(scp)["resident"], count=2, workers=8)


def test_a_stream_asks_for_the_bytes_of_coming_batches_and_ends_its_threads(scp):
    dataset, _ = datasets(scp)["stream"]
    asked = []
    dataset.will_need = asked.append
    before = threading.active_count()
    stream = load_batches(dataset, sampler(), workers=0, pin_memory=False)
    used = [next(stream)[2] for _ in range(5)]
    ahead = [(batch.epoch, batch.position) for batch in asked]
    assert ahead[:5] == [(batch.epoch, batch.position) for batch in used]
    assert len(ahead) >= 5 + crops.BATCHES_ASKED_FOR
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("opened", [False, True], ids=["headers-unknown", "headers-known"])
@pytest.mark.parametrize("method", [2, 5, 3, 0])
def test_what_is_asked_for_is_what_the_crops_lie_in(method, opened, tmp_path, monkeypatch):
    records = {f"u{index}": encode_matrix(np.ones((count, 6)), method) for index, count in enumerate(NUM_FRAMES)}
    reader = FeatureReader(write_ark(tmp_path / "y", records))
    if opened:
        reader.num_frames()
    asked = []
    monkeypatch.setattr("os.posix_fadvise", lambda fd, begin, size, advice: asked.append((begin, begin + size)))
    starts = np.array([20, 0, 5, 60, 1, 6, 30, 0])
    reader.will_need(np.arange(8), starts, CROP, NUM_FRAMES)
    monkeypatch.undo()
    places, ends = reader.scp.offsets, reader.ends(np.arange(8))
    if not opened:
        assert asked[::2] == [(place, place + 22) for place in places]
        del asked[::2]
    width = {2: None, 5: 6, 3: 12, 0: 24}[method]
    for index, place in enumerate(asked):
        begin = reader.starts[index]
        if width is None or index == 1:  # columns, each with a part of the crop; an utterance that begins again
            assert place == (begin, ends[index])
        else:
            assert place == (begin + starts[index] * width, begin + (starts[index] + CROP) * width)


def test_an_ark_that_is_gone_is_said_by_who_reads_it(scp):
    (scp.parent / "x.ark").rename(scp.parent / "gone")
    (scp.parent / "y.ark").write_bytes((scp.parent / "gone").read_bytes())
    first, *others = scp.read_text().splitlines(keepends=True)
    scp.write_text(first.replace("x.ark", "y.ark") + "".join(others))
    for name in ("arks", "stream"):
        with pytest.raises(InputError, match=r"x\.ark: no such file, though .*x\.scp points at it"):
            first_batches(*datasets(scp)[name])
    with pytest.raises(InputError, match=r"x\.ark: no such file, though .*x\.scp points at it"):
        datasets(scp)["resident"]


@pytest.mark.parametrize("name", ["arks", "stream", "resident"])
def test_other_frames_than_utt2num_frames_says_end_the_stream(name, scp):
    with pytest.raises(InputError, match=r"'u3': has 80 frames, but utt2num_frames says 81"):
        first_batches(*datasets(scp, num_frames=NUM_FRAMES + (np.arange(8) == 3))[name])
