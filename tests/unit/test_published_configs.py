"""The systems of egs/voxceleb/conf: one a row of the papers' tables, alike but for what their row is about."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from spk.backend import BACKENDS
from spk.config import SystemConfig, load_system, read_yaml
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.losses import LOSSES
from spk.nets import NETWORKS
from spk.report.grid import read_grid

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "egs" / "voxceleb" / "conf"
SYSTEMS = {path.stem: load_system(path) for path in sorted(CONF.glob("*.yaml")) if "network:" in path.read_text()}
FRONT_END_FILES = sorted(path for path in CONF.glob("*.yaml") if path.stem not in SYSTEMS)

# The tables, each paper's optimiser, and what networks and objectives are called in them.
OPTIMIZER_OF_TABLE = {
    "'Dynamic Margin Softmax Loss for Speaker Verification', table 1": "sgd",
    "'In defence of metric learning for speaker recognition', table 2": "adam",
}
NETWORK_LABELS = {
    "fast_resnet34": "Fast ResNet-34",
    "rescnn": "ResCNN",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "thin_resnet34": "Thin ResNet-34",
    "thin_resnet34_cai": "ResNet-34",
    "thin_resnet34_ghostvlad": "Thin ResNet-34",
    "vgg_m": "VGG-M",
    "vgg_m_40": "VGG-M-40",
}
OBJECTIVE_LABELS = {
    "a_softmax": "A-Softmax + PLDA",
    "aam_softmax": "AAM-Softmax",
    "am_softmax": "AM-Softmax",
    "angular_prototypical": "Angular Prototypical",
    "contrastive": "Softmax + Contrastive",
    "dam_softmax": "DAM-Softmax",
    "ge2e": "GE2E",
    "nsl": "NSL",
    "prototypical": "Prototypical",
    "softmax": "Softmax",
    "softmax_angular_prototypical": "Softmax + Angular Prototypical",
    "triplet": "Triplet",
}
WITHOUT_A_ROW = {"xvector_softmax"}
# Table 1 of 'Dynamic Margin Softmax Loss', EER in %; and what the code of 'In defence of metric learning' reports.
PUBLISHED_EER = {
    "vgg_m_softmax": [10.20],
    "resnet34_a_softmax": [4.46],
    "thin_resnet34_cai_a_softmax": [4.46],
    "rescnn_am": [4.65, 2.08, 2.28, 3.89, 3.96],
    "rescnn_dam": [4.38, 1.94, 2.14, 3.70, 3.64],
    "resnet34_softmax": [5.04],
    "resnet34_contrastive": [5.04],
    "resnet50_softmax": [4.19, 4.42, 7.33],
    "resnet50_contrastive": [4.19, 4.42, 7.33],
    "thin_resnet34_ghostvlad_softmax": [3.22, 3.24, 5.17],
    "thin_resnet34_angular_prototypical": [2.26],
    "fast_resnet34_angular_prototypical": [2.23, 2.18],
}
METRIC_TABLE_NETWORKS = ("vgg_m_40", "thin_resnet34", "fast_resnet34")
METRIC_TABLE = {name: system for name, system in SYSTEMS.items() if system.network["name"] in METRIC_TABLE_NETWORKS}
MARGIN_TABLE = {name: system for name, system in SYSTEMS.items() if name not in METRIC_TABLE}
FROM_SCRATCH = {name: system for name, system in MARGIN_TABLE.items() if not name.endswith("_contrastive")}


def head_of(name: str) -> str:
    """The comment that begins a file, in one line."""
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:first])


def sections(system: SystemConfig, *names: str, without: tuple[str, ...] = ()) -> dict:
    """Some sections of a system, less the values that `without` names like 'batch.size'."""
    return {
        name: {key: value for key, value in section.items() if f"{name}.{key}" not in without}
        if isinstance(section, dict)
        else section
        for name, section in system.as_dict().items()
        if name in names
    }


def assert_all_alike(systems: dict[str, SystemConfig], *names: str, without: tuple[str, ...] = ()) -> None:
    first, *others = systems
    for name in others:
        assert sections(systems[name], *names, without=without) == sections(systems[first], *names, without=without), (
            f"{name}.yaml and {first}.yaml are to agree in {', '.join(names)}"
        )


def test_every_network_has_a_config():
    assert set(NETWORKS) == {system.network["name"] for system in SYSTEMS.values()}


def test_every_objective_has_a_config():
    assert set(LOSSES) - {"sum"} == {system.loss["name"] for system in SYSTEMS.values()}


def test_every_network_of_the_metric_learning_paper_has_each_of_its_objectives():
    rows = {"softmax", "am_softmax", "aam_softmax", "triplet", "ge2e", "prototypical", "angular_prototypical"}
    for network in METRIC_TABLE_NETWORKS:
        assert rows <= {system.loss["name"] for system in METRIC_TABLE.values() if system.network["name"] == network}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_head_names_the_row_in_the_words_of_its_table(name):
    head, system = head_of(name), SYSTEMS[name]
    if name in WITHOUT_A_ROW:
        assert head.startswith("Row: none.")
        return
    row = re.match(r"Row: (?:beside )?('[^']+', table \d): ([^,]+), ([^,;(]+)", head)
    assert row, head
    table, network, objective = (text.strip() for text in row.groups())
    assert system.optimizer["name"] == OPTIMIZER_OF_TABLE[table]
    assert network == NETWORK_LABELS[system.network["name"]]
    first_of_two = name.endswith("_softmax") and name.replace("_softmax", "_contrastive") in SYSTEMS
    assert objective == OBJECTIVE_LABELS["contrastive" if first_of_two else system.loss["name"]]
    if table.endswith("table 1"):
        assert f"{system.network['embedding_dim']} dimensions" in head


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_head_gives_the_published_error_rates_and_no_other(name):
    _, _, published = head_of(name).partition("Published EER")
    assert published
    # 0.95 is the factor of the rate; no other number of a head has two decimals
    numbers = [float(number) for number in re.findall(r"\d+\.\d\d\b", head_of(name)) if number != "0.95"]
    assert numbers == PUBLISHED_EER.get(name, [])


def test_files_named_after_a_network_have_that_network():
    for name, system in SYSTEMS.items():
        fitting = [network for network in NETWORKS if name.startswith(f"{network}_")]
        assert system.network["name"] == max(fitting, key=len)


def test_systems_of_the_metric_learning_paper_differ_only_in_network_loss_and_batch_layout():
    assert_all_alike(METRIC_TABLE, "normalization", "optimizer", "schedule", "train", "validation", "init_from", "seed")
    layout = ("batch.size", "batch.utterances_per_speaker")
    assert_all_alike(METRIC_TABLE, "batch", without=layout)
    assert_all_alike(METRIC_TABLE, "evaluation", without=("evaluation.backend",))
    for network in METRIC_TABLE_NETWORKS:
        same = {name: system for name, system in METRIC_TABLE.items() if system.network["name"] == network}
        assert_all_alike(same, "features", "network")


def test_an_objective_of_the_metric_learning_paper_is_the_same_for_every_network():
    for loss in {system.loss["name"] for system in METRIC_TABLE.values()}:
        same = {name: system for name, system in METRIC_TABLE.items() if system.loss["name"] == loss}
        assert_all_alike(same, "loss", "curriculum", "batch", "evaluation")


def test_classification_has_batches_of_200_and_metric_learning_the_largest_that_fit():
    for name, system in METRIC_TABLE.items():
        single = system.batch.utterances_per_speaker == 1
        assert system.batch.size == (200 if single else "auto"), name


def test_a_system_is_scored_by_what_its_row_says():
    """Cosine, but for the prototypical loss, which measures distances itself, and the rows of A-softmax and PLDA."""
    special = {
        "prototypical": {"name": "euclidean", "length_normalize": False},
        "a_softmax": BACKENDS.check("", "plda"),
    }
    for name, system in SYSTEMS.items():
        assert system.evaluation.backend == special.get(system.loss["name"], {"name": "cosine"}), name


def test_systems_of_the_margin_paper_train_alike_from_scratch():
    assert_all_alike(FROM_SCRATCH, "optimizer", "schedule", "train", "validation", "init_from", "seed")
    assert_all_alike(FROM_SCRATCH, "evaluation", without=("evaluation.backend",))
    assert_all_alike(FROM_SCRATCH, "batch", without=("batch.crop_frames",))
    crops = {name: system.batch.crop_frames for name, system in FROM_SCRATCH.items()}
    assert crops.pop("thin_resnet34_ghostvlad_softmax") == 250
    assert set(crops.values()) == {300}


def test_fine_tuning_keeps_what_decides_the_network_and_its_test():
    pairs = [(name, name.replace("_contrastive", "_softmax")) for name in SYSTEMS if name.endswith("_contrastive")]
    assert len(pairs) == 2
    for tuned, trained in pairs:
        both = {name: SYSTEMS[name] for name in (trained, tuned)}
        assert_all_alike(both, "features", "normalization", "network", "schedule", "validation", "evaluation", "seed")
        assert SYSTEMS[tuned].init_from == f"exp/vox2_dev/{trained}"
        assert SYSTEMS[trained].init_from is None


def test_the_two_readings_of_cai_et_als_network_differ_in_the_network_alone():
    names = ("resnet34_a_softmax", "thin_resnet34_cai_a_softmax")
    one, other = (SYSTEMS[name].as_dict() for name in names)
    assert {key for key in one if one[key] != other[key]} == {"network"}


@pytest.mark.parametrize("path", FRONT_END_FILES, ids=lambda path: path.stem)
def test_a_system_has_the_front_end_that_its_own_file_describes(path):
    described = FRONT_ENDS.check("features", read_yaml(path))
    for name, system in SYSTEMS.items():
        if system.features["name"] == described["name"] and path.stem != "ivector_mfcc":
            assert system.features == described, name


def test_the_ivector_system_has_a_front_end_of_its_own():
    described = FRONT_ENDS.check("features", read_yaml(CONF / "ivector_mfcc.yaml"))
    assert (described["name"], described["num_ceps"], described["use_energy"]) == ("kaldi_mfcc", 24, True)
    assert "features=conf/ivector_mfcc.yaml" in (CONF.parent / "ivector.sh").read_text()


def test_the_documentation_names_every_network():
    text = (ROOT / "docs" / "networks.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == sorted(NETWORKS)


def test_the_documentation_has_every_loss_with_its_options_batches_and_a_valid_config_line():
    text = (ROOT / "docs" / "losses.md").read_text()
    rows = {cells[1].strip(" `"): cells for line in text.splitlines() if len(cells := line.split("|")) == 9}
    documented = {name: cells for name, cells in rows.items() if name in LOSSES.targets}
    assert set(documented) == set(LOSSES)
    for name, (_, _, _, options, config, _, utterances, _, _) in documented.items():
        written = dict(re.findall(r"(\w+) (-?[\w.]+)", re.sub(r"\([^)]*\)", "", options)))
        _, *defaults = LOSSES.check("loss", name).items()
        values = {key: value["name"] if isinstance(value, dict) else value for key, value in defaults}
        assert written == {
            key: f"{value:g}" if isinstance(value, float) else str(value).lower() for key, value in values.items()
        }, name
        line = yaml.safe_load(config.strip(" `"))["loss"]
        assert LOSSES.check("loss", line)["name"] == name
        if name != "sum":  # its parts decide
            least = int(utterances.strip(" ≥"))
            most = math.inf if "≥" in utterances else least
            section = LOSSES.check("loss", name)
            for count in range(1, 6):
                try:
                    LOSSES[name].check_batch(10, count, section)
                except InputError:
                    assert not least <= count <= most, name
                else:
                    assert least <= count <= most, name


def test_the_grids_come_to_the_rows_of_the_tables():
    per_network = {
        "softmax": 1,
        "am_softmax": 12,
        "aam_softmax": 12,
        "triplet": 4,
        "ge2e": 2,
        "prototypical": 2,
        "angular_prototypical": 2,
    }
    num_seeds = 3
    for network in METRIC_TABLE_NETWORKS:
        assert runs_of_grid(f"table2_{network}", network) == {
            name: count * num_seeds for name, count in per_network.items()
        }
    names = ("am_softmax", "prototypical", "angular_prototypical")
    assert runs_of_grid("table3", "fast_resnet34") == dict.fromkeys(names, 4 * num_seeds)


def runs_of_grid(name: str, network: str) -> Counter[str]:
    """How many runs there are with each loss; all with this network."""
    grid = read_grid(CONF / "grids" / f"{name}.yaml")
    counts: Counter[str] = Counter()
    for system, seed in grid.runs():
        config = load_system(CONF.parent / system.config, [*system.overrides, "--seed", str(seed)])
        assert config.network["name"] == network
        counts[config.loss["name"]] += 1
    return counts
