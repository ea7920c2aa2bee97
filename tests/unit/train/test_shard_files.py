"""A sharded classifier trains as a whole one does, also when other numbers of processes go on from its checkpoint."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest
import torch
from rank_processes import on_ranks
from torch import nn
from torch.testing import assert_close

from spk.collectives import ALONE
from spk.data.sampler import Batch
from spk.errors import InputError
from spk.losses import LOSSES
from spk.losses.shard import Shard
from spk.train.checkpoint import load_latest, save_checkpoint
from spk.train.clipping import clip_gradients
from spk.train.optimizers import OPTIMIZERS
from spk.train.partial_softmax import draw_speakers, optimizer_step
from spk.train.shard_files import load_rows, save_rows

C, D = 7, 4
SUM = {"name": "sum", "first": "softmax", "second": {"name": "sum", "first": "ge2e", "second": "aam_softmax"}}
ADAM = {"name": "adam", "lr": 0.02, "weight_decay": 0.01}
SGD = {"name": "sgd", "lr": 0.02}
RUNS = {  # loss, optimizer, share of the other speakers
    "whole": (SUM, ADAM, 1.0),
    "drawn": (SUM, ADAM, 0.4),
    "drawn with momentum": ("softmax", SGD, 0.4),
    "without a state": ("dam_softmax", {"name": "sgd", "lr": 0.02, "momentum": 0.0}, 1.0),
}
PLAN = [(2, 0, 3), (3, 3, 5), (1, 5, 7)]  # processes, from which step to which


class Training:
    """A network of one layer and a loss, trained on batches that are functions of the step."""

    def __init__(self, run, group, is_sharded):
        section, optimizer, self.share = RUNS[run]
        torch.manual_seed(3)
        given = {"embedding_dim": D, "num_speakers": C, "utterances_per_speaker": 2}
        shard = Shard(C, group) if is_sharded else None
        self.loss = LOSSES.build("loss", section, shard=shard, **given).double()
        torch.manual_seed(4)
        self.network = nn.Linear(D, D).double()
        self.parameters = [*self.network.parameters(), *self.loss.parameters()]
        self.optimizer = OPTIMIZERS.build("optimizer", optimizer, parameters=self.parameters)
        self.norms = []

    def train(self, begin, end):
        for number in range(begin, end):
            random = torch.Generator().manual_seed(number)
            labels = torch.randperm(C, generator=random)[:3].repeat_interleave(2)
            if self.share < 1:
                draw_speakers(self.loss, Batch(np.arange(6), 1, 0, number), self.share)
            self.optimizer.zero_grad()
            inputs = torch.randn(6, D, generator=random, dtype=torch.float64)
            self.loss(self.network(inputs), labels).backward()
            self.norms.append(clip_gradients(self.parameters, self.loss, 0.5).item())
            optimizer_step(self.optimizer, self.loss)

    def state(self, number):
        return {
            "step": number,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state):
        for name in ("network", "loss", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


def train_a_part(group, folder, begin, end):
    """The steps [begin, end) of all runs, from the checkpoint before to the one behind them."""
    norms = {}
    for run in RUNS:
        training, directory = Training(run, group, is_sharded=True), folder / run
        if begin > 0:
            state = group.broadcast_object(load_latest(directory) if group.rank == 0 else None)
            assert state["step"] == begin
            training.load(load_rows(directory, state, training.loss, training.optimizer))
        training.train(begin, end)
        state, entry = save_rows(directory, training.state(end), training.loss, training.optimizer)
        state["row_files"] = group.gather_objects(entry)
        if group.rank == 0:
            save_checkpoint(directory, end, state, keep=2)
        norms[run] = training.norms
    return norms


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of checkpoints, and the gradients' norms of all steps on each process of each part."""
    folder = tmp_path_factory.mktemp("trained")
    for run in RUNS:
        (folder / run).mkdir()
    norms = []
    for size, begin, end in PLAN:
        is_alone = size == 1
        arguments = (folder, begin, end)
        some = tmp_path_factory.mktemp("ranks")
        norms.append([train_a_part(ALONE, *arguments)] if is_alone else on_ranks(train_a_part, size, some, *arguments))
    return folder, norms


@pytest.mark.parametrize("run", RUNS)
def test_two_then_three_then_one_processes_end_where_one_with_all_speakers_does(trained, run):
    folder, norms = trained
    expected = Training(run, ALONE, is_sharded=False)
    expected.train(0, PLAN[-1][2])
    seen = []
    for of_part in norms:
        assert all(rank[run] == of_part[0][run] for rank in of_part)
        seen += of_part[0][run]
    assert_close(seen, expected.norms, rtol=1e-9, atol=1e-12)
    assert max(seen) > 0.5  # some were clipped
    again = Training(run, ALONE, is_sharded=True)
    again.load(load_rows(folder / run, load_latest(folder / run), again.loss, again.optimizer))
    whole, got = (training.state(7) for training in (expected, again))
    for name in ("network", "loss"):
        assert_close(got[name], whole[name], rtol=1e-9, atol=1e-12)
    assert_close(got["optimizer"]["state"], whole["optimizer"]["state"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("run", RUNS)
def test_a_sharded_classifier_goes_on_from_a_checkpoint_of_a_whole_one_and_the_other_way_round(trained, run):
    directory = trained[0] / run
    whole, sharded = (Training(run, ALONE, is_sharded=is_sharded) for is_sharded in (False, True))
    whole.load(load_rows(directory, load_latest(directory), whole.loss, whole.optimizer))
    state = copy.deepcopy(whole.state(7))
    sharded.load(load_rows(directory, state, sharded.loss, sharded.optimizer))
    for training in (whole, sharded):
        training.train(7, 9)
    for name in ("network", "loss"):
        assert_close(sharded.state(9)[name], whole.state(9)[name], rtol=1e-9, atol=1e-12)


def test_a_checkpoint_has_the_rows_in_files_of_their_own_that_go_with_it(trained):
    folder, _ = trained
    for run in RUNS:
        assert sorted(path.name for path in (folder / run).iterdir()) == [
            "step-00000005.pt",
            "step-00000005.rows-0-2.pt",
            "step-00000005.rows-2-4.pt",
            "step-00000005.rows-4-7.pt",
            "step-00000007.pt",
            "step-00000007.rows-0-7.pt",
        ]
    state = load_latest(folder / "whole")
    assert set(state["loss"]) == {"second.first.similarity.raw_scale", "second.first.similarity.bias"}
    assert len(state["optimizer"]["state"]) == 4  # these, and the network's


@pytest.mark.parametrize("damage", ["is gone", "is cut off", "has a bit that changed"])
def test_with_a_damaged_file_of_rows_the_checkpoint_before_it_serves(trained, tmp_path, caplog, damage):
    folder = tmp_path / "copy"
    shutil.copytree(trained[0] / "drawn", folder)
    path = folder / "step-00000007.rows-0-7.pt"
    content = bytearray(path.read_bytes())
    if damage == "is gone":
        path.unlink()
    elif damage == "is cut off":
        path.write_bytes(content[:-100])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert load_latest(folder)["step"] == 5
    assert "step-00000007.rows-0-7.pt" in caplog.text


def test_rows_without_a_checkpoint_are_cleared_away(trained, tmp_path):
    """Of a run that was killed between them."""
    folder = tmp_path / "copy"
    shutil.copytree(trained[0] / "drawn", folder)
    (folder / "step-00000007.pt").unlink()
    (folder / ".step-00000009.rows-0-3.pt.partial").touch()
    before = ["step-00000005.pt", *(f"step-00000005.rows-{rows}.pt" for rows in ("0-2", "2-4", "4-7"))]
    assert load_latest(folder)["step"] == 5
    assert sorted(path.name for path in folder.iterdir()) == before


def test_files_that_do_not_have_all_speakers_are_refused(trained):
    directory = trained[0] / "whole"
    state = torch.load(directory / "step-00000005.pt", weights_only=True)
    training = Training("whole", ALONE, is_sharded=True)
    for files in (state["row_files"][:1], state["row_files"][1:], state["row_files"][::2], []):
        with pytest.raises(InputError, match="no files with the rows of all 7 speakers"):
            load_rows(directory, state | {"row_files": files}, training.loss, training.optimizer)


def test_rows_of_another_loss_are_refused(trained):
    directory = trained[0] / "drawn with momentum"
    other = Training("without a state", ALONE, is_sharded=True)
    with pytest.raises(InputError, match="the checkpoint of step 7 is of another loss: it has no weight_CD"):
        load_rows(directory, load_latest(directory), other.loss, other.optimizer)
