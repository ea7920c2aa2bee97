"""What makes a trained system another than its config."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from spk.config import load_system
from spk.report.deviations import config_deviations

CONFIG = Path(__file__).resolve().parents[3] / "egs" / "voxceleb" / "conf" / "fast_resnet34_triplet.yaml"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], []),
        (["--batch.size", "48"], ["batch.size: auto -> 48"]),  # though the machine would have found the same
        (["--seed", "3", "--train.workers", "1", "--evaluation.crop_frames", "300"], []),
        (["--loss.margin", "0.4"], ["loss.margin: {} -> 0.4"]),
        (["--loss", "softmax"], ["loss.margin: {} -> None", "loss.name: triplet -> softmax"]),
    ],
)
def test_what_the_machine_settled_is_no_deviation_and_what_the_command_line_changed_is(tmp_path, overrides, expected):
    margin = load_system(CONFIG).loss["margin"]
    config = load_system(CONFIG, overrides)
    config.batch.size, config.train.precision, config.train.threads = 48, "bfloat16", 8
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()))
    found = config_deviations(tmp_path, CONFIG, overrides)
    assert {text.format(margin) for text in expected} <= set(found)
    assert bool(found) == bool(expected)


def test_a_config_from_before_a_key_was_there_has_its_default(tmp_path):
    """Keys that came later have defaults that change nothing."""
    content = load_system(CONFIG).as_dict()
    del content["validation"]["select"], content["curriculum"]
    plain = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content | {"curriculum": plain.get("curriculum", {})}))
    assert config_deviations(tmp_path, CONFIG, []) == []
