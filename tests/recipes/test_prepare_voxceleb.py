"""local/prepare_voxceleb: data directories from VoxCeleb's layouts, what is said, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes.processes import waits_for

META1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA\tm\tIreland\tdev\nid10270\tB\tf\tUSA\ttest\n"
META2 = "VoxCeleb2 ID,VGGFace2 ID,Gender,Set\nid00012 ,n000012 ,m ,dev \nid00015 ,n000015 ,m ,dev \n"


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Both archives of VoxCeleb1 and the dev archive of VoxCeleb2, as they are unpacked; files are empty."""
    files = (
        "vox1_dev_wav/wav/id10001/1zcIwhmdeo4/00001.wav",
        "vox1_dev_wav/wav/id10001/1zcIwhmdeo4/00002.wav",
        "vox1_test_wav/wav/id10270/x6uYqmx31kE/00001.wav",
        "vox2_dev_aac/dev/aac/id00012/21Uxsk56VDQ/00001.m4a",
    )
    touch(tmp_path / "corpus", *files)
    (tmp_path / "vox1_meta.csv").write_text(META1)
    (tmp_path / "vox2_meta.csv").write_text(META2)
    return tmp_path / "corpus"


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def files(data: Path) -> dict[str, str]:
    return {str(path.relative_to(data)): path.read_text() for path in data.rglob("*") if path.is_file()}


def refusal(finished) -> str:
    """The line with which the command refuses: the last, and the only one that says error."""
    assert finished.returncode == 1 and "Traceback" not in finished.stderr, finished.stderr
    *before, last = finished.stderr.splitlines()
    assert last.startswith("prepare_voxceleb: error: ") and not any("error" in line for line in before)
    return last


def test_voxceleb1_becomes_two_data_directories(shell, tmp_path, corpus):
    done = shell("prepare_voxceleb corpus/vox1_dev_wav,corpus/vox1_test_wav data", check=True)
    wav = corpus / "vox1_dev_wav/wav/id10001/1zcIwhmdeo4"
    assert {name: text for name, text in files(tmp_path / "data").items() if "/." not in name} == {
        "vox1_dev/wav.scp": (f"id10001-1zcIwhmdeo4-00001 {wav}/00001.wav\nid10001-1zcIwhmdeo4-00002 {wav}/00002.wav\n"),
        "vox1_dev/utt2spk": "id10001-1zcIwhmdeo4-00001 id10001\nid10001-1zcIwhmdeo4-00002 id10001\n",
        "vox1_dev/spk2utt": "id10001 id10001-1zcIwhmdeo4-00001 id10001-1zcIwhmdeo4-00002\n",
        "vox1_test/wav.scp": (f"id10270-x6uYqmx31kE-00001 {corpus}/vox1_test_wav/wav/id10270/x6uYqmx31kE/00001.wav\n"),
        "vox1_test/utt2spk": "id10270-x6uYqmx31kE-00001 id10270\n",
        "vox1_test/spk2utt": "id10270 id10270-x6uYqmx31kE-00001\n",
    }
    assert "data/vox1_dev: 1 of 1,211 speakers, 2 of 148,642 utterances" in done.stderr
    assert "data/vox1_test: 1 of 40 speakers, 1 of 4,874 utterances" in done.stderr
    shell("for name in vox1_dev vox1_test; do validate_data_dir.sh --no-feats data/$name; done", check=True)


def test_metadata_part_what_lies_in_one_folder_and_say_who_speaks(shell, tmp_path):
    touch(tmp_path / "vox/wav", "id10270/v/00001.wav", "id10001/v/00001.wav")
    (tmp_path / "vox1_meta.csv").write_text(META1)
    assert "give --metadata vox1_meta.csv" in refusal(shell("prepare_voxceleb vox data"))
    shell("prepare_voxceleb --metadata vox1_meta.csv vox data", check=True)
    written = files(tmp_path / "data")
    assert written["vox1_dev/spk2gender"] == "id10001 m\n" and written["vox1_test/spk2gender"] == "id10270 f\n"
    assert written["vox1_dev/spk2nationality"] == "id10001 Ireland\n"
    assert written["vox1_dev/utt2spk"] == "id10001-v-00001 id10001\n"


def test_speakers_who_are_not_in_the_metadata_are_kept_and_said(shell, tmp_path, corpus):
    touch(corpus, "vox1_dev_wav/wav/id10003/v/00001.wav")
    done = shell("prepare_voxceleb --metadata vox1_meta.csv corpus/vox1_dev_wav data", check=True)
    assert "not in the metadata, placed by the names of their folders: 1 (id10003)" in done.stderr
    assert "no spk2gender, because the gender of 1 speakers is unknown" in done.stderr
    assert not (tmp_path / "data/vox1_dev/spk2gender").exists()
    assert "id10003-v-00001 id10003\n" in (tmp_path / "data/vox1_dev/utt2spk").read_text()


def test_what_is_not_decoded_is_refused_or_piped(shell, tmp_path, corpus):
    said = refusal(shell("prepare_voxceleb corpus/vox1_dev_wav,corpus data"))
    assert "00001.m4a: is not decoded (1 files in all); run `decode_audio corpus DEST`" in said
    assert not files(tmp_path / "data") and not list((tmp_path / "data").iterdir())
    (tmp_path / "rejected.tsv").write_text("x.m4a\tcorpus/x.m4a\tempty\n")
    assert "is not decoded" in refusal(shell("prepare_voxceleb --rejected rejected.tsv corpus without"))
    file = "corpus/vox2_dev_aac/dev/aac/id00012/21Uxsk56VDQ/00001.m4a"
    (tmp_path / "rejected.tsv").write_text(f"{file.partition('/')[2]}\t{file}\tno audio\n")
    done = shell("prepare_voxceleb --rejected rejected.tsv corpus without", check=True)
    assert "left out, as they could not be decoded: 1 (" in done.stderr
    assert (tmp_path / "without/vox1_dev").is_dir() and not (tmp_path / "without/vox2_dev").exists()
    shell("prepare_voxceleb --pipes true corpus data", check=True)
    path = corpus / "vox2_dev_aac/dev/aac/id00012/21Uxsk56VDQ/00001.m4a"
    assert (tmp_path / "data/vox2_dev/wav.scp").read_text() == (
        f"id00012-21Uxsk56VDQ-00001 ffmpeg -nostdin -loglevel error -i {path} -vn -ac 1 -ar 16000 -f wav - |\n"
    )
    touch(tmp_path, "decoded/dev/aac/id00012/21Uxsk56VDQ/00001.flac")
    done = shell("prepare_voxceleb corpus,decoded data", check=True)
    assert f"the decoded ones are taken instead of 1 ({path})" in done.stderr
    assert "data/vox2_dev: made again, because this changed: wav.scp" in done.stderr
    assert (
        (tmp_path / "data/vox2_dev/wav.scp")
        .read_text()
        .endswith("/decoded/" + "/".join(path.parts[-5:-1]) + "/00001.flac\n")
    )


def test_a_second_run_redoes_nothing_and_a_changed_folder_is_noticed(shell, tmp_path, corpus):
    command = "prepare_voxceleb --metadata vox1_meta.csv corpus/vox1_dev_wav,corpus/vox1_test_wav data"
    shell(command, check=True)
    data = tmp_path / "data"
    times = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    again = shell(command, check=True)
    assert again.stderr.count("already made") == 2
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*") if path != data} == {
        path: time for path, time in times.items() if path != data
    }
    (data / "vox1_dev/feats.scp").write_text("kept\n")
    (data / "vox1_test/utt2spk").unlink()
    touch(corpus, "vox1_dev_wav/wav/id10001/1zcIwhmdeo4/00003.wav")
    third = shell("prepare_voxceleb corpus/vox1_dev_wav,corpus/vox1_test_wav data", check=True)
    changed = "spk2gender, spk2nationality, spk2utt, utt2spk, wav.scp"
    assert f"vox1_dev: made again, because this changed: {changed}: 1 of" in third.stderr
    assert len((data / "vox1_dev/utt2spk").read_text().splitlines()) == 3
    assert (data / "vox1_dev/feats.scp").read_text() == "kept\n"
    assert not (data / "vox1_dev/spk2gender").exists()
    assert (data / "vox1_test/utt2spk").exists()


def test_other_sets_in_the_same_place_are_left_alone(shell, tmp_path, corpus):
    shell("prepare_voxceleb corpus/vox1_dev_wav data", check=True)
    first = files(tmp_path / "data")
    shell("prepare_voxceleb corpus/vox1_test_wav data", check=True)
    assert first.items() < files(tmp_path / "data").items()


def test_what_a_killed_run_left_is_removed(shell, tmp_path, corpus):
    touch(tmp_path, "data/.prepare_voxceleb.partial/vox2_dev/wav.scp")
    shell("prepare_voxceleb corpus/vox1_dev_wav data", check=True)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["vox1_dev"]


def test_of_two_calls_into_one_place_the_second_waits(root, tmp_path, corpus):
    command = [root / "local/prepare_voxceleb", "corpus/vox1_dev_wav", "data"]
    assert "waiting for another call that writes in data\n" in waits_for(tmp_path / "data", command, tmp_path)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["vox1_dev"]


def test_a_complete_set_is_said_to_be_complete(shell, tmp_path):
    # VoxCeleb1's test part: 40 speakers, 4,874 utterances.
    for number in range(40):
        video = tmp_path / f"vox1_test_wav/wav/id{10270 + number}/video"
        video.mkdir(parents=True)
        for utterance in range(122 if number < 34 else 121):
            (video / f"{utterance:05d}.wav").touch()
    done = shell("prepare_voxceleb vox1_test_wav data", check=True)
    assert done.stderr.splitlines()[-1] == "data/vox1_test: 4,874 utterances of 40 speakers: complete"


def test_a_path_with_blanks_survives(shell, tmp_path):
    touch(tmp_path / "my  corpus", "dev/wav/id10001/v/00001.wav")
    shell('prepare_voxceleb "my  corpus" data; validate_data_dir.sh --no-feats data/vox1_dev', check=True)
    path = tmp_path / "my  corpus/dev/wav/id10001/v/00001.wav"
    assert (tmp_path / "data/vox1_dev/wav.scp").read_text() == f"id10001-v-00001 {path}\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("nowhere data", "nowhere: no such folder"),
        ("vox1_meta.csv data", "vox1_meta.csv: no such folder"),
        (", data", "names no folder"),
        ("corpus/vox1_dev_wav,empty data", "empty: no speaker's folder"),
        ("silent data", "silent: the speakers' folders hold no audio"),
        ("--metadata missing.csv corpus data", "missing.csv: No such file"),
        ("corpus/vox1_dev_wav vox1_meta.csv", "vox1_meta.csv"),
    ],
)
def test_what_cannot_be_used_is_one_line(shell, tmp_path, corpus, arguments, said):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "silent", "dev/txt/id10001/v/00001.txt")
    assert said in refusal(shell(f"prepare_voxceleb {arguments}"))
    assert not files(tmp_path / "data") if (tmp_path / "data").exists() else True


def test_a_full_disk_leaves_nothing_half_written(shell, tmp_path, disk_of):
    disk = disk_of("64k")
    names = [f"dev/wav/id10001/v/{number:05d}.wav" for number in range(1500)]
    touch(tmp_path / "corpus", *names)
    said = refusal(shell('prepare_voxceleb corpus "$1"', disk / "data"))
    assert "the disk is full" in said
    assert not files(disk)


def test_the_real_metadata_are_read(corpora):
    from spk.data.voxceleb_metadata import read_metadata

    folder = corpora / "voxceleb-lists"
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}")
    facts = read_metadata([folder / "vox1_meta.csv", folder / "vox2_meta.csv"]).values()
    counts = {(corpus, part): 0 for corpus in ("vox1", "vox2") for part in ("dev", "test")}
    for fact in facts:
        counts[fact.corpus, fact.part] += 1
    # The list of VoxCeleb2 has two test speakers more than its 118 with audio.
    assert counts == {("vox1", "dev"): 1211, ("vox1", "test"): 40, ("vox2", "dev"): 5994, ("vox2", "test"): 120}
    assert all(fact.gender in ("m", "f") for fact in facts)
