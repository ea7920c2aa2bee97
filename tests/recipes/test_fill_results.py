"""steps/fill_results: when it puts measured numbers into RESULTS.md, when it does not, and what it leaves alone."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import yaml

from spk.bin import fill_results
from spk.config import load_system
from spk.data.files import file_digest, whole_file
from spk.data.scores import write_scores
from spk.data.trials import read_trials
from spk.report import results

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs" / "voxceleb"
OWN_ROW = ("rescnn_dam", "vox1", "vox1_o")
NUM_VOX1_SPEAKERS, NUM_VOX1_UTTERANCES = 1211, 148_642


@pytest.fixture(scope="session")
def vox1_dev(tmp_path_factory) -> Path:
    """As many speakers and utterances as VoxCeleb1's development part has."""
    folder = tmp_path_factory.mktemp("corpus") / "vox1_dev"
    write_speakers(folder, NUM_VOX1_SPEAKERS, NUM_VOX1_UTTERANCES)
    return folder


def write_speakers(folder: Path, num_speakers: int, num_utterances: int) -> None:
    folder.mkdir(exist_ok=True)
    lines = (f"id{n % num_speakers:05}-{n:07} id{n % num_speakers:05}\n" for n in range(num_utterances))
    (folder / "utt2spk").write_text("".join(sorted(lines)))


@pytest.fixture
def recipe(tmp_path, monkeypatch, vox1_dev) -> Path:
    """A recipe's folder with conf/, published.tsv and RESULTS.md, and a system that was trained and scored there."""
    results.read_trials_once.cache_clear()
    shutil.copytree(RECIPE / "conf", tmp_path / "conf")
    for name in ("published.tsv", "RESULTS.md"):
        shutil.copy(RECIPE / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vox1_dev").symlink_to(vox1_dev)
    monkeypatch.chdir(tmp_path)
    make_trials(18_860)
    make_system("exp/vox1_dev/rescnn_dam", "rescnn_dam")
    return tmp_path


def make_trials(num_each: int) -> None:
    """data/vox1_o: so many target and non-target trials of 40 speakers."""
    folder = Path("data/vox1_o")
    folder.mkdir()
    utterances = [f"s{speaker:02}-{n:02}" for speaker in range(40) for n in range(32)]
    (folder / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in utterances))
    targets = (pair for pair in combinations(utterances, 2) if pair[0][:3] == pair[1][:3])
    others = (pair for n, pair in enumerate(combinations(utterances, 2)) if n % 20 == 7 and pair[0][:3] != pair[1][:3])
    lines = [f"{a} {b} target\n" for a, b in islice(targets, num_each)]
    lines += [f"{a} {b} nontarget\n" for a, b in islice(others, num_each)]
    (folder / "trials").write_text("".join(lines))


def make_system(exp: str, name: str, *overrides: str, share: float = 0.05, **run) -> Path:
    """What training and scoring leave: of both kinds of trials the same share is on the wrong side."""
    folder = Path(exp)
    (folder / "embeddings_vox1_o").mkdir(parents=True)
    config = load_system(f"conf/{name}.yaml", overrides).as_dict()
    config["train"] |= {"threads": 16, "precision": "bfloat16"}  # as spk.train.settle records them
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    described = {
        "data": "data/vox1_dev",
        "data_digests": {"utt2spk": file_digest("data/vox1_dev/utt2spk")},
        "config": f"conf/{name}.yaml",
        "overrides": list(overrides),
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "machine": {"processor": "a processor", "cores": 16, "cuda": "NVIDIA H200"},
        "begun": "2027-03-04 05:06:07 +0000",
        "init_from": None,
    }
    (folder / "run.json").write_text(json.dumps(described | run))
    evaluation = config["evaluation"]
    (folder / "embeddings_vox1_o" / "evaluation.yaml").write_text(yaml.safe_dump(evaluation))
    score(folder, "cosine", share)
    return folder


def score(folder: Path, backend: str, share: float) -> None:
    trials = read_trials("data/vox1_o/trials")
    place = np.concatenate([np.arange(kind) for kind in (trials.is_target.sum(), (~trials.is_target).sum())])
    wrong = place < round(share * trials.is_target.sum())
    path = folder / f"scores_vox1_o_{backend}"
    write_scores(path, trials, (trials.is_target != wrong).astype(np.float32))
    embeddings = str(folder / "embeddings_vox1_o")
    described = {"trials": "data/vox1_o/trials", "backend": backend, "enroll_dir": embeddings, "test_dir": embeddings}
    path.with_name(f"{path.name}.json").write_text(json.dumps(described))


@pytest.fixture
def said(monkeypatch, caplog) -> Callable[..., list[str]]:
    """Runs the command; what it says."""

    def run(*arguments: str) -> list[str]:
        caplog.clear()
        monkeypatch.setattr(fill_results, "NUM_DRAWS", 20)
        monkeypatch.setattr(sys, "argv", ["fill_results", *arguments])
        with caplog.at_level(logging.INFO):
            fill_results.main()
        return caplog.messages

    return run


def rows(path: str = "RESULTS.md") -> list[list[str]]:
    lines = [line for line in Path(path).read_text().splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def own(path: str = "RESULTS.md") -> list[list[str]]:
    return [row for row in rows(path) if tuple(row[:3]) == OWN_ROW]


def without_tables(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"|")]


def test_a_run_of_the_config_as_it_stands_fills_its_row_alone(recipe):
    before, others = without_tables(recipe / "RESULTS.md"), rows()
    (empty,) = own()
    command = [ROOT / "steps" / "fill_results", "RESULTS.md", "exp/vox1_dev/rescnn_dam"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "RESULTS.md: rescnn_dam trained on vox1, seed 1: vox1_o\n"
    (filled,) = own()
    assert filled[:6] == empty[:6] == ["rescnn_dam", "vox1", "vox1_o", "cosine", "37,720", "4.38"]
    assert filled[6] == "5.00"  # 943 of 18,860 of both kinds are on the wrong side
    low, high = map(float, filled[7].split("-"))
    assert low < 5 < high
    assert filled[8:] == ["1", "0123456789ab", "2027-03-04", "NVIDIA H200"]
    assert rows() == [filled if row == empty else row for row in others]
    assert without_tables(recipe / "RESULTS.md") == before
    assert len({len(line) for line in (recipe / "RESULTS.md").read_text().splitlines() if "| vox1_o" in line}) <= 2
    once = (recipe / "RESULTS.md").read_bytes()
    subprocess.run(command, check=True, capture_output=True)
    assert (recipe / "RESULTS.md").read_bytes() == once


def test_each_seed_has_a_row_and_a_second_filling_replaces_its_own(recipe, said):
    for seed, share in (("2", 0.1), ("3", 0.2)):
        make_system(f"exp/vox1_dev/rescnn_dam_seed={seed}", "rescnn_dam", "--seed", seed, share=share)
    said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    for seed in "32":
        said("RESULTS.md", f"exp/vox1_dev/rescnn_dam_seed={seed}")
    assert [(row[5], row[6], row[8]) for row in own()] == [
        ("4.38", "5.00", "1"),
        ("4.38", "20.00", "3"),
        ("4.38", "10.00", "2"),
    ]
    score(recipe / "exp/vox1_dev/rescnn_dam_seed=3", "cosine", 0.3)
    said("RESULTS.md", "exp/vox1_dev/rescnn_dam_seed=3")
    assert [row[6] for row in own()] == ["5.00", "30.00", "10.00"]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("--loss.margin", "0.3"), "loss.margin: 0.2 -> 0.3"),
        (
            ("--batch.size", "128", "--network.embedding_dim", "512"),
            "batch.size: 64 -> 128; network.embedding_dim: 1024 -> 512",
        ),
        (("--train.precision", "float32"), "train.precision: auto -> float32"),
        (("--evaluation.crops", "10"), "evaluation.crops: 0 -> 10"),
    ],
)
def test_an_override_that_matters_keeps_the_file_as_it_is(recipe, said, overrides, reason):
    make_system("exp/vox1_dev/other", "rescnn_dam", *overrides)
    before = (recipe / "RESULTS.md").read_bytes()
    (line,) = said("RESULTS.md", "exp/vox1_dev/other")
    assert line.endswith(f"not filled: {reason}")
    assert (recipe / "RESULTS.md").read_bytes() == before


def test_overrides_that_change_no_result_do_not_matter(recipe, said):
    make_system(
        "exp/vox1_dev/other", "rescnn_dam", "--train.workers", "2", "--train.threads", "4", "--loss.margin", "0.2"
    )
    assert said("RESULTS.md", "exp/vox1_dev/other") == ["RESULTS.md: rescnn_dam trained on vox1, seed 1: vox1_o"]


def test_a_config_that_was_changed_since_is_no_config_as_it_stands(recipe, said):
    config = recipe / "conf" / "rescnn_dam.yaml"
    config.write_text(config.read_text().replace("epochs: 30", "epochs: 40"))
    (line,) = said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    assert line == "RESULTS.md: not filled: train.epochs: 40.0 -> 30.0"


def test_a_list_of_another_size_is_not_filled(recipe, said):
    shutil.rmtree("data/vox1_o")
    make_trials(60)
    score(Path("exp/vox1_dev/rescnn_dam"), "cosine", 0.05)
    (line,) = said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    assert line == "RESULTS.md: vox1_o, cosine not filled: the list has 120 trials, not 37,720"
    assert own()[0][6] == ""


def test_part_of_the_training_set_is_not_the_training_set(recipe, said):
    Path("data/vox1_dev").unlink()
    write_speakers(Path("data/vox1_dev"), 1000, 120_000)
    before = said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    assert before == ["RESULTS.md: not filled: data/vox1_dev/utt2spk is not there any more as it was in training"]
    make_system("exp/vox1_dev/part", "rescnn_dam")
    assert said("RESULTS.md", "exp/vox1_dev/part") == [
        "RESULTS.md: not filled: data/vox1_dev has 1,000 speakers and 120,000 utterances, vox1 1,211 and 148,642"
    ]


def test_augmented_imported_and_unknown_systems_say_why_they_are_not_filled(recipe, said, vox1_dev):
    Path("data/vox1_dev").unlink()
    shutil.copytree(vox1_dev, "data/vox1_dev")
    Path("data/vox1_dev/utt2augmentation").touch()
    assert said("RESULTS.md", "exp/vox1_dev/rescnn_dam") == ["RESULTS.md: not filled: data/vox1_dev is augmented"]
    make_system("exp/imported", "rescnn_dam", imported={"file": "net.pt"})
    assert said("RESULTS.md", "exp/imported") == ["RESULTS.md: not filled: the network was imported from net.pt"]
    make_system("exp/other", "xvector_softmax")
    assert said("RESULTS.md", "exp/other") == [
        "RESULTS.md: not filled: it has no row of xvector_softmax trained on vox1"
    ]
    (recipe / "exp/other/run.json").write_text("{torn")
    assert said("--published-as", "ivector,vox1", "RESULTS.md", "exp/other") == [
        "RESULTS.md: not filled: no list and back-end of its rows of ivector is in exp/other"
    ]
    score(recipe / "exp/other", "plda", 0.1)
    assert said("--published-as", "ivector,vox1", "RESULTS.md", "exp/other") == [
        "RESULTS.md: not filled: exp/other has no readable run.json, so that its config cannot be compared"
    ]


def test_a_system_that_starts_from_another_is_as_it_stands_when_both_are(recipe, said):
    text = (
        Path("RESULTS.md")
        .read_text()
        .replace("| resnet34_contrastive            | vox2 ", "| resnet34_contrastive | vox1 ")
    )
    Path("RESULTS.md").write_text(text)
    first = make_system("exp/vox1_dev/resnet34_softmax", "resnet34_softmax")
    (first / "final.pt").write_bytes(b"network")
    initial = {"file": "exp/vox1_dev/resnet34_softmax/final.pt", "digest": file_digest(first / "final.pt")}
    options = ("--init-from", "exp/vox1_dev/resnet34_softmax")
    make_system("exp/vox1_dev/both", "resnet34_contrastive", *options, init_from=initial)
    assert said("RESULTS.md", "exp/vox1_dev/both") == [
        "RESULTS.md: resnet34_contrastive trained on vox1, seed 1: vox1_o"
    ]
    shutil.rmtree(first)
    make_system("exp/vox1_dev/resnet34_softmax", "resnet34_softmax", "--train.epochs", "1")
    (first / "final.pt").write_bytes(b"network")
    assert said("RESULTS.md", "exp/vox1_dev/both") == ["RESULTS.md: not filled: init_from: train.epochs: 30.0 -> 1.0"]
    (first / "final.pt").write_bytes(b"another")
    (line,) = said("RESULTS.md", "exp/vox1_dev/both")
    assert line.endswith("init_from: exp/vox1_dev/resnet34_softmax/final.pt is not there any more as it was")


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        ({"lda_dim": "100"}, "lda_dim: auto -> 100"),
        ({"num_iters": "5", "smoothing": "0.1"}, "num_iters: 10 -> 5; smoothing: 0 -> 0.1"),
        ({"coral": "exp/embeddings_other"}, "coral: None -> exp/embeddings_other"),
        ({"within_covar_scale": "0.3"}, "within_covar_scale: None -> 0.3"),
        ({}, None),
        (None, "exp/plda/backend/.backend.done is not there, so that the back-end's options cannot be compared"),
    ],
)
def test_a_back_end_with_other_options_than_the_recipe_s_is_not_filled(recipe, said, stamp, reason):
    folder = make_system("exp/plda", "resnet34_a_softmax")
    score(folder, "plda", 0.05)
    described = folder / "scores_vox1_o_plda.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"backend_dir": "exp/plda/backend"}))
    (folder / "backend").mkdir()
    if stamp is not None:
        defaults = {"lda_dim": "auto", "length_normalize": "true", "num_iters": "10", "smoothing": "0"}
        (folder / "backend/.backend.done").write_text(json.dumps(defaults | {"embeddings": "exp/e"} | stamp))
    (line,) = said("RESULTS.md", "exp/plda")
    if reason is None:
        assert line == "RESULTS.md: resnet34_a_softmax trained on vox1, seed 1: vox1_o"
    else:
        assert line == f"RESULTS.md: vox1_o, plda not filled: {reason}"


def test_options_of_scoring_that_no_recipe_gives_keep_a_row_empty(recipe, said):
    stamp = Path("exp/vox1_dev/rescnn_dam/.scores_vox1_o_cosine.done")
    stamp.write_text(json.dumps({"simple_length_normalization": "true"}))
    (line,) = said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    assert line.endswith("vox1_o, cosine not filled: simple_length_normalization: false -> true")


def test_another_recipe_fills_from_a_model_that_was_trained_elsewhere(recipe, said, monkeypatch):
    """As egs/sitw does: its folder has embeddings and scores alone; the paths in run.json are the other recipe's."""
    other = recipe / "egs" / "sitw"
    (other / "exp").mkdir(parents=True)
    shutil.move("exp/vox1_dev/rescnn_dam", "model")
    shutil.copytree("model", other / "exp" / "rescnn_dam")
    for name in ("run.json", "config.yaml"):
        (other / "exp" / "rescnn_dam" / name).unlink()
    shutil.copy("RESULTS.md", other)
    described = other / "exp/rescnn_dam/scores_vox1_o_cosine.json"
    embeddings = {name: str(other / "exp/rescnn_dam/embeddings_vox1_o") for name in ("enroll_dir", "test_dir")}
    described.write_text(json.dumps(json.loads(described.read_text()) | embeddings | {"directory": str(recipe)}))
    monkeypatch.chdir(other)
    options = ("--published", "../../published.tsv", "--model", "../../model")
    assert said(*options, "RESULTS.md", "exp/rescnn_dam") == ["RESULTS.md: rescnn_dam trained on vox1, seed 1: vox1_o"]
    assert own()[0][6] == "5.00"


def test_line_ends_and_a_missing_last_one_stay(recipe, said):
    path = Path("RESULTS.md")
    head = path.read_text().partition("\n## Table 2")[0]
    path.write_bytes(head.rstrip("\n").replace("\n", "\r\n").encode())
    before = without_tables(path)
    said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
    assert own()[0][6] == "5.00"
    assert without_tables(path) == before
    assert not path.read_bytes().endswith(b"\n")
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") == head.rstrip("\n").count("\n")


def test_systems_that_end_at_once_lose_no_row(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("")

    def add(number: int) -> None:
        with fill_results.locked(path):
            text = path.read_text()
            time.sleep(0.01)
            with whole_file(path) as file:
                file.write(f"{text}{number}\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    assert sorted(path.read_text().split()) == list("01234567")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "RESULTS.md: no such file"),
        (b"# Results\n\n| a | b |\n", "RESULTS.md: has no table to fill"),
        (b"\xff\xfe", "RESULTS.md: not a text file"),
    ],
)
def test_a_file_that_cannot_be_filled_is_refused_in_one_line(recipe, said, text, message):
    Path("RESULTS.md").unlink()
    if text is not None:
        Path("RESULTS.md").write_bytes(text)
    with pytest.raises(SystemExit, match=f"^fill_results: error: {message}"):
        said("RESULTS.md", "exp/vox1_dev/rescnn_dam")


def test_a_row_that_is_torn_is_named_with_its_line(recipe, said):
    lines = Path("RESULTS.md").read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("| rescnn_dam"))
    lines[number] = "| rescnn_dam | vox1 |"
    Path("RESULTS.md").write_text("\n".join(lines))
    with pytest.raises(SystemExit, match=rf"RESULTS\.md:{number + 1}: 2 cells, but the table has 12 columns"):
        said("RESULTS.md", "exp/vox1_dev/rescnn_dam")
