"""How much flipped labels can be told at all: the likelihood ratio of a tenth of them flipped, per row.

No statistic tells two known alternatives better (Neyman and Pearson). Here it has what the gate has: the
served version's probabilities of the new rows, and those of the old rows by others that have not seen them.

`python -m bench.gate_limit "heart-disease v1" SEEDS` prints standard errors of honest and of flipped rows.
"""

import sys

import numpy as np

from bench.gate_honesty import SYSTEMS, seeds_of, serve
from bench.gate_rows import SHARE, Rows, flipped, population
from bench.ours import progress
from training.evaluation import out_of_fold
from training.gate import CARD_ERROR_RATE
from training.metrics import Floats, Labels


def likelihood_ratios(probabilities: Floats, labels: Labels) -> Floats:
    """Return the log-likelihood [rows] with flips less that without; probabilities are [rows, classes]."""
    given = probabilities[np.arange(len(labels)), labels]
    with_flips = (1 - SHARE) * given + SHARE * (1 - given) / (probabilities.shape[1] - 1)
    return np.asarray(np.log(with_flips / given))


def standard_errors(system: str, seed: int) -> tuple[float, float]:
    """Return by how many standard errors the ratios of honest and of flipped rows are above the old rows'."""
    drawn = population(SYSTEMS[system].population)
    before, after = drawn.draw(np.random.default_rng(seed))
    served, classes = serve(drawn, SYSTEMS[system], before), len(drawn.declaration.classes)
    old = likelihood_ratios(out_of_fold(served.build, *before, classes).mean(axis=0), before[1])

    def above(rows: Rows) -> float:
        new = likelihood_ratios(served.predict(rows[0]), rows[1])
        return float((new.mean() - old.mean()) / np.sqrt(new.var() / len(new) + old.var() / len(old)))

    return above(after), above(flipped(drawn.declaration, after, np.random.default_rng([seed, 1])))


if __name__ == "__main__":
    found = []
    for number in seeds_of(int(sys.argv[2])):
        found.append(standard_errors(sys.argv[1], number))
        progress(f"seed {number}: honest {found[-1][0]:.2f}, flipped {found[-1][1]:.2f}")
    honest, changed = np.array(found).T
    for name, values in (("honest", honest), ("flipped", changed)):
        print(f"{name}: {values.mean():.2f} ± {values.std():.2f} standard errors")
    told = np.mean(changed > np.quantile(honest, 1 - CARD_ERROR_RATE))
    print(f"{told:.0%} of the flipped exceed what {CARD_ERROR_RATE:.2%} of the honest do")
