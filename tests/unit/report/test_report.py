"""Tables, results and figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spk.bin.report import draw
from spk.data.scores import write_scores
from spk.data.stamp import describe_inputs, write_stamp
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
    "min_cllr": 0.1213,
    "cllr": 0.9,
    "act_dcf": {"0.01": 1.0, "0.05": 1.0, "0.001": 1.0},
    "interval": None,
}


def cells(line: str) -> str:
    return ",".join(cell.strip() for cell in line.strip("|").split("|"))


def test_the_columns_of_a_table_line_up():
    longer = ROW | {"system": "a_longer_name", "eer": 0.5, "interval": {"eer": [0.4712, 0.52999]}}
    table = results_table([ROW, longer], "Two systems")
    title, empty, *lines = table.splitlines()
    assert (title, empty) == ("# Two systems", "")
    assert len({len(line) for line in lines}) == 1
    assert [cells(line) for line in lines] == [
        "System,Test set,Back-end,Targets,Non-targets,EER %,95 % interval,"
        "minDCF(0.01),minDCF(0.05),minDCF(0.001),minCllr,Cllr,actDCF(0.01)",
        "-------------,--------,--------,------:,----------:,----:,------------:,"
        "-----------:,-----------:,------------:,------:,---:,-----------:",
        "net,vox1_o,cosine,18860,18860,3.13,-,0.3258,0.2000,0.5000,0.1213,-,-",
        "a_longer_name,vox1_o,cosine,18860,18860,50.00,47.12-53.00,0.3258,0.2000,0.5000,0.1213,-,-",
    ]


@pytest.mark.parametrize(
    ("backend", "shown"),
    [
        ("cosine", "0.1213,-,-"),
        ("lda_cosine", "0.1213,-,-"),
        ("plda", "0.1213,0.9000,1.0000"),
        ("plda_as", "0.1213,-,-"),  # a normalised score is no likelihood ratio any more
        ("calibrated_cosine", "0.1213,0.9000,1.0000"),
        ("calibrated_plda_s+duration", "0.1213,0.9000,1.0000"),
    ],
)
def test_costs_of_log_likelihood_ratios_are_shown_for_these_alone(backend, shown):
    line = results_table([ROW | {"backend": backend}], "One").splitlines()[-1]
    assert cells(line).endswith(f",{shown}")


def test_an_interval_that_no_draw_can_tell_is_not_shown():
    assert ",0.00,-," in cells(results_table([ROW | {"eer": 0, "interval": {"eer": None}}], "One").splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "backend", "test_set"),
    [
        ("my_test_cosine", "cosine", "my_test"),
        ("my_test_lda", "lda_cosine", "my_test"),
        ("my_test_lda_cosine", "lda_cosine", "my_test"),
        ("vox1_s_cosine_s", "cosine_s", "vox1_s"),
        ("vox1_o_cosine_calibrated", "calibrated_cosine", "vox1_o"),
        ("vox1_o_calibrated_cosine", "calibrated_cosine+duration+norm", "vox1_o"),
        ("vox1_o_fusion", "calibrated_cosine+plda_as", "vox1_o"),
        ("cosine", "cosine", "cosine"),
    ],
)
def test_the_test_set_is_what_a_name_says_beside_the_back_end(name, backend, test_set):
    assert results.test_set_of(name, backend) == test_set


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
    rows = results_of("exp/net", found["exp/net"], 0)
    assert [(row["system"], row["test_set"], row["backend"], row["eer"]) for row in rows] == [
        ("net", "my_test", "cosine", 0),
        ("net", "my_test", "lda_cosine", 0.5),
    ]
    assert json.loads((system / "results.json").read_text()) == rows
    assert (system / "results.md").read_text() == results_table(rows, "net")


def test_nothing_is_computed_again_until_a_score_file_changes(system, monkeypatch):
    def rows() -> list:
        return results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0)

    first = rows()
    with monkeypatch.context() as patch:
        patch.setattr(results, "read_scores", lambda path: pytest.fail(f"{path} was read again"))
        assert rows() == first
    path = system / "scores_my_test_lda"
    path.write_text(path.read_text().replace("a b 0", "a b 1"))
    assert rows()[1]["eer"] == pytest.approx(1 / 3)


def test_scores_of_other_inputs_than_there_are_now_are_left_out_and_named(system, caplog):
    """A change of embeddings also reaches the calibrated scores of scores that were not made again."""
    raw, embeddings = system / "scores_my_test_lda", system.parents[1] / "embeddings.done"
    embeddings.write_text("one")
    calibrated = system / "scores_my_test_calibrated_lda"
    calibrated.write_bytes(raw.read_bytes())
    (system / f"{calibrated.name}.json").write_text(
        json.dumps({"trials": "trials", "backend": "calibrated_lda_cosine"})
    )

    def stamp(path, *files):
        write_stamp(path.with_name(f".{path.name}.done"), describe_inputs(map(str, files), {"norm": "none"}))

    def backends():
        caplog.clear()
        return [scores.backend for scores in find_scores(["exp/net"])["exp/net"]]

    stamp(raw, "trials", "embeddings.done")
    stamp(calibrated, raw.relative_to(system.parents[1]))
    assert backends() == ["calibrated_lda_cosine", "cosine", "lda_cosine"]
    embeddings.write_text("two")
    assert backends() == ["cosine"]  # which has no stamp
    lines = [f"exp/net/{name}: left out: embeddings.done changed" for name in (calibrated.name, raw.name)]
    assert [line.split(" since")[0] for line in caplog.messages] == lines
    stamp(raw, "trials", "embeddings.done")
    assert backends() == ["calibrated_lda_cosine", "cosine", "lda_cosine"]
    embeddings.unlink()
    assert backends() == ["cosine"]
    assert "embeddings.done is gone" in caplog.text
    stamp(system / "scores_my_test_cosine", "trials")
    (system.parents[1] / "trials").write_text("a b target\n")
    with pytest.raises(InputError, match="exp/net: no scores are left to report; score again"):
        find_scores(["exp/net"])


@pytest.mark.parametrize(("name", "value"), [("METHOD", "another"), ("SEED", 2), ("P_TARGETS", ("0.01", "0.5"))])
def test_kept_rows_are_those_of_the_same_intervals(system, monkeypatch, name, value):
    results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0)
    monkeypatch.setattr(results, name, value)
    monkeypatch.setattr(results, "summary", lambda rates: {"made": "again"})
    monkeypatch.setattr(results, "write_results", lambda *arguments: None)
    assert all(row["made"] == "again" for row in results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0))


def test_an_infinite_cllr_is_null_in_json_and_shown(system):
    path = system / "scores_my_test_cosine"
    path.write_text(path.read_text().replace("a b 1", "a b -inf"))
    (system / f"{path.name}.json").write_text(json.dumps({"trials": "trials", "backend": "plda"}))
    rows = results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0)
    assert json.loads((system / "results.json").read_text(), parse_constant=pytest.fail) == rows
    place = [row["backend"] for row in rows].index("plda")
    assert rows[place]["cllr"] is None
    assert ",inf," in cells((system / "results.md").read_text().splitlines()[4 + place])
    assert results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0) == rows


def with_speakers(system, num_draws: int) -> list:
    """The rows where every utterance of more trials has a speaker."""
    random = np.random.default_rng(0)
    utterances = [f"s{n // 4}-{n % 4}" for n in range(40)]
    pairs = [(a, b) for i, a in enumerate(utterances) for b in utterances[:i]]
    lines = [f"{a} {b} {'target' if a[:2] == b[:2] else 'nontarget'}\n" for a, b in pairs]
    (system.parents[1] / "trials").write_text("".join(lines))
    (system.parents[1] / "utt2spk").write_text("".join(f"{u} {u[:2]}\n" for u in utterances))
    results.read_trials_once.cache_clear()
    trials = read_trials("trials")
    for name in ("cosine", "lda"):
        write_scores(system / f"scores_my_test_{name}", trials, trials.is_target + random.normal(0, 0.6, len(trials)))
    return results_of("exp/net", find_scores(["exp/net"])["exp/net"], num_draws)


def test_intervals_come_from_the_speakers_beside_the_trials_and_are_kept(system, monkeypatch):
    rows = with_speakers(system, 50)
    for row in rows:
        low, high = row["interval"]["eer"]
        assert 0 < low < row["eer"] < high < 1
        assert (row["interval"]["num_speakers"], row["interval"]["num_draws"]) == (10, 50)
    written = (system / "results.json").stat().st_mtime_ns
    drawn = []
    monkeypatch.setattr(results, "bootstrap", lambda *arguments: drawn.append(arguments) or {"eer": None})
    assert results_of("exp/net", find_scores(["exp/net"])["exp/net"], 50) == rows
    assert not drawn
    assert (system / "results.json").stat().st_mtime_ns == written
    path = system / "scores_my_test_lda"
    path.write_text(path.read_text().replace("s0-1 s0-0 ", "s0-1 s0-0 9"))
    results_of("exp/net", find_scores(["exp/net"])["exp/net"], 50)
    assert len(drawn) == 1  # the other score file's interval is still good
    results_of("exp/net", find_scores(["exp/net"])["exp/net"], 60)
    assert len(drawn) == 3
    assert results_of("exp/net", find_scores(["exp/net"])["exp/net"], 0)[0]["interval"] is None


def test_a_system_is_reported_from_any_directory(system, tmp_path, monkeypatch):
    """Relative paths are meant from where it was scored; they may also lie below the present directory."""
    scores = system / "scores_my_test_lda"
    description = {"trials": "trials", "backend": "lda_cosine", "directory": str(tmp_path)}
    (system / f"{scores.name}.json").write_text(json.dumps(description))
    (system / "scores_my_test_cosine.json").unlink()
    write_stamp(scores.with_name(f".{scores.name}.done"), describe_inputs(["trials"]))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rows = results_of(str(system), find_scores([str(system)])[str(system)], 0)
    assert [(row["eer"], row["trials"]) for row in rows] == [(0.5, str(tmp_path / "trials"))]
    (tmp_path / "trials").write_text("a b target\nb c nontarget\nc a nontarget\nb a nontarget\n")
    with pytest.raises(InputError, match="no scores are left to report"):
        find_scores([str(system)])


def test_without_known_speakers_there_is_no_interval(system, caplog):
    rows = with_speakers(system, 2)
    assert rows[0]["interval"] is not None
    table = system.parents[1] / "utt2spk"
    table.write_text(table.read_text().replace("s3-2 s3\n", ""))
    with caplog.at_level("INFO"):
        rows = results_of("exp/net", find_scores(["exp/net"])["exp/net"], 2)
    assert rows[0]["interval"] is None
    assert "trials: no intervals: " in caplog.text and "s3-2" in caplog.text
    table.unlink()
    assert results_of("exp/net", find_scores(["exp/net"])["exp/net"], 2)[0]["interval"] is None


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
        histogram_plot(tmp_path / f"{name}_histogram.png", [(*system, True) for system in systems], "test")
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


def test_a_histogram_marks_the_bayes_threshold_of_log_likelihood_ratios_alone(tmp_path, monkeypatch):
    import spk.report.figures as figures

    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    scores = np.array([3.0, 2, 8]), np.array([0.0, -2, -3])
    histogram_plot(tmp_path / "histogram.png", [("cosine", *scores, False), ("plda", *scores, True)], "test")
    lines = [[line.get_xdata()[0] for line in axes.lines] for axes in drawn[0].axes]
    assert lines == [[], [pytest.approx(np.log(99))]]


def test_a_det_plot_reaches_to_every_min_dcf_point(tmp_path, monkeypatch):
    """Of these scores minDCF(0.001) lies at no false alarm and 90 % misses: on the left edge, above the usual 60 %."""
    import spk.report.figures as figures

    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    targets, nontargets = np.concatenate([np.full(10, 3.0), np.full(90, 1.0)]), np.linspace(-3, 2, 1000)
    det_plot(tmp_path / "det.png", [("net", error_rates(targets, nontargets))], "test")
    (axes,) = drawn[0].axes
    (point,) = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "v" and len(line.get_xdata())]
    assert point[1] == pytest.approx(1.281552, abs=1e-5)  # the normal deviate of 0.9
    assert point[0] == axes.get_xlim()[0]
    assert axes.get_ylim()[1] >= point[1]
    assert axes.get_xlim()[1] == pytest.approx(0.253347, abs=1e-5)  # that of 0.6


def test_calibrated_scores_have_a_histogram_and_no_curve_of_their_own(system, tmp_path, monkeypatch):
    """Their curve is that of the raw scores; with quality measures it is another."""
    import spk.report.figures as figures

    for backend in ("calibrated_cosine", "calibrated_cosine+duration", "calibrated_plda"):
        path = system / f"scores_my_test_{backend}"
        path.write_bytes((system / "scores_my_test_cosine").read_bytes())
        (system / f"{path.name}.json").write_text(json.dumps({"trials": "trials", "backend": backend}))
    drawn = {}
    monkeypatch.setattr(figures, "det_plot", lambda path, curves, title: drawn.update(det=curves))
    monkeypatch.setattr(figures, "histogram_plot", lambda path, panels, title: drawn.update(histogram=panels))
    draw(tmp_path, "my_test", find_scores(["exp/net"])["exp/net"])
    backends = ["calibrated_cosine+duration", "calibrated_cosine", "calibrated_plda", "cosine", "lda_cosine"]
    assert [label for label, *_ in drawn["histogram"]] == [f"net, {backend}" for backend in backends]
    assert [label for label, _ in drawn["det"]] == [
        f"net, {backend}" for backend in backends if backend != "calibrated_cosine"
    ]


@pytest.mark.parametrize(("num_panels", "columns", "rows"), [(1, 1, 1), (4, 1, 4), (5, 2, 3), (13, 4, 4), (21, 4, 6)])
def test_many_histograms_stand_in_at_most_four_columns(tmp_path, monkeypatch, num_panels, columns, rows):
    import spk.report.figures as figures

    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    panel = np.array([3.0, 2, 8]), np.array([0.0, -2, -3]), False
    histogram_plot(tmp_path / "histogram.png", [(f"system {n}", *panel) for n in range(num_panels)], "test")
    axes = drawn[0].axes
    assert [one.get_title() for one in axes] == [f"system {n}" for n in range(num_panels)]
    assert {one.get_subplotspec().get_gridspec().get_geometry() for one in axes} == {(rows, columns)}
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["target", "non-target"]
