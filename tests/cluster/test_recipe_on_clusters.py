"""egs/mini from features to its table through a real Slurm and a real GridEngine: the bytes of a run without them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from recipes.recipe_copy import ROOT, RecipeCopy
from recipes.small_system import SMALL_OPTIONS

OPTIONS = [*SMALL_OPTIONS, "--train.steps=10", "--nj=2", "--exp=exp/small", "--baseline=exp/statistics", "--data=data"]
# What is computed: features, embeddings, models of back-ends, scores, tables.
COMPUTED = (
    "data/*/feats/*.ark",
    "exp/*/embeddings_*/*.ark",
    "exp/*/*/plda",
    "exp/*/scores_*_cosine",
    "exp/*/scores_*_plda",
    "exp/*/report/*.json",
    "exp/*/report/*.md",
)


class Run:
    """The recipe in a folder of its own, where all names are the same. What it submits is noted."""

    def __init__(self, folder: Path, corpus: Path, cmd: str, submit: str = "") -> None:
        self.recipe = RecipeCopy(folder).recipe("mini")
        if submit:
            command = f'command bash -c \'echo "$*" >>submitted; exec {submit} "$@"\' {submit}\n'
            (self.recipe / "conf" / f"{cmd.split()[0]}.conf").write_text(command)
        self.words = [self.recipe / "run.sh", f"--corpus={corpus}", f"--cmd={cmd}", *OPTIONS, "--backends=own,plda"]

    def __call__(self, before: Sequence[str] = (), env: dict[str, str] | None = None) -> str:
        words = [*before, *map(os.fspath, self.words)]
        done = subprocess.run(words, cwd=self.recipe, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def computed(self) -> dict[str, bytes]:
        """name -> content of all that must be equal."""
        files = [path for pattern in COMPUTED for path in sorted(self.recipe.glob(pattern)) if path.is_file()]
        return {os.fspath(path.relative_to(self.recipe)): path.read_bytes() for path in files}

    def submitted(self) -> str:
        return (self.recipe / "submitted").read_text()

    def weights(self) -> dict[str, torch.Tensor]:
        saved = torch.load(self.recipe / "exp/small/final.pt", weights_only=True)
        return saved["embedder"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("speech") / "espeak"
    options = ["--speakers=8", "--test-speakers=2", "--utterances=5", "--sessions=2", "--nj=1"]
    subprocess.run([ROOT / "local/make_espeak_corpus", *options, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory, corpus) -> Run:
    run = Run(tmp_path_factory.mktemp("here") / "spk", corpus, "run")
    run.table = run()
    return run


def check_equal(run: Run, table: str, here: Run) -> None:
    ours, theirs = here.computed(), run.computed()
    assert ours.keys() == theirs.keys()
    for part in ("feats_train.1.ark", "embedding.1.ark", "plda", "scores_", "results.json"):
        assert any(part in name for name in ours), part
    assert [name for name, content in ours.items() if theirs[name] != content] == []
    weights, here_weights = run.weights(), here.weights()
    assert weights.keys() == here_weights.keys()
    assert all(torch.equal(weights[name], here_weights[name]) for name in weights)
    assert table == here.table
    for job in ("make_feats", "train", "extract"):
        assert f" {job}." in run.submitted() or f"={job}." in run.submitted()


def test_through_slurm(slurm, tmp_path, corpus, here):
    run = Run(tmp_path / "spk", corpus, "slurm --mem 4G", "sbatch")
    check_equal(run, run(env=slurm.environment), here)


def test_through_gridengine(gridengine, tmp_path, corpus, here):
    run = Run(tmp_path / "spk", corpus, "gridengine --mem 500M", "qsub")
    check_equal(run, run(before=gridengine.command(), env=gridengine.env), here)
