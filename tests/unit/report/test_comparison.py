"""The table of a grid in Markdown, LaTeX and CSV; where its runs were trained, and on which trials they compare."""

from __future__ import annotations

import csv

import pytest
from unit.report.comparison_tree import NUM_ROWS, RATE, SYSTEMS, write_tree

from spk.errors import InputError
from spk.report.comparison import HEADINGS, Row, compare_grid, in_csv, in_latex, in_markdown, row_of
from spk.report.grid import read_grid


def number(mean, deviation=None, difference=None, p=None):
    around = None if difference is None else [difference - 0.01, difference + 0.01]
    return {
        "mean": mean,
        "deviation": deviation,
        "interval": [mean - 0.01, mean + 0.01],
        "difference": difference,
        "difference_interval": around,
        "p_holm": p,
    }


def result(*numbers, seeds=3):
    one = number(*numbers)
    return {"num_seeds": seeds, "eer": one, "min_dcf": {"0.01": one}, "min_cllr": one, "cllr": one}


ROWS = [
    Row("am_softmax", "test", "own", result(0.05, 0.002), 3, minutes=8.4),
    Row("dam", "test", "own", result(0.04, 0.001, -0.01, 0.00001, seeds=2), 3, failed=1, minutes=9.0),
    Row("broken", "test", "own", None, 3, failed=3),
    Row("am_softmax", "test", "plda", result(0.05, 0.002), 3),
]


def test_every_cell_says_what_was_measured():
    cells = dict(zip(HEADINGS, ROWS[1].cells(), strict=True))
    assert cells["Seeds"] == "2 of 3, 1 failed" and cells["EER %"] == "4.00 ± 0.10"
    assert cells["Difference"] == "-1.00" and cells["its 95 % interval"] == "-2.00 to +0.00"
    assert cells["p"] == "<0.0001" and cells["Cllr"] == "-" and cells["Minutes"] == "9"
    assert dict(zip(HEADINGS, ROWS[3].cells(), strict=True))["Cllr"] == "0.0500 ± 0.0020"
    reference = dict(zip(HEADINGS, ROWS[0].cells(), strict=True))
    assert reference["Difference"] == reference["p"] == "-"


def test_a_system_that_failed_is_a_row_without_numbers():
    cells = ROWS[2].cells()
    assert cells[:4] == ["broken", "test", "own", "0 of 3, 3 failed"] and set(cells[4:]) == {"-"}


def test_the_three_forms_have_the_same_cells():
    lines = in_markdown(ROWS).splitlines()
    table = list(csv.reader(in_csv(ROWS).splitlines()))
    assert table[0] == list(HEADINGS)
    for line, row, expected in zip(lines[2:], table[1:], ROWS, strict=True):
        assert [cell.strip() for cell in line.strip("|").split("|")] == row == expected.cells()
    latex = in_latex(ROWS)
    assert r"am\_softmax" in latex and r"4.00 $\pm$ 0.10" in latex and r"EER \%" in latex and "$<$0.0001" in latex
    assert latex.count(r"\midrule") == 2  # below the head, and before the other back-end


@pytest.fixture(scope="module")
def tested_elsewhere(tmp_path_factory):
    """Scores in exp, what was trained in models; the second system trained on other data."""
    folder = tmp_path_factory.mktemp("elsewhere")
    systems = {name: SYSTEMS[name] for name in ("am_0.2", "dam_0.2")}
    write_tree(folder, systems, seeds=(1,), backends=("cosine",), models="models")
    return folder


def test_what_was_trained_elsewhere_is_looked_up_there(tested_elsewhere):
    folder = tested_elsewhere
    grid = read_grid(folder / "grid.yaml")
    comparison = compare_grid(grid, folder / "exp", 2, ("--batch.size", "100"), folder / "models")
    assert comparison.folders == {name: [folder / f"models/{name}_seed1"] for name in ("am_0.2", "dam_0.2")}
    assert {config.batch.size for config in comparison.configs.values()} == {100}
    assert [row.minutes for row in comparison.rows] == pytest.approx([NUM_ROWS * 100 / RATE / 60] * 2)
    assert comparison.made_from["commit"] == "0123abc"
    assert comparison.made_from["runs"] == [str(folder / f"exp/{name}_seed1") for name in ("am_0.2", "dam_0.2")]


def test_other_training_data_are_noticed_where_the_training_was(tested_elsewhere, caplog):
    folder = tested_elsewhere
    path = folder / "models/dam_0.2_seed1/run.json"
    kept = path.read_text()
    path.write_text(kept.replace("ffff", "eeee"))
    with pytest.raises(InputError, match=r"models/am_0.2_seed1: \S*/models/dam_0.2_seed1; remove"):
        compare_grid(read_grid(folder / "grid.yaml"), folder / "exp", 2, (), folder / "models")
    path.unlink()
    comparison = compare_grid(read_grid(folder / "grid.yaml"), folder / "exp", 2, (), folder / "models")
    assert "dam_0.2_seed1: no readable run.json (1 of 2 runs)" in caplog.text
    assert comparison.made_from["commit"] == "0123abc"
    path.write_text(kept)


def test_scores_of_other_trials_are_not_compared(tested_elsewhere):
    folder = tested_elsewhere
    others = (folder / "trials").read_text().splitlines(keepends=True)
    (folder / "others").write_text("".join(others[::-1]))
    path = folder / "exp/dam_0.2_seed1/scores_test_cosine.json"
    kept = path.read_text()
    path.write_text(kept.replace("/trials", "/others"))
    with pytest.raises(InputError, match=r"is of \S+/others, and \S+ of \S+/trials, which is another"):
        compare_grid(read_grid(folder / "grid.yaml"), folder / "exp", 2, (), folder / "models")
    path.write_text(kept)


@pytest.mark.parametrize(
    ("backend", "row"),
    [
        ("cosine", "own"),
        ("cosine_as", "own_as"),
        ("calibrated_cosine", "calibrated_own"),
        ("plda", "plda"),
        ("calibrated_plda", "calibrated_plda"),
        ("lda_cosine", "lda_cosine"),
    ],
)
def test_what_the_config_names_is_one_row_for_all_systems(backend, row, tmp_path):
    (system, *_) = read_grid(write_tree(tmp_path, seeds=(1,), backends=("cosine",))).systems
    assert row_of(backend, system.load(1)) == row
