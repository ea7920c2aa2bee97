"""Which systems of a comparison differ in one number of the config."""

from __future__ import annotations

import pytest
import yaml

from spk.config import load_system
from spk.report.sensitivity import Variation, sensitivity_figure, variations

BASE = {
    "features": {"name": "fbank40"},
    "network": {"name": "fast_resnet34"},
    "loss": {"name": "am_softmax"},
    "optimizer": {"name": "adam"},
    "schedule": {"name": "constant"},
    "batch": {"size": 100},
    "train": {"steps": 1000},
}


@pytest.fixture
def found(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))

    def variations_of(**systems: dict[str, object]) -> list[Variation]:
        words = {name: [word for pair in keys.items() for word in pair] for name, keys in systems.items()}
        configs = {
            name: load_system(tmp_path / "base.yaml", [str(word) for word in own]) for name, own in words.items()
        }
        return variations(configs)

    return variations_of


def test_batches_of_other_sizes_with_as_many_crops_differ_in_their_size(found):
    small, large = {"--batch.size": 50, "--train.steps": 2000}, {"--batch.size": 200, "--train.steps": 500}
    assert found(large=large, middle={}, small=small) == [
        Variation("batch.size", {"": {50: "small", 100: "middle", 200: "large"}})
    ]


def test_two_numbers_give_a_curve_for_each_value_of_the_other(found):
    systems = {
        f"m{margin}s{scale}": {"--loss.margin": margin, "--loss.scale": scale}
        for margin in (0.1, 0.3)
        for scale in (15.0, 30.0)
    }
    assert found(**systems) == [
        Variation(
            "loss.margin",
            {
                "loss.scale 15.0": {0.1: "m0.1s15.0", 0.3: "m0.3s15.0"},
                "loss.scale 30.0": {0.1: "m0.1s30.0", 0.3: "m0.3s30.0"},
            },
        ),
        Variation(
            "loss.scale",
            {
                "loss.margin 0.1": {15.0: "m0.1s15.0", 30.0: "m0.1s30.0"},
                "loss.margin 0.3": {15.0: "m0.3s15.0", 30.0: "m0.3s30.0"},
            },
        ),
    ]


def test_objectives_are_told_apart_by_their_names(found):
    """As table 3 of 'In defence of metric learning': batch size x objective."""
    (variation,) = found(
        am50={"--batch.size": 50},
        am100={},
        soft50={"--loss.name": "softmax", "--batch.size": 50},
        soft100={"--loss.name": "softmax"},
    )
    assert variation.key == "batch.size"
    assert variation.curves == {
        "loss.name am_softmax": {50: "am50", 100: "am100"},
        "loss.name softmax": {50: "soft50", 100: "soft100"},
    }


def test_what_one_objective_alone_has_is_told_by_its_name(found):
    systems = {
        f"{loss}_{margin}_{scale}": {"--loss.name": loss, "--loss.margin": margin, "--loss.scale": scale}
        for loss in ("am_softmax", "dam_softmax")  # the latter also has a control
        for scale in (15.0, 30.0)
        for margin in (0.1, 0.2)
    }
    by_margin = next(variation for variation in found(**systems) if variation.key == "loss.margin")
    assert by_margin.curves == {
        f"loss.name {loss}, loss.scale {scale}": {margin: f"{loss}_{margin}_{scale}" for margin in (0.1, 0.2)}
        for loss in ("am_softmax", "dam_softmax")
        for scale in (15.0, 30.0)
    }


def test_systems_that_differ_otherwise_have_no_variation(found):
    assert found(one={}, other={"--loss.name": "dam_softmax"}) == []
    assert found(one={"--loss.margin": 0.1}, other={"--loss.name": "dam_softmax", "--loss.margin": 0.3}) == []


def test_two_systems_with_scores_are_needed_to_draw(found):
    (variation,) = found(one={}, other={"--batch.size": 50})
    eer = {"mean": 0.05, "interval": None, "values": [0.05]}
    assert sensitivity_figure(variation, {"one": {"eer": eer}}) is None
    assert sensitivity_figure(variation, {"one": {"eer": eer}, "other": {"eer": eer}}) is not None
