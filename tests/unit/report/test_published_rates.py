"""Published error rates: the tables of them, and their column beside measured ones."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from spk.backend import BACKENDS
from spk.bin import report
from spk.config import load_system
from spk.data.files import file_digest
from spk.data.scores import write_scores
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.report import deviations, results
from spk.report.fill import ResultsFile
from spk.report.published import COLUMNS, read_published

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "egs" / "voxceleb"
PUBLISHED = read_published(RECIPE / "published.tsv")
RESULTS_ROWS = [
    row
    for path in (RECIPE / "RESULTS.md", ROOT / "egs" / "sitw" / "RESULTS.md")
    for table in ResultsFile(path.read_text(), str(path)).tables
    for row in table.rows
]
TO_PUBLISHED = ("--published", str(RECIPE / "published.tsv"))
PRETRAINED = {"resnet34_softmax", "resnet50_softmax"}  # the first of a row's two steps


def test_the_heads_of_the_configs_quote_the_same_numbers_and_no_others():
    quoted = {}
    for (system, _, _), published in PUBLISHED.items():
        quoted.setdefault(system, set()).add(f"{100 * published.eer:.2f}")
    for path in (RECIPE / "conf").glob("*.yaml"):
        lines = [line for line in path.read_text().splitlines() if line.startswith("#")]
        in_head = set(re.findall(r"\b[1-9]\d?\.\d\d\b", " ".join(lines)))
        if path.stem in PRETRAINED:
            assert in_head == quoted[path.stem.replace("softmax", "contrastive")]
        elif path.stem == "fast_resnet34_angular_prototypical":
            assert in_head == quoted[path.stem] | {"2.23"}  # with crops of another length
        else:
            assert in_head == quoted.get(path.stem, set()), path.stem
    assert quoted["ivector"] == {"8.80"}


def test_the_lists_have_as_many_trials_as_the_recipe_knows_them_to_have():
    lines = [line for line in (ROOT / "local" / "voxceleb_lists.tsv").read_text().splitlines() if line[0] != "#"]
    sizes = {f"vox1_{row['list']}": int(row["trials"]) for row in csv.DictReader(lines, delimiter="\t")}
    sizes["sitw_eval_core-core"] = 721_788
    assert {(test_set, published.trials) for (_, _, test_set), published in PUBLISHED.items()} <= set(sizes.items())
    assert all(row[4] == f"{sizes[row[2]]:,}" for row in RESULTS_ROWS)


def test_results_files_have_a_row_for_every_config_that_is_one_and_quote_the_table():
    keys = [tuple(row[:3]) for row in RESULTS_ROWS if not row[8] or row[8] == "1"]
    assert len(set(keys)) == len(keys)
    assert set(PUBLISHED) <= set(keys)
    for row in RESULTS_ROWS:
        published = PUBLISHED.get(tuple(row[:3]))
        assert row[5] == (f"{100 * published.eer:.2f}" if published else "-")
    systems = {
        path.stem for path in (RECIPE / "conf").glob("*.yaml") if re.search("^# Row: (?!none)", path.read_text())
    }
    assert {system for system, _, _ in keys} == (systems - PRETRAINED) | {"ivector"}


def test_rows_have_the_back_end_of_their_config():
    for row in RESULTS_ROWS:
        label = "plda"
        if row[0] != "ivector":
            section = load_system(RECIPE / "conf" / f"{row[0]}.yaml").evaluation.backend
            label = BACKENDS.build("backend", section, **dict.fromkeys(BACKENDS.given)).label
        published = PUBLISHED.get(tuple(row[:3]))
        assert row[3] == label == (published.backend if published else label)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["system\tlist"], "its first line must be, between tabs: system training list"),
        (["# nothing"], "its first line must be"),
        ([None, "a\tvox1\tvox1_o\tcosine\tmany\t1.0\tx\ty"], "2: not 8 columns, or trials or eer no number"),
        ([None, "a\tvox1\tvox1_o\tcosine\t10\t1.0\tx"], "2: not 8 columns"),
        ([None, "a\tvox1\tvox1_o\tcosine\t10\t194\tx\ty"], "2: 194 is no error rate in %"),
        ([None, *2 * ["a\tvox1\tvox1_o\tcosine\t10\t1.0\tx\ty"]], "3: a, vox1, vox1_o stands in an earlier line, too"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(tmp_path, lines, message):
    path = tmp_path / "published.tsv"
    path.write_text("\n".join("\t".join(COLUMNS) if line is None else line for line in lines))
    with pytest.raises(InputError, match=message):
        read_published(path)


def test_there_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"published\.tsv: no such file"):
        read_published(tmp_path / "published.tsv")


@pytest.fixture
def reported(tmp_path, monkeypatch, capsys):
    """Reports a system that two back-ends scored on four trials; (rows of results.json, what is printed)."""
    monkeypatch.chdir(tmp_path)
    results.read_trials_once.cache_clear()
    (tmp_path / "conf").symlink_to(RECIPE / "conf")
    (tmp_path / "data" / "vox1_dev").mkdir(parents=True)
    (tmp_path / "data" / "vox1_dev" / "utt2spk").write_text("a-1 a\nb-1 b\n")
    (tmp_path / "trials").write_text("a b target\nb c nontarget\nc a nontarget\nb a target\n")
    exp = tmp_path / "exp" / "vox1_dev" / "rescnn_dam"
    (exp / "embeddings").mkdir(parents=True)
    digests = {"utt2spk": file_digest("data/vox1_dev/utt2spk")}

    def run(*arguments: str, overrides: tuple[str, ...] = ()) -> tuple[list[dict], str]:
        config = load_system("conf/rescnn_dam.yaml", overrides).as_dict()
        (exp / "config.yaml").write_text(yaml.safe_dump(config))
        (exp / "embeddings" / "evaluation.yaml").write_text(yaml.safe_dump(config["evaluation"]))
        described = {
            "data": "data/vox1_dev",
            "config": "conf/rescnn_dam.yaml",
            "overrides": list(overrides),
            "init_from": None,
            "data_digests": digests,
        }
        (exp / "run.json").write_text(json.dumps(described))
        for test_set, backend in (("vox1_o", "cosine"), ("vox1_o", "plda"), ("vox1_o_cleaned", "cosine")):
            path = exp / f"scores_{test_set}_{backend}"
            write_scores(path, read_trials("trials"), np.array([1, 0, 0, 1], np.float32))
            description = {"trials": "trials", "backend": backend, "enroll_dir": "exp/vox1_dev/rescnn_dam/embeddings"}
            description["test_dir"] = description["enroll_dir"]
            path.with_name(f"{path.name}.json").write_text(json.dumps(description))
        monkeypatch.setattr(sys, "argv", ["report", "--draws", "0", *arguments, str(exp.relative_to(tmp_path))])
        report.main()
        return json.loads((exp / "results.json").read_text()), capsys.readouterr().out

    return run


def column(printed: str, heading: str) -> list[str]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line.startswith("|")
    ]
    place = cells[0].index(heading)
    return [row[place] for row in cells[2:]]


def test_what_is_published_has_a_column_and_a_line_that_says_what_differs(reported):
    rows, printed = reported(*TO_PUBLISHED, overrides=("--loss.margin", "0.3"))
    assert column(printed, "Published EER %") == ["4.38", "-", "-"]  # cosine, PLDA, another list
    assert column(printed, "EER %") == ["0.00"] * 3
    assert printed.splitlines()[-2:] == [
        "Published EER %: quoted, not measured here; -: nothing is published for that row.",
        "- vox1_o, cosine: 4.38 is 'Dynamic Margin Softmax Loss for Speaker Verification', table 1, ResCNN, "
        "DAM-Softmax (the original list, by the number of pairs that the paper gives). Not comparable: this list "
        "has 4 trials, the published one 37,720; loss.margin: 0.2 -> 0.3; data/vox1_dev has 2 speakers and "
        "2 utterances, vox1 1,211 and 148,642.",
    ]
    assert Path("exp/vox1_dev/rescnn_dam/results.md").read_text().endswith(printed.partition("\n")[2])
    assert [row["published"] and row["published"]["eer"] for row in rows] == [pytest.approx(0.0438), None, None]
    assert [row["eer"] for row in rows] == [0, 0, 0]


def test_the_same_system_on_the_same_data_and_list_is_the_same(reported, monkeypatch):
    monkeypatch.setitem(deviations.TRAINING_SETS, "vox1", (2, 2))
    cells = ["rescnn_dam", "vox1", "vox1_o", "cosine", "4", "1.25", "a paper", "no remark"]
    Path("published.tsv").write_text("\t".join(COLUMNS) + "\n" + "\t".join(cells) + "\n")
    _, printed = reported("--published", "published.tsv")
    assert printed.splitlines()[-1] == "- vox1_o, cosine: 1.25 is a paper (no remark). The same config, data and list."


def test_without_published_numbers_results_are_as_ever(reported):
    rows, printed = reported()
    assert "Published" not in printed
    assert all("published" not in row for row in rows)


def test_a_system_that_nobody_published_has_an_empty_column(reported, caplog):
    with caplog.at_level("INFO"):
        rows, printed = reported(*TO_PUBLISHED, "--published-as", "fast_resnet34_am,vox2")
    assert column(printed, "Published EER %") == ["-"] * 3
    assert "nothing is published as fast_resnet34_am,vox2" in caplog.text
    assert [row["published"] for row in rows] == [None] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--published-as", "rescnn_dam"),
            "--published-as takes SYSTEM,TRAINING, as rescnn_dam,vox2, not 'rescnn_dam'",
        ),
        (("--model", "nowhere"), "nowhere: no such folder of a trained system"),
        (("--model", "data"), "data has no readable run.json that says what it is; give --published-as"),
        (("trained",), "--published is for the table of one system, not of 2"),
    ],
)
def test_a_report_says_what_it_cannot_set_beside_published_numbers(reported, options, message):
    reported()
    Path("trained").symlink_to("exp/vox1_dev/rescnn_dam")
    with pytest.raises(SystemExit, match=f"^report: error: {message}"):
        reported(*TO_PUBLISHED, *options)
