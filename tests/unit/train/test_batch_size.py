"""`batch.size: auto`: the search, the memory it looks at, and runs that it must not change."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from unit.train.commands import ENVIRONMENT, train_command

from spk.bin.train import pick_device
from spk.train import batch_size, memory
from spk.train.batch_size import CpuRoom, count_usable, largest, speaker_counts

MIB = 2**20
TRIPLETS = ["--loss.name", "triplet", "--batch.utterances_per_speaker", "2"]


class FakeMemory:
    """Holds `most` crops; remembers what it was asked."""

    def __init__(self, most):
        self.most, self.asked = most, []

    def fits(self, size):
        self.asked.append(size)
        return size <= self.most


@pytest.mark.parametrize("utterances", [1, 2, 3])
@pytest.mark.parametrize("most_speakers", [2, 3, 15, 16, 40, 266])
def test_the_search_finds_what_a_search_of_all_sizes_finds(most_speakers, utterances):
    sizes = [utterances * count for count in speaker_counts(most_speakers)]
    for most in range(sizes[-1] + 10):
        room = FakeMemory(most)
        assert largest(sizes, room.fits) == max((size for size in sizes if size <= most), default=None)
        assert len(room.asked) == len(set(room.asked)) <= 2 * len(sizes).bit_length() + 3


def test_the_search_never_asks_for_much_more_than_what_fits():
    """A step of ten times the memory would end the process, not the step."""
    sizes = speaker_counts(4000)
    for most in (2, 9, 15, 16, 100, 3000):
        room = FakeMemory(most)
        largest(sizes, room.fits)
        assert max(room.asked) <= max(2 * most, most + batch_size.SPEAKERS_MULTIPLE)


def test_large_batches_have_a_multiple_of_eight_speakers():
    assert speaker_counts(1) == []
    assert speaker_counts(5) == [2, 3, 4, 5]
    assert speaker_counts(17) == [*range(2, 16), 16]
    assert speaker_counts(42) == [*range(2, 16), 16, 24, 32, 40]


def test_usable_speakers_are_those_with_enough_utterances():
    labels = np.array([0, 0, 0, 2, 2, 3])  # speaker 1 has none
    assert [count_usable(labels, least) for least in (1, 2, 3, 4)] == [3, 2, 1, 0]


@pytest.fixture
def free(monkeypatch):
    """`free(n)`: n MiB are available."""
    return lambda mib: monkeypatch.setattr(memory, "available", lambda: mib * MIB)


def test_memory_that_is_really_taken_is_measured(free):
    """A step that takes 8 MiB a crop, with 80 % of 800 MiB: 80 crops, as far as one can measure a process."""
    free(800)
    made = []

    def step(size):
        made.append(size)
        np.ones(size * 8 * MIB, dtype=np.uint8)

    found = largest(range(1, 200), CpuRoom(step).fits)
    assert 70 <= found <= 82
    assert max(made) <= 90  # 128 was foreseen not to fit, and never tried


def test_an_allocation_that_is_refused_does_not_fit_and_other_errors_are_errors(free):
    free(800)

    def refuse(size):
        torch.empty(2**60, dtype=torch.uint8)

    def fail(size):
        raise RuntimeError("shapes cannot be multiplied")

    assert not CpuRoom(refuse).fits(4)
    with pytest.raises(RuntimeError, match="shapes"):
        CpuRoom(fail).fits(4)


def final(exp):
    return torch.load(exp / "final.pt", weights_only=True)


def assert_same_weights(first, second):
    assert all(torch.equal(value, second["embedder"][name]) for name, value in first["embedder"].items())


def recorded_size(exp):
    assert final(exp)["config"]["batch"] == yaml.safe_load((exp / "config.yaml").read_text())["batch"]
    return final(exp)["config"]["batch"]["size"]


@pytest.mark.parametrize(
    ("options", "size", "how"),
    [
        ([], 6, "6 crops, 6 speakers x 1: all that is allowed, as 6 speakers can be used, and it fits 80%"),
        (["--batch.most", "4"], 4, "4 crops, 4 speakers x 1: all that is allowed, as batch.most is 4, and it fits 80%"),
        # Mining draws from torch's generator, which the search must leave where it was.
        (
            [*TRIPLETS, "--batch.most", "11"],
            10,
            "10 crops, 5 speakers x 2: all that is allowed",
        ),
    ],
    ids=["all speakers", "most", "pairs"],
)
def test_a_run_that_finds_its_size_equals_one_that_is_given_it(
    train, system_yaml, data_dir, tmp_path, options, size, how
):
    content = yaml.safe_load(system_yaml.read_text())
    system_yaml.write_text(yaml.safe_dump({**content, "curriculum": {}, "normalization": "global"}))
    found, given = tmp_path / "found", tmp_path / "given"
    done = train(system_yaml, data_dir, found, *options, "--batch.size", "auto")
    assert done.returncode == 0, done.stderr
    assert f"batch.size: auto: {how}" in done.stderr
    assert json.loads((found / "run.json").read_text())["found"]["batch.size"].startswith(how)
    assert recorded_size(found) == size
    assert train(system_yaml, data_dir, given, *options, "--batch.size", size).returncode == 0
    assert_same_weights(final(found), final(given))
    assert json.loads((given / "run.json").read_text())["found"] == {}


def test_a_run_that_goes_on_keeps_the_size_that_was_found(train, system_yaml, data_dir, tmp_path):
    whole, exp = tmp_path / "whole", tmp_path / "exp"
    assert train(system_yaml, data_dir, whole, "--batch.size", "auto", "--batch.most", "5").returncode == 0
    shutil.copytree(whole, exp)
    for gone in (exp / "final.pt", exp / "checkpoints/step-00000012.pt"):
        gone.unlink()
    done = train(system_yaml, data_dir, exp, "--batch.size", "auto", "--batch.most", "5")
    assert done.returncode == 0, done.stderr
    assert "going on from step 9" in done.stderr
    assert "batch.size: auto" not in done.stderr  # not searched for again
    assert recorded_size(exp) == 5
    assert_same_weights(final(exp), final(whole))
    assert "already trained" in train(system_yaml, data_dir, exp, "--batch.size", "5", "--batch.most", "5").stderr
    other = train(system_yaml, data_dir, exp, "--batch.size", "4", "--batch.most", "5")
    assert "batch.size: 5 -> 4" in other.stderr


def train_in_a_process_with(mib, *arguments):
    """The command in a process of its own, whose heap has nothing to reuse, where so much memory is free."""
    script = (
        f"from spk.train import memory; memory.available = lambda: {mib * MIB}\nfrom spk.bin.train import main; main()"
    )
    options = map(str, train_command(*arguments)[3:])
    return subprocess.run([sys.executable, "-c", script, *options], env=ENVIRONMENT, capture_output=True, text=True)


# Long crops of a wider network take tens of MiB each.
LARGE_CROPS = ["--batch.crop_frames", "400", "--network.channels", "0.5", "--train.steps", "1"]


def test_little_memory_makes_a_small_batch(system_yaml, data_dir, tmp_path):
    """Fewer crops than the 6 x 8 that there could be."""
    options = [*LARGE_CROPS, "--batch.utterances_per_speaker", "8", "--batch.size", "auto"]
    done = train_in_a_process_with(600, system_yaml, data_dir, tmp_path / "exp", *options)
    assert done.returncode == 0, done.stderr
    assert "the most that fit 80% of the 0.59 GiB that were free on cpu; tried 16" in done.stderr
    assert recorded_size(tmp_path / "exp") in (16, 24, 32, 40)


def test_too_little_memory_for_the_smallest_batch_is_said_before_the_run_begins(system_yaml, data_dir, tmp_path):
    done = train_in_a_process_with(2, system_yaml, data_dir, tmp_path / "exp", *LARGE_CROPS, "--batch.size", "auto")
    assert done.returncode == 1
    assert "batch.size: auto: not even 2 crops of 400 frames fit 80% of the 0.00 GiB" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--batch.most", "1"],
            "a batch needs 2 distinct speakers (1 utterances each), but 6 can be used and batch.most is 1",
        ),
        (
            ["--batch.utterances_per_speaker", "5", "--batch.reuse_utterances", "no"],
            "(5 utterances each), but 0 can be used",
        ),
        # What the loss can work with is known before the size.
        (["--loss.name", "contrastive"], "batch.utterances_per_speaker: 1 is out of range for the loss contrastive"),
        (["--batch.utterances_per_speaker", "900"], "batch.most: 800 is less than the 900 utterances of one speaker"),
    ],
)
def test_what_cannot_be_found_is_said_before_the_run_begins(train, system_yaml, data_dir, tmp_path, options, message):
    content = yaml.safe_load(system_yaml.read_text())
    system_yaml.write_text(yaml.safe_dump({**content, "curriculum": {}}))
    done = train(system_yaml, data_dir, tmp_path / "exp", "--batch.size", "auto", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_allocator_is_held_to_its_share_and_let_go():
    device = pick_device("cuda")
    crop = torch.cuda.mem_get_info(device)[0] // 100

    def step(size):
        torch.empty(size * crop, dtype=torch.uint8, device=device)

    room = batch_size.CudaRoom(step, device)
    assert 80 <= largest(range(1, 200), room.fits) <= 90
    room.close()
    step(95)


def test_the_allocator_can_be_held_to_its_share_on_the_device_that_training_picks(monkeypatch):
    """What needs a GPU is replaced; the check of the device's number in torch is torch's own."""
    shares = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20)
    monkeypatch.setattr(
        torch._C, "_cuda_setMemoryFraction", lambda share, device: shares.append((share, device)), False
    )
    room = batch_size.CudaRoom(lambda size: None, pick_device("auto"))
    room.close()
    assert room.free == 60  # of it the share is what is said
    assert shares == [(pytest.approx((20 + batch_size.CUDA_SHARE * 60) / 100), 0), (1.0, 0)]
