"""A small Speakers in the Wild: the distribution's tree with its lists, made by hand, and noise for audio.

In session 300 ABAA and BCDE speak to each other: it lies there twice, as mmmmm.flac for him and nnnnn.flac for her. The
key of core-multi knows that she is in his file, too. uuuuu.flac is not in meta.lst.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000  # Hz
DURATIONS = {  # seconds
    "aaaaa": 1.0, "aaaab": 1.5, "bbbba": 1.0, "bbbbb": 1.5, "ccccc": 1.0, "mmmmm": 4.0, "nnnnn": 4.0, "uuuuu": 1.0
}  # fmt: skip
DEV = {
    "keys/meta.lst": """\
audio/aaaaa.flac ABAA m video 100 0 1 1 clean 0 interview none
audio/aaaab.flac ABAA m video 101 10 11.5 1 codec,reverb 3 interview laughter, overlap
audio/bbbba.flac BCDE f studio 200 0 1 1 clean 0 interview laughter
audio/bbbbb.flac BCDE f video 201 0 1.5 1+ noise, reverb 2 outdoor none
audio/ccccc.flac CDEF m phone 400 0 1 1 clean 1 monologue none
audio/mmmmm.flac ABAA m studio 300 40 44 3 clean 0 interview laughter
audio/mmmmm.flac ABAA m studio 300 42 44 3 clean 0 interview laughter
audio/nnnnn.flac BCDE f studio 300 40 44 3 clean 0 interview laughter
""",
    "lists/enroll-core.lst": "10001 audio/aaaaa.flac\n10002 audio/bbbba.flac\n",
    "lists/enroll-assist.lst": """\
20001 audio/mmmmm.flac 0.500 1.250
20001 audio/mmmmm.flac 2.000 3.990
20002 audio/nnnnn.flac 1.250 2.000
""",
    "lists/test-core.lst": "audio/aaaab.flac\naudio/bbbbb.flac\naudio/ccccc.flac\n",
    "lists/test-multi.lst": "audio/aaaab.flac 1\naudio/mmmmm.flac 3\naudio/uuuuu.flac 2\n",
    "keys/core-core.lst": """\
10001 audio/aaaab.flac tgt
10001 audio/bbbbb.flac imp
10001 audio/ccccc.flac imp
10002 audio/aaaab.flac imp
10002 audio/bbbbb.flac tgt
10002 audio/ccccc.flac imp
""",
    "keys/core-multi.lst": """\
10001 audio/mmmmm.flac tgt
10001 audio/uuuuu.flac imp
10002 audio/mmmmm.flac tgt
10002 audio/uuuuu.flac imp
""",
    "keys/assist-core.lst": """\
20001 audio/aaaab.flac tgt
20001 audio/bbbbb.flac imp
20002 audio/aaaab.flac imp
20002 audio/bbbbb.flac tgt
""",
    "keys/assist-multi.lst": """\
20001 audio/aaaab.flac tgt
20001 audio/uuuuu.flac imp
20002 audio/aaaab.flac imp
20002 audio/uuuuu.flac imp
""",
    "keys/aux/assist-multi.10s.lst": "20001 audio/aaaab.flac tgt\n20001 audio/uuuuu.flac imp\n",
}
# The other part: only core, speakers of its own.
EVAL = {
    "keys/meta.lst": """\
audio/eeeea.flac EFGH f video 500 0 1 1 clean 0 interview none
audio/eeeeb.flac EFGH f video 501 0 1 1 clean 0 interview none
audio/ffffa.flac FGHI f video 502 0 1 1 clean 0 interview none
""",
    "lists/enroll-core.lst": "30001 audio/eeeea.flac\n",
    "lists/test-core.lst": "audio/eeeeb.flac\naudio/ffffa.flac\n",
    "keys/core-core.lst": "30001 audio/eeeeb.flac tgt\n30001 audio/ffffa.flac imp\n",
}


def make_sitw(root: Path) -> Path:
    write_part(root / "dev", DEV, DURATIONS)
    write_part(root / "eval", EVAL, {"eeeea": 1.0, "eeeeb": 1.0, "ffffa": 1.0})
    return root


def write_part(part: Path, lists: dict[str, str], durations: dict[str, float]) -> None:
    sums = []
    for seed, (name, seconds) in enumerate(durations.items()):
        path = part / "audio" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * RATE))
        soundfile.write(path, noise, RATE, subtype="PCM_16")
        sums.append(f"{hashlib.md5(path.read_bytes()).hexdigest()}  audio/{name}.flac\n")
    for name, text in {**lists, "lists/audio_md5sum.lst": "".join(sums)}.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_text(text)
