"""What a YAML and a command line make of a system."""

from __future__ import annotations

from pathlib import Path

import pytest

from spk.config import Ramp, load_system, make_system, override, read_yaml
from spk.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = sorted(path for path in ROOT.glob("egs/*/conf/*.yaml") if "network:" in path.read_text())


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_every_system_of_the_recipes_is_sound(path):
    assert load_system(path).network["embedding_dim"] > 0


def test_systems_that_are_compared_differ_in_the_loss_alone():
    for dam in ROOT.glob("egs/*/conf/*_dam.yaml"):
        am = dam.with_name(dam.name.replace("_dam", "_am"))
        one, other = load_system(dam).as_dict(), load_system(am).as_dict()
        assert {name for name in one if one[name] != other[name]} == {"loss"}


def test_the_command_line_wins_over_the_file():
    assert override({"loss": {"name": "a", "margin": 0.1}}, ["--loss.margin", "0.3"])["loss"]["margin"] == 0.3


def test_another_name_begins_its_section_anew_wherever_it_stands():
    changed = override({"loss": {"name": "a", "control": 2}}, ["--loss.margin", "0.3", "--loss.name", "b"])
    assert changed == {"loss": {"name": "b", "margin": 0.3}}


@pytest.mark.parametrize(
    "overrides, expected",
    [
        (["--loss.second.name", "ge2e", "--loss.name", "sum"], {"loss": {"name": "sum", "second": {"name": "ge2e"}}}),
        (["--loss.scale", "20", "--loss", "nsl"], {"loss": {"name": "nsl", "scale": 20}}),
        (
            ["--evaluation.backend.length_normalize", "false", "--evaluation.backend", "euclidean"],
            {"loss": {"name": "a"}, "evaluation": {"backend": {"name": "euclidean", "length_normalize": False}}},
        ),
        (
            ["--curriculum.first.margin.start", "0.1"],
            {"loss": {"name": "a"}, "curriculum": {"first.margin": {"start": 0.1}}},
        ),
    ],
)
def test_the_order_of_options_loses_none(overrides, expected):
    swapped = [*overrides[2:], *overrides[:2]]
    assert override({"loss": {"name": "a"}}, overrides) == override({"loss": {"name": "a"}}, swapped) == expected


def test_a_key_below_a_value_is_refused():
    with pytest.raises(InputError, match=r"batch\.size: is a value, 64, and has no 'foo'"):
        override({"batch": {"size": 64}}, ["--batch.size.foo", "3"])


def test_one_length_of_the_run_takes_the_others_place():
    assert override({"train": {"steps": 500}}, ["--train.epochs", "3"]) == {"train": {"epochs": 3}}


@pytest.mark.parametrize("key, value", [("train.steps", "true"), ("batch.size", "true"), ("optimizer.lr", ".nan")])
def test_a_truth_value_and_no_number_are_no_numbers(key, value):
    with pytest.raises(InputError, match=key):
        load_system(ROOT / "egs/mini/conf/objectives.yaml", [f"--{key}", value])


DAM = ROOT / "egs/mini/conf/fast_resnet34_dam.yaml"


def test_another_loss_leaves_out_the_ramps_that_it_cannot_use_and_says_so(caplog):
    assert load_system(DAM, ["--loss.name", "softmax"]).curriculum == {}
    assert "its curriculum of margin is left out: softmax has no such number" in caplog.text


def test_another_loss_keeps_the_ramps_that_it_can_use():
    assert load_system(DAM, ["--loss.name", "aam_softmax"]).curriculum == load_system(DAM).curriculum


def test_null_takes_a_ramp_out():
    assert load_system(DAM, ["--curriculum.margin", "null"]).curriculum == {}


def test_a_ramp_that_the_user_gives_to_the_wrong_loss_is_refused():
    with pytest.raises(InputError, match=r"curriculum\.margin: softmax has no such number"):
        load_system(DAM, ["--loss.name", "softmax", "--curriculum.margin.start", "0.05"])


def test_a_triplet_loss_that_does_not_mine_has_no_share_to_mine_from():
    options = ["--loss.name", "triplet", "--batch.utterances_per_speaker", "2", "--curriculum.probability.start", "0"]
    load_system(ROOT / "egs/mini/conf/objectives.yaml", [*options, "--loss.mining", "rank"])
    with pytest.raises(InputError, match=r"curriculum\.probability: triplet has no such number"):
        load_system(ROOT / "egs/mini/conf/objectives.yaml", options)


def test_the_loss_names_the_back_end_where_the_config_does_not():
    path, pairs = ROOT / "egs/mini/conf/objectives.yaml", ["--batch.utterances_per_speaker", "2"]
    raw = {"name": "euclidean", "length_normalize": False}
    assert load_system(path, [*pairs, "--loss.name", "prototypical"]).evaluation.backend == raw
    assert load_system(path, [*pairs, "--loss.name", "ge2e"]).evaluation.backend == {"name": "cosine"}
    chosen = load_system(path, [*pairs, "--loss.name", "prototypical", "--evaluation.backend", "cosine"])
    assert chosen.evaluation.backend == {"name": "cosine"}


def test_plda_may_be_what_a_system_is_evaluated_by():
    """The model itself is no config's to set: it is trained on embeddings of the finished network."""
    assert load_system(SYSTEMS[0], ["--evaluation.backend", "plda"]).evaluation.backend == {
        "name": "plda",
        "normalize_length": True,
        "simple_length_normalization": False,
    }
    with pytest.raises(InputError, match=r"evaluation\.backend\.plda: unknown key"):
        load_system(SYSTEMS[0], ["--evaluation.backend", "{name: plda, plda: exp/plda}"])


def test_exponents_are_numbers(tmp_path):
    assert load_system(SYSTEMS[0], ["--optimizer.lr", "1e-3"]).optimizer["lr"] == 0.001


@pytest.mark.parametrize(
    "content, message",
    [
        ("loss: [", r"bad\.yaml:1: not valid YAML"),
        ("- a\n", r"bad\.yaml: must hold keys and values"),
        ("los: {name: softmax}\n", r"bad\.yaml: los: unknown key; did you mean 'loss'\?"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        load_system(tmp_path / "bad.yaml")


def system_with(**sections):
    """A system of the recipes with these sections in the place of its own, and no curriculum but theirs."""
    content = read_yaml(ROOT / "egs/mini/conf/fast_resnet34_am.yaml") | {"curriculum": {}}
    return make_system(content | sections, "conf/new.yaml")


GROUPS = ["prototypical", "ge2e", "angular_prototypical", "softmax_angular_prototypical", "sum"]
PAIRS = ["contrastive", "triplet"]


def named(loss):
    """The part of the loss that compares utterances: a message names it."""
    return {"sum": "angular_prototypical"}.get(loss, loss)


@pytest.mark.parametrize(
    "loss, utterances, allowed",
    [*((name, 1, "at least 2") for name in GROUPS), *((name, m, "at most 2") for name in PAIRS for m in (1, 3, 5))],
)
def test_a_number_of_utterances_that_the_loss_cannot_use_is_refused(loss, utterances, allowed):
    message = rf"batch\.utterances_per_speaker: {utterances} is out of range for the loss {named(loss)}; .*{allowed}"
    with pytest.raises(InputError, match=message):
        system_with(loss={"name": loss}, batch={"size": 60, "utterances_per_speaker": utterances})


@pytest.mark.parametrize("first, second", [("softmax", "triplet"), ("triplet", "softmax"), ("contrastive", "ge2e")])
def test_both_parts_of_a_sum_must_be_able_to_use_the_batch(first, second):
    loss = {"name": "sum", "first": first, "second": second}
    with pytest.raises(
        InputError, match=r"utterances_per_speaker: 3 is out of range for the loss (triplet|contrastive)"
    ):
        system_with(loss=loss, batch={"size": 60, "utterances_per_speaker": 3})
    system_with(loss=loss, batch={"size": 60, "utterances_per_speaker": 2})


@pytest.mark.parametrize("loss", [*GROUPS, *PAIRS])
def test_a_batch_of_a_single_speaker_is_refused_where_speakers_are_compared(loss):
    message = rf"batch\.size: 2 is 1 speaker a batch; the loss {named(loss)} .* at least 2 are needed"
    with pytest.raises(InputError, match=message):
        system_with(loss={"name": loss}, batch={"size": 2, "utterances_per_speaker": 2})
    system_with(loss={"name": loss}, batch={"size": 4, "utterances_per_speaker": 2})


@pytest.mark.parametrize("loss", ["softmax", "nsl", "a_softmax", "am_softmax", "aam_softmax", "dam_softmax"])
@pytest.mark.parametrize("size, utterances", [(1, 1), (5, 5), (6, 2)])
def test_classification_takes_batches_of_any_layout(loss, size, utterances):
    batch = system_with(loss={"name": loss}, batch={"size": size, "utterances_per_speaker": utterances}).batch
    assert batch.num_speakers == size // utterances


@pytest.mark.parametrize(
    "ramp, values",
    [
        ({}, {0: 0, 0.1: 0.2, 0.2: 0.4, 0.4: 0.8, 0.9: 0.8, 1: 0.8}),
        ({"start": 0.2, "begin": 0.5, "end": 1.0}, {0: 0.2, 0.5: 0.2, 0.75: 0.5, 1.0: 0.8}),
        ({"start": 1.2, "begin": 0.0, "end": 1.0}, {0: 1.2, 0.25: 1.1, 1.0: 0.8}),
        ({"start": 0.1, "begin": 0.3, "end": 0.3}, {0: 0.1, 0.2999: 0.1, 0.3: 0.8, 1: 0.8}),
        ({"start": 0.1, "begin": 0.0, "end": 0.0}, {0: 0.8, 1: 0.8}),
        ({"start": 0.1, "begin": 100, "end": 100, "unit": "epochs"}, {0: 0.1, 99.99: 0.1, 100: 0.8, 500: 0.8}),
        ({"start": 0.2, "begin": 10, "end": 30, "unit": "epochs"}, {0: 0.2, 10: 0.2, 15: 0.35, 20: 0.5, 30: 0.8}),
        ({"start": 0.1, "end": 0.3, "curve": "geometric"}, {0: 0.1, 0.1: 0.2, 0.2: 0.4, 0.3: 0.8}),
        ({"start": 51.2, "end": 0.3, "curve": "geometric"}, {0: 51.2, 0.1: 12.8, 0.15: 6.4, 0.2: 3.2, 0.3: 0.8}),
    ],
)
def test_a_ramp_goes_from_its_start_to_the_configured_value(ramp, values):
    """To 0.8, by hand: in equal steps, in equal factors, or at once; before and after it, nothing moves."""
    for progress, expected in values.items():
        assert Ramp(**ramp).value(0.8, progress) == pytest.approx(expected)


def test_a_curriculum_names_the_number_of_a_part_of_a_sum():
    system = system_with(
        loss={"name": "sum", "first": {"name": "aam_softmax", "margin": 0.3}},
        batch={"size": 60, "utterances_per_speaker": 2},
        curriculum={"first.margin": {"start": 0.1, "begin": 100, "end": 100, "unit": "epochs"}},
    )
    assert system.curriculum == {"first.margin": Ramp(start=0.1, begin=100, end=100, unit="epochs")}


AM, TWO = {"name": "am_softmax"}, {"size": 60, "utterances_per_speaker": 2}


@pytest.mark.parametrize(
    "loss, curriculum, message",
    [
        (
            AM,
            {"margn": {}},
            r"curriculum\.margn: am_softmax has no such number; did you mean 'margin'\? Known: margin, sc",
        ),
        (AM, {"name": {}}, r"curriculum\.name: am_softmax has no such number"),
        (AM, {"margin": {"start": -0.1}}, r"curriculum\.margin\.start, as loss\.margin: -0\.1 is out of range"),
        (AM, {"scale": {"start": 0}}, r"curriculum\.scale\.start, as loss\.scale: 0.* is out of range; .* above 0"),
        (AM, {"margin": {"strat": 1}}, r"curriculum\.margin\.strat: unknown key; did you mean 'start'"),
        (
            AM,
            {"margin": {"end": 40}},
            r"curriculum\.margin: end 40 is past the run; with unit: epochs, it counts epochs",
        ),
        (AM, {"margin": {"begin": 0.6, "end": 0.5}}, r"curriculum\.margin: end 0\.5 comes before begin 0\.6"),
        (AM, {"margin": {"begin": -1}}, r"curriculum\.margin\.begin: -1 is out of range; allowed: at least 0"),
        (AM, {"margin": {"unit": "steps"}}, r"curriculum\.margin\.unit: 'steps' is not known; .*Known: epochs, run"),
        (
            AM,
            {"margin": {"curve": "geometric"}},
            r"curriculum\.margin: a geometric curve needs values above 0, not 0 to",
        ),
        (AM, {"margin": 0.1}, r"curriculum\.margin: 0\.1 must be a section of keys and values"),
        (AM, ["margin"], r"curriculum: \['margin'\] must be a section of keys and values"),
        (
            {"name": "triplet", "mining": "rank"},
            {"probability": {"start": 1.5}},
            r"curriculum\.probability\.start, as loss\.probability: 1\.5 is out",
        ),
        ("sum", {"margin": {}}, r"curriculum\.margin: sum has no such number; .*Known: second_weight"),
        (
            {"name": "sum", "first": {"name": "aam_softmax"}},
            {"first.margin": {"start": 2}},
            r"curriculum\.first\.margin\.start, as loss\.first\.margin: 2.* is out of range",
        ),
        # A learnt scale is not the config's once training has begun, and a whole number has nothing between.
        ("ge2e", {"scale": {"start": 1}}, r"curriculum\.scale: ge2e has no such number"),
        ("angular_prototypical", {"bias": {"start": 1}}, r"curriculum\.bias: angular_prototypical has no such number"),
        ("sum", {"second.scale": {"start": 1}}, r"curriculum\.second\.scale: sum has no such number"),
        (
            "a_softmax",
            {"margin": {"start": 1}},
            r"curriculum\.margin: a_softmax has no such number; .*Known: annealing",
        ),
    ],
)
def test_a_curriculum_that_the_loss_cannot_follow_is_refused(loss, curriculum, message):
    with pytest.raises(InputError, match=r"^conf/new\.yaml: " + message):
        system_with(loss=loss, batch=TWO, curriculum=curriculum)


@pytest.mark.parametrize("key, value", [("shard_classifier", True), ("partial_softmax", 0.1)])
def test_options_of_the_speakers_weights_are_refused_with_a_loss_that_has_none(key, value):
    train = {"steps": 10, key: value}
    batch = {"size": 60, "utterances_per_speaker": 2}
    message = rf"train\.{key}: the loss {{}} has no weights for each speaker; .*take one of a_softmax, aam_softmax"
    for loss in ("triplet", "ge2e"):
        with pytest.raises(InputError, match=message.format(loss)):
            system_with(loss=loss, batch=batch, train=train)
    with pytest.raises(InputError, match=message.format("sum")):
        system_with(loss={"name": "sum", "first": "ge2e", "second": "triplet"}, batch=batch, train=train)
    for loss in ("dam_softmax", "softmax_angular_prototypical", {"name": "sum", "first": "ge2e", "second": "nsl"}):
        assert getattr(system_with(loss=loss, batch=batch, train=train).train, key) == value


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_of_speakers_is_above_0_and_at_most_1(share):
    with pytest.raises(InputError, match=r"train\.partial_softmax: .* out of range; allowed: above 0 and at most 1"):
        system_with(train={"steps": 10, "partial_softmax": share})


def test_a_batch_size_cannot_be_found_for_a_classifier_that_is_shared_out():
    with pytest.raises(InputError, match=r"batch\.size: auto is tried in one process.*give a number"):
        system_with(batch={"size": "auto"}, train={"steps": 10, "shard_classifier": True})
