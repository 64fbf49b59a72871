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
from training.gate import (
    Comparison,
    check_agreement,
    check_calibration,
    check_card,
    check_differences,
    check_directions,
    check_groups,
)
from training.metrics import Floats


@dataclass(frozen=True)
class Reference:
    """The served version, as far as a candidate of that name is judged by it: number of rows, card, bins."""

    declaration: Declaration
    version: str
    candidate: str
    rows: int
    evaluation: Evaluation
    distribution: Distributions


def check_kind(
    reference: Reference,
    data: TrainingData,
    served: Floats,
    trained: TrainingData | None,
    say: Say,
) -> None:
    """Fail if the new rows are not of the served version's kind: what is told before anything is fitted.

    `served` is what that version predicts of them [rows, classes], and `trained` are its own rows, if they
    are here: without them nothing is known of what belongs together.
    """
    declaration, version = reference.declaration, reference.version
    evidence = [*swap_evidence(declaration, data.matrix, reference.distribution, reference.rows, version)]
    if declaration.binary:
        evidence += group_evidence(declaration, data, served, reference.evaluation.groups, version)
    if trained is not None:
        evidence += association_evidence(declaration, data, trained, version)
    check_agreement(declaration, evidence, say)


def check_gate(  # noqa: PLR0917
    reference: Reference,
    data: TrainingData,
    comparison: Comparison,
    predict: Predict,
    fitted: Pipeline | None,
    say: Say,
) -> None:
    """Print how the versions differ; GateError if the candidate fails. `fitted` is that of two classes."""
    declaration, version = reference.declaration, reference.version
    differences = differences_of(comparison.served, comparison.candidate)
    say(table(differences, version, reference.candidate))
    say(verdict(differences, version, reference.candidate))
    check_agreement(declaration, column_evidence(declaration, data, comparison, predict, version), say)
    if fitted is not None:
        check_directions(declaration, fitted, data.matrix, comparison.halves)
    check_card(comparison, reference.evaluation, version)
    check_differences(differences, comparison, version)
    if declaration.binary:
        check_calibration(comparison)
        check_groups(comparison)
