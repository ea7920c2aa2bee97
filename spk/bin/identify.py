"""Which of a gallery's speakers is this? The speakers of the highest scores for each recording, and whether it is one.

Usage: spk identify [options] EXP GALLERY RECORDING...
The speaker may be a stranger: the best one is named only from the threshold on, as in spk verify. A calibration is
trained on single recordings, and a speaker who was enrolled with several has surer scores than it expects. Recordings
that cannot be used are left out, with a line for each, and then the status is 1.
"""

from __future__ import annotations

import logging
import sys

import numpy as np

from spk.bin.command import argument_parser, command
from spk.bin.use_options import (
    LeftOut,
    add_decision_options,
    add_model_options,
    as_json,
    decision_of,
    open_verifier,
    print_json,
    threshold_said,
    why_undecided,
)
from spk.bin.whole_number import whole_number
from spk.errors import InputError
from spk.schema import AT_LEAST_ONE

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("spk identify", __doc__)
    add_model_options(parser)
    add_decision_options(parser)
    parser.add_argument("--top", default="5", help="how many speakers to show (5)")
    parser.add_argument("gallery")
    parser.add_argument("recordings", nargs="+", metavar="recording")
    options = parser.parse_args()
    top = whole_number("--top", options.top, allowed=AT_LEAST_ONE)
    decision = decision_of(options)
    from spk.verification.gallery import Gallery

    verifier = open_verifier(options)
    gallery = Gallery(options.gallery, verifier.digest)
    names = gallery.names()
    if not names:
        raise InputError(f"{options.gallery}: nobody is enrolled (spk enroll)")
    enrolled = [gallery.read(name).embeddings for name in names]
    speakers = np.stack([verifier.represent(embeddings) for embeddings in enrolled])
    counts = [len(embeddings) for embeddings in enrolled]
    answers = []
    left_out = LeftOut(len(options.recordings))
    for recording, crops in verifier.embed_files(options.recordings, left_out):
        scores = verifier.scores(speakers, verifier.represent([crops]), counts)
        best = np.argsort(-scores, kind="stable")[:top]
        ranked = [(names[row], decision.of(float(scores[row]), verifier.calibration)) for row in best]
        name, verdict = ranked[0]
        if options.json:
            known = name if verdict.same_speaker else None
            speakers_said = [{"name": name, **as_json(verdict)} for name, verdict in ranked]
            answers.append({"recording": recording.path, "speaker": known, "ranking": speakers_said})
            continue
        if verdict.same_speaker is None:
            said = "no decision"
        elif verdict.same_speaker:
            said = f"{name}  ({threshold_said(verdict, decision)})"
        else:
            said = f"nobody of the gallery  (it takes a {threshold_said(verdict, decision)})"
        print(f"{recording.path}: {said}")
        for name, verdict in ranked:
            llr = "" if verdict.llr is None else f"  llr {verdict.llr:8.3f}"
            print(f"  {verdict.score:10.6f}{llr}  {name}")
        sys.stdout.flush()
    if options.json:
        print_json({"backend": verifier.name, "answers": answers})
    elif decision.threshold is None and verifier.calibration is None:
        log.info("no decision: %s", why_undecided(verifier))
    left_out.end()


if __name__ == "__main__":
    main()
