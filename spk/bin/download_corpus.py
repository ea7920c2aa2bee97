"""Download an open corpus or list, check it and unpack it.

Usage: download_corpus [options] NAME DIR
    NAME              writes
    musan             DIR/musan (OpenSLR 17, 11 GB)
    rirs_noises       DIR/RIRS_NOISES (OpenSLR 28, 1.3 GB)
    mini_librispeech  DIR/LibriSpeech/{train-clean-5,dev-clean-2} (OpenSLR 31, 0.5 GB), and DIR/mini_librispeech
    speechocean762    DIR/speechocean762 (OpenSLR 101, 0.5 GB)
    voxceleb_lists    DIR/{veri_test,veri_test2,list_test_all,list_test_all2,list_test_hard,list_test_hard2}.txt,
                      DIR/vox1_meta.csv, DIR/vox2_meta.csv
    sitw_overlap      DIR/voxceleb1_sitw_overlap.txt (OpenSLR 49)
DIR/mini_librispeech and DIR/speechocean762 also get wav/<speaker>/<session>/<utterance> (links) and speakers.tsv, so
that `egs/mini/run.sh --corpus DIR/mini_librispeech,DIR/speechocean762` takes them as they are.

A download that was broken off goes on where it stopped, also in the next call. A file appears under its name when it is
whole and has its published MD5; where none is published, its SHA-256 is said. What lies in DIR already, because you put
it there, is taken and checked the same way. When all is done, the same call does nothing.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from spk.bin.byte_progress import ByteProgress
from spk.bin.command import argument_parser, command
from spk.data.alone import alone_in
from spk.data.archives import JoinedFiles, TarArchive, ZipArchive, plan_unpacking, shown_size, unpack
from spk.data.checksums import PUBLISHED, md5_sums, read_checksums
from spk.data.download import download
from spk.data.files import file_digest
from spk.data.open_corpora import OpenCorpus, RemoteFile, open_corpus, write_layout
from spk.data.stamp import differences, write_stamp
from spk.errors import InputError

log = logging.getLogger(__name__)
UNPUBLISHED = "no published MD5"
NOTES = ".download"  # the folder of what has begun and what is done


@command
def main() -> None:
    parser = argument_parser("download_corpus", __doc__)
    parser.add_argument(
        "--mirror",
        default="",
        metavar="URL",
        help="another server: URL/17/musan.tar.gz and so on for OpenSLR's files (say "
        "https://openslr.elda.org/resources), URL/veri_test.txt and so on for VoxCeleb's trial lists",
    )
    parser.add_argument(
        "--keep-archive",
        choices=["true", "false"],
        default="true",
        help="false removes an archive once it is unpacked (default %(default)s)",
    )
    parser.add_argument(
        "--checksums",
        default=str(PUBLISHED),
        metavar="FILE",
        help="MD5 of the files in md5sum's form (default: local/checksums.md5)",
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("dir", type=Path, metavar="DIR")
    options = parser.parse_args()
    corpus = open_corpus(options.name)
    checksums = read_checksums(Path(options.checksums))
    folder: Path = options.dir
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    state = folder / NOTES / options.name
    stamp = state / "done"
    inputs = {file.name: checksums.get(file.name, UNPUBLISHED) for file in corpus.files}
    with alone_in(stamp):
        missing = [path for path in corpus.outputs(folder) if not path.exists()]
        if differences(stamp, inputs) == [] and not missing:
            log.info("already there: %s", ", ".join(str(path) for path in corpus.outputs(folder)))
            return
        log.info("%s -> %s", corpus.title, folder)
        stamp.unlink(missing_ok=True)
        make(corpus, folder, state, options.mirror, checksums, options.keep_archive == "true")
        os.sync()  # the stamp must not outlive a crash that the files do not
        write_stamp(stamp, inputs)


def make(
    corpus: OpenCorpus, folder: Path, state: Path, mirror: str, checksums: Mapping[str, str], keep_archives: bool
) -> None:
    """Download, check, unpack, lay out. `state`: the folder for notes of what has begun."""
    unpublished = {}
    for file in corpus.files:
        path, md5 = folder / file.name, checksums.get(file.name, "")
        get(file, file.url(mirror), path, md5)
        identity = {"MD5": md5}
        if not md5:
            unpublished[file.name] = file_digest(path)
            identity = {"SHA-256": unpublished[file.name]}
        if file.top:
            unpack_archive(path, folder, file.top, state / f"{file.name}.begun", identity)
    if unpublished:
        said = ", ".join(f"{name} {digest}" for name, digest in unpublished.items())
        log.info("%d of %d files have no published MD5; their SHA-256: %s", len(unpublished), len(corpus.files), said)
    if corpus.speakers:
        speech = folder / corpus.speech
        speech.mkdir(exist_ok=True)
        num_speakers, num_recordings = write_layout(speech, corpus.speakers(folder))
        log.info("egs/mini/run.sh --corpus %s: %d speakers, %d recordings", speech, num_speakers, num_recordings)
    if not keep_archives:
        for archive in [folder / file.name for file in corpus.files if file.top]:
            archive.unlink()
            log.info("%s: removed, because of --keep-archive false", archive)
    log.info("done: %s", ", ".join(map(str, corpus.outputs(folder))))


def get(file: RemoteFile, url: str, path: Path, md5: str) -> None:
    """Download the file, unless it is there already. Raises: InputError when what is there is not what is published."""
    if not path.exists():
        log.info("%s", url)
        begin = time.monotonic()
        download(url, path, md5, file.fault, lambda total: ByteProgress(path.name, total))
        checked = "MD5 as published" if md5 else "no MD5 is published"
        size = shown_size(path.stat().st_size)
        log.info("%s: %s in %.0f s, %s", path, size, time.monotonic() - begin, checked)
    elif md5:
        with ByteProgress(f"MD5 of {path.name}", path.stat().st_size) as progress:
            found, _ = md5_sums([path], progress)
        if found != md5:
            raise InputError(
                f"{path}: has the MD5 {found}, but the list of checksums says {md5}; remove it and run the same "
                "command again"
            )
        log.info("%s: stands there, MD5 as published", path)
    else:
        wrong = file.fault(path)
        if wrong:
            raise InputError(f"{path}: {wrong}; remove it and run the same command again")
        log.info("%s: stands there, no MD5 is published", path)


def unpack_archive(path: Path, folder: Path, top: str, begun: Path, identity: Mapping[str, str]) -> None:
    """Unpack to `folder`; the archive is to hold the subfolder `top`. `begun`: says that its unpacking has begun.

    Raises: InputError; see plan_unpacking.
    """
    resumed = differences(begun, identity) == []
    with JoinedFiles([path]) as joined, io.BufferedReader(joined, 1 << 20) as stream:
        with ByteProgress(f"looking through {path.name}", path.stat().st_size) as progress:
            archive = (
                ZipArchive(stream, str(path)) if path.suffix == ".zip" else TarArchive(stream, str(path), progress)
            )
            plan = plan_unpacking(archive, folder, resumed, top, reserved=(NOTES,))
        write_stamp(begun, identity)
        with ByteProgress(f"unpacking {path.name}", plan.num_bytes) as progress:
            unpack(archive, folder, plan, progress)
    there = f", {plan.num_there} stood there" if plan.num_there else ""
    log.info("%s: %d files written%s", folder / top, len(plan.missing), there)


if __name__ == "__main__":
    main()
