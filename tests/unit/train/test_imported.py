"""The command that imports a published network, and what its directory then is good for."""

from __future__ import annotations

import json
import logging
import sys

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from unit.embed.published_weights import REST, SYSTEMS, embeddings, state_dict, waves
from unit.train.conftest import write_matrices

from spk.bin import extract_embeddings, import_checkpoint
from spk.feats import FRONT_ENDS

HAMMING = ("--features.window", "hamming")  # not the published one: as one says who knows that it is so


@pytest.fixture
def run(monkeypatch, caplog):
    """`run(command, *arguments)` -> (status, log) of a command's module, in this process."""

    def run(module, *arguments):
        caplog.clear()
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        with caplog.at_level(logging.INFO):
            try:
                module.main()
            except SystemExit as stopped:
                return 1, f"{caplog.text}{stopped.code}"
        return 0, caplog.text

    return run


@pytest.fixture
def published(tmp_path):
    """(system's YAML without the window, checkpoint) of VGGVox."""
    system = {**REST, **SYSTEMS["VGGVox"], "features": "fbank40"}
    (tmp_path / "vgg.yaml").write_text(yaml.safe_dump(system))
    state = {f"__S__.{name}": value for name, value in state_dict("VGGVox").items()}
    torch.save(state, tmp_path / "vgg.model")
    return tmp_path / "vgg.yaml", tmp_path / "vgg.model"


def test_extraction_with_an_imported_network_gives_the_published_embeddings(run, published, tmp_path):
    exp, data = tmp_path / "exp", tmp_path / "data"
    status, log = run(import_checkpoint, "--features.window", "hann", *published, exp)
    assert status == 0, log
    data.mkdir()
    features = FRONT_ENDS.build("features", {"name": "fbank40", "window": "hann"})(waves()).numpy()
    write_matrices(data, {"s0-0": features[0], "s1-0": features[1]})
    (data / "feats.yaml").write_text(yaml.safe_dump({"name": "fbank40", "window": "hann"}))
    status, log = run(extract_embeddings, "--device", "cpu", exp, data, tmp_path / "embedding")
    assert status == 0, log
    made = kaldiio.load_scp(str(tmp_path / "embedding.scp"))
    expected = embeddings("VGGVox")
    assert np.abs(np.stack([made["s0-0"], made["s1-0"]]) - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_directory_says_what_it_holds_and_importing_again_changes_nothing(run, published, tmp_path):
    system, checkpoint = published
    exp = tmp_path / "exp"
    assert run(import_checkpoint, *HAMMING, *published, exp)[0] == 0
    assert json.loads((exp / "run.json").read_text())["imported"]["file"] == str(checkpoint)
    assert yaml.safe_load((exp / "config.yaml").read_text())["network"]["pooling"] == {"name": "tap"}
    written = (exp / "final.pt").stat().st_mtime_ns
    status, log = run(import_checkpoint, *HAMMING, *published, exp)
    assert (status, (exp / "final.pt").stat().st_mtime_ns) == (0, written)
    assert "already imported" in log

    status, log = run(import_checkpoint, "--features.window", "hann", *published, exp)
    assert status == 1
    assert "begun with another config (features.window: hamming -> hann)" in log
    other = tmp_path / "other.model"
    torch.save({**torch.load(checkpoint, weights_only=True), "__L__.w": torch.ones(1)}, other)
    status, log = run(import_checkpoint, *HAMMING, system, other, exp)
    assert status == 1
    assert f"{exp} holds the network imported from {checkpoint}; name another directory" in log


def test_a_window_that_the_checkpoint_does_not_tell_is_the_published_one_or_the_users_word(run, published, tmp_path):
    status, log = run(import_checkpoint, *published, tmp_path / "exp")
    assert status == 1
    assert "VGGVox was published with hann, not hamming; give --features.window hann (or hamming, if you know" in log
    assert not (tmp_path / "exp").exists()
    assert run(import_checkpoint, *HAMMING, *published, tmp_path / "exp")[0] == 0


def test_a_run_starts_from_an_imported_network_but_not_in_its_directory(run, train, published, data_dir, tmp_path):
    system, checkpoint = published
    exp = tmp_path / "exp"
    assert run(import_checkpoint, *HAMMING, *published, exp)[0] == 0
    short = ["--train.threads", "1", "--batch.size", "2", "--batch.crop_frames", "63", "--validation.speakers", "0"]
    status = train(system, data_dir, exp, *short)
    assert status.returncode == 1
    assert f"{exp} holds the network imported from {checkpoint}; name another directory" in status.stderr
    status = train(system, data_dir, tmp_path / "tuned", *short, "--optimizer.lr", "1e-20", "--init-from", exp)
    assert status.returncode == 0, status.stderr
    tuned = torch.load(tmp_path / "tuned/final.pt", weights_only=True)["embedder"]
    assert torch.allclose(tuned["network.embedding.weight"], state_dict("VGGVox")["fc.weight"], atol=1e-12, rtol=1e-6)


def test_a_refused_checkpoint_leaves_no_directory(run, published, tmp_path):
    status, log = run(import_checkpoint, *HAMMING, "--network.embedding_dim", "8", *published, tmp_path / "exp")
    assert status == 1
    assert "fc.weight is 1024 x 512 there, 8 x 512 here" in log
    assert not (tmp_path / "exp").exists()
    status, log = run(import_checkpoint, published[0], tmp_path / "absent.model", tmp_path / "exp")
    assert (status, log.partition(": error: ")[2]) == (1, f"{tmp_path / 'absent.model'}: no such file")
