"""egs/voxceleb from the archives to the table, on VoxCeleb in miniature."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from miniature.build import Sizes, build_miniature
from recipes.recipe_copy import ROOT, SMALL_RESCNN, RecipeCopy, error_of, find_speech, scores_of, succeeds

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")

SIZES = Sizes(
    vox1_dev=4,
    vox1_test=4,
    vox2_dev=8,
    vox2_test=1,
    sitw_dev=2,
    sitw_eval=2,
    utterances=4,
    seconds=2.5,
    trials=3,
    rooms=1,
)
LISTS = ["o", "o_cleaned", "e", "e_cleaned", "h", "h_cleaned"]
SCORING = 6  # the stage


@pytest.fixture(scope="module")
def miniature(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    return build_miniature(*find_speech(request, folder, 24), folder / "made", SIZES)


def options_of(miniature: Path, loss: str) -> list[str]:
    return [
        f"--archives={miniature / 'archives'}",
        f"--lists={miniature / 'lists'}",
        f"--checksums={miniature / 'checksums'}",
        f"--list-table={miniature / 'lists.tsv'}",
        f"--config=conf/rescnn_{loss}.yaml",
        f"--exp=exp/{loss}",
        "--nj=1",
        *SMALL_RESCNN,
    ]


@pytest.fixture(scope="module")
def dam(miniature) -> list[str]:
    return options_of(miniature, "dam")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, dam) -> RecipeCopy:
    """One whole run with DAM-Softmax, never killed."""
    copy = RecipeCopy(tmp_path_factory.mktemp("whole"))
    succeeds(copy.run("voxceleb", *dam))
    return copy


def rows_of(exp: Path) -> dict[str, dict]:
    return {row["test_set"]: row for row in json.loads((exp / "results.json").read_text())}


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def test_the_table_has_the_lists_of_voxceleb1_whole_and_cleaned(whole, miniature):
    rows = rows_of(whole.recipe("voxceleb") / "exp/dam")
    assert set(rows) == {f"vox1_{name}" for name in LISTS}
    with (miniature / "lists.tsv").open() as file:
        for published in csv.DictReader(file, delimiter="\t"):
            row = rows[f"vox1_{published['list']}"]
            targets = int(published["target trials"])
            assert (row["num_targets"], row["num_nontargets"]) == (targets, int(published["trials"]) - targets)


def test_a_small_system_fills_no_row_of_the_results(whole, dam):
    """Those are for the published configs on the published data."""
    (said,) = [
        line for line in succeeds(whole.run("voxceleb", *dam, "--stage=7")).stderr.splitlines() if "fill" in line
    ]
    assert said.startswith("RESULTS.md: not filled: ")
    filled, published = (folder / "egs/voxceleb/RESULTS.md" for folder in (whole.folder, ROOT))
    assert filled.read_bytes() == published.read_bytes()


def test_the_network_is_trained_on_the_development_part_of_voxceleb2_alone(whole, miniature, tmp_path):
    archives = sorted((miniature / "archives").glob("vox2_dev_aac_part*"))
    (tmp_path / "joined.zip").write_bytes(b"".join(path.read_bytes() for path in archives))
    with zipfile.ZipFile(tmp_path / "joined.zip") as archive:
        members = [Path(name) for name in archive.namelist() if name.endswith(".m4a")]
    expected = {"-".join([*path.parts[-3:-1], path.stem]) for path in members}
    recipe = whole.recipe("voxceleb")
    assert {name for name, _ in lines_of(recipe / "data/vox2_dev/utt2spk")} == expected
    assert len(expected) == SIZES.vox2_dev * SIZES.utterances
    assert json.loads((recipe / "exp/dam/run.json").read_text())["data"].endswith("data/vox2_dev")


@pytest.mark.parametrize("name", LISTS)
def test_every_line_of_a_published_list_is_scored_by_the_cosine_of_its_files(whole, miniature, name):
    """In the order of the list; the embeddings are those that Kaldi's reader finds."""
    recipe = whole.recipe("voxceleb")
    with (miniature / "lists.tsv").open() as file:
        files = {row["list"]: row["file"] for row in csv.DictReader(file, delimiter="\t")}
    test_set = "vox1_o" if name.startswith("o") else "vox1"
    embeddings = kaldiio.load_scp(str(recipe / f"exp/dam/embeddings_{test_set}/embedding.scp"))
    published = lines_of(miniature / "lists" / files[name])
    scored = lines_of(recipe / f"exp/dam/scores_vox1_{name}_cosine")
    assert len(scored) == len(published)
    for (_, *paths), (*utterances, score) in zip(published, scored, strict=True):
        assert utterances == [path.removesuffix(".wav").replace("/", "-") for path in paths]
        one, other = (np.asarray(embeddings[utterance], dtype=float).ravel() for utterance in utterances)
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert float(score) == pytest.approx(cosine, abs=1e-5)


def test_a_second_run_redoes_nothing_and_shows_the_same_table(whole, dam):
    before = whole.made()
    again = succeeds(whole.run("voxceleb", *dam))
    assert whole.made() == before
    assert again.stdout.count("vox1_h_cleaned") == 1


def test_stage_by_stage_and_killed_in_between_the_scores_are_the_same_bytes(tmp_path, whole, dam):
    """Killed while it decodes, makes features and trains. Lists that are not asked for change nothing in the others."""
    copy = RecipeCopy(tmp_path / "copy")
    recipe = copy.recipe("voxceleb")
    options = [*dam, "--eval=o"]

    def stage(number: int) -> list[str]:
        return [*options, f"--stage={number}", f"--stop-stage={number}"]

    succeeds(copy.run("voxceleb", *stage(0)))
    copy.kill("voxceleb", *stage(1), when=lambda: any(recipe.glob("corpora/decoded/**/*.flac")))
    num_files = (SIZES.vox2_dev + SIZES.vox2_test) * SIZES.utterances
    assert len(list(recipe.glob("corpora/decoded/**/*.flac"))) < num_files
    succeeds(copy.run("voxceleb", *stage(1)))
    assert len(list(recipe.glob("corpora/decoded/**/*.flac"))) == num_files
    succeeds(copy.run("voxceleb", *stage(2)))
    copy.kill("voxceleb", *stage(3), when=lambda: any(recipe.glob("data/**/*.ark*")))
    assert not (recipe / "data/vox2_dev/feats.scp").exists()
    succeeds(copy.run("voxceleb", *stage(3)))
    copy.kill("voxceleb", *stage(4), when=lambda: any(recipe.glob("exp/dam/checkpoints/*.pt")))
    assert not (recipe / "exp/dam/final.pt").exists()
    for number in range(4, SCORING + 1):
        succeeds(copy.run("voxceleb", *stage(number)))
    found, expected = scores_of(recipe / "exp/dam"), scores_of(whole.recipe("voxceleb") / "exp/dam")
    assert set(found) == {"scores_vox1_o_cosine", "scores_vox1_o_cleaned_cosine"}
    assert found == {name: expected[name] for name in found}


def test_am_softmax_is_trained_on_noisy_reverberant_and_faster_copies(whole, miniature, tmp_path):
    """After DAM-Softmax: the archives are unpacked and decoded already."""
    with tarfile.open(miniature / "archives/musan.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with zipfile.ZipFile(miniature / "archives/rirs_noises.zip") as archive:
        archive.extractall(tmp_path)
    recipe = whole.recipe("voxceleb")

    def decoded() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in recipe.glob("corpora/**/*.flac")}

    before = decoded()
    options = [*options_of(miniature, "am"), "--eval=o", f"--musan={tmp_path / 'musan'}", "--speeds=1.1"]
    options += [f"--rirs={tmp_path / 'RIRS_NOISES'}", "--num-augmented=20"]
    succeeds(whole.run("voxceleb", *options))
    assert decoded() == before
    clean = lines_of(recipe / "data/vox2_dev/utt2spk")
    trained = Path(json.loads((recipe / "exp/am/run.json").read_text())["data"])
    augmented = [line for line in lines_of(recipe / trained / "utt2spk") if line not in clean]
    assert len(augmented) == 20
    kinds = {name.rsplit("-", 1)[-1] for name, _ in augmented}
    assert len(kinds) >= 4
    assert set(rows_of(recipe / "exp/am")) == {"vox1_o", "vox1_o_cleaned"}
    assert not set(scores_of(recipe / "exp/am").values()) & set(scores_of(recipe / "exp/dam").values())


def test_lists_with_the_speakers_that_train_are_refused(whole, dam):
    """E has VoxCeleb1's development speakers."""
    finished = whole.run("voxceleb", *dam, "--exp=exp/leak", "--train=vox1", "--eval=e")
    message = error_of(finished)
    assert "--train vox1" in message and "E and H" in message
    assert finished.stdout == "" and not (whole.recipe("voxceleb") / "exp/leak").exists()
