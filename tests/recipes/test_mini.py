"""egs/mini on a tiny corpus: each stage alone, nothing redone, killed and resumed, and what a user may get wrong."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipes.processes import kill_when
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs" / "mini" / "run.sh"
LAST_STAGE = 6


class Run:
    """egs/mini with everything that it makes below one folder."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.folder, self.corpus = folder, corpus
        self.data, self.exp, self.baseline = folder / "data", folder / "exp", folder / "statistics"
        folder.mkdir()

    def command(self, stages: Sequence[int], *options: str) -> list[str]:
        folders = [f"--{name}={getattr(self, name)}" for name in ("corpus", "data", "exp", "baseline")]
        return [
            os.fspath(RECIPE),
            f"--stage={stages[0]}",
            f"--stop-stage={stages[-1]}",
            *folders,
            *SMALL_OPTIONS,
            *options,
        ]

    def __call__(self, stages: Sequence[int], *options: str) -> subprocess.CompletedProcess[str]:
        command = self.command(stages, *options)
        return subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=self.folder)

    def killed(self, stages: Sequence[int], happened) -> None:
        process = subprocess.Popen(self.command(stages), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            kill_when(process, happened)
        finally:
            process.kill()

    def scores(self) -> dict[str, bytes]:
        """name -> content of each score list."""
        found = [path for system in (self.exp, self.baseline) for path in sorted(system.glob("scores_*"))]
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found if not path.suffix}

    def made(self) -> dict[str, int]:
        """name -> time of change in ns, of all files but logs and locks."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        files = [path for path in files if "log" not in path.parts and path.name != ".lock"]
        return {os.fspath(path.relative_to(self.folder)): path.stat().st_mtime_ns for path in files}


def succeeds(finished: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished


def error_of(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line that says what is wrong; a traceback is none."""
    assert finished.returncode not in (0, None)
    assert "Traceback" not in finished.stderr
    return finished.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("speech") / "buzz"
    return make_corpus(folder, train_speakers=10, test_speakers=4, utterances=6, seconds=2.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus) -> Run:
    """One whole run, never killed."""
    run = Run(tmp_path_factory.mktemp("whole") / "run", corpus)
    table = succeeds(run(range(LAST_STAGE + 1))).stdout
    assert "statistics" in table and "EER" in table
    return run


def test_the_table_has_both_systems_by_every_back_end(finished):
    rows = ("cosine", "lda_cosine", "plda", "cosine_as")
    expected = {f"{system}/scores_test_buzz_{row}" for system in ("exp", "statistics") for row in rows}
    assert set(finished.scores()) == expected
    assert {row["backend"] for row in json.loads((finished.exp / "report/results.json").read_text())} == set(rows)


def test_rows_are_chosen_by_name_and_each_is_scored_once(finished):
    """The statistics have no speakers held out, so nothing of theirs is calibrated."""
    more = {"exp lda_cosine_s", "exp cosine_z", "statistics lda_cosine_s", "statistics cosine_z"}
    more.add("exp calibrated_cosine")
    before = finished.made()
    succeeds(finished([4, 5, 6], "--backends=own,cosine,lda_cosine_s,own_z,calibrated_own"))
    rows = json.loads((finished.exp / "report/results.json").read_text())
    known = {"cosine", "lda_cosine", "plda", "cosine_as"}
    assert {f"{row['system']} {row['backend']}" for row in rows if row["backend"] not in known} == more
    assert len(rows) == 2 * len(known) + len(more)
    for name in finished.made().keys() - before.keys():
        (finished.folder / name).unlink()
    succeeds(finished([6]))


def test_an_unknown_row_is_refused_before_anything_is_made(tmp_path, corpus):
    run = Run(tmp_path / "run", corpus)
    assert "no back-end is named 'plda_x'; known: own, " in error_of(run([1], "--backends=own,plda_x"))
    assert not run.data.exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("backends=,", "--backends is empty"),
        ("top_n=0", "--top-n takes a whole number above 0 or auto, not '0'"),
        ("lda_dim=x", "--lda-dim takes a whole number above 0 or auto, not 'x'"),
    ],
)
def test_options_of_the_rows_are_refused_where_all_recipes_read_them(shell, option, message):
    asked = shell(f". backends.sh; backends=own lda_dim=auto top_n=auto; {option}; use_system exp cosine; echo on")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert message in asked.stderr


@pytest.mark.parametrize("stages", [(0, 1, 2), (3,), (4,), (5,), (6,)], ids=str)
def test_stages_alone_after_a_whole_run_redo_nothing(finished, stages):
    before = finished.made()
    succeeds(finished(stages))
    assert finished.made() == before


def test_a_second_run_redoes_nothing_and_shows_the_table_again(finished):
    before = finished.made()
    assert "statistics" in succeeds(finished(range(LAST_STAGE + 1))).stdout
    assert finished.made() == before


@pytest.mark.parametrize(("stage", "first"), [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1)])
def test_a_stage_before_its_time_says_which_one_to_run_first(tmp_path, corpus, stage, first):
    message = error_of(Run(tmp_path / "run", corpus)([stage]))
    assert f"run stage {first} first" in message


def test_stage_by_stage_and_killed_in_between_the_scores_are_the_same_bytes(tmp_path, finished, corpus):
    run = Run(tmp_path / "run", corpus)
    succeeds(run([0, 1]))
    run.killed([2], lambda: any(run.data.rglob("*.ark*")))
    assert not all((set_dir / "feats.scp").exists() for set_dir in run.data.iterdir())
    succeeds(run([2]))
    run.killed([3], lambda: any((run.exp / "checkpoints").glob("*.pt")))
    assert not (run.exp / "final.pt").exists()
    succeeds(run([3]))
    run.killed([4], lambda: any(run.exp.glob("embeddings_train/embedding.*")))
    assert not (run.exp / "embeddings_train" / ".done").exists()
    for stage in (4, 5, 6):
        succeeds(run([stage]))
    assert run.scores() == finished.scores()


@pytest.fixture
def noise(tmp_path) -> Path:
    """Two noises, to train and to test with, and a room to train with."""
    folder = tmp_path / "noise"
    random = np.random.default_rng(1)
    for name in ("noise/hum/a", "noise/hum/b", "rir/room"):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * random.standard_normal(16000), 16000)
    (folder / "noise.tsv").write_text("path\tsplit\nnoise/hum/a.wav\ttrain\nnoise/hum/b.wav\ttest\n")
    return folder


def test_noise_makes_noisy_copies_of_the_test_sets_and_of_the_training_set(tmp_path, corpus, noise):
    run = Run(tmp_path / "run", corpus)
    options = [f"--noise={noise}", "--augment=true", "--nj=1"]
    succeeds(run([0, 1, 2], *options))
    (test,) = run.data.glob("test_*")
    noisy = run.data / f"noisy_{test.name}"
    for name in ("utt2spk", "trials"):
        assert (noisy / name).read_text() == (test / name).read_text()
    plan = (noisy / "utt2augmentation").read_text()
    assert plan.count("hum-b") + plan.count("hum/b") >= len((test / "utt2spk").read_text().splitlines())
    speakers = (run.data / "train" / "spk2utt").read_text().splitlines()
    copied = (run.data / "train_augmented" / "spk2utt").read_text().splitlines()
    assert [line.split()[0] for line in copied] == [line.split()[0] for line in speakers]
    assert [len(line.split()) - 1 for line in copied] == [3 * (len(line.split()) - 1) for line in speakers]
    before = run.made()
    succeeds(run([0, 1, 2], *options))
    changed = [name for name, time in run.made().items() if before.get(name) != time]
    # train_augmented is put together anew, by the same bytes.
    assert all("train_augmented" in name for name in changed), changed


def test_noise_without_a_test_split_says_what_is_missing(tmp_path, corpus, noise):
    (noise / "noise.tsv").unlink()
    message = error_of(Run(tmp_path / "run", corpus)([0, 1], f"--noise={noise}"))
    assert "nothing there is for the split 'test'" in message and "noise.tsv" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--stage=x"], ["--stage", "'x'", "whole number"]),
        (["--stage=7"], ["--stage 7", "nothing to do"]),
        (["--colour=red"], ["--colour", "--corpus"]),
        (["--loss.margin"], ["--loss.margin", "needs a value"]),
        (["--loss.margin=-1"], ["loss.margin", "-1", "at least 0"]),
        (["--loss.margine=0.2"], ["loss.margine", "unknown key", "'margin'"]),
        (["--train.steps=many"], ["train.steps", "'many'", "whole number"]),
        (["--network.name=fast_resnet43"], ["network.name", "'fast_resnet43'", "'fast_resnet34'"]),
        (["--config=conf/nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["--corpus=nowhere"], ["nowhere"]),
        (["surplus"], ["'surplus'"]),
    ],
)
def test_a_wrong_option_is_one_line_and_a_status(tmp_path, corpus, options, words):
    run = Run(tmp_path / "run", corpus)
    message = error_of(run([0, 1], *options))
    assert all(word in message for word in words), message
    assert not run.data.exists() and not run.exp.exists()


def test_help_names_every_option():
    shown = subprocess.run([RECIPE, "--help"], capture_output=True, text=True, check=True).stdout
    for option in ["corpus", "config", "stage", "stop-stage", "data", "exp", "baseline", "seed", "nj", "ngpu", "cmd"]:
        assert f"--{option} " in shown
