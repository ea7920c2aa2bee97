"""egs/mini/objectives.sh: every objective is a valid system, all learn from the same, and one table shows them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus

from spk.losses import LOSSES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("objectives") / "buzz"
    return make_corpus(folder, train_speakers=8, test_speakers=4, utterances=5, seconds=1.5)


def objectives(folder: Path, corpus: Path, names: str | None, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "egs/mini/objectives.sh"), f"--exp={folder / 'exp'}"]
    if names:
        command.append(f"--objectives={names}")
    folders = [f"--corpus={corpus}", f"--data={folder / 'data'}", f"--baseline={folder / 'statistics'}"]
    done = subprocess.run(
        [*command, "--", *folders, "--nj=1", *SMALL_OPTIONS, *options], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_two_objectives_differ_in_the_loss_its_batches_and_its_back_end_alone(tmp_path, corpus):
    done = objectives(tmp_path, corpus, "am_softmax prototypical")
    rows = json.loads((tmp_path / "exp/report/results.json").read_text())
    assert {(row["system"], row["backend"]) for row in rows} == {
        *(("am_softmax", backend) for backend in ("cosine", "lda_cosine", "plda", "cosine_as")),
        *(("prototypical", backend) for backend in ("raw_euclidean", "lda_cosine", "plda", "raw_euclidean_as")),
    }
    assert done.stdout.count("raw_euclidean ") == 2  # in its own table, and in the one of all
    am, prototypical = (
        yaml.safe_load((tmp_path / "exp" / name / "config.yaml").read_text()) for name in ("am_softmax", "prototypical")
    )
    different = {key for key in am if am[key] != prototypical[key]}
    assert different == {"loss", "curriculum", "batch", "evaluation"}
    assert {key for key in am["batch"] if am["batch"][key] != prototypical["batch"][key]} == {"utterances_per_speaker"}


def test_every_objective_has_options_that_make_a_system(tmp_path, corpus):
    done = objectives(tmp_path, corpus, None, "--stop-stage=0")
    assert not (tmp_path / "exp").exists()
    assert done.stderr == ""
    script = (ROOT / "egs/mini/objectives.sh").read_text()
    named = script.split('objectives="')[1].split('"')[0].split()
    assert sorted(named) == sorted(set(LOSSES) - {"sum"})


@pytest.mark.parametrize("option", ["--loss.name=softmax", "--exp=elsewhere", "--batch.reuse_utterances=false"])
def test_what_makes_the_objectives_differ_is_not_for_all_of_them(option):
    command = [str(ROOT / "egs/mini/objectives.sh"), "--", "--corpus=none", option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{option.split('=')[0]} is another one for each objective" in done.stderr
