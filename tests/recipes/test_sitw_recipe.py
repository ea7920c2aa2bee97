"""egs/sitw from the distribution's tree to the table, on Speakers in the Wild in miniature."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from miniature.build import Sizes, build_miniature
from recipes.recipe_copy import SMALL_RESCNN, RecipeCopy, error_of, find_speech, scores_of, succeeds

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")

SIZES = Sizes(
    vox1_dev=8,
    vox1_test=2,
    vox2_dev=1,
    vox2_test=1,
    sitw_dev=3,
    sitw_eval=2,
    utterances=4,
    seconds=2.5,
    trials=2,
    rooms=1,
)
CONDITIONS = [f"{enroll}-{test}" for enroll in ("core", "assist", "assistclean") for test in ("core", "multi")]


@pytest.fixture(scope="module")
def miniature(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    return build_miniature(*find_speech(request, folder, 24), folder / "made", SIZES)


@pytest.fixture(scope="module")
def sitw(miniature) -> list[str]:
    """What every run of egs/sitw is given."""
    return [
        f"--sitw={miniature / 'sitw'}",
        f"--overlap={miniature / 'lists/voxceleb1_sitw_overlap.txt'}",
        f"--lists={miniature / 'lists'}",
        "--train-data=../voxceleb/data/vox1_dev",
        "--eval=dev",
        "--nj=1",
    ]


@pytest.fixture(scope="module")
def own(sitw) -> list[str]:
    """The options of a system that is trained here."""
    return [*sitw, "--config=../voxceleb/conf/rescnn_am.yaml", "--exp=exp/am", *SMALL_RESCNN]


def copy_with_voxceleb1(folder: Path, miniature: Path) -> RecipeCopy:
    """The recipes, with VoxCeleb1 alone, prepared by egs/voxceleb; it has nothing to decode."""
    copy = RecipeCopy(folder / "copy")
    archives = folder / "archives"
    archives.mkdir()
    for path in (miniature / "archives").glob("vox1_*"):
        (archives / path.name).symlink_to(path)
    options = [f"--archives={archives}", f"--lists={miniature / 'lists'}", f"--list-table={miniature / 'lists.tsv'}"]
    options += [f"--checksums={miniature / 'checksums'}", "--train=vox1", "--stop-stage=2"]
    succeeds(copy.run("voxceleb", *options))
    return copy


@pytest.fixture(scope="module")
def whole(tmp_path_factory, miniature, own) -> RecipeCopy:
    """One whole run with a system of its own, never killed."""
    copy = copy_with_voxceleb1(tmp_path_factory.mktemp("whole"), miniature)
    succeeds(copy.run("sitw", *own))
    return copy


def lines_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def shared_speakers(miniature: Path) -> set[str]:
    """The ids of VoxCeleb1's speakers who are in SITW."""
    names = (miniature / "lists/voxceleb1_sitw_overlap.txt").read_text().splitlines()
    with (miniature / "lists/vox1_meta.csv").open() as file:
        return {row["VoxCeleb1 ID"] for row in csv.DictReader(file, delimiter="\t") if row["VGGFace1 ID"] in names}


def test_the_table_has_every_condition(whole, miniature):
    rows = json.loads((whole.recipe("sitw") / "exp/am/results.json").read_text())
    assert {row["test_set"] for row in rows} == {f"sitw_dev_{condition}" for condition in CONDITIONS}
    for row in rows:
        keys = [key for *_, key in lines_of(miniature / f"sitw/dev/keys/{row['test_set'][9:]}.lst")]
        assert (row["num_targets"], row["num_nontargets"]) == (keys.count("tgt"), keys.count("imp"))


def test_no_speaker_of_sitw_trains_the_network(whole, miniature):
    data = whole.recipe("sitw") / json.loads((whole.recipe("sitw") / "exp/am/run.json").read_text())["data"]
    trained = {speaker for speaker, *_ in lines_of(data / "spk2utt")}
    all_of_them = {speaker for speaker, *_ in lines_of(whole.recipe("voxceleb") / "data/vox1_dev/spk2utt")}
    assert len(shared_speakers(miniature)) == SIZES.shared
    assert trained == all_of_them - shared_speakers(miniature)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_score_is_the_cosine_of_the_models_mean_direction_and_the_test_file(whole, miniature, condition):
    """Models are those of the enrollment lists: an utterance for each annotated piece, else the file."""
    recipe, (enroll, _) = whole.recipe("sitw"), condition.split("-")
    embeddings = {
        name: np.asarray(vector, dtype=float).ravel() / np.linalg.norm(vector)
        for name, vector in kaldiio.load_scp(str(recipe / "exp/am/embeddings_sitw_dev/embedding.scp")).items()
    }
    segments = {name: (file, float(begin)) for name, file, begin, _ in lines_of(recipe / "data/sitw_dev/segments")}
    models: dict[str, list[np.ndarray]] = {}
    for model, path, *piece in lines_of(miniature / f"sitw/dev/lists/enroll-{enroll}.lst"):
        begin = float(piece[0]) if piece else 0.0
        (utterance,) = [
            name
            for name, (file, start) in segments.items()
            if (file, start) == (Path(path).stem, begin) and (name.count("-") > 1) == bool(piece)
        ]
        models.setdefault(model, []).append(embeddings[utterance])
    scored = lines_of(recipe / f"exp/am/scores_sitw_dev_{condition}_cosine")
    keys = lines_of(miniature / f"sitw/dev/keys/{condition}.lst")
    assert sorted((model, f"audio/{test.split('-')[1]}.flac") for model, test, _ in scored) == sorted(
        (model, path) for model, path, _ in keys
    )
    for model, test, score in scored:
        mean = np.mean(models[model], axis=0)
        assert float(score) == pytest.approx(mean @ embeddings[test] / np.linalg.norm(mean), abs=1e-5)


def test_a_second_run_redoes_nothing(whole, own):
    """But for the tables of the training set without SITW's speakers: these are cut out again, to the same bytes."""
    tables = whole.recipe("sitw") / "data/vox1_dev_without_sitw"

    def state() -> tuple[dict[str, int], dict[str, bytes]]:
        times = {name: time for name, time in whole.made().items() if (whole.folder / name).parent != tables}
        return times, {path.name: path.read_bytes() for path in tables.iterdir() if path.is_file()}

    before = state()
    assert "feats.scp" in before[1]
    succeeds(whole.run("sitw", *own))
    assert state() == before


def test_a_system_that_is_trained_already_scores_the_same(whole, sitw):
    """With the training set that it says it was trained on, which has no speaker of SITW; no network is trained."""
    options = [*sitw, "--model=exp/am", "--train-data=data/vox1_dev_without_sitw", "--exp=exp/model", "--stop-stage=5"]
    succeeds(whole.run("sitw", *options))
    recipe = whole.recipe("sitw")
    assert scores_of(recipe / "exp/model") == scores_of(recipe / "exp/am")
    assert not (recipe / "exp/model/final.pt").exists()


def test_stage_by_stage_and_killed_in_between_the_scores_are_the_same_bytes(tmp_path, whole, miniature, own):
    """Killed while it makes features and trains."""
    copy = copy_with_voxceleb1(tmp_path, miniature)
    recipe = copy.recipe("sitw")

    def stage(number: int) -> list[str]:
        return [*own, f"--stage={number}", f"--stop-stage={number}"]

    for number in (0, 1):
        succeeds(copy.run("sitw", *stage(number)))
    copy.kill("sitw", *stage(2), when=lambda: any(recipe.glob("data/**/*.ark*")))
    assert not (recipe / "data/sitw_dev/feats.scp").exists()
    succeeds(copy.run("sitw", *stage(2)))
    copy.kill("sitw", *stage(3), when=lambda: any(recipe.glob("exp/am/checkpoints/*.pt")))
    assert not (recipe / "exp/am/final.pt").exists()
    for number in (3, 4, 5):
        succeeds(copy.run("sitw", *stage(number)))
    assert scores_of(recipe / "exp/am") == scores_of(whole.recipe("sitw") / "exp/am")


def test_a_model_that_was_trained_on_speakers_of_sitw_is_refused_by_their_names(whole, miniature, sitw):
    finished = whole.run("sitw", *sitw, "--model=exp/am", "--exp=exp/leak", "--stage=2")
    message = error_of(finished)
    assert all(speaker in finished.stdout + finished.stderr for speaker in shared_speakers(miniature))
    assert "vox1_dev" in message
    assert not (whole.recipe("sitw") / "exp/leak").exists()
