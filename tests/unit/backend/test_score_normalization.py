"""Score normalisation against its definition, one trial at a time."""

from __future__ import annotations

import numpy as np
import pytest

import spk.backend.cosine
import spk.backend.euclidean
import spk.backend.plda_scoring
from spk.backend import BACKENDS, score_normalization
from spk.backend.cohort import read_cohort
from spk.backend.models import read_models
from spk.backend.plda import Plda
from spk.backend.score_normalization import check_cohort_size, check_norm, cohort_statistics
from spk.backend.scoring import Normalization, score_trials
from spk.data.trials import read_trials
from spk.embed.write import write_embeddings
from spk.errors import InputError

UTTERANCES = [f"u{n}" for n in range(12)]
COHORT = [f"c{n}" for n in range(15)]
DIM = 6


def backends() -> dict[str, object]:
    random = np.random.default_rng(3)
    within, between = (mix @ mix.T for mix in random.standard_normal((2, DIM, DIM + 2)))
    return {
        "cosine": BACKENDS.build("backend", "cosine"),
        "euclidean": BACKENDS.build("backend", "euclidean"),
        "raw_euclidean": BACKENDS.build("backend", {"name": "euclidean", "length_normalize": False}),
        "plda": BACKENDS.build("backend", "plda", plda=Plda.from_covariances(np.zeros(DIM), within, between)),
    }


@pytest.fixture(params=sorted(backends()))
def backend(request):
    return backends()[request.param]


@pytest.fixture(params=[(1, 1), (20, 4), (100, 9), (1 << 21, 1 << 14)])
def pairs_per_block(request, monkeypatch) -> int:
    """Blocks, and parts of the cohort, of one, some or all."""
    pairs, members = request.param
    for module in (spk.backend.cosine, spk.backend.euclidean, spk.backend.plda_scoring, score_normalization):
        monkeypatch.setattr(module, "PAIRS_PER_BLOCK", pairs)
    monkeypatch.setattr(score_normalization, "MEMBERS_PER_PART", members)
    return pairs


@pytest.fixture
def work(tmp_path):
    """Embeddings of two crops of the trials' utterances and of a cohort of five speakers; trials of u0 to u8."""
    random = np.random.default_rng(0)
    for name, utterances in (("e", UTTERANCES), ("c", COHORT)):
        x = random.standard_normal((len(utterances), 2, DIM)).astype(np.float32)
        write_embeddings(str(tmp_path / name / "embedding"), utterances, x)
    (tmp_path / "cohort_spk2utt").write_text("".join(f"s{n} {' '.join(COHORT[3 * n : 3 * n + 3])}\n" for n in range(5)))
    pairs = random.integers(9, size=(14, 2)).tolist()
    lines = [f"u{enroll} u{test} nontarget\n" for enroll, test in pairs]
    (tmp_path / "trials").write_text("".join(lines))
    return tmp_path


def embeddings_of(folder) -> dict[str, np.ndarray]:
    import kaldiio

    return dict(kaldiio.load_scp(str(folder / "embedding.scp")).items())


def score(backend, enroll: list[np.ndarray], test: np.ndarray) -> float:
    """One model of these utterances' crops [K, D] against one utterance."""
    model = backend.represent(np.stack(enroll)).astype(np.float64).mean(axis=0).astype(np.float32)[None]
    zero = np.zeros(1, int)
    return float(backend.score(model, backend.represent(test[None]), zero, zero, np.array([len(enroll)]))[0])


def slowly(backend, norm: str, top_n: int, enroll: list[np.ndarray], test: np.ndarray, cohort: list) -> float:
    """The normalised score of one trial, by sorting; `cohort`: a list of crops of each member."""
    raw = score(backend, enroll, test)
    members = [
        np.mean(backend.represent(np.stack(own)).astype(np.float64), axis=0).astype(np.float32) for own in cohort
    ]
    zero, parts = np.zeros(1, int), []
    for side, table, count in (
        ("enroll", np.mean(backend.represent(np.stack(enroll)).astype(np.float64), axis=0), len(enroll)),
        ("test", backend.represent(test[None])[0], 1),
    ):
        if (norm, side) in (("z", "test"), ("t", "enroll")):
            continue
        scores = []
        for member in members:
            if side == "enroll":
                pair = (table.astype(np.float32)[None], member[None], zero, zero, np.array([count]))
            else:  # the members enrol
                pair = (member[None], table[None], zero, zero, np.array([1]))
            scores.append(float(backend.score(*pair)[0]))
        counted = sorted(scores)[-top_n:] if norm == "as" else scores
        parts.append((raw - np.mean(counted)) / np.std(counted))
    return float(np.mean(parts))


@pytest.mark.parametrize("norm", ["z", "t", "s", "as"])
def test_normalised_scores_are_those_of_the_definition(work, backend, norm, pairs_per_block):
    trials, x, c = read_trials(work / "trials"), embeddings_of(work / "e"), embeddings_of(work / "c")
    normalization = Normalization(norm, read_cohort(work / "c"), 7)
    scores = score_trials(trials, work / "e", work / "e", backend, normalization=normalization)
    expected = [
        slowly(
            backend,
            norm,
            7,
            [x[trials.utterances[enroll]]],
            x[trials.utterances[test]],
            [[c[member]] for member in COHORT],
        )
        for enroll, test in zip(trials.enroll, trials.test, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("norm", ["z", "t", "as"])
def test_models_of_several_utterances_are_normalised_by_a_cohort_of_speakers(work, backend, norm):
    (work / "spk2utt").write_text("m0 u0 u1 u2\nm1 u3\nm2 u4 u5\nunused u6\n")
    (work / "model_trials").write_text("".join(f"m{m} u{u} nontarget\n" for u in (7, 8, 9, 11) for m in (2, 0, 1)))
    trials, x, c = read_trials(work / "model_trials"), embeddings_of(work / "e"), embeddings_of(work / "c")
    own = {"m0": ["u0", "u1", "u2"], "m1": ["u3"], "m2": ["u4", "u5"]}
    speakers = [[c[member] for member in COHORT[3 * n : 3 * n + 3]] for n in range(5)]
    scores = score_trials(
        trials,
        work / "e",
        work / "e",
        backend,
        models=read_models(work / "spk2utt"),
        normalization=Normalization(norm, read_cohort(work / "c", work / "cohort_spk2utt"), 4),
    )
    expected = [
        slowly(backend, norm, 4, [x[u] for u in own[trials.utterances[e]]], x[trials.utterances[t]], speakers)
        for e, t in zip(trials.enroll, trials.test, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, rtol=2e-4, atol=2e-4)


def test_with_one_utterance_each_either_may_enrol(backend):
    """Why a test utterance's scores against the cohort are those of the cohort against it."""
    x = backend.represent(np.random.default_rng(1).standard_normal((8, 1, DIM)).astype(np.float32))
    forth = np.concatenate(list(backend.all_pairs(x[:3], x[3:])))
    back = np.concatenate(list(backend.all_pairs(x[3:], x[:3])))
    np.testing.assert_allclose(forth, back.T, rtol=1e-5, atol=1e-5)


def test_all_pairs_are_the_scores_of_trials_of_all_pairs(backend, pairs_per_block):
    x = backend.represent(np.random.default_rng(1).standard_normal((8, 3, DIM)).astype(np.float32))
    enroll, test = (index.ravel() for index in np.meshgrid(np.arange(3), np.arange(5), indexing="ij"))
    blocks = list(backend.all_pairs(x[:3], x[3:]))
    assert len(blocks) == 3 or pairs_per_block > 1
    scores = backend.score(x[:3], x[3:], enroll, test)
    np.testing.assert_allclose(np.concatenate(blocks).ravel(), scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("top_n", [None, 40])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_parts_of_a_cohort_give_the_statistics_of_the_whole(monkeypatch, top_n, offset):
    """Also where the scores are far from 0, and a sum of squares would lose their digits; progress ends at all rows."""
    scores = offset + np.random.default_rng(0).standard_normal((7, 100))

    class Given:
        def all_pairs(self, table, cohort, num_utterances):
            yield from (scores[block][:, cohort.astype(int)] for block in (slice(0, 5), slice(5, 7)))

    monkeypatch.setattr(score_normalization, "MEMBERS_PER_PART", 30)
    told = []
    found = cohort_statistics(Given(), np.zeros(7), np.arange(100.0), top_n=top_n, progress=told.append)
    counted = np.sort(scores, axis=1)[:, -(top_n or 100) :]
    np.testing.assert_allclose(found.mean, counted.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(found.deviation, counted.std(axis=1), rtol=1e-9)
    assert sum(told) == 7 and min(told) >= 0


@pytest.mark.parametrize("norm", ["s", "as"])
def test_an_utterance_on_both_sides_is_compared_with_the_cohort_once(work, norm):
    backend, rows = backends()["cosine"], []
    trials, normalization = read_trials(work / "trials"), Normalization(norm, read_cohort(work / "c"), 5)
    one = score_trials(
        trials, work / "e", work / "e", backend, normalization=normalization, progress=lambda count: rows.append(count)
    )
    assert sum(rows) == len(trials.utterances)
    (work / "copy").symlink_to(work / "e")
    same = score_trials(trials, work / "e", work / "copy", backend, normalization=normalization)
    np.testing.assert_allclose(one, same, rtol=1e-6)


def test_only_the_side_that_counts_is_compared_with_the_cohort(work):
    trials, rows = read_trials(work / "trials"), []
    normalization = Normalization("z", read_cohort(work / "c"), 5)
    score_trials(
        trials, work / "e", work / "e", backends()["cosine"], normalization=normalization, progress=rows.append
    )
    assert sum(rows) == len(np.unique(trials.enroll))


def test_normalised_scores_do_not_change_with_a_scale_and_an_offset_of_the_scores(work, monkeypatch):
    backend, trials = backends()["cosine"], read_trials(work / "trials")
    normalization = Normalization("as", read_cohort(work / "c"), 5)
    plain = score_trials(trials, work / "e", work / "e", backend, normalization=normalization)
    score, all_pairs = backend.score, backend.all_pairs
    monkeypatch.setattr(backend, "score", lambda *arguments: 7 * score(*arguments).astype(float) - 3)
    monkeypatch.setattr(backend, "all_pairs", lambda *arguments: (7 * b - 3 for b in all_pairs(*arguments)))
    moved = score_trials(trials, work / "e", work / "e", backend, normalization=normalization)
    np.testing.assert_allclose(moved, plain, rtol=1e-4, atol=1e-4)


def test_a_top_n_of_the_whole_cohort_is_the_symmetric_norm(work, backend):
    trials, cohort = read_trials(work / "trials"), read_cohort(work / "c")
    adaptive = score_trials(
        trials, work / "e", work / "e", backend, normalization=Normalization("as", cohort, len(COHORT))
    )
    symmetric = score_trials(trials, work / "e", work / "e", backend, normalization=Normalization("s", cohort, 2))
    np.testing.assert_allclose(adaptive, symmetric, rtol=1e-5)


def test_an_utterance_with_one_score_against_all_the_cohort_is_named(work, backend):
    write_embeddings(str(work / "same" / "embedding"), COHORT, np.tile(np.arange(1, 1 + DIM), (len(COHORT), 2, 1)))
    normalization = Normalization("s", read_cohort(work / "same"), 5)
    with pytest.raises(InputError, match=r"--norm s: 'u[0-9]' has the same score against all members of the cohort"):
        score_trials(read_trials(work / "trials"), work / "e", work / "e", backend, normalization=normalization)


def test_a_cohort_of_other_embeddings_is_refused(work):
    write_embeddings(
        str(work / "other" / "embedding"), COHORT, np.random.default_rng(0).standard_normal((len(COHORT), 2, 9))
    )
    normalization = Normalization("z", read_cohort(work / "other"), 5)
    with pytest.raises(InputError, match=r"have the shape \[6\] and those in .*other \[9\]"):
        score_trials(
            read_trials(work / "trials"), work / "e", work / "e", backends()["cosine"], normalization=normalization
        )


def test_a_cohort_of_the_trials_utterances_is_refused(work):
    normalization = Normalization("z", read_cohort(work / "e"), 5)
    with pytest.raises(InputError, match=r"has [89] utterances of the trials"):
        score_trials(
            read_trials(work / "trials"), work / "e", work / "e", backends()["cosine"], normalization=normalization
        )
    (work / "spk2utt").write_text("u0 c4 u1\n")
    (work / "trials").write_text("u0 u5 nontarget\n")
    normalization = Normalization("z", read_cohort(work / "c"), 5)
    with pytest.raises(InputError, match=r"has 1 utterances of the trials \(c4\)"):
        score_trials(
            read_trials(work / "trials"),
            work / "e",
            work / "e",
            backends()["cosine"],
            models=read_models(work / "spk2utt"),
            normalization=normalization,
        )


def test_unknown_norms_and_small_cohorts_are_refused():
    with pytest.raises(InputError, match="--norm: no score normalisation is named 'snorm'; Known: as, none, s, t, z"):
        check_norm("snorm")
    for norm in ("none", "z", "t", "s", "as"):
        check_norm(norm)
    with pytest.raises(InputError, match="--top-n 300: the cohort has only 20; give a larger cohort or a smaller N"):
        check_cohort_size("as", 300, 20)
    with pytest.raises(InputError, match="--top-n 1: must be at least 2"):
        check_cohort_size("as", 1, 20)
    with pytest.raises(InputError, match="--norm z: the cohort has 1"):
        check_cohort_size("z", 300, 1)
    check_cohort_size("as", 20, 20)
    check_cohort_size("s", 300, 20)


def test_statistics_of_a_case_worked_by_hand():
    """Against cohort vectors at 0, 60 and 90 degrees, a unit vector at 0 scores 1, 1/2 and 0."""
    backend = BACKENDS.build("backend", "cosine")
    cohort = np.array([[1, 0], [0.5, np.sqrt(0.75)], [0, 1]], np.float32)
    table = np.array([[1, 0]], np.float32)
    every = cohort_statistics(backend, table, cohort)
    assert every.mean == pytest.approx([0.5])
    assert every.deviation == pytest.approx([np.sqrt(1 / 6)])
    best = cohort_statistics(backend, table, cohort, top_n=2)
    assert best.mean == pytest.approx([0.75])
    assert best.deviation == pytest.approx([0.25])
    assert best.normalize(np.array([1.0, 0.5]), np.array([0, 0])) == pytest.approx([1, -1])
