"""What a YAML and a command line make of a system."""

from __future__ import annotations

from pathlib import Path

import pytest

from spk.config import load_system, override
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
