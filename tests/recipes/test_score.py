"""The steps after the embeddings: what they write, what they refuse, and when they do nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from spk.backend.plda import Plda
from spk.backend.plda_files import write_plda
from spk.embed.write import write_embeddings

SPEAKERS = [f"s{n}" for n in range(6)]
UTTERANCES = [f"{speaker}-{n}" for speaker in SPEAKERS for n in range(5)]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """data/test with trials of all pairs, data/train, and embeddings of 6 speakers in exp/net."""
    random = np.random.default_rng(0)
    means = dict(zip(SPEAKERS, 3 * random.standard_normal((6, 8)), strict=True))
    embeddings = np.stack([means[name[:2]] + random.standard_normal(8) for name in UTTERANCES]).astype(np.float32)
    for name in ("train", "test"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "utt2spk").write_text("".join(f"{u} {u[:2]}\n" for u in UTTERANCES))
        write_embeddings(str(tmp_path / "exp" / "net" / f"embeddings_{name}" / "embedding"), UTTERANCES, embeddings)
    pairs = [(a, b) for i, a in enumerate(UTTERANCES) for b in UTTERANCES[:i]]
    lines = [f"{a} {b} {'target' if a[:2] == b[:2] else 'nontarget'}\n" for a, b in pairs]
    (tmp_path / "data" / "test" / "trials").write_text("".join(lines))
    return tmp_path


TRAIN_LDA = "train_lda data/train exp/net/embeddings_train exp/net/backend_lda"
SCORE = "score data/test/trials exp/net/embeddings_test exp/net/embeddings_test exp/net/scores_test_cosine"
SCORE_LDA = SCORE.replace("score ", "score --backend-dir exp/net/backend_lda ").replace("_cosine", "_lda_cosine")


def made(folder: Path) -> dict[str, int]:
    """name -> time of change in ns."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {os.fspath(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def test_repeated_trials_are_scored_and_measured_as_often_as_they_stand_and_said(work, shell):
    trials = work / "data/test/trials"
    trials.write_text(trials.read_text() + "".join(trials.read_text().splitlines(keepends=True)[:3]))
    said = "data/test/trials: 3 of 438 lines repeat an earlier pair and count again\n"
    assert shell(SCORE, check=True).stderr.count(said) == 1
    scores = (work / "exp/net/scores_test_cosine").read_text().splitlines()
    assert len(scores) == 438 and scores[-3:] == scores[:3]
    measured = shell("python3 -m spk.bin.metrics exp/net/scores_test_cosine data/test/trials", check=True)
    assert measured.stderr.count(said) == 1
    assert measured.stdout.startswith("trials         438 ")


def test_trials_without_labels_are_scored_and_left_out_of_the_table(work, shell):
    shell(SCORE, check=True)
    trials = (work / "data/test/trials").read_text().splitlines()
    (work / "data/test/blind").write_text("".join(f"{line.rsplit(' ', 1)[0]}\n" for line in trials))
    shell(SCORE.replace("test/trials", "test/blind").replace("scores_test", "scores_blind"), check=True)
    labelled = work / "exp/net/scores_test_cosine"
    assert (work / "exp/net/scores_blind_cosine").read_bytes() == labelled.read_bytes()
    reported = shell("report --output out exp/net", check=True)
    assert "scores_blind_cosine: left out: data/test/blind has no labels" in reported.stderr
    assert [result["test_set"] for result in json.loads((work / "exp/net/results.json").read_text())] == ["test"]
    alone = shell("mkdir exp/blind; mv exp/net/scores_blind_cosine* exp/blind; report --output out exp/blind")
    assert alone.returncode == 1 and "no scores are left to report" in alone.stderr


def test_from_embeddings_to_a_table_and_the_second_time_nothing(work, shell):
    line = f"{TRAIN_LDA}; {SCORE}; {SCORE_LDA}; report --title 'All pairs' --output out exp/net"
    first = shell(line, check=True)
    files = made(work)
    table = first.stdout.splitlines()
    assert table[0] == "# All pairs"
    assert [row.split("|")[1:6] for row in table[4:]] == [
        [" net    ", " test     ", " cosine     ", "      60 ", "         375 "],
        [" net    ", " test     ", " lda_cosine ", "      60 ", "         375 "],
    ]
    assert len((work / "exp/net/scores_test_cosine").read_text().splitlines()) == 60 + 375
    results = json.loads((work / "exp/net/results.json").read_text())
    assert 0 < results[1]["eer"] < results[0]["eer"] < 0.3  # LDA saw these very speakers
    assert {"results.md", "results.json", "det_test.png", "histogram_test.png"} <= {
        path.name for path in (work / "out").iterdir()
    }
    assert not list(work.rglob("*.partial"))

    second = shell(line, check=True)
    assert second.stderr.count("already made") == 3
    assert second.stdout == first.stdout
    assert made(work) == files


def test_the_scores_are_cosines_in_the_order_of_the_trials(work, shell):
    shell(SCORE, check=True)
    embeddings = kaldiio.load_scp(str(work / "exp/net/embeddings_test/embedding.scp"))
    trials = (work / "data/test/trials").read_text().splitlines()
    scores = (work / "exp/net/scores_test_cosine").read_text().splitlines()
    for trial, line in zip(trials, scores, strict=True):
        enroll, test, score = line.split()
        assert trial.split()[:2] == [enroll, test]
        x, y = embeddings[enroll], embeddings[test]
        assert float(score) == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-6)
    description = json.loads((work / "exp/net/scores_test_cosine.json").read_text())
    assert description["trials"] == "data/test/trials"
    assert description["num_trials"] == len(trials)


def test_what_changed_is_said_and_the_scores_are_made_again(work, shell):
    shell(f"{TRAIN_LDA}; {SCORE_LDA}", check=True)
    before = (work / "exp/net/scores_test_lda_cosine").read_bytes()
    finished = shell(f"{TRAIN_LDA.replace('lda ', 'lda --lda-dim 2 ', 1)}; {SCORE_LDA}", check=True)
    assert "made again, because this changed: lda_dim" in finished.stderr
    assert "made again, because this changed: exp/net/backend_lda/transform.mat" in finished.stderr
    assert (work / "exp/net/scores_test_lda_cosine").read_bytes() != before


def refused(finished, *parts: str) -> None:
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr


def no_scores(work: Path) -> bool:
    return not list((work / "exp/net").glob("scores_test_cosine")) and not list(work.rglob("*.done"))


def test_a_trial_naming_unknown_utterances_is_counted_and_listed(work, shell):
    trials = work / "data/test/trials"
    trials.write_text(trials.read_text() + "s0-0 who target\nwhat s1-0 nontarget\nwho what nontarget\n")
    refused(
        shell(SCORE),
        "data/test/trials: 3 of 438 trials cannot be scored",
        "no embedding of 2 utterances (who, what)",
        "exp/net/scores_test_cosine.missing",
    )
    assert (work / "exp/net/scores_test_cosine.missing").read_text() == "who\nwhat\n"
    assert no_scores(work)


def test_an_unknown_label_is_refused_with_its_line(work, shell):
    trials = work / "data/test/trials"
    trials.write_text(trials.read_text() + "s0-0 s0-1 imposter\n")
    refused(shell(SCORE), "data/test/trials:436: label 'imposter' is not known")
    assert no_scores(work)


def test_a_nan_in_an_embedding_names_its_utterance(work, shell):
    vectors = np.ones((len(UTTERANCES), 8))
    vectors[7, 3] = np.nan
    write_embeddings(str(work / "exp/net/embeddings_test/embedding"), UTTERANCES, vectors)
    refused(shell(SCORE), f"the embedding of '{UTTERANCES[7]}' has a value that is not finite")
    assert no_scores(work)


def test_embeddings_of_another_dimension_than_the_back_end_are_refused(work, shell):
    shell(TRAIN_LDA, check=True)
    write_embeddings(str(work / "exp/net/embeddings_test/embedding"), UTTERANCES, np.ones((len(UTTERANCES), 5)))
    refused(shell(SCORE_LDA), "embeddings have 5 dimensions, but the back-end was trained on 8")


def test_scores_of_an_earlier_run_do_not_outlive_a_failed_one(work, shell):
    shell(SCORE, check=True)
    (work / "data/test/trials").write_text("s0-0 who target\n")
    refused(shell(SCORE), "no embedding of 1 utterances (who)")
    assert no_scores(work)
    refused(shell("report exp/net"), "exp/net: has no scores_*.json")


@pytest.fixture
def plda_work(work: Path) -> Path:
    """Also a PLDA model, models of two utterances with their trials, and a cohort of four speakers by five."""
    random = np.random.default_rng(1)
    folder = work / "exp/net/backend_plda"
    write_plda(folder / "plda", Plda.from_covariances(np.zeros(8), np.eye(8), 9 * np.eye(8)))
    kaldiio.save_mat(str(folder / "mean.vec"), random.standard_normal(8).astype("f4"))
    (folder / "plda.json").write_text('{"length_normalize": true}')
    (work / "data/test/enroll").write_text("".join(f"{s} {s}-0 {s}-1\n" for s in SPEAKERS))
    lines = [
        f"{s} {u} {'target' if u.startswith(s) else 'nontarget'}\n"
        for s in SPEAKERS
        for u in UTTERANCES
        if u[-1] in "34"
    ]
    (work / "data/test/trials_models").write_text("".join(lines))
    members = [f"c{n // 5}-{n % 5}" for n in range(20)]
    write_embeddings(str(work / "exp/net/embeddings_cohort/embedding"), members, random.standard_normal((20, 8)))
    (work / "cohort").write_text("".join(f"c{n} {' '.join(members[5 * n : 5 * n + 5])} absent{n}\n" for n in range(4)))
    return work


SCORE_PLDA = (
    "score --backend plda --backend-dir exp/net/backend_plda --enroll-models data/test/enroll --norm as --top-n 3 "
    "--cohort exp/net/embeddings_cohort --cohort-models cohort data/test/trials_models exp/net/embeddings_test "
    "exp/net/embeddings_test exp/net/scores_test_plda_as"
)


def test_plda_models_and_a_cohort_from_end_to_end_and_the_second_time_nothing(plda_work, shell):
    first = shell(SCORE_PLDA, check=True)
    scores = plda_work / "exp/net/scores_test_plda_as"
    missing = scores.with_name(f"{scores.name}.cohort_missing")
    assert f"4 utterances of cohort have no embedding and are not in the cohort; they are listed in {missing.name}" in (
        first.stderr.replace("exp/net/", "")
    )
    assert missing.read_text().split() == [f"absent{n}" for n in range(4)]
    lines = [line.split() for line in scores.read_text().splitlines()]
    trials = [line.split() for line in (plda_work / "data/test/trials_models").read_text().splitlines()]
    assert [line[:2] for line in lines] == [trial[:2] for trial in trials]
    targets = [float(line[2]) for line, trial in zip(lines, trials, strict=True) if trial[2] == "target"]
    others = [float(line[2]) for line, trial in zip(lines, trials, strict=True) if trial[2] == "nontarget"]
    assert np.median(targets) > np.quantile(others, 0.9)
    description = json.loads(scores.with_name(f"{scores.name}.json").read_text())
    told = ("backend", "backend_dir", "enroll_models", "norm", "cohort", "cohort_models", "cohort_size", "top_n")
    assert {name: description[name] for name in told} == {
        "backend": "plda_as",
        "backend_dir": "exp/net/backend_plda",
        "enroll_models": "data/test/enroll",
        "norm": "as",
        "cohort": "exp/net/embeddings_cohort",
        "cohort_models": "cohort",
        "cohort_size": 4,
        "top_n": 3,
    }
    before = made(plda_work)
    assert "already made" in shell(SCORE_PLDA, check=True).stderr
    assert made(plda_work) == before
    (plda_work / "exp/net/backend_plda/plda.json").write_text('{"length_normalize": false}')
    (plda_work / "data/test/enroll").write_text("".join(f"{s} {s}-0\n" for s in SPEAKERS))
    (plda_work / "cohort").write_text("".join(f"c{n} c{n}-0\n" for n in range(4)))
    again = shell(SCORE_PLDA.replace("--top-n 3", "--top-n 4"), check=True).stderr
    assert "because this changed: cohort, data/test/enroll, exp/net/backend_plda/plda.json, top_n" in again
    assert not missing.exists()


def test_embeddings_that_are_to_be_scored_by_plda_need_its_model_and_take_its_options(plda_work, shell):
    folder = plda_work / "exp/net/embeddings_test"
    (folder / "evaluation.yaml").write_text("backend: {name: plda, normalize_length: false}\n")
    refused(shell(SCORE), "plda is trained on embeddings: give --backend-dir (steps/train_plda)")
    told = SCORE.replace("score ", "score --backend-dir exp/net/backend_plda ", 1)
    asked = told.replace("score ", "score --backend plda --normalize-length false ", 1).replace("_cosine", "_asked")
    shell(f"{told}; {asked}", check=True)
    scores = (plda_work / "exp/net/scores_test_cosine").read_bytes()
    assert scores == (plda_work / "exp/net/scores_test_asked").read_bytes()
    shell(asked.replace("length false", "length true"), check=True)
    assert scores != (plda_work / "exp/net/scores_test_asked").read_bytes()


def test_plda_scores_are_written_in_full_precision(plda_work, shell):
    plain = SCORE_PLDA.replace("--norm as --top-n 3 --cohort exp/net/embeddings_cohort --cohort-models cohort ", "")
    shell(plain, check=True)
    scores = (plda_work / "exp/net/scores_test_plda_as").read_text().splitlines()
    assert max(len(line.split()[2].lstrip("-").replace(".", "")) for line in scores) >= 16
    assert json.loads((plda_work / "exp/net/scores_test_plda_as.json").read_text())["backend"] == "plda"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("--norm as", "--norm snorm", "--norm: no score normalisation is named 'snorm'; Known: as, none, s, t, z"),
        ("--norm as", "--norm none", "--cohort is for score normalisation; give --norm, too"),
        ("--cohort exp/net/embeddings_cohort", "", "--norm as: give --cohort, embeddings of speakers who are in no"),
        ("--top-n 3", "--top-n 5", "--top-n 5: the cohort has only 4; give a larger cohort or a smaller N"),
        ("--top-n 3", "--top-n many", "score: error: --top-n: 'many' must be a whole number"),
        (
            "--cohort exp/net/embeddings_cohort --cohort-models cohort",
            "--cohort exp/net/embeddings_train",
            "the cohort exp/net/embeddings_train has 24 utterances of the trials (s0-0, s0-1, s0-3, s0-4, s1-0, ...)",
        ),
        ("--backend-dir exp/net/backend_plda", "", "plda is trained on embeddings: give --backend-dir"),
        ("exp/net/backend_plda", "exp/net", "exp/net/plda: no such file; train the back-end first (steps/train_plda)"),
        ("--backend plda", "--backend plda --length-normalize true", "--length-normalize is for euclidean, and these"),
        ("--backend plda", "--backend cosine --normalize-length true", "--normalize-length is for plda, and these"),
        ("trials_models", "trials", "data/test/enroll: has no line for 29 models (s0-1,"),
        ("data/test/enroll", "data/test/trials", "data/test/trials:3: model 's0-2' stands on line 2 already"),
        ("--enroll-models data/test/enroll", "", "72 of 72 trials cannot be scored"),
    ],
)
def test_a_wrong_way_to_score_is_refused(plda_work, shell, old, new, message):
    assert old in SCORE_PLDA
    finished = shell(SCORE_PLDA.replace(old, new))
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    assert message in finished.stderr
    assert not (plda_work / "exp/net/scores_test_plda_as").exists()


def test_models_whose_utterances_have_no_embedding_are_counted_and_listed(plda_work, shell):
    (plda_work / "data/test/enroll").write_text("".join(f"{s} {s}-0 {'lost' if s == 's3' else ''}\n" for s in SPEAKERS))
    refused(
        shell(SCORE_PLDA),
        "data/test/trials_models: 12 of 72 trials cannot be scored",
        "no embedding of 1 utterances (lost)",
    )
    assert (plda_work / "exp/net/scores_test_plda_as.missing").read_text() == "lost\n"


def test_embeddings_of_another_dimension_than_the_plda_are_refused(plda_work, shell):
    (plda_work / "exp/net/backend_plda/mean.vec").unlink()
    write_embeddings(str(plda_work / "exp/net/embeddings_test/embedding"), UTTERANCES, np.ones((len(UTTERANCES), 5)))
    refused(shell(SCORE_PLDA), "embeddings have 5 dimensions, but the PLDA was trained on 8")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (SCORE.replace("score ", "score --backend cosin ", 1), "did you mean 'cosine'?"),
        (
            SCORE.replace("score ", "score --length-normalize false ", 1),
            "--length-normalize is for euclidean, and these embeddings are scored by cosine",
        ),
        ("score data/test/trials", "it takes 4 arguments, not 1"),
        (SCORE.replace("/trials", "/nowhere"), "data/test/nowhere: no such file"),
        (TRAIN_LDA.replace("lda ", "lda --lda-dim 6 ", 1), "--lda-dim 6: allowed are 1 to 5, less than the 6 speakers"),
        (TRAIN_LDA.replace("lda ", "lda --lda-dim many ", 1), "--lda-dim: 'many' must be a whole number or auto"),
        (TRAIN_LDA.replace("lda ", "lda --shrinkage 2 ", 1), "--shrinkage: '2' is out of range"),
        ("report", "it takes the folder of a system"),
    ],
)
def test_a_wrong_command_line_is_refused(work, shell, line, message):
    refused(shell(line), message)


def test_utterances_without_embedding_take_no_part_in_lda_and_are_listed(work, shell):
    path = work / "data/train/utt2spk"
    path.write_text(path.read_text() + "s6-0 s6\n")
    finished = shell(TRAIN_LDA, check=True)
    assert "1 utterances have no embedding and take no part" in finished.stderr
    assert (work / "exp/net/backend_lda/missing").read_text() == "s6-0\n"
    assert json.loads((work / "exp/net/backend_lda/lda.json").read_text())["num_speakers"] == 6


def test_statistics_are_made_of_the_features_and_made_again_with_them(work, shell):
    features = {
        name: np.random.default_rng(n).standard_normal((9, 3)).astype("f4") for n, name in enumerate(UTTERANCES)
    }
    kaldiio.save_ark(str(work / "data/test/feats.ark"), features, scp=str(work / "data/test/feats.scp"))
    (work / "data/test/feats.yaml").write_text("name: fbank40\n")
    line = "extract_statistics data/test exp/statistics/embeddings_test"
    shell(line, check=True)
    embeddings = kaldiio.load_scp(str(work / "exp/statistics/embeddings_test/embedding.scp"))
    assert list(embeddings) == UTTERANCES
    expected = np.concatenate([features["s0-0"].mean(axis=0), features["s0-0"].std(axis=0)])
    np.testing.assert_allclose(embeddings["s0-0"], expected, rtol=1e-5)
    assert "already made" in shell(line, check=True).stderr
    (work / "data/test/feats.yaml").write_text("name: fbank80\n")
    assert "because this changed: data/test/feats.yaml" in shell(line, check=True).stderr


def test_anybodys_scores_are_measured_with_voxcelebs_trial_form(tmp_path, shell):
    (tmp_path / "veri_test.txt").write_text(
        "1 a/1.wav b/2.wav\n0 a/1.wav c/3.wav\n1 b/2.wav a/1.wav\n0 c/3.wav b/2.wav"
    )
    (tmp_path / "scores").write_text(
        "c/3.wav b/2.wav 0.1\na/1.wav b/2.wav 0.9\na/1.wav c/3.wav 0.5\nb/2.wav a/1.wav 0.3\n"
    )
    finished = shell("python3 -m spk.bin.metrics --json out.json scores veri_test.txt", check=True)
    assert "trials         4 (2 target, 2 nontarget)\nEER            50.000 %\n" in finished.stdout
    assert json.loads((tmp_path / "out.json").read_text())["eer"] == 0.5
    (tmp_path / "scores").write_text("c/3.wav b/2.wav 0.1\n")
    refused(shell("python3 -m spk.bin.metrics scores veri_test.txt"), "no score for 3 trials (line 1: a/1.wav b/2.wav;")


@pytest.mark.parametrize("step", ["score", "train_lda", "extract_statistics", "report"])
def test_every_step_explains_itself(shell, step):
    assert shell(f"{step} --help", check=True).stdout.startswith(f"Usage: {step} ")
    assert "Usage: python3 -m" in shell(f"python3 -m spk.bin.{step} --help", check=True).stdout


def test_embeddings_say_how_they_are_scored(work, shell):
    folder = work / "exp/net/embeddings_test"
    (folder / "evaluation.yaml").write_text("backend: {name: euclidean, length_normalize: false}\n")
    shell(SCORE, check=True)
    embeddings = kaldiio.load_scp(str(folder / "embedding.scp"))
    for line in (work / "exp/net/scores_test_cosine").read_text().splitlines():
        enroll, test, score = line.split()
        assert float(score) == pytest.approx(-np.linalg.norm(embeddings[enroll] - embeddings[test]), rel=1e-5)
    assert json.loads((work / "exp/net/scores_test_cosine.json").read_text())["backend"] == "raw_euclidean"


def test_two_sides_of_different_protocols_are_refused(work, shell):
    (work / "exp/net/embeddings_test/evaluation.yaml").write_text("backend: euclidean\n")
    finished = shell(
        SCORE.replace("embeddings_test exp/net/embeddings_test", "embeddings_train exp/net/embeddings_test")
    )
    assert finished.returncode != 0
    assert "extract both with the same evaluation, or give --backend" in finished.stderr
    assert not (work / "exp/net/scores_test_cosine").exists()
