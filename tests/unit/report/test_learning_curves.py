"""Learning curves, read from the log of a training."""

from __future__ import annotations

import numpy as np
import pytest

from spk.errors import InputError
from spk.report.learning_curves import MOST_POINTS, mean_of, read_learning_curve, thinned

LOG = "step,epoch,loss,validation_eer\n20,1,6.5,\n40,2,nan,0.25\n60,3,5,\n80,4,4.5,0.125\n"


def test_a_log_has_its_losses_and_its_validations(tmp_path):
    path = tmp_path / "training.csv"
    assert read_learning_curve(path) is None
    path.write_text(LOG + "100,5,")  # which is being written
    curve = read_learning_curve(path)
    assert [part.tolist() for part in curve.loss] == [[20, 60, 80], [6.5, 5, 4.5]]  # the loss of step 40 is no number
    assert [part.tolist() for part in curve.validation_eer] == [[40, 80], [0.25, 0.125]]


@pytest.mark.parametrize("text", ["step,other\n1,2\n", "step,loss\nx,2\n", "step,loss\n1\n", LOG.replace("0.25", "a")])
def test_what_is_no_log_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "training.csv").write_text(text)
    with pytest.raises(InputError, match=r"training\.csv:[23]: is no row"):
        read_learning_curve(tmp_path / "training.csv")


def test_the_mean_over_seeds_is_at_the_steps_that_all_have():
    one = np.array([10.0, 20, 30]), np.array([1.0, 2, 3])
    other = np.array([20.0, 30, 40]), np.array([4.0, 5, 6])
    assert [part.tolist() for part in mean_of([one, other])] == [[20, 30], [3, 4]]


def test_a_long_line_is_drawn_by_means_of_neighbours():
    steps = np.arange(1.0, 2 * MOST_POINTS + 2)  # an odd one is left at the end
    fewer, values = thinned((steps, 10 * steps))
    assert len(fewer) <= MOST_POINTS and fewer[:2].tolist() == [2, 5] and values == pytest.approx(10 * fewer)
    assert thinned((steps[:MOST_POINTS], steps[:MOST_POINTS]))[0].tolist() == steps[:MOST_POINTS].tolist()
