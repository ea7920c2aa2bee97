"""Tables, results and figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spk.data.scores import write_scores
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.report import results
from spk.report.figures import det_plot, histogram_plot
from spk.report.results import find_scores, results_of
from spk.report.table import results_table

ROW = {
    "system": "net",
    "test_set": "vox1_o",
    "backend": "cosine",
    "num_targets": 18860,
    "num_nontargets": 18860,
    "eer": 0.03126,
    "rocch_eer": 0.0308,
    "min_dcf": {"0.01": 0.32581, "0.05": 0.2, "0.001": 0.5},
}


def test_the_columns_of_a_table_line_up():
    table = results_table([ROW, ROW | {"system": "a_longer_name", "eer": 0.5}], "Two systems")
    title, empty, *lines = table.splitlines()
    assert (title, empty) == ("# Two systems", "")
    assert len({len(line) for line in lines}) == 1
    assert [",".join(cell.strip() for cell in line.strip("|").split("|")) for line in lines] == [
        "System,Test set,Back-end,Targets,Non-targets,EER %,Hull EER %,minDCF(0.01),minDCF(0.05),minDCF(0.001)",
        "-------------,--------,--------,------:,----------:,----:,---------:,-----------:,-----------:,------------:",
        "net,vox1_o,cosine,18860,18860,3.13,3.08,0.3258,0.2000,0.5000",
        "a_longer_name,vox1_o,cosine,18860,18860,50.00,3.08,0.3258,0.2000,0.5000",
    ]


@pytest.fixture
def system(tmp_path, monkeypatch):
    """exp/net with two score lists of one trial list: one tells the trials apart, the other does not."""
    monkeypatch.chdir(tmp_path)
    results.read_trials_once.cache_clear()
    (tmp_path / "trials").write_text("a b target\nb c nontarget\nc a nontarget\nb a target\n")
    exp = tmp_path / "exp" / "net"
    exp.mkdir(parents=True)
    trials = read_trials("trials")
    for name, backend, values in (("cosine", "cosine", [1, 0, 0, 1]), ("lda", "lda_cosine", [0, 0, 0, 0])):
        write_scores(exp / f"scores_my_test_{name}", trials, np.array(values, np.float32))
        description = {"trials": "trials", "backend": backend}
        (exp / f"scores_my_test_{name}.json").write_text(json.dumps(description))
    return exp


def test_every_score_file_of_a_system_is_a_row(system):
    found = find_scores(["exp/net"])
    rows = results_of("exp/net", found["exp/net"])
    assert [(row["system"], row["test_set"], row["backend"], row["eer"]) for row in rows] == [
        ("net", "my_test", "cosine", 0),
        ("net", "my_test", "lda_cosine", 0.5),
    ]
    assert json.loads((system / "results.json").read_text()) == rows
    assert (system / "results.md").read_text() == results_table(rows, "net")


def test_nothing_is_computed_again_until_a_score_file_changes(system, monkeypatch):
    def rows() -> list:
        return results_of("exp/net", find_scores(["exp/net"])["exp/net"])

    first = rows()
    with monkeypatch.context() as patch:
        patch.setattr(results, "read_scores", lambda path: pytest.fail(f"{path} was read again"))
        assert rows() == first
    path = system / "scores_my_test_lda"
    path.write_text(path.read_text().replace("a b 0", "a b 1"))
    assert rows()[1]["eer"] == pytest.approx(1 / 3)


def test_systems_of_one_name_go_by_their_paths(system, tmp_path):
    (tmp_path / "other").mkdir()
    system.rename(tmp_path / "other" / "net")
    (tmp_path / "exp").rmdir()
    (tmp_path / "exp").symlink_to(tmp_path / "other")
    found = find_scores(["exp/net", "other/net"])
    assert [files[0].system for files in found.values()] == ["exp/net", "other/net"]


def test_a_folder_without_scores_and_a_broken_description_are_named(system):
    with pytest.raises(InputError, match=r"exp: has no scores_\*\.json"):
        find_scores(["exp"])
    (system / "scores_my_test_lda.json").write_text("{}")
    with pytest.raises(InputError, match=r"scores_my_test_lda\.json: not written by steps/score"):
        find_scores(["exp/net"])


def test_figures_are_drawn_whole_and_with_the_same_bytes_each_time(tmp_path):
    random = np.random.default_rng(0)
    systems = [(f"system {shift}", random.normal(shift, 1, 300), random.normal(0, 1, 400)) for shift in (0, 2, 20)]
    curves = [(label, error_rates(targets, nontargets)) for label, targets, nontargets in systems]
    for name in ("first", "second"):
        det_plot(tmp_path / f"{name}_det.png", curves, "test")
        histogram_plot(tmp_path / f"{name}_histogram.png", systems, "test")
    for kind in ("det", "histogram"):
        image = (tmp_path / f"first_{kind}.png").read_bytes()
        assert image.startswith(b"\x89PNG")
        assert image == (tmp_path / f"second_{kind}.png").read_bytes()


def test_a_det_plot_marks_the_eer_of_every_system(tmp_path, monkeypatch):
    import spk.report.figures as figures

    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    det_plot(tmp_path / "det.png", [("net", error_rates([3, 2, 1, -1], [0, -2, -3, -4]))], "test")
    (axes,) = drawn[0].axes
    eer_points = [
        line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert eer_points == [[pytest.approx([-0.67449, -0.67449], abs=1e-5)]]  # the normal deviate of 0.25
    assert "net, EER 25.00 %" in [text.get_text() for text in axes.get_legend().get_texts()]
