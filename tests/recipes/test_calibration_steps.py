"""steps/train_calibration and steps/calibrate: what they write, what they refuse, and when they do nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from spk.data.data_dir import read_table
from spk.data.scores import read_scores
from spk.embed.write import write_embeddings


def make_set(folder: Path, name: str, seed: int) -> None:
    """data/NAME with trials of all pairs of 8 speakers' 5 utterances, embeddings of two systems, and cosine scores."""
    random = np.random.default_rng(seed)
    utterances = [f"{name}{speaker}-{number}" for speaker in range(8) for number in range(5)]
    data = folder / "data" / name
    data.mkdir(parents=True)
    (data / "utt2spk").write_text("".join(f"{u} {u.split('-')[0]}\n" for u in utterances))
    (data / "utt2num_frames").write_text("".join(f"{u} {random.integers(100, 900)}\n" for u in utterances))
    pairs = [(a, b) for i, a in enumerate(utterances) for b in utterances[:i]]
    same = [a.split("-")[0] == b.split("-")[0] for a, b in pairs]
    lines = [f"{a} {b} {'target' if target else 'nontarget'}\n" for (a, b), target in zip(pairs, same, strict=True)]
    (data / "trials").write_text("".join(lines))
    means = np.repeat(random.standard_normal((8, 6)), 5, axis=0)
    for system in ("one", "two"):
        embeddings = means + 0.8 * random.standard_normal((40, 6))
        write_embeddings(str(folder / "exp" / system / f"embeddings_{name}" / "embedding"), utterances, embeddings)
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        index = {utterance: row for row, utterance in enumerate(utterances)}
        scores = folder / "exp" / system / f"scores_{name}_cosine"
        scores.write_text("".join(f"{a} {b} {unit[index[a]] @ unit[index[b]]:.9g}\n" for a, b in pairs))
        description = {"trials": f"data/{name}/trials", "backend": "cosine"}
        Path(f"{scores}.json").write_text(json.dumps(description))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two systems' scores of held-out speakers (dev) and of test speakers."""
    make_set(tmp_path, "dev", seed=0)
    make_set(tmp_path, "test", seed=1)
    return tmp_path


TRAIN = "train_calibration data/dev/trials exp/one/calibration exp/one/scores_dev_cosine"
APPLY = (
    "calibrate exp/one/calibration data/test/trials exp/one/scores_test_calibrated_cosine exp/one/scores_test_cosine"
)
TRAIN_FUSION = (
    "train_calibration data/dev/trials exp/fusion/calibration exp/one/scores_dev_cosine exp/two/scores_dev_cosine"
)
APPLY_FUSION = (
    "calibrate exp/fusion/calibration data/test/trials exp/fusion/scores_test_fusion "
    "exp/one/scores_test_cosine exp/two/scores_test_cosine"
)
QUALITY = (
    "--enroll-data data/{0} --enroll-dir exp/one/embeddings_{0} "
    "--cohort exp/one/embeddings_train --cohort-models data/train/spk2utt"
)
TRAIN_QUALITY = TRAIN.replace(" data", f" --quality cohort,duration,norm {QUALITY.format('dev')} data", 1)
APPLY_QUALITY = APPLY.replace(" exp", f" {QUALITY.format('test')} exp", 1)


def make_cohort(folder: Path, sets: Sequence[str]) -> None:
    """data/train/spk2utt and the two systems' embeddings_train: those of these sets of 8 speakers."""
    (folder / "data/train").mkdir(exist_ok=True)
    tables = [read_table(folder / "data" / name / "utt2spk") for name in sets]
    speakers = {speaker: [u for u in table if table[u] == speaker] for table in tables for speaker in table.values()}
    lines = [f"{speaker} {' '.join(utterances)}\n" for speaker, utterances in speakers.items()]
    (folder / "data/train/spk2utt").write_text("".join(lines))
    for system in ("one", "two"):
        parts = [(folder / "exp" / system / f"embeddings_{name}" / "embedding.scp").read_text() for name in sets]
        (folder / "exp" / system / "embeddings_train").mkdir(exist_ok=True)
        (folder / "exp" / system / "embeddings_train" / "embedding.scp").write_text("".join(parts))


def made(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {os.fspath(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def refused(finished, *parts: str) -> None:
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr


def test_scores_become_the_linear_function_that_calibration_json_tells(work, shell):
    line = f"{TRAIN}; {APPLY}"
    shell(line, check=True)
    calibration = json.loads((work / "exp/one/calibration/calibration.json").read_text())
    assert (calibration["num_trials"], calibration["num_targets"], calibration["num_utterances"]) == (780, 80, 40)
    assert calibration["p_target"] == 0.05
    scores, llrs = (
        read_scores(work / "exp/one" / name) for name in ("scores_test_cosine", "scores_test_calibrated_cosine")
    )
    (weight,) = calibration["weights"]
    assert weight > 0
    np.testing.assert_allclose(llrs.values, weight * scores.values + calibration["offset"], rtol=1e-9, atol=1e-12)
    assert [llrs.names(line) for line in (0, 779)] == [scores.names(line) for line in (0, 779)]
    description = json.loads((work / "exp/one/scores_test_calibrated_cosine.json").read_text())
    assert description["backend"] == "calibrated_cosine"
    assert description["trials"] == "data/test/trials"
    assert not list(work.rglob("*.partial"))

    files = made(work)
    assert shell(line, check=True).stderr.count("already made") == 2
    assert made(work) == files
    again = shell(f"{TRAIN.replace('calibration ', 'calibration --p-target 0.5 ', 1)}; {APPLY}", check=True).stderr
    assert "made again, because this changed: p_target" in again
    assert "made again, because this changed: exp/one/calibration/calibration.json" in again


def test_the_table_shows_costs_at_the_bayes_threshold_of_calibrated_scores_alone(work, shell):
    table = shell(f"{TRAIN}; {APPLY}; report --draws 20 exp/one", check=True).stdout.splitlines()
    rows = {tuple(row.split("|")[i].strip() for i in (2, 3)): row.split("|")[-3:-1] for row in table[4:]}
    assert set(rows) == {("dev", "cosine"), ("test", "cosine"), ("test", "calibrated_cosine")}
    assert [cell.strip() for cell in rows["test", "cosine"]] == ["-", "-"]
    row = next(row for row in json.loads((work / "exp/one/results.json").read_text()) if "calibrated" in row["backend"])
    cells = [float(cell) for cell in rows["test", "calibrated_cosine"]]
    assert cells == pytest.approx([row["cllr"], row["act_dcf"]["0.01"]], abs=5e-5)
    assert row["min_cllr"] < row["cllr"] < 1
    assert row["interval"]["num_speakers"] == 8
    refused(shell("report --draws 1 exp/one"), "--draws: 1 is out of range; allowed: 2 or more, or 0 for no intervals")


def test_a_fusion_is_better_than_each_system_on_unseen_speakers(work, shell):
    shell(f"{TRAIN_FUSION}; {APPLY_FUSION}", check=True)
    description = json.loads((work / "exp/fusion/scores_test_fusion.json").read_text())
    assert description["backend"] == "calibrated_cosine+cosine"
    costs = []
    for scores in ("exp/one/scores_test_cosine", "exp/two/scores_test_cosine", "exp/fusion/scores_test_fusion"):
        shell(f"python3 -m spk.bin.metrics --json out.json {scores} data/test/trials", check=True)
        costs.append(json.loads((work / "out.json").read_text())["min_cllr"])
    assert costs[2] < min(costs[:2])


def test_quality_measures_are_weighed_beside_the_scores(work, shell):
    make_set(work, "others", seed=2)
    make_cohort(work, ["others"])
    shell(f"{TRAIN_QUALITY}; {APPLY_QUALITY}", check=True)
    calibration = json.loads((work / "exp/one/calibration/calibration.json").read_text())
    assert calibration["inputs"][1:] == [
        f"{which} {measure}" for measure in ("duration", "norm", "cohort") for which in ("smaller", "larger")
    ]
    assert calibration["duration_table"] == "utt2num_frames"
    description = json.loads((work / "exp/one/scores_test_calibrated_cosine.json").read_text())
    assert description["backend"] == "calibrated_cosine+duration+norm+cohort"
    # The two duration weights are seen in what the logarithms of durations change.
    frames = {u: int(n) for u, n in map(str.split, (work / "data/test/utt2num_frames").read_text().splitlines())}
    before = read_scores(work / "exp/one/scores_test_calibrated_cosine").values
    doubled = "".join(f"{utterance} {2 * number}\n" for utterance, number in frames.items())
    (work / "data/test/utt2num_frames").write_text(doubled)
    assert "because this changed: data/test/utt2num_frames" in shell(APPLY_QUALITY, check=True).stderr
    after = read_scores(work / "exp/one/scores_test_calibrated_cosine").values
    np.testing.assert_allclose(after - before, np.log(2) * sum(calibration["weights"][1:3]), atol=1e-9)

    another = APPLY_QUALITY.replace("--cohort exp/one/", "--cohort exp/two/")
    refused(shell(another), "exp/two/embeddings_train: another cohort than exp/one/calibration was trained with")
    refused(shell(APPLY), "quality measure 'duration' needs --enroll-data; give it here as well")
    assert not (work / "exp/one/scores_test_calibrated_cosine").exists()


def test_speakers_of_the_trials_are_left_out_of_the_cohort_and_counted(work, shell):
    make_set(work, "others", seed=2)
    weights, llrs, logs = [], [], []
    # With all training speakers the cohort has the held-out ones, too, and the last one even those of the test.
    for sets in (["others"], ["others", "dev"], ["others", "dev", "test"]):
        make_cohort(work, sets)
        logs.append(shell(f"{TRAIN_QUALITY} && {APPLY_QUALITY}", check=True).stderr)
        weights.append(json.loads((work / "exp/one/calibration/calibration.json").read_text())["weights"])
        llrs.append(read_scores(work / "exp/one/scores_test_calibrated_cosine").values)
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-6)
    np.testing.assert_allclose(llrs[1], llrs[0], rtol=1e-6)
    assert "left out" not in logs[0]
    assert "8 of the 16 members of the cohort have utterances of data/dev/trials and are left out of it" in logs[1]
    both = "16 of the 24 members of the cohort have utterances of exp/one/calibration's trials or data/test/trials"
    assert both in logs[2]

    make_cohort(work, ["dev"])
    refused(shell(TRAIN_QUALITY), "exp/one/embeddings_train: each of its 8 members has utterances of the trials")
    assert not (work / "exp/one/calibration/calibration.json").exists()


def test_utterances_of_the_cohort_without_embedding_are_counted(work, shell):
    make_set(work, "others", seed=2)
    make_cohort(work, ["others"])
    with (work / "data/train/spk2utt").open("a") as file:
        file.write("nobody lost-0 lost-1\n")
    logs = shell(f"{TRAIN_QUALITY} && {APPLY_QUALITY}", check=True).stderr
    line = "utterances of data/train/spk2utt without embedding, which are not in the cohort: 2: lost-0 lost-1"
    assert logs.count(line) == 2


def test_trials_that_trained_the_calibration_are_refused(work, shell):
    shell(TRAIN, check=True)
    trials = work / "data/test/trials"
    trials.write_text(trials.read_text() + "dev0-0 test0-0 nontarget\n")
    refused(
        shell(APPLY),
        "data/test/trials: of its 41 utterances, these trained exp/one/calibration: 1: dev0-0",
        "utils/held_out_trials",
    )
    assert not (work / "exp/one/scores_test_calibrated_cosine").exists()


def test_the_utterances_of_enrolled_models_are_compared_too(work, shell):
    shell(TRAIN, check=True)
    (work / "models").write_text("m1 test0-0 test0-1\nm2 dev1-0 test1-0\n")
    (work / "data/test/trials").write_text("m1 test0-2 target\nm2 test0-2 nontarget\n")
    (work / "exp/one/scores_test_cosine").write_text("m1 test0-2 0.9\nm2 test0-2 0.1\n")
    line = APPLY.replace(" exp", " --enroll-models models exp", 1)
    refused(shell(line), "of its 5 utterances, these trained exp/one/calibration: 1: dev1-0")
    (work / "models").write_text("m1 test0-0 test0-1\nm2 test1-0\n")
    shell(line, check=True)
    scores = work / "exp/one/scores_test_calibrated_cosine"
    assert len(scores.read_text().splitlines()) == 2
    assert json.loads(scores.with_name(f"{scores.name}.json").read_text())["enroll_models"] == "models"
    (work / "models").write_text("m1 test0-0 test0-1\n")
    refused(shell(line), "models: has no line for 1 models (m2), which data/test/trials names")


def test_perfectly_separated_trials_are_calibrated_with_a_warning(work, shell):
    lines = (work / "data/dev/trials").read_text().splitlines()
    values = [(*line.split()[:2], int(line.endswith(" target"))) for line in lines]
    (work / "exp/one/scores_dev_cosine").write_text("".join(f"{a} {b} {value}\n" for a, b, value in values))
    finished = shell(TRAIN, check=True)
    assert finished.stderr.count("warning: ") == 1
    assert "every target trial scores above every non-target trial" in finished.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (TRAIN.replace(" data", " --p-target 1 data", 1), "p_target: 1.0 is out of range"),
        (TRAIN.replace(" data", " --quality durations data", 1), "did you mean 'duration'?"),
        (TRAIN.replace(" data", " --quality norm data", 1), "quality measure 'norm' needs --enroll-dir"),
        (TRAIN.replace(" data", " --enroll-dir exp/one/embeddings_dev data", 1), "--enroll-dir: no quality measure"),
        (
            TRAIN.replace(" data", " --quality duration --enroll-data exp data", 1),
            "exp: no utt2num_frames or utt2dur there",
        ),
        (TRAIN.replace("scores_dev", "scores_test"), "exp/one/scores_test_cosine: no score for 780 trials"),
        ("train_calibration data/dev/trials exp/one/calibration", "it takes at least 3 arguments, not 2"),
        (APPLY, "exp/one/calibration/calibration.json: no such file"),
        (
            f"{TRAIN} >&2; {APPLY} exp/two/scores_test_cosine",
            "exp/one/calibration was trained on 1 score files, of cosine, and is given 2, of cosine, cosine",
        ),
        (
            f"{TRAIN} >&2; sed -i s/cosine/plda/ exp/one/scores_test_cosine.json; {APPLY}",
            "trained on 1 score files, of cosine, and is given 1, of plda",
        ),
        (
            f"{TRAIN} >&2; sed -i '3s/[^ ]*$/inf/' exp/one/scores_test_cosine; {APPLY}",
            "exp/one/scores_test_cosine: the score of 'test0-2 test0-1' is not finite",
        ),
        (
            f"mkdir exp/one/calibration; echo '{{}}' >exp/one/calibration/calibration.json; {APPLY}",
            "exp/one/calibration/calibration.json: not written by steps/train_calibration",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(work, shell, line, message):
    refused(shell(line), message)
    assert not (work / "exp/one/scores_test_calibrated_cosine").exists()


@pytest.mark.parametrize("step", ["train_calibration", "calibrate", "held_out_trials"])
def test_every_step_explains_itself(shell, step):
    assert shell(f"{step} --help", check=True).stdout.startswith(f"Usage: {step} ")
    assert "Usage: python3 -m" in shell(f"python3 -m spk.bin.{step} --help", check=True).stdout
