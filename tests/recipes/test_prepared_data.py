"""egs/voxceleb and egs/sitw on small prepared data directories."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "egs" / "mini" / "conf" / "fast_resnet34_dam.yaml"


def run(recipe: str, *options: object, script: str = "run.sh") -> subprocess.CompletedProcess[str]:
    command = [ROOT / "egs" / recipe / script, "--ngpu=0", "--nj=1", *options]
    if recipe == "sitw":
        command.append(f"--overlap={ROOT / 'tests' / 'data' / 'sitw_overlap.txt'}")
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900)


def succeeds(finished: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished


def write_data(folder: Path, recordings: dict[str, tuple[str, Path]]) -> Path:
    """A data directory of {utterance: (speaker, file)}."""
    folder.mkdir()
    utterances = sorted(recordings)
    (folder / "wav.scp").write_text("".join(f"{name} {recordings[name][1]}\n" for name in utterances))
    (folder / "utt2spk").write_text("".join(f"{name} {recordings[name][0]}\n" for name in utterances))
    speakers = itertools.groupby(utterances, key=lambda name: recordings[name][0])
    (folder / "spk2utt").write_text("".join(f"{speaker} {' '.join(names)}\n" for speaker, names in speakers))
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """train (8 speakers), test (4 others; trials and trials_some), mixed (one of each)."""
    folder = tmp_path_factory.mktemp("prepared")
    corpus = make_corpus(folder / "buzz", train_speakers=8, test_speakers=4, utterances=5, seconds=1.5)
    recordings: dict[str, dict[str, tuple[str, Path]]] = {"train": {}, "test": {}, "mixed": {}}
    for line in (corpus / "speakers.tsv").read_text().splitlines()[1:]:
        speaker, split = line.split("\t")
        for path in sorted((corpus / "wav" / speaker).rglob("*.wav")):
            recordings[split][f"{speaker}-{path.parent.name}-{path.stem}"] = (speaker, path)
    for name in ("train", "test"):
        first = min(recordings[name])
        recordings["mixed"][first] = recordings[name][first]
    for name, content in recordings.items():
        write_data(folder / name, content)
    test = recordings["test"]
    trials = [
        f"{one} {other} {'target' if test[one][0] == test[other][0] else 'nontarget'}\n"
        for one, other in itertools.combinations(sorted(test), 2)
    ]
    (folder / "test" / "trials").write_text("".join(trials))
    (folder / "test" / "trials_some").write_text("".join(trials[::2]))
    (folder / "mixed" / "trials").write_text(f"{' '.join(sorted(recordings['mixed']))} nontarget\n")
    return folder


@pytest.fixture(scope="module")
def voxceleb(prepared) -> list[object]:
    """The options of a whole run of egs/voxceleb, which has been done; its system is prepared/exp."""
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    options = [*data, f"--config={CONFIG}", f"--exp={prepared / 'exp'}", "--backends=own,plda,plda_as", *SMALL_OPTIONS]
    table = succeeds(run("voxceleb", *options)).stdout
    assert table.count("test_some") == 3
    return options


def test_voxceleb_reports_each_list_by_every_back_end(prepared, voxceleb):
    rows = json.loads((prepared / "exp" / "results.json").read_text())
    found = {(row["test_set"], row["backend"]) for row in rows}
    assert found == set(itertools.product(["test", "test_some"], ["cosine", "plda", "plda_as"]))


@pytest.mark.parametrize("stages", [(0, 3), (4, 4), (5, 5), (6, 6), (7, 7)], ids=str)
def test_stages_of_voxceleb_alone_redo_nothing(prepared, voxceleb, stages):
    def made() -> dict[Path, int]:
        files = [path for path in prepared.rglob("*") if path.is_file() and "log" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}

    before = made()
    succeeds(run("voxceleb", *voxceleb, f"--stage={stages[0]}", f"--stop-stage={stages[1]}"))
    assert made() == before


def test_sitw_scores_a_model_of_voxceleb(prepared, voxceleb):
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    finished = run("sitw", *data, f"--model={prepared / 'exp'}", f"--exp={prepared / 'sitw'}")
    assert "test_some" in succeeds(finished).stdout
    assert "made again" not in finished.stderr  # the features are those of the model
    for name in ("scores_test_cosine", "scores_test_some_cosine"):
        assert (prepared / "sitw" / name).read_bytes() == (prepared / "exp" / name).read_bytes()
    assert not (prepared / "sitw" / "final.pt").exists()


def test_sitw_trains_a_system_of_its_own(prepared, voxceleb):
    exp = prepared / "own"
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    succeeds(run("sitw", *data, f"--config={CONFIG}", f"--exp={exp}", *SMALL_OPTIONS))
    assert (exp / "scores_test_cosine").read_bytes() == (prepared / "exp" / "scores_test_cosine").read_bytes()


@pytest.mark.parametrize("recipe", ["voxceleb", "sitw"])
def test_a_training_set_with_a_test_speaker_is_refused_at_any_stage(prepared, tmp_path, recipe):
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'mixed'}"]
    finished = run(recipe, *data, f"--config={CONFIG}", f"--exp={tmp_path / 'exp'}", "--stage=2")
    assert finished.returncode != 0
    assert finished.stdout.split("\t")[:3] == ["buzz000", "5", "1"]
    assert "buzz000" in finished.stderr
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize("recipe, option", [("voxceleb", "--archives"), ("sitw", "--sitw")])
def test_without_speech_the_recipe_says_what_it_wants(tmp_path, recipe, option):
    finished = run(recipe, *([f"--storage={tmp_path}"] if recipe == "voxceleb" else []), f"--data={tmp_path}")
    assert finished.returncode != 0
    last = finished.stderr.splitlines()[-1]
    assert "where is the speech?" in last and option in last and "--test-data" in last


def test_lists_that_test_the_training_speakers_are_refused_before_any_work(tmp_path):
    finished = run("voxceleb", "--train=vox1", "--eval=o,h", f"--storage={tmp_path}")
    assert finished.returncode != 0
    assert "--eval o,h: E and H test VoxCeleb1's development speakers" in finished.stderr.splitlines()[0]
    assert not list(tmp_path.iterdir())


def test_sitw_refuses_to_train_a_trained_model(prepared, tmp_path):
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    finished = run("sitw", *data, f"--model={tmp_path}", "--loss.margin=0.3")
    assert finished.returncode != 0
    assert "--model" in finished.stderr.splitlines()[-1]
    finished = run("sitw", *data, f"--model={tmp_path}")
    assert finished.returncode != 0
    assert "final.pt" in finished.stderr.splitlines()[-1]


def test_another_protocol_of_a_trained_system_needs_no_training(prepared, voxceleb, tmp_path):
    """Three crops, scored by minus the mean of all nine distances of unnormalised embeddings."""
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    protocol = {"crops": 3, "crop_frames": 60, "backend.name": "euclidean", "backend.length_normalize": "false"}
    keys = [f"--evaluation.{key}={value}" for key, value in protocol.items()]
    keys.append("--backends=own,euclidean,euclidean_as,calibrated_own")
    succeeds(run("sitw", *data, f"--model={prepared / 'exp'}", f"--exp={tmp_path}", *keys))
    crops = kaldiio.load_scp(str(tmp_path / "embeddings_test" / "embedding.scp"))
    for line in (tmp_path / "scores_test_raw_euclidean").read_text().splitlines():
        enroll, test, score = line.split()
        distances = [np.linalg.norm(x - y) for x in crops[enroll] for y in crops[test]]
        assert len(distances) == 9
        assert float(score) == pytest.approx(-np.mean(distances), rel=1e-4)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["backend"] for row in rows} == {
        "raw_euclidean",
        "euclidean",  # of embeddings of length 1, whatever the system's own is
        "euclidean_as",
        "calibrated_raw_euclidean",
    }
    assert (tmp_path / "embeddings_held_out").exists()


def test_a_run_may_go_on_with_other_crops_and_then_uses_them(prepared, voxceleb, tmp_path):
    """evaluation.crops alters nothing of the training, so the trained network is embedded anew, not refused."""
    exp = tmp_path / "exp"
    shutil.copytree(prepared / "exp", exp)
    options = [option for option in voxceleb if not str(option).startswith("--exp=")]
    options += [f"--exp={exp}", "--stage=4", "--stop-stage=5"]
    succeeds(run("voxceleb", *options, "--evaluation.crops=2", "--evaluation.crop_frames=40"))
    crops = kaldiio.load_scp(str(exp / "embeddings_test" / "embedding.scp"))
    assert {matrix.shape[0] for matrix in crops.values()} == {2}
    assert (exp / "final.pt").read_bytes() == (prepared / "exp" / "final.pt").read_bytes()


def test_a_protocol_that_does_not_exist_is_refused_before_any_stage(prepared, tmp_path):
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    finished = run("voxceleb", *data, f"--exp={tmp_path / 'exp'}", "--evaluation.backend.name=euclidian")
    assert finished.returncode != 0
    assert "evaluation.backend.name" in finished.stderr
    assert "did you mean 'euclidean'" in finished.stderr


def test_a_wrong_protocol_costs_no_embedding_that_is_there(prepared, voxceleb, shell):
    made = prepared / "exp" / "embeddings_test"
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    command = 'extract_embeddings --nj 2 --evaluation "{crop: 10}" "$1" "$2" "$3"'
    finished = shell(command, prepared / "exp", prepared / "test", made)
    assert finished.returncode != 0
    assert "evaluation.crop: unknown key; did you mean 'crops'?" in finished.stderr
    assert {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()} == before


def test_a_system_whose_own_back_end_is_plda_is_trained_and_scored_by_it(prepared, tmp_path):
    data = [f"--train-data={prepared / 'train'}", f"--test-data={prepared / 'test'}"]
    exp = tmp_path / "exp"
    table = succeeds(
        run("voxceleb", *data, f"--config={CONFIG}", f"--exp={exp}", "--evaluation.backend=plda", *SMALL_OPTIONS)
    )
    assert " plda " in table.stdout
    assert (exp / "backend_plda" / "plda").exists()
    assert (exp / "scores_test_plda").exists()


def test_ivectors_go_from_data_directories_to_the_table(prepared, tmp_path):
    """Also again: nothing is redone. i-vectors have no back-end of their own."""
    folders = {name: tmp_path / name for name in ("train", "test")}
    for name, folder in folders.items():
        folder.mkdir()
        for file in ("wav.scp", "utt2spk", "spk2utt", "trials"):
            if (prepared / name / file).exists():
                shutil.copy(prepared / name / file, folder / file)
    options = [f"--{name}-data={folder}" for name, folder in folders.items()]
    options += [f"--exp={tmp_path / 'exp'}", "--num-gauss=8", "--ivector-dim=6", "--lda-dim=auto", "--threads=1"]
    options += ["--backends=cosine,plda,plda_as"]
    first = succeeds(run("voxceleb", *options, script="ivector.sh"))
    rows = json.loads((tmp_path / "exp" / "results.json").read_text())
    assert [row["backend"] for row in rows] == ["cosine", "plda", "plda_as"]
    scores = (tmp_path / "exp" / "scores_test_plda").stat().st_mtime_ns
    assert succeeds(run("voxceleb", *options, script="ivector.sh")).stdout == first.stdout
    assert (tmp_path / "exp" / "scores_test_plda").stat().st_mtime_ns == scores
    refused = run("voxceleb", *options[:-1], "--backends=own", script="ivector.sh")
    assert refused.returncode != 0
    assert "no back-end is named 'own'" in refused.stderr
