"""What describe says of a system, beside what is known of it from elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spk.bin import describe
from spk.config import load_system
from spk.losses import LOSSES
from spk.nets import NETWORKS
from spk.report.system import describe_system

ROOT = Path(__file__).resolve().parents[3]
FAST = ROOT / "egs/voxceleb/conf/fast_resnet34_am.yaml"


def rows_of(text):
    """{layer: (kind, output, parameters, multiply-adds)} of the table, and its totals."""
    cells = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rows = {name: (kind, output, number(size), number(adds)) for name, kind, output, size, adds in cells[2:-1]}
    return rows, rows.pop("total")[2:]


def number(text):
    return int(text.replace(",", ""))


def test_fast_resnet34_of_the_paper_as_it_is_printed():
    text = describe_system(load_system(FAST), "fast", num_frames=202, num_speakers=5994)
    assert "# fast\n" in text
    for line in [
        r"Front end: +fbank40 \(window hamming\): 40 bins",
        r"Normalisation: +instance \(eps 1e-05\)",
        r"Least frames: +1",
        r"Loss: +am_softmax \(margin 0\.2, scale 30\); parameters: 3,068,928 for 5,994 speakers",  # 5994 x 512
        r"Batch: +200 speakers x 1 = 200 crops of 200 frames; of a speaker in an epoch at most 100 utterances",
        r"Optimiser: +adam \(lr 0\.001, weight_decay 0\)",
        r"Schedule: +step \(factor 0\.95, every_epochs 10\)",
        r"Curriculum: +none",
        r"Validation: +40 training speakers held out, 10 utterances each",
        r"Evaluation: +10 crops of 400 frames of each utterance, compared by cosine",
    ]:
        assert re.search(rf"^- {line}", text, re.MULTILINE), line
    rows, totals = rows_of(text)
    # 7 x 7 taps to 16 channels at 20 x 202 places; a pair of 128-channel 3 x 3 convolutions at 5 x 51
    assert rows["conv1"] == ("MaskedConv2d", "16 x 20 x 202", 16 * 49, 16 * 49 * 20 * 202)
    assert rows["blocks.15.conv2"] == ("MaskedConv2d", "128 x 5 x 51", 128 * 128 * 9, 128 * 128 * 9 * 5 * 51)
    assert rows["embedding"] == ("Linear", "512", 128 * 512 + 512, 128 * 512)
    assert totals == tuple(sum(row[column] for row in rows.values()) for column in (2, 3))
    assert re.search(r"1\.44 M \| +0\.448 G", text)


def test_a_row_a_block_has_the_same_totals():
    config = load_system(FAST)
    whole, totals = rows_of(describe_system(config, "x"))
    blocks, same_totals = rows_of(describe_system(config, "x", depth=2))
    assert totals == same_totals == tuple(sum(row[column] for row in blocks.values()) for column in (2, 3))
    assert len(blocks) < 25 < len(whole)
    assert blocks["blocks.15"][:2] == ("SEBlock", "128 x 5 x 50")


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_parameters_of_every_objective_are_those_that_training_has(name, tmp_path):
    content = yaml.safe_load(FAST.read_text())
    content |= {"loss": {"name": name}, "network": {"name": "fast_resnet34", "channels": 0.1, "embedding_dim": 6}}
    content["batch"] = {"size": 20, "utterances_per_speaker": 2}
    path = tmp_path / "system.yaml"
    path.write_text(yaml.safe_dump(content))
    loss = LOSSES.build("loss", name, embedding_dim=6, num_speakers=11, utterances_per_speaker=2)
    count = sum(parameter.numel() for parameter in loss.parameters())
    assert f"parameters: {count} for 11 speakers\n" in describe_system(load_system(path), "x", num_speakers=11)
    said = re.search(
        r"; parameters: (?:(\d+) a training speaker)?(?: \+ )?(\d+)?(none)?\n", describe_system(load_system(path), "x")
    )
    assert 11 * int(said[1] or 0) + int(said[2] or 0) == count
    assert bool(said[3]) == (count == 0)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_can_be_described_without_moving_the_generator(name):
    config = load_system(FAST, ["--network.name", name, "--network.channels", "0.125", "--batch.size", "auto"])
    torch.manual_seed(5)
    rows, totals = rows_of(describe_system(config, "x"))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    network = NETWORKS.build("network", config.network, num_bins=40)
    assert totals[0] == sum(parameter.numel() for parameter in network.parameters())
    assert totals == tuple(sum(row[column] for row in rows.values()) for column in (2, 3))


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["describe", *map(str, arguments)])
    try:
        describe.main()
    except SystemExit as stopped:
        return str(stopped.code)
    return capsys.readouterr().out


def test_the_command_takes_keys_of_the_config(monkeypatch, capsys):
    text = run(monkeypatch, capsys, FAST, "--network.channels", "0.5", "--seed", "9", "--init-from", "exp/softmax")
    assert rows_of(text)[0]["conv1"][2] == 8 * 49
    assert re.search(r"^- Seed: +9$", text, re.MULTILINE)
    assert re.search(r"^- Starts from: +exp/softmax$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network.name", "xvector", "--frames", "14"], "14 frames are too few: this network needs 15"),
        (["--frames", "0"], "--frames: 0 is out of range; allowed: at least 1"),
        (["--network.chanels", "2"], "network.chanels: unknown key; did you mean 'channels'?"),
    ],
)
def test_what_cannot_be_described_is_one_line(monkeypatch, capsys, arguments, message):
    assert message in run(monkeypatch, capsys, FAST, *arguments)
