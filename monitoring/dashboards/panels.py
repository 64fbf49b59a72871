"""What the panels and dashboards have in common: data source, variables, widths, units and colours."""

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    gauge,
    heatmap,
    piechart,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models.common import BigValueColorMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.piechart import PieChartLegendValues
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.panels.objectives import APP
from monitoring.panels.panel import GREEN, RED, Kind, Panel
from monitoring.panels.scope import Scope

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
CHOSEN = Scope(
    releases=('namespace=~"$namespace"', 'job=~"$job"'),
    pods=('pod=~"$pod"',),
    targets=(APP,),
    choose=lambda _, label: f'{label}=~"${label}"',
    rate="$__rate_interval",
    range="$__range",
)
"""What is chosen by the variables of a dashboard."""

RUNBOOKS = "monitoring/runbooks"
WIDTH = 24
NEUTRAL = "text"
"""The colour of text, for a figure that is neither good nor bad."""

TAG = "prediction-api"
"""The dashboards that link to each other."""

NAMESPACE, RELEASE, POD = ("namespace", "Namespace"), ("job", "Release"), ("pod", "Pod")
MODEL, VERSION, FEATURE = ("model", "Model"), ("model_version", "Version"), ("feature", "Feature")

Query = tuple[str, str]
"""An expression, and its legend."""


def new_dashboard(
    title: str,
    uid: str,
    description: str,
    *,
    variables: tuple[tuple[str, str], ...] = (NAMESPACE, RELEASE, POD, VERSION),
    labels_of: str = "model_loaded",
    refresh: str = "10s",
) -> dashboards.Dashboard:
    """Return a dashboard with variables (label of a metric, and title), and with alerts as annotations.

    Of models one is chosen at a time: versions of two models are called alike.
    """
    alerts = (
        dashboards.AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertstate="firing", severity!="none"}')
    )
    board = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .refresh(refresh)
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .annotation(alerts)
        .link(
            dashboards.DashboardLink("Dashboards")
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for name, label in variables:
        choose = single if (name, label) == MODEL else _variable
        board = board.with_variable(choose(name, label, labels_of))
    return board


def _variable(name: str, label: str, labels_of: str) -> dashboards.QueryVariable:
    """Return a variable whose "All" matches targets without the label, too, as on Compose."""
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(f"label_values({labels_of}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def single(name: str, label: str, labels_of: str) -> dashboards.QueryVariable:
    """Return a variable that has one value at a time, and never all."""
    return _variable(name, label, labels_of).include_all(False).multi(False)


def with_panels(board: dashboards.Dashboard, *panels: Panel) -> dashboards.Dashboard:
    """Return a dashboard with these panels behind its others."""
    for panel in panels:
        board = board.with_panel(drawn(panel))
    return board


AnyPanel = timeseries.Panel | stat.Panel | gauge.Panel | heatmap.Panel | barchart.Panel


def drawn(panel: Panel) -> AnyPanel:
    """Return Grafana's panel of a declared one."""
    made = _of_kind(panel, panel.description + pages(panel))
    made = made.no_value(panel.empty) if panel.empty else made
    return made.span(panel.width) if panel.width else made


def pages(panel: Panel) -> str:
    """Return where readers find more, in the project: Grafana does not know the address of the API."""
    found = f" Page of the warning: {RUNBOOKS}/{panel.warning}.md." if panel.warning else ""
    page = f"{RUNBOOKS}/{panel.runbook}.md" if panel.runbook else panel.document
    return f"{found} Page: {page}" if page else found


def _of_kind(panel: Panel, description: str) -> AnyPanel:
    title, unit = panel.title, panel.unit
    queries = [(str(query.expression), query.legend) for query in panel.queries]
    match panel.kind:
        case Kind.LINES:
            lines = series(title, description, unit, *queries)
            return lines if panel.most is None else lines.max(panel.most)
        case Kind.NUMBER:
            return numbers(title, description, unit, queries[0])
        case Kind.STATUS:
            return status(title, description, queries[0][0], dict(panel.words))
        case Kind.SHARE:
            return share(title, description, queries[0][0], *panel.steps)
        case Kind.HEATMAP:
            return distribution(title, description, queries[0][0])
        case Kind.BARS:
            return bars(title, description, *queries)
        case Kind.ALERTS:
            raise ValueError(f"Grafana shows alerts by its own panel, not by '{panel.title}'")


def _query(number: int, query: Query) -> prometheus.Dataquery:
    expression, legend = query
    return (
        prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(expression).legend_format(legend).range()
    )


def _instant(expression: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id("A").expr(expression).instant()


def thresholds(*steps: tuple[float | None, str]) -> dashboards.ThresholdsConfig:
    """Return colours from values up; the first value is None."""
    return (
        dashboards.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )


def series(title: str, description: str, unit: str, *queries: Query, width: int = 12) -> timeseries.Panel:
    """Return lines over time, with their last values and maxima in a table below."""
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .fill_opacity(10)
        .legend(legend)
        .targets([_query(number, query) for number, query in enumerate(queries)])
        .span(width)
        .height(9)
    )


def percentiles(buckets: str, by: str = "", percents: tuple[int, ...] = (50, 95, 99)) -> list[Query]:
    """Return percentiles of a histogram's buckets, such as `name_bucket{label="value"}`, by a label."""
    labels, legend = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
    rates = f"sum by ({labels}) (rate({buckets}[$__rate_interval]))"
    return [
        (
            f"histogram_quantile({percent / 100}, {rates}) >= 0",
            f"{legend}p{percent}",
        )
        for percent in percents
    ]


def while_up(expression: str, targets: str) -> str:
    """Return an expression that has no data while none of these targets answers: what is dead has no rate."""
    return f"({expression}) and on () max(up{{{targets}}}) == 1"


def number(title: str, description: str, unit: str, expression: str, width: int = 6) -> stat.Panel:
    """Return one figure, in one colour: without thresholds of its own Grafana's default is red from 80 up."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .thresholds(thresholds((None, NEUTRAL)))
        .targets([_instant(expression)])
        .span(width)
        .height(5)
    )


def numbers(title: str, description: str, unit: str, query: Query, width: int = 6) -> stat.Panel:
    """Return a figure of each series, with its legend."""
    expression, legend = query
    panel = number(title, description, unit, expression, width)
    return panel.targets([_instant(expression).legend_format(legend)]) if legend else panel


def status(
    title: str, description: str, expression: str, words: dict[str, str], width: int = 6
) -> stat.Panel:
    """Return a word for 0, in red, and one for 1, in green."""
    mapping = {
        value: ValueMappingResult(text=word, color=RED if value == "0" else GREEN, index=int(value))
        for value, word in words.items()
    }
    return (
        number(title, description, "none", expression, width)
        .mappings([ValueMap(options=mapping)])
        .color_mode(BigValueColorMode.BACKGROUND)
        .thresholds(thresholds((None, RED), (1, GREEN)))
    )


def bars(title: str, description: str, *queries: Query) -> barchart.Panel:
    """Return bars side by side for each version and bin, one of each query."""
    names = {f"Value #{chr(ord('A') + number)}": name for number, (_, name) in enumerate(queries)}
    return (
        barchart.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit("percentunit")
        .min(0)
        .x_field("bin")
        .targets(
            [
                _query(number, query).instant().format(PromQueryFormat.TABLE)
                for number, query in enumerate(queries)
            ]
        )
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": {"Time": True, "model_version": True}, "renameByName": names},
            )
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .span(12)
        .height(9)
    )


def share(title: str, description: str, expression: str, *steps: tuple[float | None, str]) -> gauge.Panel:
    """Return a share between 0 and 1 on a dial."""
    return (
        gauge.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit("percentunit")
        .min(0)
        .max(1)
        .thresholds(thresholds(*steps))
        .targets([_instant(expression)])
        .span(6)
        .height(5)
    )


def parts(title: str, description: str, unit: str, *queries: Query) -> piechart.Panel:
    """Return shares of a whole."""
    return (
        piechart.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .legend(
            piechart.PieChartLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .show_legend(True)
            .values([PieChartLegendValues.VALUE, PieChartLegendValues.PERCENT])
        )
        .targets([_instant(expression).legend_format(legend) for expression, legend in queries])
        .span(8)
        .height(8)
    )


def alert_list(title: str, description: str) -> dashboards.Panel:
    """Return what is firing or pending, from Prometheus' own rules."""
    return (
        dashboards.Panel()
        .type("alertlist")
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .options(
            {
                "datasource": "Prometheus",
                "viewMode": "list",
                "groupMode": "default",
                "sortOrder": 3,
                "maxItems": 20,
                "stateFilter": {
                    "firing": True,
                    "pending": True,
                    "error": True,
                    "noData": False,
                    "normal": False,
                },
            }
        )
        .span(8)
        .height(8)
    )


def distribution(title: str, description: str, expression: str) -> heatmap.Panel:
    """Return a histogram's buckets over time."""
    buckets = prometheus.Dataquery().ref_id("A").expr(expression).legend_format("{{le}}").range()
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .targets([buckets.format(PromQueryFormat.HEATMAP)])
        .span(12)
        .height(9)
    )
