"""What accuracy a model needs to know anything: that of always answering with the most frequent class."""

from collections.abc import Mapping

RARE = 0.1


def baseline(rows: Mapping[str, int]) -> str:
    """Return what always answering the same would reach, given the rows of each class."""
    label = max(rows, key=lambda label: rows[label])
    return f"accuracy {rows[label] / sum(rows.values()):.4f} is what always answering '{label}' gives"


def rare_positive(rows: Mapping[str, int]) -> str:
    """Return what to look at where the positive one of two classes is rare; an empty text if it is not."""
    positive = list(rows)[-1]
    share = rows[positive] / sum(rows.values())
    if len(rows) != 2 or share >= RARE:  # noqa: PLR2004
        return ""
    return (
        f"only {share:.1%} of rows are '{positive}': accuracy says little; see false_negative_rate and "
        "average_precision, and choose threshold by cost_of_false_negative in model.toml"
    )


def remarks(rows: Mapping[str, int]) -> list[str]:
    """Return the lines to print beside an accuracy."""
    return list(filter(None, [baseline(rows), rare_positive(rows)]))
