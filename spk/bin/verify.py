"""Are two recordings of one speaker? The score of the system's back-end, what it says, and a decision.

Usage: spk verify [options] EXP RECORDING RECORDING
Where EXP/calibration is of this back-end, the log-likelihood ratio (in nats) tells how much likelier the recordings are
if one speaker spoke both, and the decision is that of least cost at the prior --p-target. Without a calibration a score
has no such meaning, and --threshold decides or nobody.
"""

from __future__ import annotations

from spk.bin.command import argument_parser, command
from spk.bin.use_options import (
    add_decision_options,
    add_model_options,
    as_json,
    decision_of,
    open_verifier,
    print_json,
    threshold_said,
    why_undecided,
)


@command
def main() -> None:
    parser = argument_parser("spk verify", __doc__)
    add_model_options(parser)
    add_decision_options(parser)
    parser.add_argument("recording", nargs=2)
    options = parser.parse_args()
    decision = decision_of(options)
    verifier = open_verifier(options)
    verdict = verifier.verify(*options.recording, decision)
    if options.json:
        made_by = {"backend": verifier.name, "p_target": decision.p_target if decision.threshold is None else None}
        print_json({"recordings": options.recording, **as_json(verdict), **made_by})
        return
    print(f"score     {verdict.score:.6f}  ({verifier.name})")
    if verdict.llr is None:
        print("llr       none: the score is not calibrated")
    else:
        print(f"llr       {verdict.llr:.3f}  (log-likelihood ratio, nats)")
    if verdict.same_speaker is None:
        print(f"decision  none: {why_undecided(verifier)}")
    else:
        who = "the same speaker" if verdict.same_speaker else "different speakers"
        print(f"decision  {who}  (same: {threshold_said(verdict, decision)})")


if __name__ == "__main__":
    main()
