"""Trial lists of the VoxCeleb Speaker Recognition Challenge: pairs of paths in several folders, perhaps with labels."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from spk.data.trials import Pairs, Trials, read_pairs
from spk.data.voxceleb_trials import contradicted_labels, contradiction, first_line
from spk.errors import InputError

log = logging.getLogger(__name__)

SPEAKER = re.compile(r"id\d{5}", re.ASCII)


@dataclass(frozen=True)
class ListedFile:
    """A path of a list. `speaker`: None where the path does not tell; `short_path`: VoxCeleb's own part of the path."""

    path: str
    utterance: str
    speaker: str | None
    short_path: str | None = None

    def find(self, roots: Sequence[str]) -> str | None:
        """The file under the first root that has it; by VoxCeleb's part of its path where no root has the whole."""
        for path in (self.path, self.short_path):
            for root in roots if path else ():
                file = os.path.join(root, path)  # noqa: PTH118 (a Path a file is slow)
                if os.path.isfile(file):  # noqa: PTH113
                    return file
        return None


def name_file(path: str) -> ListedFile:
    """The utterance id of a listed path.

    folders/idNNNNN/video/file.wav -> idNNNNN-video-file, as everywhere, whatever the folders in front are;
    folders/idNNNNN/file.wav, or deeper ones -> idNNNNN-folders-file: the speaker comes first, as tables want it;
    folders/file.wav -> folders-file, of which the path does not tell the speaker.
    Raises: InputError for a path that is absolute, climbs, or has empty parts.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InputError(f"{path!r} is to be a path below the roots, without '..' and the like")
    folders, name = parts[:-1], PurePosixPath(parts[-1]).stem
    places = [place for place, folder in enumerate(folders) if SPEAKER.fullmatch(folder)]
    if not places:
        return ListedFile(path, "-".join([*folders, name]), None)
    before, speaker, after = folders[: places[-1]], folders[places[-1]], folders[places[-1] + 1 :]
    if len(after) == 1:
        return ListedFile(path, f"{speaker}-{after[0]}-{name}", speaker, "/".join(parts[-3:]))
    return ListedFile(path, "-".join([speaker, *before, *after, name]), speaker)


def read_voxsrc_list(path: str | os.PathLike[str]) -> tuple[list[ListedFile], Pairs]:
    """Read '1|0 path path' lines, or 'path path' without labels: the files, and the pairs (or trials) by utterance id.

    Labels that the speakers' ids contradict are said, and stay: the challenge measures by its labels.
    Raises: InputError for a line or a path of another form, and for two paths of one id.
    """
    pairs = read_pairs(path)
    files: list[ListedFile] = []
    place_of: dict[str, int] = {}
    for index, listed in enumerate(pairs.utterances):
        try:
            file = name_file(listed)
        except InputError as error:
            raise InputError(f"{path}:{first_line(pairs, index)}: {error}") from None
        other = place_of.setdefault(file.utterance, index)
        if other != index:
            raise InputError(
                f"{path}:{first_line(pairs, index)}: {listed!r} and {pairs.utterances[other]!r} would both have the id "
                f"{file.utterance!r}: call one of them otherwise, in the list and on the disk"
            )
        files.append(file)
    utterances = [file.utterance for file in files]
    if not isinstance(pairs, Trials):
        return files, Pairs(utterances, pairs.enroll, pairs.test)
    contradicted = contradicted_labels(pairs, [file.speaker for file in files])
    if contradicted.size:
        log.warning("%s:%d: %s; they stay", path, contradicted[0] + 1, contradiction(pairs, contradicted))
    return files, Trials(utterances, pairs.enroll, pairs.test, pairs.is_target)
