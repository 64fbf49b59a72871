"""Runbooks: their commands run as they stand, and their queries read what there is."""

import re
from pathlib import Path

import pytest
import yaml

from bundle.concepts import CONCEPTS
from bundle.declaration import load_declaration
from tests.harness import PROJECT
from tests.systems import MODELS
from tools.render_runbooks import PAGES as RENDERED
from tools.render_runbooks import render, render_markdown

PAGES = sorted((PROJECT / "monitoring" / "runbooks").glob("*.md"))
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
PROGRAMS = {"kubectl", "helm"}
"""What an operator of the cluster has."""

DECLARATION = load_declaration(MODELS / "heart-disease")
MEASURED = {
    f"{named.name}{suffix}"
    for concept in CONCEPTS
    if (named := concept.name_in(DECLARATION))
    for suffix in ("", *(("_bucket", "_sum", "_count") if concept.kind == "histogram" else ()))
}
RECORDED = {
    rule["record"]
    for file in (PROJECT / "monitoring" / "rules").glob("*.yaml")
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "record" in rule
}
OTHERS = {"up", "probe_success", "process_start_time_seconds", "process_cpu_seconds_total"}
"""Metrics of Prometheus, the blackbox exporter and prometheus-client."""

QUEUEING = ("ApiSaturated", "PredictionLatencyFastBurn", "PredictionLatencyHigh", "PredictionLatencySlowBurn")


def blocks(page: Path, language: str) -> list[str]:
    content = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", content, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Return the commands of a page's blocks, and those in its sentences."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    prose = re.findall(r"`((?:kubectl|helm) [^`]+)`", page.read_text(encoding="utf-8"))
    return lines + prose


@EACH
def test_blocks_are_commands_or_queries(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(fences[::2]) <= {"sh", "promql"}
    assert not any(fences[1::2])
    for command in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        assert command.split()[0] in PROGRAMS, command


@EACH
def test_commands_run_with_the_default_names(page: Path) -> None:
    for command in commands(page):
        unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
        assert not re.search(r"(?<![\w-])[A-Z]{2,}(?![\w-])|[<>]", unquoted), command
        if command.startswith("kubectl") and "--raw" not in command:
            assert re.search(r"(-n|--namespace) mlops\b", command), command


@EACH
def test_logs_of_pods_are_read_beyond_their_last_ten_lines(page: Path) -> None:
    """With a selector, `kubectl logs` shows ten lines a pod unless another number is given."""
    for command in (command for command in commands(page) if command.startswith("kubectl logs")):
        assert re.search(r" --tail=(-1|\d+)\b", command), command
        if "| grep" in command:
            assert " --tail=-1 " in command, command


@EACH
def test_a_query_is_a_block_of_its_own_and_reads_what_exists(page: Path) -> None:
    for query in blocks(page, "promql"):
        (line,) = re.sub(r'"[^"]*"', '""', query).splitlines()
        names = set(re.findall(r"(?<![\w:])[a-z][\w:]*(?=[\[{])", line))
        names |= set(re.findall(r"(?<![\w:])job:[\w:]+", line))
        names |= set(re.findall(r"\(([a-z][\w:]*)\)", re.sub(r"(by|on|ignoring) \([^)]*\)", "", line)))
        assert names, line
        assert names <= MEASURED | RECORDED | OTHERS, names


@EACH
def test_links_lead_to_pages(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize("name", QUEUEING)
def test_pages_on_latency_lead_to_queueing(name: str) -> None:
    page = next(page for page in PAGES if page.stem == name)
    queries = "".join(blocks(page, "promql"))
    assert "request_queue_seconds_bucket" in queries
    assert "event_loop_lag_seconds_bucket" in queries


def test_the_committed_pages_are_what_make_runbooks_writes() -> None:
    assert {path: path.read_text(encoding="utf-8") for path in RENDERED.iterdir()} == render()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a <img src=x onerror=alert(1)>", "<p>a &lt;img src=x onerror=alert(1)&gt;</p>"),
        ("`</code><b>`", "<p><code>&lt;/code&gt;&lt;b&gt;</code></p>"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        (
            "[the *a*](../../docs/rollout.md), [b](ApiDown.md)",
            '<p>the <em>a</em>, <a href="ApiDown">b</a></p>',
        ),
        ("[a](https://x.example/)", '<p><a href="https://x.example/">a</a></p>'),
        (
            "[a](ApiDown.md 'x\" onclick=\"y')",
            '<p><a href="ApiDown" title="x&quot; onclick=&quot;y">a</a></p>',
        ),
    ],
)
def test_html_is_text_and_links_lead_to_pages_of_the_server(written: str, shown: str) -> None:
    assert render_markdown(written) == f"{shown}\n"
