"""`init_from`: what a network starts from, what does not fit, and what a run that goes on holds to."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from unit.train.conftest import SYSTEM, train_in, write_system

from spk.config import load_system
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder

# Nothing moves the weights; the batch norms see batches all the same.
STILL = ["--train.steps", "1", "--optimizer.lr", "1e-20", "--schedule.name", "constant", "--validation.speakers", "0"]
PAIRS = ["--loss.name", "contrastive", "--batch.utterances_per_speaker", "2"]


def final(exp):
    return torch.load(exp / "final.pt", weights_only=True)


def parameters_of(saved):
    return {name: value for name, value in saved["embedder"].items() if "running" not in name and "num_" not in name}


SOFTMAX = {**SYSTEM, "normalization": "global", "loss": "softmax", "curriculum": {}}


@pytest.fixture(scope="module")
def trained_softmax(tmp_path_factory):
    """A trained softmax system, its normalisation one that has weights."""
    return train_in(tmp_path_factory.mktemp("softmax"), SOFTMAX)


@pytest.fixture
def softmax(trained_softmax, system_yaml, tmp_path):
    """A copy of it; `system_yaml` has its config."""
    write_system(system_yaml, SOFTMAX)
    return shutil.copytree(trained_softmax, tmp_path / "softmax")


@pytest.mark.parametrize("option", ["--init-from", "--init_from"])
@pytest.mark.parametrize("place", ["", "final.pt"])
def test_contrastive_starts_from_the_softmax_network(train, system_yaml, data_dir, tmp_path, softmax, option, place):
    done = train(system_yaml, data_dir, tmp_path / "exp", option, softmax / place, *PAIRS, *STILL)
    assert done.returncode == 0, done.stderr
    assert f"starting from the network of {softmax / 'final.pt'}, its step {final(softmax)['step']}" in done.stderr
    started, came_from = final(tmp_path / "exp"), final(softmax)
    for name, value in parameters_of(came_from).items():
        assert torch.allclose(parameters_of(started)[name], value, atol=1e-12, rtol=1e-6), name
    # The normalisation's running statistics went on from where they stood: one batch more.
    name = "normalization.statistics.num_batches_tracked"
    assert started["embedder"][name] == came_from["embedder"][name] + 1


def test_the_key_in_the_file_does_the_same_as_the_option_and_none_draws_weights(
    train, system_yaml, data_dir, tmp_path, softmax
):
    assert train(system_yaml, data_dir, tmp_path / "option", "--init-from", softmax).returncode == 0
    assert train(system_yaml, data_dir, tmp_path / "none").returncode == 0
    content = yaml.safe_load(system_yaml.read_text())
    system_yaml.write_text(yaml.safe_dump({**content, "init_from": str(softmax)}))
    assert train(system_yaml, data_dir, tmp_path / "key").returncode == 0
    assert train(system_yaml, data_dir, tmp_path / "off", "--init-from", "null").returncode == 0
    option, none, key, off = (parameters_of(final(tmp_path / name)) for name in ("option", "none", "key", "off"))
    assert all(torch.equal(option[name], key[name]) for name in key)
    assert all(torch.equal(none[name], off[name]) for name in key)
    assert not torch.equal(option["network.embedding.weight"], none["network.embedding.weight"])


def test_the_loss_starts_anew(train, system_yaml, data_dir, tmp_path, softmax):
    """Class weights are drawn as in a run that starts from nothing, with the same seed."""
    assert train(system_yaml, data_dir, tmp_path / "exp", "--init-from", softmax, *STILL).returncode == 0
    state = torch.load(tmp_path / "exp/checkpoints/step-00000001.pt", weights_only=True)
    config = load_system(system_yaml)
    torch.manual_seed(config.seed)
    build_embedder(config.normalization, config.network, num_bins=40)
    drawn = LOSSES.build("loss", config.loss, embedding_dim=8, num_speakers=8, utterances_per_speaker=1).state_dict()
    for name, value in state["loss"].items():
        assert torch.allclose(value, drawn[name], atol=1e-12, rtol=1e-6), name


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--network.channels", "0.5"], "network.channels is 0.25 there, 0.5 here"),
        (["--network.pooling", "asp"], "network.pooling.name is sap there, asp here"),
        (["--network.embedding_dim", "9"], "network.embedding_dim is 8 there, 9 here"),
        (["--network.name", "xvector"], "network.name is fast_resnet34 there, xvector here"),
        (["--normalization.name", "instance"], "normalization.name is global there, instance here"),
        (["--init-from", "nowhere"], "nowhere/final.pt: no such file; train first"),
    ],
)
def test_what_does_not_fit_is_named_before_any_work(
    train, system_yaml, data_dir, tmp_path, softmax, overrides, message
):
    done = train(system_yaml, data_dir, tmp_path / "exp", "--init-from", softmax, *overrides)
    assert done.returncode == 1
    assert "init_from: " in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_bins": 64}, "num_bins is 64 there, 40 here"),
        ({"features": {"window": "hann"}}, "features.window is hann there, hamming here"),
        ({"embedder": {}}, 'Missing key(s) in state_dict: "normalization.statistics.running_mean"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_other_features_or_weights_are_refused(train, system_yaml, data_dir, tmp_path, softmax, change, message):
    saved = final(softmax)
    saved["config"]["features"] |= change.pop("features", {})
    torch.save({**saved, **change}, softmax / "final.pt")
    done = train(system_yaml, data_dir, tmp_path / "exp", "--init-from", softmax)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


def test_a_run_that_goes_on_holds_to_the_file_it_began_with(train, system_yaml, data_dir, tmp_path, softmax):
    whole, exp = tmp_path / "whole", tmp_path / "exp"
    assert train(system_yaml, data_dir, whole, "--init-from", softmax).returncode == 0
    recorded = json.loads((whole / "run.json").read_text())["init_from"]
    assert recorded["file"] == str(softmax / "final.pt")
    assert len(recorded["digest"]) == 64
    # As after a kill at step 9: a resumed run goes on with its own weights.
    shutil.copytree(whole, exp)
    for gone in (exp / "final.pt", exp / "checkpoints/step-00000012.pt"):
        gone.unlink()
    moved = softmax.rename(tmp_path / "moved")
    done = train(system_yaml, data_dir, exp, "--init-from", moved)
    assert done.returncode == 0, done.stderr
    assert "going on from step 9 of 12" in done.stderr
    assert "starting from" not in done.stderr
    ended, same = final(exp), final(whole)
    assert all(torch.equal(value, same["embedder"][name]) for name, value in ended["embedder"].items())
    (exp / "final.pt").unlink()

    dropped = train(system_yaml, data_dir, exp)
    assert f"init_from: {softmax / 'final.pt'} then, weights drawn with the seed now" in dropped.stderr
    assert "moved/final.pt: no such file" not in dropped.stderr
    torch.save({**final(moved), "step": 3}, moved / "final.pt")
    changed = train(system_yaml, data_dir, exp, "--init-from", moved)
    assert "was begun with another initial network" in changed.stderr
    (moved / "final.pt").unlink()
    gone = train(system_yaml, data_dir, exp, "--init-from", moved)
    assert f"init_from: {moved / 'final.pt'}: no such file" in gone.stderr
    assert dropped.returncode == changed.returncode == gone.returncode == 1
