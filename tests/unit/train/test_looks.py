"""Steps that are looked at some time later log, save and say what those that are looked at one by one do."""

from __future__ import annotations

import csv
import time

import pytest
import torch

from spk.collectives import ALONE
from spk.data.sampler import Batch
from spk.train import looks, trainer
from spk.train.looks import Looks


@pytest.fixture
def count_looks(monkeypatch):
    """`count_looks(lazily)`: from here on training looks at every step, or lazily; a list of the steps of each look."""

    def choose(lazily: bool) -> list[list[int]]:
        steps: list[list[int]] = []

        class Counted(Looks):
            def __init__(self, lazily: bool, group, is_lazy: bool = lazily) -> None:
                super().__init__(is_lazy, group)

            def look(self):
                values = super().look()
                steps.append([one.step for one in values])
                return values

        monkeypatch.setattr(looks, "SECONDS", 1e9)
        monkeypatch.setattr(trainer, "Looks", Counted)
        return steps

    return choose


def logged(exp) -> list[dict[str, str]]:
    return [{**row, "crops_per_second": ""} for row in csv.DictReader((exp / "training.csv").open())]


def test_what_is_logged_chosen_and_saved_is_the_same_bits(train, system_yaml, data_dir, tmp_path, count_looks):
    steps = {}
    for lazily in (False, True):
        steps[lazily] = count_looks(lazily)
        options = ["--train.log_every", "5", "--train.save_every", "10", "--validation.every", "7"]
        assert train(system_yaml, data_dir, tmp_path / str(lazily), *options).returncode == 0
    assert steps[False] == [[step] for step in range(1, 13)]
    # After one step, two and four; before logging at 5 and 10, choosing at 7, saving at 10, and at the end.
    assert steps[True] == [[1], [2, 3], [4, 5], [6, 7], [8, 9, 10], [11, 12]]
    exps = [tmp_path / "False", tmp_path / "True"]
    assert logged(exps[0]) == logged(exps[1])
    for name in ("checkpoints/step-00000010.pt", "checkpoints/step-00000012.pt", "best.pt"):
        eager, lazy = (torch.load(exp / name) for exp in exps)
        assert_same(eager, lazy)


def assert_same(first, second) -> None:
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif torch.is_tensor(first):
        assert torch.equal(first, second)
    else:
        assert first == second


def test_a_loss_that_is_not_finite_is_found_later_with_its_own_step_and_batch(
    train, system_yaml, data_dir, tmp_path, count_looks
):
    said, saved, steps = {}, {}, {}
    for lazily in (False, True):
        steps[lazily] = count_looks(lazily)
        exp = tmp_path / str(lazily)
        options = ["--optimizer.lr", "1e30", "--schedule.name", "constant", "--train.log_every", "100"]
        done = train(system_yaml, data_dir, exp, *options, "--train.save_every", "6", "--validation.every", "100")
        assert done.returncode == 1
        said[lazily] = done.stderr.strip().splitlines()[-1].replace(str(exp), "EXP")
        files = [*exp.glob("not_finite_step_*.txt"), *(exp / "checkpoints").glob("*")]
        saved[lazily] = {file.name: file.read_text() for file in files}
    assert "at step 2; the batch's utterances are in EXP/not_finite_step_2.txt" in said[False]
    assert steps[True][-1] == [2, 3]
    assert said[False] == said[True]
    assert saved[False] == saved[True]
    assert len(saved[True]) == 1


def test_about_a_second_goes_by_between_two_looks(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    kept = Looks(lazily=True)
    counts, batch = [], Batch.__new__(Batch)
    for step in range(1, 400):
        now += 1 / 16 if step < 200 else 1 / 2  # seconds a step
        kept.add(step, torch.tensor(1.0), torch.tensor(2.0), batch)
        if kept.is_due:
            counts.append(len(kept.look()))
    assert counts[:6] == [1, 2, 4, 8, 16, 16]
    assert max(counts) == 16
    assert counts[-1] == 2


def test_a_process_alone_looks_soon_when_steps_become_slow_and_a_group_after_few_steps(monkeypatch):
    class Two:
        """A group's answers, alike on both."""

        size = 2

        def largest(self, number: int) -> int:
            return number

    batch = Batch.__new__(Batch)
    for group, longest in ((ALONE, 3.0), (Two(), 16 * 3.0)):
        now = last = gap = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: now)  # noqa: B023
        kept = Looks(lazily=True, group=group)
        for step in range(1, 600):
            now += 0.01 if step < 500 else 3.0
            kept.add(step, torch.tensor(1.0), torch.tensor(2.0), batch)
            if kept.is_due:
                kept.look()
                gap, last = max(gap, now - last), now
        assert gap <= longest + 1.1
