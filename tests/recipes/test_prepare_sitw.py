"""Speakers in the Wild: from the distribution's tree to data directories, features and tables with intervals."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from recipes.sitw_tree import make_sitw, write_part
from scipy.stats import multivariate_normal

from spk.backend.plda import Plda
from spk.backend.plda_files import write_plda
from spk.embed.write import write_embeddings

TOOLS = (
    "fix_data_dir.sh data/sitw_dev",
    "copy_data_dir.sh --utt-prefix x- --spk-prefix x- data/sitw_dev new",
    "subset_data_dir.sh --first data/sitw_dev 4 new",
    "subset_data_dir.sh --per-spk data/sitw_dev 1 new",
    "split_data.sh data/sitw_dev 3 && cp -r data/sitw_dev/split3/2 new",
    "combine_data.sh new data/sitw_dev data/sitw_eval",
)


@pytest.fixture
def sitw(tmp_path) -> Path:
    return make_sitw(tmp_path / "sitw")


def written(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_each_part_becomes_a_data_directory_with_models_and_trials(sitw, shell, tmp_path):
    said = shell("prepare_sitw --md5 true sitw data", check=True).stderr
    dev, other = written(tmp_path / "data" / "sitw_dev"), written(tmp_path / "data" / "sitw_eval")
    assert dev["segments"].splitlines()[2:5] == [
        "ABAA-mmmmm mmmmm 0 -1",
        "ABAA-mmmmm-0000500-0001250 mmmmm 0.500 1.250",
        "ABAA-mmmmm-0002000-0003990 mmmmm 2.000 3.990",
    ]
    assert dev["wav.scp"].splitlines()[0] == f"aaaaa {sitw}/dev/audio/aaaaa.flac"
    assert dev["utt2spk"].splitlines()[-1] == "uuuuu-uuuuu uuuuu"
    assert dev["models_assist"] == (
        "20001 ABAA-mmmmm-0000500-0001250 ABAA-mmmmm-0002000-0003990\n20002 BCDE-nnnnn-0001250-0002000\n"
    )
    assert dev["trials_core-core"].splitlines()[:2] == ["10001 ABAA-aaaab target", "10001 BCDE-bbbbb nontarget"]
    assert "spk2gender" not in dev, "nobody knows uuuuu"
    assert sorted(name for name in dev if "_" in name and not name.startswith(".")) == [
        *("models_assist", "models_core"),
        *("trials_assist-core", "trials_assist-multi", "trials_core-core", "trials_core-multi"),
    ]
    assert other["spk2gender"] == "EFGH f\nFGHI f\n"
    for words in (
        "sitw/dev: the md5 sums of 8 files are right",
        "sitw/eval/keys: no key of core-multi, assist-core, assist-multi",
        "data/sitw_dev: 4 speakers, 8 files, 10 utterances (3 of them pieces of a file)",
        "models_assist: 2 models of 3 utterances",
        "trials_core-core: 6 trials (2 target) of 2 models and 3 tests",
        "1 of 2 tgt trials have different speakers by meta.lst",
    ):
        assert words in said


@pytest.mark.parametrize("command", TOOLS)
def test_every_tool_takes_whole_files_and_pieces_of_them(sitw, shell, command):
    shell("prepare_sitw sitw data", check=True)
    shell(command, check=True)
    shell("validate_data_dir.sh --no-feats " + ("new" if "new" in command else "data/sitw_dev"), check=True)


def test_features_are_those_of_the_pieces(sitw, shell, tmp_path):
    shell("prepare_sitw sitw data && make_feats --nj 2 data/sitw_dev", check=True)
    shell("validate_data_dir.sh data/sitw_dev", check=True)
    lines = (tmp_path / "data" / "sitw_dev" / "utt2dur").read_text().splitlines()
    seconds = {name: float(value) for name, value in map(str.split, lines)}
    assert seconds["ABAA-mmmmm"] == pytest.approx(4.0)
    assert seconds["ABAA-mmmmm-0002000-0003990"] == pytest.approx(1.99)
    assert seconds["BCDE-nnnnn-0001250-0002000"] == pytest.approx(0.75)


def test_nothing_is_made_twice_and_what_changed_is_named(sitw, shell, tmp_path):
    shell("prepare_sitw --aux true sitw data", check=True)
    assert (tmp_path / "data" / "sitw_dev" / "trials_assist-multi.10s").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    again = shell("prepare_sitw --aux true sitw data", check=True)
    assert again.stderr == "already made: data/sitw_dev, data/sitw_eval\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == made
    assert "data/sitw_dev is made again, because this changed: --aux" in shell("prepare_sitw sitw data").stderr
    assert not (tmp_path / "data" / "sitw_dev" / "trials_assist-multi.10s").exists(), "it was not asked for now"
    key = sitw / "dev" / "keys" / "core-core.lst"
    key.write_text("".join(key.read_text().splitlines(keepends=True)[:5]))
    assert "because this changed: sitw/dev/keys/core-core.lst" in shell("prepare_sitw sitw data", check=True).stderr
    assert len((tmp_path / "data" / "sitw_dev" / "trials_core-core").read_text().splitlines()) == 5
    (tmp_path / "data" / "sitw_dev" / "models_core").unlink()
    shell("prepare_sitw sitw data", check=True)
    assert (tmp_path / "data" / "sitw_dev" / "models_core").exists()


def test_lists_of_another_distribution_do_not_stay(sitw, shell, tmp_path):
    shell("prepare_sitw sitw data", check=True)
    shell("cp -r sitw other; rm other/dev/keys/assist-*", check=True)
    said = shell("prepare_sitw other data", check=True).stderr
    dev = tmp_path / "data" / "sitw_dev"
    lists = {path.name for kind in ("models_*", "trials_*") for path in dev.glob(kind)}
    assert lists == {"models_core", "trials_core-core", "trials_core-multi"}
    for name in ("models_assist", "trials_assist-core", "trials_assist-multi"):
        assert f"data/sitw_dev/{name} is removed: this call makes no such list" in said
    assert "data/sitw_eval/" not in said


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("rm sitw/eval/audio/ffffa.flac", "sitw/eval: its lists name 1 files that are not there: audio/ffffa.flac"),
        ("echo junk > sitw/eval/keys/core-core.lst", "sitw/eval/keys/core-core.lst:1: 1 fields instead of 3"),
        ("rm sitw/eval/keys/meta.lst; mkdir sitw/eval/keys/meta.lst", "sitw/eval/keys/meta.lst: Is a directory"),
        ("echo x >> sitw/eval/audio/eeeea.flac", "audio_md5sum.lst: 1 files differ: audio/eeeea.flac"),
        ("mv sitw/dev sitw/eval .", "sitw: has neither a folder dev nor eval"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(sitw, shell, tmp_path, spoil, message):
    """Even for dev, although only eval is at fault."""
    finished = shell(f"{spoil} && prepare_sitw --md5 true sitw data")
    assert finished.returncode == 1
    assert message in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "data").exists()


# ---- from the lists to tables: eight speakers with drawn embeddings

SPEAKERS = [f"S{letter}" for letter in "ABCDEFGH"]
NUM_TESTS = 4


@pytest.fixture
def scored(tmp_path, shell) -> Path:
    """data/sitw_dev of eight speakers, who enrol with two pieces of one file, and embeddings of all utterances."""
    files = {f"{speaker.lower()}{number}": speaker for speaker in SPEAKERS for number in range(NUM_TESTS + 1)}
    tests = {file: speaker for file, speaker in files.items() if not file.endswith("0")}
    trials = [
        f"7{number} audio/{file}.flac {'tgt' if files[file] == speaker else 'imp'}\n"
        for (number, speaker), file in itertools.product(enumerate(SPEAKERS), tests)
    ]
    lists = {
        "keys/meta.lst": "".join(f"audio/{file}.flac {who} m video 1 0 1 1\n" for file, who in files.items()),
        "lists/enroll-assist.lst": "".join(
            f"7{number} audio/{speaker.lower()}0.flac {begin} {begin + 0.04}\n"
            for number, speaker in enumerate(SPEAKERS)
            for begin in (0.01, 0.06)
        ),
        "keys/assist-core.lst": "".join(trials),
    }
    write_part(tmp_path / "sitw" / "dev", lists, dict.fromkeys(files, 0.1))
    shell("prepare_sitw sitw data", check=True)
    lines = (tmp_path / "data" / "sitw_dev" / "utt2spk").read_text().splitlines()
    utt2spk = dict(line.split() for line in lines)
    random = np.random.default_rng(3)
    mean_of = {speaker: random.standard_normal(6) for speaker in SPEAKERS}
    vectors = np.array([mean_of[speaker] + 0.9 * random.standard_normal(6) for speaker in utt2spk.values()], "f4")
    write_embeddings(str(tmp_path / "exp/net/embeddings_sitw_dev/embedding"), list(utt2spk), vectors)
    np.savez(tmp_path / "vectors.npz", **dict(zip(utt2spk, vectors, strict=True)))
    return tmp_path


SCORE = (
    "score {} --enroll-models data/sitw_dev/models_assist data/sitw_dev/trials_assist-core "
    "exp/net/embeddings_sitw_dev exp/net/embeddings_sitw_dev exp/net/scores_sitw_dev_assist-core_{}"
)


def test_intervals_of_models_are_those_of_the_speakers_of_their_utterances(scored, shell):
    """The same scores, with the first utterance of each model instead of its name, have the same intervals."""
    shell(SCORE.format("--backend cosine", "cosine"), check=True)
    shell("report --draws 40 exp/net", check=True)
    (row,) = json.loads((scored / "exp/net/results.json").read_text())
    assert (row["test_set"], row["num_targets"], row["num_nontargets"]) == ("sitw_dev_assist-core", 32, 224)

    models = dict(line.split()[:2] for line in (scored / "data/sitw_dev/models_assist").read_text().splitlines())
    shutil.copy(scored / "data/sitw_dev/utt2spk", scored / "utt2spk")
    for source, name in (
        ("data/sitw_dev/trials_assist-core", "trials"),
        ("exp/net/scores_sitw_dev_assist-core_cosine", "scores"),
    ):
        text = (scored / source).read_text()
        (scored / name).write_text(re.sub("^7[0-9]", lambda found: models[found[0]], text, flags=re.MULTILINE))
    shell("python3 -m spk.bin.metrics --draws 40 --json utterances.json scores trials", check=True)
    expected = json.loads((scored / "utterances.json").read_text())
    assert row["interval"] == expected["intervals"]
    assert expected["intervals"]["num_speakers"] == 8

    scores = "exp/net/scores_sitw_dev_assist-core_cosine"
    trials = "data/sitw_dev/trials_assist-core"
    shell(f"python3 -m spk.bin.metrics --draws 40 --json models.json {scores} {trials}", check=True)
    assert json.loads((scored / "models.json").read_text()) == expected
    given = "--enroll-models data/sitw_dev/models_assist --draws 40 --json given.json"
    shell(f"cp {scores} elsewhere && python3 -m spk.bin.metrics {given} elsewhere {trials}", check=True)
    assert json.loads((scored / "given.json").read_text()) == expected
    compared = shell(f"python3 -m spk.bin.compare --draws 4 {scores} {scores} {trials}", check=True).stdout
    assert compared.startswith("256 trials of 8 speakers\n")
    groups = "".join(f"{line.split()[0]} {'xy'[line > 'SE']}\n" for line in (scored / "utt2spk").open())
    (scored / "groups").write_text(groups)
    said = shell(f"python3 -m spk.bin.metrics --draws 4 --groups groups {scores} {trials}", check=True).stdout
    assert "\nx\ntrials         64 (16 target, 48 nontarget)\n" in said
    assert "in no group    128 trials across groups, 0 of an utterance without group" in said


def test_a_report_follows_the_models(scored, shell):
    shell(SCORE.format("--backend cosine", "cosine") + " && report --draws 40 exp/net", check=True)
    with_models = (scored / "exp/net/results.json").read_text()
    table = scored / "data/sitw_dev/models_assist"
    table.write_text(table.read_text().replace("70 SA-sa0", "70 SB-sb1 SA-sa0"))
    for line in (scored / "exp/net").glob(".*.done"):
        line.unlink()  # as scores from elsewhere, which no stamp guards
    said = shell("report --draws 40 exp/net", check=True).stderr
    assert "no intervals: data/sitw_dev/models_assist: 1 models of several speakers: 70" in said
    assert json.loads((scored / "exp/net/results.json").read_text())[0]["interval"] is None
    assert json.loads(with_models)[0]["interval"] is not None


def test_plda_scores_of_models_are_likelihood_ratios_of_all_their_pieces(scored, shell):
    """The joint Gaussian of two enrolled pieces and a test, of one speaker against two."""
    between, within = np.diag([3.0, 2.0, 1.5, 1.0, 0.5, 0.2]), 0.8 * np.eye(6)
    folder = scored / "exp/net/backend_plda"
    write_plda(folder / "plda", Plda.from_covariances(np.zeros(6), within, between))
    (folder / "plda.json").write_text('{"length_normalize": false}')
    options = "--backend plda --normalize-length false --backend-dir exp/net/backend_plda"
    shell(SCORE.format(options, "plda"), check=True)
    vectors = np.load(scored / "vectors.npz")
    models = {line.split()[0]: line.split()[1:] for line in (scored / "data/sitw_dev/models_assist").open()}

    def log_density(*names: str) -> float:
        covariance = np.kron(np.ones((len(names), len(names))), between) + np.kron(np.eye(len(names)), within)
        return multivariate_normal(np.zeros(6 * len(names)), covariance).logpdf(
            np.concatenate([vectors[n] for n in names])
        )

    scores = (scored / "exp/net/scores_sitw_dev_assist-core_plda").read_text().splitlines()
    for model, test, score in map(str.split, scores[::17]):
        expected = log_density(*models[model], test) - log_density(*models[model]) - log_density(test)
        assert float(score) == pytest.approx(expected, rel=1e-4, abs=1e-4)
