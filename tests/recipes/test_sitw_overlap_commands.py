"""local/remove_sitw_overlap and check_sitw_overlap: who is in SITW does not train, and nobody is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from spk.data.files import file_digest

SPEAKERS = ("id00012", "id00017", "id10001", "id10002", "id10003", "sp0.9-id10002")
METADATA = "--metadata vox1_meta.csv,vox2_meta.csv"


@pytest.fixture
def work(tmp_path, shell) -> Path:
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    names = [f"id1000{number}\tSome_Body{number}\tf\tUSA\tdev\n" for number in (1, 2, 3, 4)]
    (tmp_path / "vox1_meta.csv").write_text(header + "".join(names))
    lines = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set\n", "id00012 ,n000012 ,m ,dev \n", "id00017 ,n000017 ,m ,test \n"]
    (tmp_path / "vox2_meta.csv").write_text("".join(lines))
    (tmp_path / "overlap.txt").write_text("Some_Body2\nSome_Body4\nid10003\n")
    utterances = {f"{speaker}-v-{number}": speaker for speaker in SPEAKERS for number in (1, 2)}
    data = tmp_path / "data"
    data.mkdir()
    (data / "utt2spk").write_text("".join(f"{name} {who}\n" for name, who in utterances.items()))
    (data / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in utterances))
    (data / "feats.scp").write_text("".join(f"{name} x.ark:1\n" for name in utterances))
    shell("utt2spk_to_spk2utt data/utt2spk > data/spk2utt", check=True)
    return tmp_path


FOUND = (
    "id00017\t2\tVoxCeleb2's test part\n"
    "id10002\t2\ton the list\nid10003\t2\ton the list\nsp0.9-id10002\t2\ton the list\n"
)


def test_a_training_set_with_speakers_of_sitw_is_refused_and_they_are_listed(work, shell):
    finished = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} data")
    assert (finished.returncode, finished.stdout) == (1, FOUND)
    assert "it has 2 of the 3 speakers on the list and 1 of VoxCeleb2's test part; leave" in finished.stderr


def test_what_is_left_when_they_are_removed_may_train(work, shell):
    finished = shell(f"remove_sitw_overlap --overlap overlap.txt {METADATA} data new", check=True)
    assert finished.stdout == FOUND
    assert "data: had 2 of the 3 speakers on the list and 1 of VoxCeleb2's test part" in finished.stderr
    assert "new: 4 of 12 utterances" in finished.stderr
    kept = ["id00012-v-1", "id00012-v-2", "id10001-v-1", "id10001-v-2"]
    for table in ("utt2spk", "wav.scp", "feats.scp"):
        assert [line.split()[0] for line in (work / "new" / table).open()] == kept
    passed = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} new", check=True)
    assert (passed.stdout, passed.stderr) == ("", "new: has none of the 3 speakers on the list\n")


def test_speakers_of_whom_nobody_knows_are_said(work, shell):
    said = shell("remove_sitw_overlap --overlap overlap.txt --metadata vox1_meta.csv data new", check=True).stderr
    assert (
        "data: whether 2 of its 6 speakers are in Speakers in the Wild is not known, because --metadata does not have "
        "them: id00012, id00017"
    ) in said
    assert "new: 6 of 12 utterances" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("data new", "Give --overlap voxceleb1_sitw_overlap.txt"),
        ("--overlap overlap.txt data new", "overlap.txt:1: 2 of 3 entries are no ids; give --metadata vox1_meta.csv"),
        ("--overlap nowhere data new", "nowhere: No such file"),
        ("--overlap data data new", "data: Is a directory"),
        ("--overlap vox1_meta.csv --metadata vox1_meta.csv data new", "vox1_meta.csv:1: 5 of 5 entries are neither"),
        ("--overlap overlap.txt --metadata overlap.txt data new", "overlap.txt:1: the columns are to be"),
        (f"--overlap overlap.txt {METADATA} data data", "data: is the source, too"),
        (f"--overlap overlap.txt {METADATA} nowhere new", "nowhere/utt2spk: no such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(work, shell, arguments, message):
    finished = shell(f"remove_sitw_overlap {arguments}")
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1 and message in finished.stderr
    assert not (work / "new").exists()


def test_nobody_left_to_train_is_an_error(work, shell):
    (work / "overlap.txt").write_text("id00012\nid00017\nid10001\nid10002\nid10003\n")
    finished = shell("remove_sitw_overlap --overlap overlap.txt data new")
    assert finished.returncode == 1
    assert "data: all its speakers are in Speakers in the Wild, too; nobody is left" in finished.stderr


@pytest.mark.parametrize("init_from", [None, "first"])
def test_a_model_is_refused_for_what_it_or_its_beginning_has_seen(work, shell, init_from):
    """The model was trained on `new`, which has nobody of SITW; the one that it began from, on `data`, which has."""
    shell(f"remove_sitw_overlap --overlap overlap.txt {METADATA} data new", check=True)
    for name in ("data", "new"):
        lines = (work / name / "utt2spk").read_text().splitlines()
        (work / name / "utt2num_frames").write_text("".join(f"{line.split()[0]} 100\n" for line in lines))
    begun: dict[str, dict[str, str] | None] = {"first": None}
    for model, data in (("first", "data"), ("model", "new")):
        folder = work / model
        folder.mkdir()
        (folder / "final.pt").write_text(model)
        config = {"validation": {"speakers": 0}, "seed": 1, "features": {"name": "fbank40"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        names = ("utt2spk", "utt2num_frames")
        digests = {name: file_digest(work / data / name) for name in names}
        before = begun["first"] if init_from and model == "model" else None
        run = {"data": str(work / data), "data_digests": digests, "init_from": before}
        (folder / "run.json").write_text(json.dumps(run))
        begun[model] = {"file": str(folder / "final.pt"), "digest": file_digest(folder / "final.pt")}
    finished = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} --model model new")
    if init_from:
        assert finished.returncode == 1
        assert "model began from a network that has seen speakers of SITW: id00017, id10002, id10003" in finished.stderr
    else:
        assert finished.returncode == 0, finished.stderr
    other = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} --model first new")
    assert other.returncode == 1
    assert f"first was not trained on new as it is now, but on {work / 'data'}" in other.stderr
