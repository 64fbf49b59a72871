"""Tables that commands write into documents, between the marks that name them."""

from collections.abc import Iterable, Mapping


def with_tables(text: str, tables: Mapping[str, Iterable[str]]) -> str:
    """Return a page with lines in place of those between the marks that name them."""
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
        head, _, rest = text.partition(begin)
        text = head + begin + "\n".join(table) + "\n" + end + rest.partition(end)[2]
    return text
