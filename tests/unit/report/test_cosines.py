"""The distribution of cos(theta) at three stages."""

from __future__ import annotations

import numpy as np
import pytest

from spk.errors import InputError
from spk.report.cosines import HEADER, NUM_BINS, Cosines, density, mean_cosine, read_cosines, stage_counts


def of(steps) -> Cosines:
    """Row r has r + 1 crops in bin r."""
    steps = np.array(steps)
    counts = np.zeros((len(steps), NUM_BINS), dtype=np.int64)
    counts[np.arange(len(steps)), np.arange(len(steps))] = np.arange(1, len(steps) + 1)
    return Cosines(steps, counts)


def test_begin_a_third_and_end_of_sixty_rows_are_three_rows_each():
    cosines = of(range(10, 610, 10))
    assert [cosines.steps_of(stage) for stage in cosines.stages()] == [(1, 30), (181, 210), (571, 600)]
    begin, third, end = stage_counts([cosines, cosines])
    assert begin[:4].tolist() == [2, 4, 6, 0] and end[56:60].tolist() == [0, 116, 118, 120]
    assert np.flatnonzero(third).tolist() == [18, 19, 20]


@pytest.mark.parametrize("num_rows", [1, 2, 3, 19, 21])
def test_a_short_training_has_its_stages_too(num_rows):
    stages = of(range(1, num_rows + 1)).stages()
    assert [stage.stop - stage.start for stage in stages] == [1, 1, 1]
    assert stages[0].start == 0 and stages[2].stop == num_rows and 0 <= stages[1].start < num_rows


def test_a_density_has_the_integral_one_and_the_mean_of_its_cosines():
    cosines = np.random.default_rng(0).uniform(-0.5, 0.9, size=1000)
    counts = np.histogram(cosines, NUM_BINS, (-1, 1))[0]
    assert density(counts).sum() * 2 / NUM_BINS == pytest.approx(1)
    assert mean_cosine(counts) == pytest.approx(cosines.mean(), abs=0.01)


def test_what_is_no_file_of_cosines_is_refused_and_a_torn_line_is_not_read(tmp_path):
    path = tmp_path / "cosines.csv"
    assert read_cosines(path) is None
    path.write_text("")
    assert read_cosines(path) is None
    row = ",".join(["20", *["1"] * NUM_BINS])
    path.write_text(f"{HEADER}\n{row}\n40,1,1")
    cosines = read_cosines(path)
    assert cosines.steps.tolist() == [20] and cosines.counts.tolist() == [[1] * NUM_BINS]
    for text, fault in (
        ("a,b\n1,2\n", "cosines.csv:1"),
        (f"{HEADER}\n1,2\n", "rows of 2"),
        (f"{HEADER}\nx\n", "a row"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=fault):
            read_cosines(path)
