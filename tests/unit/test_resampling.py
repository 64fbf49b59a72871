"""Resamples take bounded memory whatever the rows, and cells of rows give the intervals of the rows."""

import tracemalloc

import numpy as np
import pytest

from bundle.declaration import Declaration
from training import cells, resampling
from training.compare import compare
from training.evaluation import evaluate
from training.metrics import Floats, Labels
from training.resampling import MOST_ROWS, CellResamples, row_resamples

ROWS = 12_000


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resample less often, which a test waits for."""
    monkeypatch.setattr(resampling, "RESAMPLES", 400)


def probabilities_of(labels: Labels, seed: int, noise: float = 1.0) -> Floats:
    """Return probabilities [1, rows, 2] that know the class by a signal of two standard deviations."""
    signal = 2 * labels + noise * np.random.default_rng(seed).normal(size=len(labels))
    positive = 1 / (1 + np.exp(2 - 1.5 * signal))
    return np.stack([1 - positive, positive], axis=1)[None]


@pytest.fixture
def labels() -> Labels:
    return (np.random.default_rng(99).random(ROWS) < 0.1).astype(np.int64)


def test_chunks_are_one_stream_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "CHUNK", 2_999)
    row_resamples.cache_clear()
    chunks = list(row_resamples(300).chunks())
    whole = np.random.default_rng(0).multinomial(300, np.full(300, 1 / 300), size=2000)
    assert {len(chunk) for chunk in chunks} == {9, 2}
    assert np.array_equal(np.vstack(chunks), whole)


@pytest.mark.usefixtures("few")
def test_cells_give_the_intervals_of_rows(
    declaration: Declaration, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.zeros((ROWS, len(declaration.features)), dtype=np.float32)
    probabilities = probabilities_of(labels, 1)
    by_cell = evaluate(declaration, matrix, labels, probabilities)
    monkeypatch.setattr(cells, "MOST_ROWS", ROWS)
    row_resamples.cache_clear()
    by_row = evaluate(declaration, matrix, labels, probabilities)
    row_resamples.cache_clear()
    for name, of_row in by_row.metrics.items():
        of_cell = by_cell.metrics[name]
        assert of_cell.value == of_row.value, name
        width = of_row.upper - of_row.lower
        assert of_cell.upper - of_cell.lower == pytest.approx(width, rel=0.2, abs=2e-4), name
        assert of_cell.lower == pytest.approx(of_row.lower, abs=0.15 * width + 1e-4), name
    assert [score_bin.observed.value for score_bin in by_cell.calibration] == [
        score_bin.observed.value for score_bin in by_row.calibration
    ]


@pytest.mark.usefixtures("few")
def test_cells_of_two_versions_tell_their_difference_as_rows_do(
    declaration: Declaration, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = probabilities_of(labels, 1)
    second = np.clip(first + 0.05 * (probabilities_of(labels, 2) - first), 0, 1)
    by_cell = compare(declaration, labels, first, second)
    monkeypatch.setattr(cells, "MOST_ROWS", ROWS)
    row_resamples.cache_clear()
    by_row = compare(declaration, labels, first, second)
    row_resamples.cache_clear()
    for of_cell, of_row in zip(by_cell, by_row, strict=True):
        assert of_cell.value == of_row.value
        assert of_cell.error == pytest.approx(of_row.error, rel=0.2)


def test_cells_are_bounded_whatever_the_rows(declaration: Declaration) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200_000)
    versions = [probabilities_of(labels, seed, noise=3.0) for seed in (1, 2)]
    resamples = cells.resamples_of(declaration, labels, versions)
    assert isinstance(resamples, CellResamples)
    assert len(resamples.units) <= MOST_ROWS
    assert resamples.sizes.sum() == len(labels)
    for probabilities in versions:
        side = probabilities[0, :, 1] >= (declaration.threshold or 0)
        assert np.array_equal(side[resamples.units][np.unique(resamples.cells, return_inverse=True)[1]], side)


@pytest.mark.usefixtures("few")
def test_an_evaluation_of_many_rows_takes_little_memory(declaration: Declaration) -> None:
    """The resamples of so many rows alone would take 640 MB as floats."""
    labels = np.random.default_rng(99).integers(0, 2, 200_000)
    probabilities = probabilities_of(labels, 1)
    matrix = np.zeros((len(labels), len(declaration.features)), dtype=np.float32)
    tracemalloc.start()
    evaluate(declaration, matrix, labels, probabilities)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20
