"""A grid file, and the conditions that its systems must share."""

from __future__ import annotations

import pytest
import yaml

from spk.errors import InputError
from spk.report.grid import check_conditions, folder_of, read_grid

SYSTEM = {
    "features": {"name": "fbank40"},
    "network": {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 64, "pooling": "tap"},
    "loss": {"name": "am_softmax"},
    "batch": {"size": 20, "crop_frames": 100},
    "optimizer": {"name": "adam", "lr": 0.001},
    "schedule": {"name": "constant"},
    "train": {"steps": 50},
}
GRID = {
    "seeds": [1, 2],
    "reference": "am",
    "differ": ["loss"],
    "systems": {"am": {}, "dam": {"loss.name": "dam_softmax", "loss.margin": 0.2}},
}


@pytest.fixture
def grid_of(tmp_path):
    """Writes a grid of these keys beside SYSTEM, and reads it."""

    def write(**keys):
        (tmp_path / "system.yaml").write_text(yaml.safe_dump(SYSTEM))
        content = {"config": str(tmp_path / "system.yaml"), **GRID, **keys}
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return read_grid(tmp_path / "grid.yaml")

    return write


def test_a_grid_gives_every_system_with_every_seed(grid_of, tmp_path):
    grid = grid_of()
    assert [(system.name, seed) for system, seed in grid.runs()] == [("am", 1), ("dam", 1), ("am", 2), ("dam", 2)]
    configs = check_conditions(grid)
    assert configs["dam"].loss["name"] == "dam_softmax" and configs["dam"].loss["margin"] == 0.2
    assert grid.systems[1].load(2).seed == 2
    assert len({folder_of(tmp_path, *run) for run in grid.runs()}) == 4


def test_each_stands_for_a_system_of_every_choice_of_values(grid_of):
    grid = grid_of(
        reference="am_m0.1_s15",
        systems={
            "plain": {"loss.name": "nsl"},
            "{loss}_m{margin}_s{scale}": {
                "each": {"loss": ["am", "dam"], "margin": [0.1, 0.3], "scale": [15]},
                "loss.name": "{loss}_softmax",
                "loss.margin": "{margin}",
                "loss.scale": "{scale}",
            },
        },
    )
    names = [system.name for system in grid.systems]
    assert names == ["plain", "am_m0.1_s15", "am_m0.3_s15", "dam_m0.1_s15", "dam_m0.3_s15"]
    configs = check_conditions(grid)
    assert (configs["dam_m0.3_s15"].loss["margin"], configs["dam_m0.3_s15"].loss["scale"]) == (0.3, 15)
    assert configs["am_m0.1_s15"].loss["name"] == "am_softmax"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"seeds": []}, "seeds"),
        ({"differ": ["loss", "features.name"]}, "shared by all runs"),
        ({"systems": {"a": {"each": {"m": 0.1}}}}, "must hold lists"),
        ({"systems": {"a": {"each": {"m": [0.1, 0.2]}, "loss.margin": "{m}"}}}, "two are named 'a'"),
        ({"systems": {"a{m}": {"each": {"m": [0.1]}, "loss.margin": "{x}"}}}, "stands for 'x'"),
        ({"systems": {"a{m.x}": {"each": {"m": [0.1]}}}}, "in braces"),
        ({"systems": {"a{m}": {"each": {"m": ["x"]}, "loss.name": "{m}: [ "}}}, "no YAML"),
        ({"systems": {"a": {"loss": {"name": "am_softmax"}}}, "reference": "a"}, "loss: give each key"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": ["x"]}, "seeds"),
        ({"reference": "aam"}, "no system is named 'aam'"),
        ({"systems": {}}, "systems"),
        ({"systems": {"a/b": {}}}, "names a folder"),
        ({"systems": {"a": {"seed": 3}}, "reference": "a"}, "under seeds"),
        ({"systems": {"a": 3}, "reference": "a"}, "must hold keys"),
        ({"differ": "loss"}, "differ"),
        ({"rows": 3}, "unknown key"),
        ({"config": None}, "has no config"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_key(grid_of, keys, said):
    with pytest.raises(InputError, match=said) as refused:
        grid_of(**keys)
    assert "grid.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"train.steps": 60}, ["1,200 and 1,000 crops"]),
        ({"batch.size": 40}, ["2,000 and 1,000 crops", "batch.size is 40, and 20 in am"]),
        ({"batch.size": "auto"}, ["an unknown number of and 1,000 crops", "batch.size is auto"]),
        ({"validation.select": "last"}, ["validation.select is last, and best in am"]),
        ({"features.window": "hann"}, ["features.window"]),
        ({"evaluation.crops": 10}, ["evaluation.crops is 10, and 0 in am"]),
        ({"optimizer.lr": 0.01, "train.gradient_clip": 1.0}, ["optimizer.lr", "train.gradient_clip is 1.0, and null"]),
    ],
)
def test_unequal_conditions_are_refused_with_both_values(grid_of, own, said):
    with pytest.raises(InputError) as refused:
        check_conditions(grid_of(systems={"am": {}, "dam": {"loss.name": "dam_softmax", **own}}))
    for words in ["grid.yaml", "dam: ", *said]:
        assert words in str(refused.value)


def test_what_is_named_may_differ_and_steps_may_where_the_crops_are_as_many(grid_of):
    systems = {"am": {}, "large": {"batch.size": 50, "train.steps": 20}}
    check_conditions(grid_of(systems=systems, differ=["batch.size"]))
    systems["large"]["train.steps"] = 50
    with pytest.raises(InputError, match="2,500 and 1,000 crops"):
        check_conditions(grid_of(systems=systems, differ=["batch.size"]))
    check_conditions(grid_of(systems=systems, differ=["batch.size", "train.steps", "crops"]))


def test_steps_of_as_many_crops_as_fit_are_unequal_numbers(grid_of):
    systems = {"am": {"batch.size": "auto"}, "dam": {"loss.name": "dam_softmax", "batch.size": "auto"}}
    with pytest.raises(InputError, match="dam: an unknown number of and an unknown number of crops"):
        check_conditions(grid_of(systems=systems))
    check_conditions(grid_of(systems=systems, differ=["loss", "crops"]))


def test_systems_that_the_command_line_makes_the_same_are_refused(grid_of):
    grid = grid_of(systems={"am": {}, "wide": {"loss.margin": 0.3}})
    check_conditions(grid)
    with pytest.raises(InputError, match="am and wide are the same system"):
        check_conditions(grid, ("--loss.margin", "0.1"))


def test_what_the_command_line_changes_is_changed_for_all(grid_of):
    configs = check_conditions(grid_of(), ("--train.steps", "70"))
    assert [config.train.steps for config in configs.values()] == [70, 70]
