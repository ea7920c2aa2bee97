"""Check and unpack VoxCeleb's archives.

Usage: unpack_voxceleb [options] ARCHIVES CORPUS
ARCHIVES holds some of
    vox1_dev_wav_partaa ... partad, or joined as vox1_dev_wav.zip
    vox1_test_wav.zip
    vox2_dev_aac_partaa ... partah, or joined as vox2_aac.zip or vox2_dev_aac.zip
    vox2_test_aac.zip
as their owners give them out (ask by the form at https://mm.kaist.ac.kr/datasets/voxceleb/). Parts need not be joined.

Writes CORPUS/vox1_dev_wav, vox1_test_wav, vox2_dev_aac and vox2_test_aac, of the archives that are there, with the
paths of the zips: wav/<speaker>/<video>/<utterance>.wav, dev/aac/<speaker>/<video>/<utterance>.m4a. First the MD5 of
the whole archive is compared with the list; nothing of an archive that differs is unpacked. What is done is not done
again, also when the archives have been removed since; a call that was killed carries on where it stopped.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from spk.bin.byte_progress import ByteProgress
from spk.bin.command import argument_parser, command
from spk.data.alone import alone_in
from spk.data.archives import ZipArchive, plan_unpacking, shown_size, unpack
from spk.data.checksums import PUBLISHED, read_checksums
from spk.data.stamp import differences, write_stamp
from spk.data.voxceleb_archives import HOW_TO_GET, SOURCES, VoxCelebArchive, check_md5, find_archives, known_md5
from spk.errors import InputError

log = logging.getLogger(__name__)
STAMP, BEGUN = ".done", ".begun"


@command
def main() -> None:
    parser = argument_parser("unpack_voxceleb", __doc__)
    parser.add_argument(
        "--checksums",
        default=str(PUBLISHED),
        metavar="FILE",
        help="MD5 of the archives in md5sum's form, or none to unpack them unchecked (default: local/checksums.md5)",
    )
    parser.add_argument("archives", type=Path, metavar="ARCHIVES")
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    options = parser.parse_args()
    checking = options.checksums != "none"
    checksums = read_checksums(Path(options.checksums)) if checking else {}
    archives, remarks = find_archives(options.archives, checksums)
    finished = [name for name in SOURCES if name not in archives and (options.corpus / name / STAMP).is_file()]
    if not archives and not finished:
        names = "; ".join(map(str, SOURCES.values()))
        raise InputError(f"{options.archives}: holds none of VoxCeleb's archives ({names}). {HOW_TO_GET}")
    for remark in remarks:
        log.info("%s", remark)
    sums = {
        name: known_md5(archive, checksums, options.checksums) if checking else ("not checked", {})
        for name, archive in archives.items()
    }
    with alone_in(options.corpus / STAMP):
        for name, source in SOURCES.items():
            if name in archives:
                joined, parts = sums[name]
                inputs = archives[name].state() | {"MD5": " ".join([joined, *parts.values()])}
                make(name, archives[name], options.corpus / name, inputs, checksums, options.checksums)
            elif name in finished:
                log.info("%s: unpacked already; its archive is not there any more", options.corpus / name)
            else:
                log.info("%s: no archive in %s (%s)", name, options.archives, source)


def make(
    name: str,
    archive: VoxCelebArchive,
    folder: Path,
    inputs: Mapping[str, str],
    checksums: Mapping[str, str],
    list_name: str,
) -> None:
    """Check one archive and unpack it to `folder`, unless that is done."""
    different = differences(folder / STAMP, inputs)
    if different == []:
        log.info("already unpacked: %s", folder)
        return
    if different:
        log.info("%s: looked through again, because %s changed", folder, ", ".join(different))
    begin = time.monotonic()
    begun = differences(folder / BEGUN, inputs)
    # By the MD5 it is the archive of the last call, though its files may have other names and times now.
    resumed = begun is not None and "MD5" not in begun and (list_name != "none" or not begun)
    size = shown_size(archive.num_bytes())
    if list_name == "none":
        log.info("%s (%s): not checked -> %s", archive.shown, size, folder)
    elif begun == []:
        log.info("%s (%s): MD5 checked before -> %s", archive.shown, size, folder)
    else:
        log.info("%s (%s): checking its MD5", archive.shown, size)
        with ByteProgress(f"MD5 of {name}", archive.num_bytes()) as progress:
            check_md5(archive, checksums, list_name, progress)
        log.info("%s: MD5 as in %s -> %s", archive.shown, list_name, folder)
    with archive.open() as stream:
        opened = ZipArchive(stream, archive.shown)
        plan = plan_unpacking(opened, folder, resumed, reserved=(STAMP, BEGUN))
        (folder / STAMP).unlink(missing_ok=True)  # it speaks of another archive
        write_stamp(folder / BEGUN, inputs)
        with ByteProgress(name, plan.num_bytes) as progress:
            unpack(opened, folder, plan, progress)
    os.sync()  # the stamp must not outlive a crash that the files do not
    write_stamp(folder / STAMP, inputs)
    there = f", {plan.num_there} stood there" if plan.num_there else ""
    log.info("%s: %d files written%s, %.0f s", folder, len(plan.missing), there, time.monotonic() - begin)


if __name__ == "__main__":
    main()
