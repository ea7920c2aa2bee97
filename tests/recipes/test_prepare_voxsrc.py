"""local/prepare_voxsrc: a test set from a challenge's list, of which the paths lie in several folders."""

from __future__ import annotations

from pathlib import Path

import pytest

# The forms of path that the lists of the years have.
MIXED = [
    "0 voxceleb1/id10955/fM25hh5Dd-E/00003.wav voxceleb1_cd/id10545/000912.wav",
    "1 voxceleb1_cd/id10545/000912.wav id10545/-0a_b/00001.wav",
    "0 VoxSRC2022_dev/dev_00000.wav id10955/fM25hh5Dd-E/00003b.wav",
    "1 VoxSRC2022_dev/dev_00000.wav VoxSRC2022_dev/dev_00001.wav",
]
# Where they are: a challenge's folder, and VoxCeleb1 as it is unpacked.
FILES = [
    "challenge/voxceleb1_cd/id10545/000912.wav",
    "challenge/VoxSRC2022_dev/dev_00000.wav",
    "challenge/VoxSRC2022_dev/dev_00001.wav",
    "vox1/wav/id10955/fM25hh5Dd-E/00003.wav",
    "vox1/wav/id10955/fM25hh5Dd-E/00003b.wav",
    "vox1/wav/id10545/-0a_b/00001.wav",
]
PREPARE = "prepare_voxsrc list challenge,vox1/wav data"


@pytest.fixture
def work(tmp_path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_list(tmp_path, MIXED)
    return tmp_path


def write_list(folder: Path, lines: list[str]) -> None:
    (folder / "list").write_text("".join(f"{line}\n" for line in lines))


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def refused(shell, line: str) -> str:
    """The one line of a command that fails."""
    result = shell(line)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    return result.stderr


def test_every_form_of_path_gets_its_id_its_speaker_and_its_file(shell, work):
    said = shell(PREPARE, check=True).stderr.splitlines()
    assert lines_of(work / "data/wav.scp") == [
        f"VoxSRC2022_dev-dev_00000 {work}/challenge/VoxSRC2022_dev/dev_00000.wav",
        f"VoxSRC2022_dev-dev_00001 {work}/challenge/VoxSRC2022_dev/dev_00001.wav",
        f"id10545--0a_b-00001 {work}/vox1/wav/id10545/-0a_b/00001.wav",
        f"id10545-voxceleb1_cd-000912 {work}/challenge/voxceleb1_cd/id10545/000912.wav",
        f"id10955-fM25hh5Dd-E-00003 {work}/vox1/wav/id10955/fM25hh5Dd-E/00003.wav",
        f"id10955-fM25hh5Dd-E-00003b {work}/vox1/wav/id10955/fM25hh5Dd-E/00003b.wav",
    ]
    assert lines_of(work / "data/spk2utt") == [
        "VoxSRC2022_dev-dev_00000 VoxSRC2022_dev-dev_00000",
        "VoxSRC2022_dev-dev_00001 VoxSRC2022_dev-dev_00001",
        "id10545 id10545--0a_b-00001 id10545-voxceleb1_cd-000912",
        "id10955 id10955-fM25hh5Dd-E-00003 id10955-fM25hh5Dd-E-00003b",
    ]
    assert lines_of(work / "data/trials") == [
        "id10955-fM25hh5Dd-E-00003 id10545-voxceleb1_cd-000912 nontarget",
        "id10545-voxceleb1_cd-000912 id10545--0a_b-00001 target",
        "VoxSRC2022_dev-dev_00000 id10955-fM25hh5Dd-E-00003b nontarget",
        "VoxSRC2022_dev-dev_00000 VoxSRC2022_dev-dev_00001 target",
    ]
    assert said == [
        "data: 4 trials (2 target) of 6 utterances",
        "list: the paths of 2 utterances do not tell the speaker; each is a speaker of its own, so intervals over "
        "speakers mean nothing here",
    ]
    shell("validate_data_dir.sh data", check=True)


def test_a_list_without_labels_becomes_trials_without_labels(shell, work):
    write_list(work, [line.split(" ", 1)[1] for line in MIXED])
    said = shell(PREPARE, check=True).stderr.splitlines()[0]
    assert said == "data: 4 trials (without labels: no error rates) of 6 utterances"
    assert lines_of(work / "data/trials")[0] == "id10955-fM25hh5Dd-E-00003 id10545-voxceleb1_cd-000912"


def test_a_second_run_redoes_nothing_and_another_list_redoes(shell, work):
    shell(PREPARE, check=True)
    assert shell(PREPARE, check=True).stderr == "already made: data\n"
    (work / "data/feats.scp").write_text("id10955-fM25hh5Dd-E-00003 feats.ark:1\n")
    write_list(work, MIXED[:1] * 2)
    said = shell(PREPARE, check=True).stderr.splitlines()
    assert said == [
        "data is made again, because this changed: list",
        "data: 2 trials (0 target) of 2 utterances",
        "list: 1 of 2 lines repeat an earlier pair and count again",
    ]
    assert not (work / "data/feats.scp").exists()
    (work / "data/trials").unlink()
    assert "data is made again, because data/trials is missing" in shell(PREPARE, check=True).stderr


def test_a_path_as_it_is_listed_comes_before_voxcelebs_own_part_of_it(shell, work):
    listed = work / "vox1/wav/voxceleb1/id10955/fM25hh5Dd-E/00003.wav"
    listed.parent.mkdir(parents=True)
    listed.touch()
    (work / "challenge/id10955/fM25hh5Dd-E").mkdir(parents=True)
    (work / "challenge/id10955/fM25hh5Dd-E/00003.wav").touch()
    shell(PREPARE, check=True)
    assert f"id10955-fM25hh5Dd-E-00003 {listed}" in lines_of(work / "data/wav.scp")


def test_labels_that_the_speakers_contradict_are_said_and_stay(shell, work):
    write_list(work, [*MIXED, "1 id10545/-0a_b/00001.wav id10955/fM25hh5Dd-E/00003b.wav"])
    said = shell(PREPARE, check=True).stderr.splitlines()[0]
    assert said == (
        "list:5: 'id10545/-0a_b/00001.wav id10955/fM25hh5Dd-E/00003b.wav' is a target trial, but has utterances of two "
        "speakers; labels that contradict the speakers' ids: 1; they stay"
    )
    assert lines_of(work / "data/trials")[4] == "id10545--0a_b-00001 id10955-fM25hh5Dd-E-00003b target"


def test_absent_files_are_counted_and_nothing_is_written(shell, work):
    error = refused(shell, "prepare_voxsrc list challenge data")
    assert error == (
        f"prepare_voxsrc: error: list: 3 of its 6 files are not below {work}/challenge: "
        "voxceleb1/id10955/fM25hh5Dd-E/00003.wav, id10545/-0a_b/00001.wav, id10955/fM25hh5Dd-E/00003b.wav "
        "(each is looked for as ROOT/path)\n"
    )
    assert not (work / "data").exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ("1 a.wav", "list:5: 2 fields instead of 3"),
        ("2 a.wav b.wav", "list:5: label '2' is not known"),
        ("1 /etc/a.wav b.wav", "list:5: '/etc/a.wav' is to be a path below the roots"),
        ("1 ../a.wav b.wav", "list:5: '../a.wav' is to be a path below the roots"),
        ("1 b.wav x//a.wav", "list:5: 'x//a.wav' is to be a path below the roots"),
        (
            "0 x/id10955/fM25hh5Dd-E/00003.wav a.wav",
            "list:5: 'x/id10955/fM25hh5Dd-E/00003.wav' and 'voxceleb1/id10955/fM25hh5Dd-E/00003.wav' would both",
        ),
    ],
)
def test_a_faulty_line_is_refused_with_its_number(shell, work, line, message):
    write_list(work, [*MIXED, line])
    assert message in refused(shell, PREPARE)
    assert not (work / "data").exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ("prepare_voxsrc nowhere challenge data", "nowhere: no such trial list"),
        ("prepare_voxsrc challenge challenge data", "challenge: Is a directory"),
        ("prepare_voxsrc list nowhere data", "nowhere: no such folder"),
        ("prepare_voxsrc list , data", "names no folder"),
        (f">list; {PREPARE}", "list: empty"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(shell, work, line, message):
    assert message in refused(shell, line)


def test_the_help_says_what_intervals_mean(shell):
    assert "confidence intervals" in shell("prepare_voxsrc --help", check=True).stdout
