"""docs/add_a_loss.md: the files that it shows, put where it says, are all that a new loss takes."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
import yaml
from pages.code_of_pages import ROOT, code_of, files_shown
from pages.sandbox import copy_repository, run_commands
from pages.warm_python import PARSED, warm_python
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus

PAGE = "docs/add_a_loss.md"
NAME = "supervised_contrastive"


def commands() -> list[str]:
    return [code.text.strip() for code in code_of(PAGE) if code.language == "sh"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The repository with the page's files, the grid at one seed and one temperature."""
    root = copy_repository(tmp_path_factory.mktemp("add_a_loss"), with_package=True)
    (root / "tests").unlink()
    shutil.copytree(ROOT / "tests/unit/losses", root / "tests/unit/losses")
    for path in (*ROOT.glob("tests/*.*"), ROOT / "pyproject.toml"):
        shutil.copy2(path, root / path.relative_to(ROOT))
    for path, content in files_shown(PAGE).items():
        (root / path).write_text(content.replace("[1, 2, 3]", "[1]").replace("[0.1, 0.2]", "[0.2]"))
    make_corpus(root / "DIR", train_speakers=8, test_speakers=4, utterances=5, seconds=1.5)
    return root


@pytest.fixture(scope="module")
def python(root):
    with warm_python(root) as environment:
        yield environment


def test_the_files_are_new_and_each_is_the_only_one_of_its_kind():
    files = files_shown(PAGE)
    assert [Path(path).suffix for path in files] == [".py", ".py", ".yaml"]
    assert not [path for path in files if (ROOT / path).exists()]
    assert len([code for code in code_of(PAGE) if code.language in ("python", "yaml")]) == 3


def test_its_test_passes_and_so_do_those_of_every_loss(root, python):
    (line,) = [line for line in commands() if "tests/run.sh" in line]
    (ran,) = run_commands(line, root, python)
    assert ran.status == 0, ran
    passed = int(re.search(r"(\d+) passed", ran.said).group(1))
    assert passed > 4 + 5  # its own four, and those of test_contracts.py


def test_its_test_fails_for_another_equation(root, python):
    content = files_shown(PAGE)[f"tests/unit/losses/test_{NAME}.py"]
    wrong = content.replace("equation(x.tolist(), y.tolist(), 0.5)", "equation(x.tolist(), y.tolist(), 0.4)")
    (root / f"tests/unit/losses/test_{NAME}_wrong.py").write_text(wrong)
    (ran,) = run_commands(f"tests/run.sh tests/unit/losses/test_{NAME}_wrong.py", root, python)
    assert ran.status == 1 and "3 failed, 1 passed" in ran.said, ran


def test_a_grid_compares_it(root, python):
    (line,) = [line for line in commands() if "compare.sh" in line]
    steps = "--train.steps 6 --train.save_every 6 --validation.every 6"
    options = f"--backends own --nj 1 {' '.join(SMALL_OPTIONS)} {steps}"
    (ran,) = run_commands(line.replace("--grid", "--draws 20 --grid") + f" {options}", root, python)
    assert ran.status == 0, ran
    exp = root / f"egs/mini/exp/{NAME}"
    rows = list(csv.DictReader((exp / "report/comparison.csv").open()))
    assert {row["System"]: row["Seeds"] for row in rows} == {
        "angular_prototypical": "1 of 1",
        f"{NAME}_t0.2": "1 of 1",
    }
    assert all(0 <= float(row["EER %"].split()[0]) <= 100 for row in rows)
    config = yaml.safe_load((exp / f"{NAME}_t0.2_seed1/config.yaml").read_text())
    assert config["loss"] == {"name": NAME, "temperature": 0.2}


def test_a_single_run_is_taken_too(root, python):
    (line,) = [line for line in commands() if "run.sh --config" in line]
    (ran,) = run_commands(line, root, {**python, PARSED: "77"})
    assert ran.status == 77, ran
