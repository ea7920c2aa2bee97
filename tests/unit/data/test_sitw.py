"""What the lists of Speakers in the Wild say, by hand; and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipes.sitw_tree import RATE, make_sitw

from spk.data.sitw import check_md5, find_parts, read_part
from spk.errors import InputError


@pytest.fixture
def dev(tmp_path) -> Path:
    return make_sitw(tmp_path / "sitw") / "dev"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def lines_of(trials) -> list[str]:
    rows = zip(trials.enroll, trials.test, trials.is_target, strict=True)
    return [f"{trials.utterances[model]} {trials.utterances[test]} {target}" for model, test, target in rows]


def test_models_are_of_whole_files_or_of_the_annotated_pieces_alone(dev):
    part = read_part(dev)
    assert part.models == {
        "core": {"10001": ["ABAA-aaaaa"], "10002": ["BCDE-bbbba"]},
        "assist": {
            "20001": ["ABAA-mmmmm-0000500-0001250", "ABAA-mmmmm-0002000-0003990"],
            "20002": ["BCDE-nnnnn-0001250-0002000"],
        },
    }
    assert part.segments["ABAA-aaaaa"] == "aaaaa 0 -1"
    assert part.segments["ABAA-mmmmm-0002000-0003990"] == "mmmmm 2.000 3.990"
    assert "BCDE-nnnnn" not in part.segments, "her whole file is in no test, and enrols nobody"
    assert part.data.wav["nnnnn"] == str(dev / "audio" / "nnnnn.flac")


def test_trials_are_those_of_the_keys_in_their_order(dev):
    part = read_part(dev)
    assert list(part.trials) == ["assist-core", "assist-multi", "core-core", "core-multi"]
    assert lines_of(part.trials["core-multi"]) == [
        "10001 ABAA-mmmmm True",
        "10001 uuuuu-uuuuu False",
        "10002 ABAA-mmmmm True",
        "10002 uuuuu-uuuuu False",
    ]
    assert lines_of(read_part(dev, with_aux=True).trials["assist-multi.10s"]) == [
        "20001 ABAA-aaaab True",
        "20001 uuuuu-uuuuu False",
    ]


def test_speakers_and_genders_are_those_of_the_metadata(dev):
    part = read_part(dev)
    assert part.data.utt2spk["ABAA-mmmmm-0000500-0001250"] == "ABAA"
    assert part.data.utt2spk["uuuuu-uuuuu"] == "uuuuu"
    assert part.data.genders == {"ABAA": "m", "BCDE": "f", "CDEF": "m"}
    assert any("1 files are not in it, and each its own speaker: uuuuu" in remark for remark in part.remarks)
    append(dev / "keys" / "meta.lst", "audio/uuuuu.flac ABAA f video 9 0 1 1\n")
    part = read_part(dev)
    assert part.data.utt2spk["ABAA-uuuuu"] == "ABAA"
    assert part.data.genders == {"BCDE": "f", "CDEF": "m"}, "of ABAA it says both"


def test_labels_that_the_metadata_contradicts_are_counted_and_kept(dev):
    """10002 is BCDE and mmmmm.flac ABAA's; but she speaks in it, too."""
    remarks = [remark for remark in read_part(dev).remarks if "keep their label" in remark]
    assert remarks == [
        f"{dev}/keys/core-multi.lst: 1 of 2 tgt trials have different speakers by meta.lst and keep their label, the "
        "first in line 3, '10002 audio/mmmmm.flac'"
    ]
    key = dev / "keys" / "core-core.lst"
    key.write_text(key.read_text().replace("10001 audio/aaaab.flac tgt", "10001 audio/aaaab.flac imp"))
    assert any("core-core.lst: 1 of 5 imp trials have the same speaker" in remark for remark in read_part(dev).remarks)


def test_a_file_of_two_speakers_agrees_with_trials_of_either(dev):
    append(dev / "keys" / "meta.lst", "audio/mmmmm.flac BCDE f studio 300 40 44 3\n")
    part = read_part(dev)
    assert not [remark for remark in part.remarks if "keep their label" in remark]
    assert any("1 files of several speakers, of which the first counts: mmmmm" in remark for remark in part.remarks)
    assert part.data.utt2spk["ABAA-mmmmm"] == "ABAA"


def test_models_of_several_speakers_are_named(dev):
    append(dev / "lists" / "enroll-assist.lst", "20002 audio/mmmmm.flac 0.1 0.2\n")
    assert any("1 models of recordings of several speakers: 20002" in remark for remark in read_part(dev).remarks)


def test_repeated_pieces_count_once(dev):
    append(dev / "lists" / "enroll-assist.lst", "20002 audio/nnnnn.flac 1.25 2.0\r\n\n")
    part = read_part(dev)
    assert part.models["assist"]["20002"] == ["BCDE-nnnnn-0001250-0002000"]
    assert any("lines that repeat earlier ones count once, 1: 4" in remark for remark in part.remarks)


def test_conditions_without_their_lists_are_left_out_and_named(dev):
    (dev / "lists" / "enroll-assist.lst").unlink()
    (dev / "keys" / "core-multi.lst").unlink()
    part = read_part(dev)
    assert list(part.trials) == ["core-core"]
    assert list(part.models) == ["core"]
    said = "\n".join(part.remarks)
    for words in ("keys/assist-core.lst is left out, because", "keys: no key of core-multi"):
        assert words in said


def test_any_key_with_its_enrolment_list_is_a_condition(dev):
    (dev / "lists" / "enroll-assistclean.lst").write_text("9 audio/mmmmm.flac 3 4.4\n")
    (dev / "keys" / "assistclean-core.lst").write_text("9 audio/bbbbb.flac imp\n9 audio/aaaab.flac tgt\n")
    part = read_part(dev)
    assert part.models["assistclean"] == {"9": ["ABAA-mmmmm-0003000-0004400"]}, "0.4 s past the end is rounding"
    assert lines_of(part.trials["assistclean-core"]) == ["9 BCDE-bbbbb False", "9 ABAA-aaaab True"]


@pytest.mark.parametrize(
    "name, line, message",
    [
        ("keys/core-core.lst", "10009 audio/aaaab.flac tgt", "enroll-core.lst has no line for 1 of its models: 10009"),
        ("keys/core-core.lst", "10001 audio/zzzzz.flac imp", "lists name 1 files that are not there: audio/zzzzz.flac"),
        ("keys/core-core.lst", "10001 audio/aaaaa.flac target", "core-core.lst:7: label 'target' is not known"),
        ("keys/core-core.lst", "10001 audio/aaaab.flac", "core-core.lst:7: 2 fields instead of 3"),
        ("keys/core-core.lst", "10001 audio/aaaab.flac imp", "core-core.lst:7: '10001 audio/aaaab.flac' has another"),
        (
            "keys/core-core.lst",
            "10001 ../eval/audio/eeeea.flac imp",
            "core-core.lst:7: '../eval/audio/eeeea.flac' is no",
        ),
        ("keys/core-core.lst", "10001 /etc/passwd imp", "core-core.lst:7: '/etc/passwd' is no file of this part"),
        ("lists/enroll-core.lst", "10003 audio/zzzzz.flac", "lists name 1 files that are not there: audio/zzzzz.flac"),
        ("lists/enroll-core.lst", "10003", "enroll-core.lst:3: 1 fields"),
        ("lists/enroll-assist.lst", "20003 audio/mmmmm.flac 2 2", "enroll-assist.lst:4: from 2 to 2: wanted seconds"),
        ("lists/enroll-assist.lst", "20003 audio/mmmmm.flac -1 2", "enroll-assist.lst:4: from -1 to 2: wanted seconds"),
        ("lists/enroll-assist.lst", "20003 audio/mmmmm.flac 1 x", "enroll-assist.lst:4: from 1 to x: wanted seconds"),
        (
            "lists/enroll-assist.lst",
            "20003 audio/mmmmm.flac 1 4.6",
            "enroll-assist.lst:4: from 1 to 4.6 s of audio/mmmmm",
        ),
        ("lists/enroll-assist.lst", "20003 audio/aaaaa.flac 1 1.2", "which lasts 1.00 s; 1 lines go past the end"),
        ("keys/meta.lst", "audio/aaaaa.flac ABAA", "meta.lst:9: 2 fields; a line is"),
        ("keys/meta.lst", "aaaaa ABAA m video 1 0 1 1", "meta.lst:9: 'aaaaa' is no file of this part"),
    ],
)
def test_faulty_lines_are_named(dev, name, line, message):
    append(dev / name, f"{line}\n")
    with pytest.raises(InputError, match=r"\A[^\n]*\Z") as caught:
        read_part(dev)
    assert message in str(caught.value)


def test_files_of_one_name_in_two_folders_are_refused(dev):
    (dev / "more").mkdir()
    soundfile.write(dev / "more" / "aaaaa.flac", np.zeros(RATE), RATE)
    append(dev / "keys" / "core-core.lst", "10001 more/aaaaa.flac imp\n")
    with pytest.raises(
        InputError, match=r"audio/aaaaa\.flac and more/aaaaa\.flac are different recordings of one name"
    ):
        read_part(dev)


def test_a_damaged_file_of_pieces_is_named(dev):
    (dev / "audio" / "nnnnn.flac").write_bytes(b"no audio")
    with pytest.raises(InputError, match=r"nnnnn\.flac: no audio that can be read"):
        read_part(dev)


@pytest.mark.parametrize("name", ["keys/meta.lst", "keys/core-core.lst", "lists/enroll-core.lst"])
def test_an_empty_list_is_named(dev, name):
    (dev / name).write_text("\n")
    with pytest.raises(InputError, match=f"{name}: empty"):
        read_part(dev)


def test_without_metadata_nobody_is_known(dev):
    (dev / "keys" / "meta.lst").unlink()
    with pytest.raises(InputError, match=r"keys/meta\.lst: no such file"):
        read_part(dev)


def test_without_any_key_there_is_nothing_to_prepare(dev):
    for key in dev.glob("keys/*-*.lst"):
        key.unlink()
    with pytest.raises(InputError, match=r"no keys/<enrol>-<test>\.lst"):
        read_part(dev)


def test_the_folder_is_the_one_that_holds_dev_and_eval(dev, tmp_path):
    assert [part.name for part in find_parts(tmp_path / "sitw")] == ["dev", "eval"]
    for other in (tmp_path, dev):
        with pytest.raises(InputError, match=rf"did you mean {tmp_path}/sitw\?"):
            find_parts(other)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        find_parts(tmp_path / "nowhere")


def test_md5_sums_tell_which_files_are_damaged_and_which_are_missing(dev):
    assert check_md5(dev) == 8
    (dev / "audio" / "aaaaa.flac").write_bytes(b"damaged")
    (dev / "audio" / "ccccc.flac").unlink()
    with pytest.raises(InputError) as caught:
        check_md5(dev)
    assert "1 files are not there: audio/ccccc.flac; 1 files differ: audio/aaaaa.flac; unpack" in str(caught.value)
    (dev / "lists" / "audio_md5sum.lst").write_text("MD5 (audio/aaaaa.flac) = 0\n")
    with pytest.raises(InputError, match=r"audio_md5sum\.lst:1: wanted a line of md5sum"):
        check_md5(dev)
