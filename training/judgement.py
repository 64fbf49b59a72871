"""All checks of the gate, in the order in which their reasons help most."""

from dataclasses import dataclass

from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.distributions import Distributions
from bundle.evaluation import Evaluation
from training import Say
from training.agreement import (
    Predict,
    association_evidence,
    column_evidence,
    group_evidence,
    swap_evidence,
)
from training.compare import differences_of, table, verdict
from training.data import TrainingData
from training.evidence import Evidence
from training.gate import (
    Comparison,
    check_agreement,
    check_calibration,
    check_card,
    check_differences,
    check_directions,
    check_groups,
)


@dataclass(frozen=True)
class Reference:
    """The served version, as far as a candidate is judged by it: its rows' number, card and distributions."""

    declaration: Declaration
    version: str
    rows: int
    evaluation: Evaluation
    distribution: Distributions


def check_gate(
    reference: Reference,
    data: TrainingData,
    comparison: Comparison,
    fitted: Pipeline | None,
    predict: Predict,
    trained: TrainingData | None,
    say: Say,
    name: str,
) -> None:
    """Print how the versions differ; GateError if the candidate fails.

    `trained` are the rows of the served version, if they are here, and `fitted` is the candidate, of two classes.
    """
    differences = differences_of(comparison.served, comparison.candidate)
    say(table(differences, reference.version, name))
    say(verdict(differences, reference.version, name))
    evidence = agreement(reference, data, comparison, predict, trained)
    check_agreement(reference.declaration, evidence, say)
    if fitted is not None:
        check_directions(reference.declaration, fitted, data.matrix, comparison.halves)
    check_card(comparison, reference.evaluation, reference.version)
    check_differences(differences, comparison, reference.version)
    if reference.declaration.binary:
        check_calibration(comparison)
        check_groups(comparison)


def agreement(
    reference: Reference,
    data: TrainingData,
    comparison: Comparison,
    predict: Predict,
    trained: TrainingData | None,
) -> list[Evidence]:
    """Return all that tells whether the new rows are of the served version's kind."""
    declaration, version = reference.declaration, reference.version
    served = comparison.served.probabilities.mean(axis=0)
    evidence = [*swap_evidence(declaration, data.matrix, reference.distribution, reference.rows, version)]
    if declaration.binary:
        evidence += group_evidence(declaration, data, served, reference.evaluation.groups, version)
    if trained is not None:
        evidence += association_evidence(declaration, data, trained, version)
    evidence += column_evidence(declaration, data, comparison, predict, version)
    return evidence
