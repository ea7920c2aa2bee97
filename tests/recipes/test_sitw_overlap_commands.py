"""local/remove_sitw_overlap and check_sitw_overlap: who is in SITW does not train, and nobody is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes.untrained_system import write_untrained

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


def test_voxceleb2_is_refused_when_nobody_says_who_of_it_is_in_its_test_part(work, shell):
    for command in (
        "check_sitw_overlap --overlap overlap.txt --metadata vox1_meta.csv data",
        "remove_sitw_overlap --overlap overlap.txt --metadata vox1_meta.csv data new",
    ):
        finished = shell(command)
        assert finished.returncode == 1
        (line,) = finished.stderr.splitlines()
        assert (
            "data: 2 of its 6 speakers are VoxCeleb2's by their ids, whose test part shares speakers with Speakers in "
            "the Wild, and --metadata does not have them: id00012, id00017; give --metadata vox2_meta.csv"
        ) in line
    assert not (work / "new").exists()


def test_speakers_of_whom_nobody_knows_are_said(work, shell):
    """VoxCeleb1's are not of VoxCeleb2's test part, and other names are not VoxCeleb's at all."""
    (work / "data" / "utt2spk").write_text("a-1 id11251\nb-1 Somebody\nc-1 sp0.9-id10001\n")
    (work / "data" / "wav.scp").write_text("a-1 a.wav\nb-1 b.wav\nc-1 c.wav\n")
    (work / "data" / "feats.scp").unlink()
    shell("utt2spk_to_spk2utt data/utt2spk > data/spk2utt", check=True)
    said = shell(f"remove_sitw_overlap --overlap overlap.txt {METADATA} data new", check=True).stderr
    assert (
        "data: whether 2 of its 3 speakers are in Speakers in the Wild is not known, because --metadata does not have "
        "them: Somebody, id11251"
    ) in said
    assert "new: 3 of 3 utterances" in said


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


@pytest.fixture
def systems(work, shell) -> Path:
    """`first` was trained on `data`, which has speakers of SITW; on `new`, which has none, `alone` and `second`, which
    began from `first`."""
    shell(f"remove_sitw_overlap --overlap overlap.txt {METADATA} data new", check=True)
    write_untrained(work / "first", work / "data")
    write_untrained(work / "alone", work / "new")
    write_untrained(work / "second", work / "new", init_from=work / "first")
    return work


def test_a_model_is_refused_for_what_it_or_its_beginning_has_seen(systems, shell):
    check = f"check_sitw_overlap --overlap overlap.txt {METADATA}"
    shell(f"{check} --model alone new", check=True)
    finished = shell(f"{check} --model second new")
    assert finished.returncode == 1
    assert (
        "network of second, or one that it began from, has seen speakers of SITW: id00017, id10002, id10003"
        in finished.stderr
    )
    other = shell(f"{check} --model first new")
    assert other.returncode == 1
    assert f"first was not trained on new as it is now, but on {systems / 'data'}" in other.stderr


def test_a_network_to_start_from_is_refused_for_what_it_has_seen_whatever_it_was_trained_on(systems, shell):
    check = f"check_sitw_overlap --overlap overlap.txt {METADATA}"
    shell(f"{check} --init-from alone new", check=True)
    for system in ("first", "second"):
        finished = shell(f"{check} --init-from {system} new")
        assert finished.returncode == 1
        assert f"network of {system}, or one that it began from, has seen speakers of SITW: id00017" in finished.stderr


def test_what_is_not_known_of_a_network_is_said_in_one_line(systems, shell):
    (systems / "data" / "utt2spk").write_text("")
    finished = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} --init-from second new", check=True)
    assert len(finished.stderr.splitlines()) == 2
    assert f"not all is known of whom the network of second has seen: {systems / 'data'}, which" in finished.stderr


def test_a_network_that_may_have_seen_voxceleb2_s_test_part_is_refused(systems, shell):
    """As what it was trained on is: nobody says who of that is in the test part."""
    (systems / "other").mkdir()
    (systems / "other" / "utt2spk").write_text("a-1 id00012\nb-1 id10001\n")
    write_untrained(systems / "unknown", systems / "other")
    lines = (systems / "vox2_meta.csv").read_text().replace("id00012", "id00013")
    (systems / "vox2_meta.csv").write_text(lines)
    (systems / "last").mkdir()
    (systems / "last" / "utt2spk").write_text("x-1 Somebody\n")
    for table in ("wav.scp", "spk2utt"):
        (systems / "last" / table).write_text("x-1 x\n")
    finished = shell(f"check_sitw_overlap --overlap overlap.txt {METADATA} --init-from unknown last")
    assert finished.returncode == 1
    assert "error: unknown, by whom its network has seen: 1 of its 2 speakers are VoxCeleb2's" in finished.stderr
