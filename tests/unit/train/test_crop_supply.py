"""Where training's crops come from: the same weights whichever it is, and what is said where it cannot be."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from unit.train.conftest import SYSTEM, write_matrices

from spk.config import make_system
from spk.data.ark import FeatureReader
from spk.data.ark_format import encode_matrix
from spk.data.coded_crops import decode_crops
from spk.data.crops import CodedCropDataset, CropDataset, ResidentCropDataset
from spk.train import crop_supply, memory
from spk.train.crop_supply import open_crops, room_for_resident
from spk.train.training_data import Utterances


@pytest.fixture
def compressed_dir(data_dir):
    """Its features in Kaldi's 8 bits."""
    reader = FeatureReader(data_dir / "feats.scp")
    lines = []
    with (data_dir / "packed.ark").open("wb") as ark:
        for index, name in enumerate(reader.utterances):
            ark.write(f"{name} ".encode())
            lines.append(f"{name} {ark.name}:{ark.tell()}\n")
            ark.write(encode_matrix(reader.whole(index), 2))
    (data_dir / "feats.scp").write_text("".join(lines))
    return data_dir


def assert_same_checkpoints(first, second):
    names = sorted(path.name for path in (first / "checkpoints").glob("step-*.pt"))
    assert names == sorted(path.name for path in (second / "checkpoints").glob("step-*.pt")) != []
    for name in names:
        one, other = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (first, second))
        for part in ("embedder", "loss"):
            assert one[part].keys() == other[part].keys()
            assert all(torch.equal(value, other[part][key]) for key, value in one[part].items())
        assert one["sampler"] == other["sampler"] and one["logged"] == other["logged"]


def test_all_ways_train_the_same_bits(train, system_yaml, compressed_dir, tmp_path, monkeypatch):
    for resident in ("auto", "true"):
        done = train(system_yaml, compressed_dir, tmp_path / resident, "--train.resident", resident)
        assert done.returncode == 0, done.stderr
        assert ("they are held there" in done.stderr) == (resident == "true")
        assert (" MB, to cpu" in done.stderr) == (resident == "true")
    assert_same_checkpoints(tmp_path / "auto", tmp_path / "true")

    def streamed(config, training, device, share):
        dataset = CodedCropDataset(
            training.reader, training.num_frames, training.labels, config.batch.crop_frames, share
        )
        return dataset, functools.partial(decode_crops, device=device)

    monkeypatch.setattr("spk.train.trainer.open_crops", streamed)
    assert train(system_yaml, compressed_dir, tmp_path / "stream").returncode == 0
    assert_same_checkpoints(tmp_path / "auto", tmp_path / "stream")


def test_a_run_may_go_on_with_features_elsewhere(train, system_yaml, data_dir, tmp_path):
    assert train(system_yaml, data_dir, tmp_path / "whole").returncode == 0
    assert train(system_yaml, data_dir, tmp_path / "exp", "--train.resident", "true").returncode == 0
    (tmp_path / "exp" / "final.pt").unlink()
    (tmp_path / "exp" / "checkpoints" / "step-00000012.pt").unlink()
    done = train(system_yaml, data_dir, tmp_path / "exp", "--train.resident", "false")
    assert done.returncode == 0, done.stderr
    assert "going on from step 9 of 12" in done.stderr
    one, other = (torch.load(tmp_path / name / "final.pt", weights_only=True) for name in ("whole", "exp"))
    assert all(torch.equal(value, other["embedder"][key]) for key, value in one["embedder"].items())


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["--train.resident", "maybe"], "train.resident: 'maybe' must be true or false, or 'auto'"),
        (["--train.resident", "true", "--features.online", "true"], "train.resident: features.online reads no arks"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(train, system_yaml, data_dir, tmp_path, overrides, message):
    done = train(system_yaml, data_dir, tmp_path / "exp", *overrides)
    assert done.returncode == 1
    assert message in done.stderr and "\n" not in done.stderr


def test_features_that_do_not_fit_are_refused_before_anything_is_begun(
    train, system_yaml, data_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(crop_supply, "free_bytes", lambda device: 100_000)
    done = train(system_yaml, data_dir, tmp_path / "exp", "--train.resident", "true")
    assert done.returncode == 1
    assert "train.resident: 0.163 MB of features, 0.1 MB free on cpu: they do not fit; set it to" in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.parametrize("resident", [True, False, "auto"])
@pytest.mark.parametrize("free, fits", [(200_000, False), (400_000, True), (10**12, True)])
def test_a_gpu_holds_what_leaves_half_or_16_gib_for_the_network(resident, free, fits, tmp_path, monkeypatch, caplog):
    """A GPU is stood in for by its name alone: nothing is loaded."""
    matrix = np.zeros((100, 40), np.float32)
    (tmp_path / "data").mkdir()
    write_matrices(tmp_path / "data", {f"s{n}-0": matrix for n in range(10)})  # 160,000 bytes and some
    monkeypatch.setattr(crop_supply, "free_bytes", lambda device: free)
    caplog.set_level("INFO")
    config = resident_config(resident)
    training = Utterances(
        FeatureReader(tmp_path / "data" / "feats.scp"), np.full(10, 100), np.arange(10), list("x" * 10)
    )
    dataset, _ = open_crops(config, training, torch.device("cuda", 0))
    is_held = resident is True or (resident == "auto" and fits)
    assert type(dataset) is (ResidentCropDataset if is_held else CodedCropDataset)
    assert caplog.text.count("train.resident: 0.16") == (resident is not False)
    assert type(open_crops(config, training, torch.device("cpu"))[0]) is (
        ResidentCropDataset if resident is True else CropDataset
    )


@pytest.mark.parametrize("resident", ["true", "false"])
def test_when_memory_runs_out_what_the_features_take_is_named_first(
    train, system_yaml, data_dir, tmp_path, monkeypatch, resident
):
    def too_much(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("spk.train.trainer.Trainer.train_step", too_much)
    done = train(system_yaml, data_dir, tmp_path / "exp", "--train.resident", resident)
    assert done.returncode == 1
    assert ("; set train.resident to false, lower batch.size (4)" in done.stderr) == (resident == "true")
    assert "lower batch.size (4) or batch.crop_frames (20)" in done.stderr


def resident_config(resident):
    return make_system({**SYSTEM, "train": {**SYSTEM["train"], "resident": resident}}, "test")


def test_room_for_features_is_taken_while_a_batch_size_is_looked_for(tmp_path):
    matrix = np.zeros((50_000, 40), np.float32)
    (tmp_path / "data").mkdir()
    write_matrices(tmp_path / "data", {f"s{n}-0": matrix for n in range(10)})  # 80 MB
    training = Utterances(
        FeatureReader(tmp_path / "data" / "feats.scp"), np.full(10, 50_000), np.arange(10), list("x" * 10)
    )
    held = {}
    for resident in (True, False):
        before = memory.resident()
        with room_for_resident(resident_config(resident), training, torch.device("cpu")):
            held[resident] = memory.resident() - before
    assert held[True] > 70e6
    assert held[False] < 10e6


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 100)
    assert crop_supply.free_bytes(torch.device("cpu")) == 100
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert crop_supply.free_bytes(torch.device("cpu")) == 25
