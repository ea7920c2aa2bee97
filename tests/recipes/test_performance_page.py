"""What the benchmarks share, and the page that is made of their tables."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "benchmarks"
MACHINE = {"processor": "a processor", "cores": 2, "load": 0.1, "torch": "2.11", "threads": 1}


@pytest.fixture
def imported(monkeypatch):
    """`imported("measure")`: a module of tests/benchmarks, whose names are theirs for the test alone."""
    monkeypatch.syspath_prepend(FOLDER)
    names = [path.stem for path in FOLDER.glob("*.py")]
    before = {name: sys.modules.pop(name, None) for name in names}
    yield importlib.import_module
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def test_a_power_law_without_noise_has_its_exponent_and_no_error(imported):
    sizes = [1000, 3000, 10_000, 100_000]
    exponent, error = imported("measure").power_law(sizes, [0.002 * size**1.25 for size in sizes])
    assert exponent == pytest.approx(1.25) and error == pytest.approx(0, abs=1e-9)


def test_the_error_of_an_exponent_worked_by_hand(imported):
    """Logarithms x = 0, 1, 2 and y = 0, 2, 1: slope 1/2, residuals -1/2, 1, -1/2, variance (3/2 / 1) / 2."""
    exponent, error = imported("measure").power_law([1, math.e, math.e**2], [1, math.e**2, math.e])
    assert (exponent, error) == (pytest.approx(0.5), pytest.approx(math.sqrt(0.75)))


def test_a_straight_line_foretells_the_next_value(imported):
    assert imported("measure").line([1, 2, 3], [5, 7, 9]) == (pytest.approx(3), pytest.approx(2))


def test_numbers_of_a_table_keep_three_digits(imported):
    measure = imported("measure")
    table = measure.Table("T", ["way", "rate", "count"])
    table.add("ours", 1234567.8, 1234567)
    table.add("theirs", 0.012345, None)
    assert str(table).splitlines() == [
        "T",
        "",
        "| way    |      rate |     count |",
        "|--------|-----------|-----------|",
        "| ours   | 1,234,568 | 1,234,567 |",
        "| theirs |    0.0123 |         - |",
    ]


def test_a_row_of_another_length_is_refused(imported):
    with pytest.raises(ValueError, match="2 values for 3 columns"):
        imported("measure").Table("T", ["a", "b", "c"]).add(1, 2)


def write_results(folder: Path, name: str, *tables: dict) -> None:
    content = {"command": f"python3 tests/benchmarks/{name}.py", "commit": "abc", "machine": MACHINE, "tables": tables}
    (folder / f"{name}.json").write_text(json.dumps(content))


def run_report(report: ModuleType, monkeypatch, page: Path, folder: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", "--page", str(page), str(folder)])
    report.main()


def test_the_page_gets_what_was_measured_and_keeps_its_text(imported, monkeypatch, tmp_path, capsys):
    results, page = tmp_path / "results", tmp_path / "page.md"
    results.mkdir()
    write_results(
        results,
        "fast",
        {"title": "Speed", "columns": ["way", "ms", "ratio"], "rows": [["ours", 1.5, None], ["a|b", 4.5, 3.0]]},
        {"title": "Size", "columns": ["MB"], "rows": [[7]]},
    )
    write_results(results, "homeless", {"title": "T", "columns": ["n"], "rows": [[1]]})
    page.write_text(
        "# Before\n<!-- begin fast: Speed -->\nold\n<!-- end fast: Speed -->\nbetween\n"
        "<!-- begin absent -->\nkept\n<!-- end absent -->\nafter\n"
    )
    report = imported("report")
    for _ in range(2):  # the second time it replaces what the first one wrote
        run_report(report, monkeypatch, page, results)
    assert page.read_text().splitlines() == [
        "# Before",
        "<!-- begin fast: Speed -->",
        "",
        "**Speed**",
        "",
        "| way  |  ms | ratio |",
        "|------|----:|------:|",
        "| ours | 1.5 |     - |",
        "| a\\|b | 4.5 |     3 |",
        "",
        "`python3 tests/benchmarks/fast.py`, commit abc, a processor, 2 cores, load 0.1, torch 2.11.",
        "",
        "<!-- end fast: Speed -->",
        "between",
        "<!-- begin absent -->",
        "kept",
        "<!-- end absent -->",
        "after",
    ]
    assert (tmp_path / "page" / "ratios.png").stat().st_size > 1000
    said = capsys.readouterr().err
    assert "absent: not in the folder" in said and "homeless: has no place" in said and "fast:" not in said


def test_a_ratio_is_named_by_the_words_of_its_row_and_by_what_it_compares_with(imported):
    report, table = imported("report"), imported("measure").Table
    plain = table(
        "A", ["way", "loop", "ours", "rate", "ratio"], [["loop", "x", "y", 3.0, 2.5], ["ours", "x", "y", 7.5, 1]]
    )
    two = table(
        "B", ["length", "ours", "theirs (1/s)", "ratio", "peer, 1/s", "ratio"], [["2 s", 4, 2, 2.0, None, None]]
    )
    said = table("C", ["way", "ratio to a loop", "speed over one process"], [["ours", 3.0, 1.9]])
    ours = table(
        "D", ["way", "1/s", "/ whole files"], [["whole files", 2.0, 1.0], ["x", 3.0, 1.5], ["spk: arks", 8.0, 4.0]]
    )
    alike = [
        table(title, ["way", "ratio"], [["loop", 1], ["numpy", 3.0], ["spk, all", ratio], ["spk", 5.0]])
        for title, ratio in (("E", 6.0), ("F", 7.0))
    ]
    results = {"a": {"tables": [plain, two]}, "c": {"tables": [said, ours]}, "d": {"tables": alike}}
    assert report.ratios(results) == [
        ("a", "loop, x, y", 2.5),
        ("a", "2 s, theirs", 2.0),
        ("c", "ours, to a loop", 3.0),
        ("c", "arks, whole files", 4.0),
        ("d", "all: E", 6.0),
        ("d", "E", 5.0),
        ("d", "all: F", 7.0),
        ("d", "F", 5.0),
    ]


def test_growth_has_two_plots(imported, monkeypatch, tmp_path):
    columns = ["stage", "size", "cpu_seconds", "seconds", "peak_mb", "whole_mb", "unit", "is_large"]
    rows = [
        ["a", size, size / 1e4, 1.0, size / 1e3, 50.0, "utterances", False] for size in (1000, 10_000, 30_000, 100_000)
    ]
    rows += [["a", 1_092_009, 110.0, 110.0, 1100.0, 1150.0, "utterances", True]]
    rows += [["b", size, 0.1, 0.1, 0.0, 50.0, "trials", False] for size in (1000, 10_000)]
    write_results(tmp_path, "growth", {"title": "Points", "columns": columns, "rows": rows})
    (tmp_path / "page.md").write_text("no place\n")
    run_report(imported("report"), monkeypatch, tmp_path / "page.md", tmp_path)
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"growth_time.png", "growth_memory.png"}


@pytest.mark.parametrize(("content", "said"), [("", "Expecting value"), ('{"tables": 3}', "is no file of --json")])
def test_a_file_that_is_no_benchmarks_is_named(imported, monkeypatch, tmp_path, content, said):
    (tmp_path / "broken.json").write_text(content)
    (tmp_path / "page.md").write_text("text\n")
    with pytest.raises(SystemExit, match=r"broken\.json") as stopped:
        run_report(imported("report"), monkeypatch, tmp_path / "page.md", tmp_path)
    assert said in str(stopped.value)
    assert (tmp_path / "page.md").read_text() == "text\n"


def test_exponents_of_growth_are_those_of_the_upper_decade(imported):
    """Start-up that does not grow must not hide the growth: below a tenth of the largest size nothing is fitted."""
    growth = imported("growth")
    sizes = [1_000, 10_000, 30_000, 100_000]
    points = [growth.Point("a", 1_000, 5.0, 5.0, 99.0, 99.0)]
    points += [growth.Point("a", size, 1e-5 * size**1.1, 1.0, 1e-3 * size, 60.0) for size in sizes[1:]]
    points += [growth.Point("a", 1_092_009, 40.0, 41.0, 1092.0, 1152.0)]
    time, memory, large, all_points = growth.tables(points, {"a": 1_092_009}, {"a": "utterances"})
    assert dict(zip(time.columns, time.rows[0], strict=True))["exponent"] == pytest.approx(1.1)
    of_memory = dict(zip(memory.columns, memory.rows[0], strict=True))
    assert of_memory["exponent"] == pytest.approx(1.0) and of_memory["bytes each"] == pytest.approx(1e-3 * 2**20)
    assert dict(zip(large.columns, large.rows[0], strict=True))["foretold, MB"] == pytest.approx(1092.009)
    assert len(all_points.rows) == 5


@pytest.mark.parametrize("path", sorted(set(FOLDER.glob("*.py")) - {FOLDER / "report.py"}), ids=lambda path: path.stem)
def test_every_benchmark_says_what_it_compares(path, imported, monkeypatch, capsys):
    module = imported(path.stem)
    assert module.__doc__
    if not hasattr(module, "main"):
        return
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0 and "--json" in capsys.readouterr().out


def test_every_benchmark_is_run_by_run_all(imported):
    """And has a place in the README of the folder."""
    named = (FOLDER / "run_all.sh").read_text().partition("all=(")[2].partition(")")[0].split()
    with_main = {path.stem for path in FOLDER.glob("*.py") if "\ndef main(" in path.read_text()} - {"report"}
    assert with_main <= set(named)
    readme = (FOLDER / "README.md").read_text()
    assert [name for name in named if f"`{name}.py`" not in readme] == []
