"""Options that the commands of a trained system in use share."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spk.errors import InputError
from spk.schema import check_value

if TYPE_CHECKING:
    from spk.verification.verifier import Decision, Verdict, Verifier

log = logging.getLogger(__name__)


def add_model_options(parser: argparse.ArgumentParser, with_backend: bool = True) -> None:
    parser.add_argument("exp", help="the directory of a trained system, or its .spk file")
    if with_backend:
        parser.add_argument(
            "--backend", default="own", help="own (what its config names), cosine, euclidean, lda_cosine, plda (own)"
        )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (1)")
    parser.add_argument(
        "--longest", default="300", help="seconds: of a longer recording, parts are embedded and averaged (300)"
    )


def add_decision_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--p-target", default="0.01", help="how probable one speaker is before anything is heard, for decisions (0.01)"
    )
    parser.add_argument("--threshold", help="decide by the score alone: the same speaker from this on (none)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def open_verifier(options: argparse.Namespace) -> Verifier:
    """The system that the options name."""
    longest = check_value("--longest", options.longest, float)
    if not longest >= 1:
        raise InputError(f"--longest: {longest:g} is out of range; allowed: at least 1 (seconds)")
    import torch

    import spk
    from spk.bin.train import pick_device

    torch.set_num_threads(max(1, options.threads))
    device = pick_device(options.device)
    verifier = spk.load(options.exp, getattr(options, "backend", "own"), device)
    verifier.longest_part = longest
    return verifier


class LeftOut:
    """Of several recordings, those that cannot be used: each is said, and in the end they are counted.

    One alone is no list: its InputError is raised.
    """

    def __init__(self, num_recordings: int, progress: Callable[[], object] = lambda: None) -> None:
        self.num_recordings, self.count, self.progress = num_recordings, 0, progress

    def __call__(self, path: str, error: InputError) -> None:
        if self.num_recordings == 1:
            raise error
        log.error("left out: %s", error)
        self.count += 1
        self.progress()

    def end(self) -> None:
        """Raises: InputError where there are any."""
        if self.count:
            raise InputError(
                f"{self.count} of {self.num_recordings} recordings cannot be used and are left out, as said above"
            )


def decision_of(options: argparse.Namespace) -> Decision:
    from spk.verification.verifier import Decision

    threshold = None if options.threshold is None else check_value("--threshold", options.threshold, float)
    return Decision(check_value("--p-target", options.p_target, float), threshold)


def why_undecided(verifier: Verifier) -> str:
    return f"{verifier.not_calibrated}; --threshold T decides by the score"


def threshold_said(verdict: Verdict, decision: Decision) -> str:
    """Where a decision's threshold comes from."""
    if decision.threshold is not None:
        return f"score of at least {verdict.threshold:g}"
    return f"llr of at least {verdict.threshold:.2f}: prior {decision.p_target:g}, equal costs"


def as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "score": verdict.score,
        "llr": verdict.llr,
        "threshold": verdict.threshold,
        "same_speaker": verdict.same_speaker,
    }


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False)
    print()
