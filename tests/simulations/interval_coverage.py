"""How often the confidence intervals of spk/metrics hold the truth, and how often the paired test errs: a simulation.

Usage: python3 tests/simulations/interval_coverage.py [--model normal|embedding] [--num-speakers N]
                            [--trials-per-speaker K] [--num-data 500] [--num-draws 200] [--seed 1]
Data are drawn again and again: N new speakers of 10 to 30 utterances, K N trials of random pairs of utterances, half
of them target trials, and two systems that score them; their errors are correlated and their true metrics equal.
  normal      a non-target score is u_a + u_b + r_i + r_j + e, a target score m + 2 u_a + v_a + r_i + r_j + e, of
              normal effects of speakers a, b, utterances i, j and trials: the EER is known exactly
  embedding   cosines of two-covariance embeddings whose within-speaker covariance differs between speakers
The other true metrics, and the embeddings' EER, are those of 10 million independent target and non-target trials.
Prints a Markdown table: of each kind of interval, the share in % of the data whose interval holds the truth (both
systems' intervals counted), and of the paired tests at level 5 %, the share that finds a difference (there is none).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from spk.metrics.error_rates import error_rates
from spk.metrics.speaker_bootstrap import Draws, draw_metrics, interval
from spk.metrics.summary import summary
from spk.metrics.weighted_trials import METRICS

TRUE_TRIALS, BLOCK = 10_000_000, 500_000
LEVEL = 0.95
# Standard deviations of the normal model's effects: speaker, target speaker, utterance, trial.
SPEAKER, TARGET_SPEAKER, UTTERANCE, TRIAL = 0.1**0.5, 0.2**0.5, 0.1**0.5, 0.6**0.5
MEAN, CORRELATION = 4.0, 0.7
# The embedding model's dimensions that both systems see, those of each system alone, and standard deviations: within a
# speaker, and of the log of that from speaker to speaker.
SHARED, OWN, WITHIN, SPREAD = 16, 8, 0.8, 0.2

Systems = list[NDArray[np.float64]]


class NormalModel:
    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def correlated(self, size: int, deviation: float) -> NDArray[np.float64]:
        """[2, size]"""
        first, other = self.random.standard_normal((2, size))
        return deviation * np.stack([first, CORRELATION * first + (1 - CORRELATION**2) ** 0.5 * other])

    def scores(self, speaker_of: NDArray, enroll: NDArray, test: NDArray) -> Systems:
        a, b = speaker_of[enroll], speaker_of[test]
        speaker, target_speaker = (self.correlated(speaker_of[-1] + 1, s) for s in (SPEAKER, TARGET_SPEAKER))
        utterance = self.correlated(len(speaker_of), UTTERANCE)
        noise = self.correlated(len(enroll), TRIAL)
        both = speaker[:, a] + speaker[:, b] + utterance[:, enroll] + utterance[:, test] + noise
        return list(both + (a == b) * (MEAN + target_speaker[:, a]))

    def true_scores(self, size: int) -> tuple[NDArray, NDArray]:
        nontarget, target = self.random.standard_normal((2, size))
        return MEAN + self.deviations()[1] * target, self.deviations()[0] * nontarget

    def deviations(self) -> tuple[float, float]:
        common = 2 * UTTERANCE**2 + TRIAL**2
        return (2 * SPEAKER**2 + common) ** 0.5, (4 * SPEAKER**2 + TARGET_SPEAKER**2 + common) ** 0.5

    def true_eer(self) -> float:
        """The threshold x has (m - x) / s_target = x / s_nontarget."""
        return float(stats.norm.cdf(-MEAN / sum(self.deviations())))


class EmbeddingModel:
    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def embeddings(self, speaker_of: NDArray, dim: int) -> NDArray[np.float32]:
        num_speakers = speaker_of[-1] + 1
        within = WITHIN * np.exp(SPREAD * self.random.standard_normal(num_speakers, dtype=np.float32))
        speakers = self.random.standard_normal((num_speakers, dim), dtype=np.float32)
        noise = self.random.standard_normal((len(speaker_of), dim), dtype=np.float32)
        return speakers[speaker_of] + within[speaker_of, None] * noise

    def scores(self, speaker_of: NDArray, enroll: NDArray, test: NDArray) -> Systems:
        embeddings = self.embeddings(speaker_of, SHARED + 2 * OWN)
        systems = embeddings[:, : SHARED + OWN], embeddings[:, OWN:]  # the middle is what they share
        return [cosines(system[enroll], system[test]) for system in systems]

    def true_scores(self, size: int) -> tuple[NDArray, NDArray]:
        pairs = self.embeddings(np.repeat(np.arange(2 * size), 2), SHARED + OWN).reshape(2, size, 2, SHARED + OWN)
        return cosines(pairs[0, :, 0], pairs[0, :, 1]), cosines(pairs[0, :, 0], pairs[1, :, 0])

    def true_eer(self) -> None:
        return None


def cosines(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    return ((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))).astype(np.float64)


def truth(model: NormalModel | EmbeddingModel) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """METRICS, and (slope, offset) that make the scores about log-likelihood ratios."""
    blocks = [model.true_scores(BLOCK) for _ in range(TRUE_TRIALS // BLOCK)]
    targets, nontargets = (np.concatenate(kind) for kind in zip(*blocks, strict=True))
    slope = 2 * (targets.mean() - nontargets.mean()) / (targets.var() + nontargets.var())
    offset = -slope * (targets.mean() + nontargets.mean()) / 2
    result = summary(error_rates(slope * targets + offset, slope * nontargets + offset))
    values = np.array([result[name] if p_target is None else result[name][p_target] for name, p_target in METRICS])
    if model.true_eer() is not None:
        values[0] = model.true_eer()
    return values, (slope, offset)


def draw_trials(
    random: np.random.Generator, num_speakers: int, trials_per_speaker: int
) -> tuple[NDArray, NDArray, NDArray]:
    """The speaker of every utterance, and the utterances of the trials' two sides."""
    counts = random.integers(10, 31, size=num_speakers)
    speaker_of, first = np.repeat(np.arange(num_speakers), counts), np.cumsum(counts) - counts
    num = num_speakers * trials_per_speaker // 2
    enroll = random.integers(len(speaker_of), size=2 * num)
    a = speaker_of[enroll]
    another = first[a] + (enroll - first[a] + random.integers(1, counts[a])) % counts[a]
    stranger = (first[a] + counts[a] + random.integers(len(speaker_of) - counts[a])) % len(speaker_of)
    return speaker_of, enroll, np.where(np.arange(2 * num) < num, another, stranger)


def intervals(draws: Draws) -> dict[str, list[list[list[float] | None]]]:
    """{kind of interval: for each system, for each metric, [low, high]}; the last kind is what bootstrap() gives."""
    scales = ["logit" if name == "eer" else "log" for name, _ in METRICS]
    found: dict[str, list] = {}
    for system, values in enumerate(draws.values):
        drawn = draws.drawn[:, system]
        errors = draws.standard_errors(drawn)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)

        def symmetric(scales: list[str], values: NDArray, errors: NDArray) -> list[list[float] | None]:
            each_metric = zip(values, errors, scales, strict=True)
            return [interval(*both, draws.num_speakers, LEVEL, scale) for *both, scale in each_metric]

        for kind, each in {
            "percentile": np.stack([low, high], axis=1).tolist(),
            "basic": np.stack([2 * values - high, 2 * values - low], axis=1).tolist(),
            "t, linear": symmetric(["linear"] * len(scales), values, errors),
            "t, log or logit": symmetric(scales, values, errors),
            "**t, log or logit, less bias**": draws.intervals(system, LEVEL),
        }.items():
            found.setdefault(kind, []).append(each)
    return found


def table(true_values: NDArray[np.float64], data: list[Draws]) -> str:
    """Of all data: how often each kind of interval holds the true values, and how often the paired test finds a lie."""
    names = [name if p_target is None else f"{name}({p_target})" for name, p_target in METRICS]
    held: dict[str, list[NDArray[np.bool_]]] = {}
    found_different = []
    for draws in data:
        for kind, of_systems in intervals(draws).items():
            limits = np.array([[each or (np.nan, np.nan) for each in one] for one in of_systems])
            held.setdefault(kind, []).append((limits[..., 0] <= true_values) & (true_values <= limits[..., 1]))
        errors = draws.standard_errors(draws.drawn[:, 0] - draws.drawn[:, 1])
        reach = stats.t.ppf((1 + LEVEL) / 2, draws.num_speakers - 1)
        found_different.append(np.abs(draws.values[0] - draws.values[1]) > reach * errors)
    rows = {
        "true value": [f"{value:.4f}" for value in true_values],
        "mean of the data": [f"{value:.4f}" for value in np.mean([draws.values for draws in data], axis=(0, 1))],
        **{kind: [f"{100 * share:.1f}" for share in np.mean(rows, axis=(0, 1))] for kind, rows in held.items()},
        "paired test finds": [f"{100 * share:.1f}" for share in np.mean(found_different, axis=0)],
    }
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    return "\n".join([*lines, *(f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["normal", "embedding"], default="normal")
    parser.add_argument("--num-speakers", type=int, default=125)
    parser.add_argument("--trials-per-speaker", type=int, default=464)
    parser.add_argument("--num-data", type=int, default=500)
    parser.add_argument("--num-draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    model = {"normal": NormalModel, "embedding": EmbeddingModel}[options.model](random)
    true_values, (slope, offset) = truth(model)
    data = []
    for number in tqdm(range(options.num_data), mininterval=10):
        speaker_of, enroll, test = draw_trials(random, options.num_speakers, options.trials_per_speaker)
        systems = [slope * scores + offset for scores in model.scores(speaker_of, enroll, test)]
        a, b = speaker_of[enroll], speaker_of[test]
        data.append(draw_metrics(systems, a == b, a, b, options.num_draws, number))
    size = f"{options.num_speakers} speakers, {options.trials_per_speaker} trials a speaker"
    print(f"model {options.model}, {size}, {options.num_data} data, {options.num_draws} draws, seed {options.seed}\n")
    print(table(true_values, data))


if __name__ == "__main__":
    main()
