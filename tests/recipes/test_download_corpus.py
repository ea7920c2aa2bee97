"""local/download_corpus against a server on this machine: from the archive to what the recipes take."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from recipes.file_server import FileServer, Served, file_server
from recipes.processes import kill_when

MUSAN = {f"musan/noise/free-sound/noise-free-sound-{number:04d}.wav": os.urandom(3000) for number in range(5)}
LISTS = ["veri_test", "veri_test2", "list_test_all", "list_test_all2", "list_test_hard", "list_test_hard2"]


def tar_gz(contents: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return made.getvalue()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as made:
        yield made


def serve(server: FileServer, folder: Path, contents: Mapping[str, bytes], listed: bool = True) -> None:
    """Serve address -> content, and write `folder`/sums, with their MD5 when `listed`."""
    server.files |= {f"/{address}": Served(content) for address, content in contents.items()}
    sums = {address.rpartition("/")[2]: hashlib.md5(content).hexdigest() for address, content in contents.items()}
    (folder / "sums").write_text("".join(f"{md5}  {name}\n" for name, md5 in sums.items() if listed))


@pytest.fixture
def corpus(shell, server):
    """`corpus("musan")` runs download_corpus musan DIR against the server; returns the CompletedProcess."""

    def run(name: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        line = 'download_corpus --checksums sums --mirror "$@" DIR'
        return shell(line, server.address, *options, name, check=check)

    return run


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("download_corpus: error: "), done.stderr
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    for text in said:
        assert text in last


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_musan_comes_and_a_second_call_asks_the_server_for_nothing(corpus, server, tmp_path):
    serve(server, tmp_path, {"17/musan.tar.gz": tar_gz(MUSAN)})
    corpus("musan")
    assert all((tmp_path / "DIR" / name).read_bytes() == content for name, content in MUSAN.items())
    assert visible(tmp_path / "DIR") == {"musan", "musan.tar.gz"}
    assert corpus("musan").stderr == "already there: DIR/musan\n"
    assert len(server.requests) == 1


def test_an_archive_is_removed_only_when_asked_for(corpus, server, tmp_path):
    serve(server, tmp_path, {"17/musan.tar.gz": tar_gz(MUSAN)})
    said = corpus("musan", "--keep-archive", "false").stderr
    assert "DIR/musan.tar.gz: removed" in said
    assert visible(tmp_path / "DIR") == {"musan"}
    assert corpus("musan", "--keep-archive", "false").stderr == "already there: DIR/musan\n"


def test_rirs_noises_is_a_zip_and_a_dropped_connection_is_taken_up_again(corpus, server, tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("RIRS_NOISES/real_rirs_isotropic_noises/rir_list", "x")
    serve(server, tmp_path, {"28/rirs_noises.zip": made.getvalue()})
    server.faults = [("drop", 50)]
    corpus("rirs_noises")
    assert (tmp_path / "DIR/RIRS_NOISES/real_rirs_isotropic_noises/rir_list").read_text() == "x"
    assert server.ranges() == [None, "bytes=50-"]


def test_a_download_that_is_killed_goes_on_where_it_was(corpus, server, root, tmp_path):
    content = tar_gz({"musan/noise/a.wav": os.urandom(400_000)})
    serve(server, tmp_path, {"17/musan.tar.gz": content})
    server.pause = 0.01
    process = subprocess.Popen(
        [root / "local/download_corpus", "--checksums", "sums", "--mirror", server.address, "musan", "DIR"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    partial = tmp_path / "DIR/musan.tar.gz.partial"
    kill_when(process, lambda: partial.exists() and partial.stat().st_size > 50_000)
    there = partial.stat().st_size
    assert visible(tmp_path / "DIR") == {"musan.tar.gz.partial", "musan.tar.gz.partial.json"}
    server.pause = 0
    corpus("musan")
    assert there < len(content) and server.ranges() == [None, f"bytes={there}-"]
    assert visible(tmp_path / "DIR") == {"musan", "musan.tar.gz"}


def test_an_unpacking_that_is_killed_is_finished_by_the_next_call(corpus, server, root, tmp_path):
    contents = {f"musan/noise/{number:05d}.wav": os.urandom(500) for number in range(3000)}
    serve(server, tmp_path, {"17/musan.tar.gz": tar_gz(contents)})
    process = subprocess.Popen(
        [root / "local/download_corpus", "--checksums", "sums", "--mirror", server.address, "musan", "DIR"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    folder = tmp_path / "DIR/musan/noise"
    kill_when(process, lambda: folder.exists() and len(os.listdir(folder)) > 200)  # noqa: PTH208
    there = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert 0 < len(there) < 3000 and not (tmp_path / "DIR/.download/musan/done").exists()
    said = corpus("musan").stderr
    assert f"{3000 - len(there)} files written, {len(there)} stood there" in said
    assert {f"musan/noise/{path.name}": path.read_bytes() for path in folder.iterdir()} == contents
    assert len(server.requests) == 1


def test_an_archive_that_was_put_there_by_hand_is_checked_and_unpacked(corpus, server, tmp_path):
    content = tar_gz(MUSAN)
    serve(server, tmp_path, {"17/musan.tar.gz": content})
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR/musan.tar.gz").write_bytes(content[:-1])
    refused(corpus("musan", check=False), "DIR/musan.tar.gz: has the MD5", "remove it")
    assert visible(tmp_path / "DIR") == {"musan.tar.gz"}
    (tmp_path / "DIR/musan.tar.gz").write_bytes(content)
    corpus("musan")
    assert visible(tmp_path / "DIR") == {"musan", "musan.tar.gz"} and server.requests == []


def test_an_archive_that_is_not_as_published_leaves_nothing(corpus, server, tmp_path):
    serve(server, tmp_path, {"17/musan.tar.gz": tar_gz(MUSAN)})
    server.files["/17/musan.tar.gz"].content = tar_gz({"musan/evil": b""})
    refused(corpus("musan", check=False), f"{server.address}/17/musan.tar.gz: has the MD5")
    assert visible(tmp_path / "DIR") == set()


@pytest.mark.parametrize(
    "contents, links, said",
    [
        ({"musan/a": b"", "musan/../../evil": b""}, {}, "'musan/../../evil' climbs out"),
        ({"musan/a": b"", "/tmp/evil": b""}, {}, "'/tmp/evil' is an absolute path"),
        ({"musan/a": b""}, {"musan/b": "/etc/passwd"}, "'musan/b' is a symbolic link"),
        ({"LibriSpeech/a": b""}, {}, "holds no file in musan/"),
    ],
)
def test_an_archive_with_a_bad_member_is_not_unpacked(corpus, server, tmp_path, contents, links, said):
    serve(server, tmp_path, {"17/musan.tar.gz": tar_gz(contents, links)})
    refused(corpus("musan", check=False), f"DIR/musan.tar.gz: {said}")
    assert visible(tmp_path / "DIR") == {"musan.tar.gz"} and not list(tmp_path.rglob("evil"))


def test_a_file_that_the_server_has_not_is_told_with_its_address(corpus, server, tmp_path):
    serve(server, tmp_path, {})
    refused(corpus("musan", check=False), f"{server.address}/17/musan.tar.gz: the server answers 404", "--mirror")
    assert len(server.requests) == 1


def test_the_lists_of_voxceleb_come_with_their_metadata(corpus, server, tmp_path):
    files = {f"{name}.txt": name.encode() for name in LISTS} | {
        "49/vox1_meta.csv": b"1",
        "49/vox2_meta.csv": b"VoxCeleb2 ID \t",
    }
    serve(server, tmp_path, files)
    del server.files["/veri_test2.txt"]
    refused(corpus("voxceleb_lists", check=False), "/veri_test2.txt: the server answers 404")
    assert not (tmp_path / "DIR/.download/voxceleb_lists/done").exists()
    server.files["/veri_test2.txt"] = Served(b"veri_test2")
    corpus("voxceleb_lists")
    assert visible(tmp_path / "DIR") == {address.rpartition("/")[2] for address in files}
    (tmp_path / "DIR/vox1_meta.csv").unlink()
    corpus("voxceleb_lists")
    assert (tmp_path / "DIR/vox1_meta.csv").read_bytes() == b"1"
    assert [path for path, _, _ in server.requests].count("/vox1_meta.csv") == 0
    assert [path for path, _, _ in server.requests].count("/49/vox1_meta.csv") == 2


def test_a_file_without_a_published_md5_is_named_with_its_sha256(corpus, server, tmp_path):
    content = b"A.J._Buckley\nAamir_Khan\n"
    serve(server, tmp_path, {"49/voxceleb1_sitw_overlap.txt": content}, listed=False)
    digest = hashlib.sha256(content).hexdigest()
    said = corpus("sitw_overlap").stderr
    assert f"1 of 1 files have no published MD5; their SHA-256: voxceleb1_sitw_overlap.txt {digest}" in said
    assert corpus("sitw_overlap").stderr == "already there: DIR/voxceleb1_sitw_overlap.txt\n"


def test_a_page_in_the_place_of_a_list_is_not_taken_for_the_list(corpus, server, tmp_path):
    page = b"<!DOCTYPE html>\n<html><body>Down for maintenance</body></html>\n"
    serve(server, tmp_path, {"49/voxceleb1_sitw_overlap.txt": page}, listed=False)
    refused(corpus("sitw_overlap", check=False), "_overlap.txt: line 1, '<!DOCTYPE html>', is no speaker's name")
    assert visible(tmp_path / "DIR") == set()
    (tmp_path / "DIR/voxceleb1_sitw_overlap.txt").write_bytes(page)
    refused(corpus("sitw_overlap", check=False), "DIR/voxceleb1_sitw_overlap.txt: line 1", "remove it")


# ---- corpora that egs/mini takes


def serve_librispeech(server: FileServer, folder: Path, genders: Mapping[str, str]) -> None:
    """Both archives in LibriSpeech's form: two chapters a speaker, one with two utterances, and transcripts."""
    table = ";ID  |SEX| SUBSET           |MINUTES| NAME\n" + "".join(
        f"{speaker:<4} | {gender} | train-clean-360  | 25.03 | A | Name\n" for speaker, gender in genders.items()
    )
    archives = {}
    for subset, speakers in (("train-clean-5", ("14", "140")), ("dev-clean-2", ("1988", "2035"))):
        contents = {"LibriSpeech/SPEAKERS.TXT": table.encode(), "LibriSpeech/README.TXT": b""}
        for speaker in speakers:
            for chapter, count in (("208", 2), ("209", 1)):
                name = f"LibriSpeech/{subset}/{speaker}/{chapter}/{speaker}-{chapter}"
                contents[f"{name}.trans.txt"] = b"text"
                contents |= {f"{name}-{number:04d}.flac": f"{name} {number}".encode() for number in range(count)}
        archives[f"31/{subset}.tar.gz"] = tar_gz(contents)
    serve(server, folder, archives)


def test_mini_librispeech_is_laid_out_for_the_recipe(corpus, shell, server, tmp_path):
    serve_librispeech(server, tmp_path, {"14": "F", "140": "M", "1988": "F", "2035": "M"})
    corpus("mini_librispeech")
    laid_out = tmp_path / "DIR/mini_librispeech"
    assert (laid_out / "speakers.tsv").read_text() == (
        "speaker\tgender\tsplit\nls14\tf\ttrain\nls140\tm\ttrain\nls1988\tf\ttest\nls2035\tm\ttest\n"
    )
    link = laid_out / "wav/ls14/208/0001.flac"
    assert not link.readlink().is_absolute()
    assert link.read_text() == "LibriSpeech/train-clean-5/14/208/14-208 1"
    shell("prepare_speaker_folders DIR/mini_librispeech data", check=True)
    assert (tmp_path / "data/train/utt2spk").read_text().splitlines() == [
        f"{speaker}-{rest} {speaker}" for speaker in ("ls14", "ls140") for rest in ("208-0000", "208-0001", "209-0000")
    ]
    assert (tmp_path / "data/test_mini_librispeech/spk2gender").read_text() == "ls1988 f\nls2035 m\n"
    assert corpus("mini_librispeech").stderr.startswith("already there: DIR/LibriSpeech/train-clean-5, ")


def test_the_links_are_made_again_when_they_are_gone_but_no_file_of_the_user_is_removed(corpus, server, tmp_path):
    serve_librispeech(server, tmp_path, {})
    corpus("mini_librispeech")
    laid_out = tmp_path / "DIR/mini_librispeech"
    (laid_out / "speakers.tsv").unlink()
    corpus("mini_librispeech")
    assert (laid_out / "speakers.tsv").read_text().splitlines()[1] == "ls14\t\ttrain"
    (laid_out / "speakers.tsv").unlink()
    (laid_out / "wav/ls14/mine.flac").write_text("mine")
    refused(corpus("mini_librispeech", check=False), "DIR/mini_librispeech/wav/ls14/mine.flac", "move away")
    assert (laid_out / "wav/ls14/mine.flac").read_text() == "mine"
    assert len(server.requests) == 2


def speechocean762() -> bytes:
    """An archive in the form of speechocean762: two training and two test speakers, two utterances each."""
    contents = {"speechocean762/README.md": b"", "speechocean762/WAVE/.DS_Store": b""}
    for split, speakers in (("train", ("0001", "0005")), ("test", ("0003", "9501"))):
        names = {f"{int(speaker):05d}{number:04d}": speaker for speaker in speakers for number in (11, 35)}
        tables = {
            "wav.scp": [f"{name}\tWAVE/SPEAKER{speaker}/{name}.WAV" for name, speaker in names.items()],
            "utt2spk": [f"{name} {speaker}" for name, speaker in names.items()],
            "spk2gender": [f"{speaker} {'m' if speaker < '0004' else 'f'}" for speaker in speakers],
        }
        contents |= {f"speechocean762/{split}/{name}": "\n".join(lines).encode() for name, lines in tables.items()}
        contents |= {
            f"speechocean762/WAVE/SPEAKER{speaker}/{name}.WAV": name.encode() for name, speaker in names.items()
        }
    return tar_gz(contents)


def test_speechocean762_is_laid_out_for_the_recipe_beside_its_own_files(corpus, shell, server, tmp_path):
    serve(server, tmp_path, {"101/speechocean762.tar.gz": speechocean762()}, listed=False)
    assert "1 of 1 files have no published MD5" in corpus("speechocean762").stderr
    laid_out = tmp_path / "DIR/speechocean762"
    assert (laid_out / "WAVE/SPEAKER0001/000010035.WAV").is_file()
    assert (laid_out / "wav/so0001/s0/000010035.wav").read_text() == "000010035"
    assert (laid_out / "speakers.tsv").read_text() == (
        "speaker\tgender\tsplit\nso0001\tm\ttrain\nso0005\tf\ttrain\nso0003\tm\ttest\nso9501\tf\ttest\n"
    )
    shell("prepare_speaker_folders DIR/speechocean762 data", check=True)
    assert (tmp_path / "data/test_speechocean762/utt2spk").read_text().splitlines() == [
        "so0003-s0-000030011 so0003",
        "so0003-s0-000030035 so0003",
        "so9501-s0-095010011 so9501",
        "so9501-s0-095010035 so9501",
    ]
    (tmp_path / "moved").mkdir()
    (tmp_path / "DIR").rename(tmp_path / "moved/elsewhere")
    assert (tmp_path / "moved/elsewhere/speechocean762/wav/so0001/s0/000010035.wav").read_text() == "000010035"


# ---- names


@pytest.mark.parametrize(
    "name, said",
    [
        ("voxceleb2", "kaist.ac.kr"),
        ("VoxCeleb", "unpack_voxceleb"),
        ("sitw", "sri.com"),
        ("musn", "did you mean 'musan'? Known: mini_librispeech, musan, rirs_noises"),
    ],
)
def test_a_corpus_that_cannot_be_downloaded_is_refused_with_the_way_to_it(shell, tmp_path, name, said):
    refused(shell('download_corpus "$1" DIR', name), said)
    assert not (tmp_path / "DIR").exists()


def test_a_file_in_the_place_of_the_folder_and_a_mirror_that_is_no_address(shell, tmp_path):
    (tmp_path / "file").write_text("")
    refused(shell("download_corpus musan file"), "file: is a file")
    refused(shell("download_corpus --mirror mirror.org musan DIR"), "mirror.org/17/musan.tar.gz: is no address")


def test_help_names_the_corpora_and_what_they_give(shell):
    shown = shell("download_corpus --help", check=True).stdout
    assert "musan             DIR/musan" in shown and "--mirror URL" in shown and "--keep-archive" in shown
