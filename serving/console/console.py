"""Answers the console's pages. Predictions and outcomes take the API's own way, and are counted as those."""

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic_core import from_json
from starlette.requests import HTTPConnection
from starlette.responses import Response

from serving.console.fields import form_fields, form_state, sentence, typed_from, typed_row
from serving.console.live.page import RANGES, live_shown
from serving.console.live.readings import Live, LiveSource
from serving.console.posts import as_json, read_form
from serving.console.rendering import UP, Renderer
from serving.console.results import batch_cells, batch_columns, result_of, shown_value, spelled_out
from serving.console.snippets import snippets
from serving.console.tables import read_table, rewritten, write_table
from serving.console.targets import Target, Targets
from serving.errors import ApiError, NotFound, ValidationError
from serving.feedback.outcomes import Verdict
from serving.feedback.service import FeedbackService
from serving.http.admission import Admission
from serving.http.public_address import public_origin, public_prefix
from serving.http.routes.models import describe_model
from serving.inference.catalogue import ServedModel
from serving.request import RequestRecord

MOST_SHOWN = 100
"""Rows of a table that the page shows; the download has all of them."""

DOWNLOAD_TIMES = 8
"""How many times as long as a sent table its answers may be: each row gets more cells, with longer names."""

MOST_EXAMPLES = 4
DOWNLOAD = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="predictions.csv"'}
SAID = {
    Verdict.NEW: "The outcome is recorded.",
    Verdict.KNOWN: "This outcome was recorded before; it counts once.",
    Verdict.CORRECTED: "The outcome is corrected.",
}


@dataclass(frozen=True)
class Console:
    """The pages: `admission` holds the limits of forms, `models` is what the page of models describes."""

    targets: Targets
    models: Sequence[ServedModel]
    admission: Admission
    feedback: FeedbackService | None
    renderer: Renderer
    live: LiveSource

    async def show_form(self, request: Request) -> Response:
        return self.empty_form(request, UP)

    def start(self, request: Request) -> Response:
        """Return the form at the index; with a prefix its address may lack the last slash."""
        prefix = public_prefix(request.scope)
        return self.empty_form(request, f"{prefix}/" if prefix else "")

    def empty_form(self, request: Request, up: str) -> Response:
        """Return the form of a model, empty or with one of its examples."""
        try:
            target, row = self.chosen(request.query_params)
        except ApiError as error:
            return self.problem(request, error, up=up)
        return self.form(target, typed_from(target.declaration, row) if row else {}, up=up)

    async def predict(self, request: Request) -> Response:
        """Return the form again, with the answer or with what is wrong beside each field."""
        record: RequestRecord = request.scope["record"]
        try:
            target, typed = await self.sent(request)
            reject_stale_form(target, typed)
        except ApiError as error:
            return self.problem(request, error)
        row = typed_row(target.declaration, typed)
        try:
            content = await target.row.respond(record, as_json(record, row, b"explain=true"))
        except ApiError as error:
            fail(record, error)
            return self.form(target, typed, failure=error, status=error.status)
        result = result_of(from_json(content), target.declaration)
        address = public_origin(request.scope) + public_prefix(request.scope) + target.row.path
        return self.form(target, typed, result=result, snippets=snippets(address, row))

    def form(
        self,
        target: Target,
        typed: Mapping[str, str],
        *,
        failure: ApiError | None = None,
        status: int = 200,
        up: str = UP,
        **shown: Any,
    ) -> Response:
        result = shown.get("result")
        errors = failure.errors if failure else ()
        fields = form_fields(target.model, typed, errors, result.warnings if result else ())
        return self.page(
            "predict.html",
            target,
            status,
            up=up,
            fields=fields,
            state=form_state(target.declaration),
            failure=failure,
            examples=range(1, min(MOST_EXAMPLES, len(target.model.manifest.probes)) + 1),
            **({"result": None, "snippets": []} | shown),
        )

    async def show_table(self, request: Request) -> Response:
        """Return the form for several rows, empty or with the example as its first row."""
        try:
            target, row = self.chosen(request.query_params)
        except ApiError as error:
            return self.problem(request, error)
        names = target.declaration.feature_names
        text = write_table(names, [spelled_out(row, target.declaration)] if row else [])
        return self.table(target, text)

    async def predict_table(self, request: Request) -> Response:
        """Return the table with a prediction for each row, or with what is wrong in which row."""
        record: RequestRecord = request.scope["record"]
        try:
            target, typed = await self.sent(request)
        except ApiError as error:
            return self.problem(request, error)
        text = typed.get("table", "")
        try:
            rows = await to_thread(read_table, text, target.declaration)
            content = await target.batch.respond(record, as_json(record, {"instances": rows}))
        except ApiError as error:
            fail(record, error)
            return self.table(target, text, failure=error, status=error.status)
        return await to_thread(self.predicted_table, target, text, rows, from_json(content))

    def predicted_table(
        self, target: Target, text: str, rows: list[dict[str, Any]], answer: Mapping[str, Any]
    ) -> Response:
        predictions = answer["predictions"]
        names = target.declaration.feature_names
        columns = batch_columns(target.declaration, predictions)
        cells: list[list[Any]] = [
            [*spelled_out(row, target.declaration), *batch_cells(prediction, columns)]
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        return self.table(
            target,
            text,
            columns=columns,
            names=names,
            predicted=[[shown_value(cell) for cell in line] for line in cells[:MOST_SHOWN]],
            rows=len(cells),
            answered_by=answer["model"]["version"],
            download=write_table([*names, *columns], cells),
        )

    def table(
        self, target: Target, text: str, *, failure: ApiError | None = None, status: int = 200, **shown: Any
    ) -> Response:
        nothing: dict[str, Any] = {"predicted": [], "columns": [], "names": [], "rows": 0, "download": ""}
        most = target.batch.most
        return self.page(
            "table.html", target, status, text=text, failure=failure, most=most, **nothing | shown
        )

    async def download(self, request: Request) -> Response:
        """Return the table that a page holds as a file."""
        try:
            text = await to_thread(
                rewritten, (await self.posted(request, DOWNLOAD_TIMES)).get("download", "")
            )
        except ApiError as error:
            return self.problem(request, error)
        return Response(text, media_type="text/csv", headers=DOWNLOAD)

    async def show_models(self, _request: Request) -> Response:
        described = [(model, describe_model(model)) for model in self.models]
        return self.page("models.html", self.targets.main, described=described)

    async def show_live(self, request: Request) -> Response:
        """Return the panels of a model, drawn from what the source knows now."""
        query = request.query_params
        try:
            target = self.targets.choose(query.get("model"), query.get("version"))
            minutes, feature = time_range(query.get("minutes")), known_feature(target, query.get("feature"))
        except ApiError as error:
            return self.problem(request, error)
        live = await self.live.read(target, minutes, feature)
        return await to_thread(self.live_page, live, target, minutes, feature)

    def live_page(self, live: Live, target: Target, minutes: int, feature: str | None) -> Response:
        several = len(list(self.targets)) > 1
        return self.page("live.html", target, **live_shown(live, target, minutes, feature, several=several))

    async def report(self, request: Request) -> Response:
        """Store an outcome, and say what became of it."""
        record: RequestRecord = request.scope["record"]
        try:
            target, typed = await self.sent(request)
        except ApiError as error:
            return self.problem(request, error)
        shown: dict[str, Any] = {
            "prediction_id": typed.get("prediction_id", ""),
            "outcome": typed.get("outcome", ""),
        }
        try:
            verdict = await self.accept(record, typed)
        except ApiError as error:
            fail(record, error)
            return self.page("outcome.html", target, error.status, failure=error, said="", **shown)
        return self.page("outcome.html", target, failure=None, said=SAID[verdict], **shown)

    async def accept(self, record: RequestRecord, typed: Mapping[str, str]) -> Verdict:
        """Have the API's own service take a reported outcome; ApiError where it does not."""
        if self.feedback is None:
            raise NotFound("Outcomes are not taken here.")
        if self.feedback.token:
            await self.feedback.token(bearing(typed.get("token", "")))
        body: dict[str, Any] = {name: typed.get(name, "") for name in ("prediction_id", "outcome")}
        if "correction" in typed:
            body["correction"] = True
        verdict = await self.feedback.accept(await self.admission.body(record, as_json(record, body)))
        record.log.add(feedback=verdict.value)
        return verdict

    def problem(self, request: Request, error: ApiError, *, up: str = UP) -> Response:
        """Return a page that says why there is no other."""
        fail(request.scope["record"], error)
        return self.page("problem.html", self.targets.main, error.status, up=up, failure=error)

    def page(
        self, template: str, target: Target, status: int = 200, *, up: str = UP, **shown: Any
    ) -> Response:
        return self.renderer.page(
            template,
            status,
            up=up,
            target=target,
            targets=list(self.targets),
            takes_outcomes=self.feedback is not None,
            needs_token=self.feedback is not None and self.feedback.token is not None,
            sentence=sentence,
            **shown,
        )

    def chosen(self, query: Mapping[str, str]) -> tuple[Target, dict[str, Any]]:
        """Return the target and the example, if any, that an address names; ApiError where there is none."""
        target = self.targets.choose(query.get("model"), query.get("version"))
        return target, example(target.model, query.get("example"))

    async def sent(self, request: Request) -> tuple[Target, dict[str, str]]:
        """Return the target that a form names, and its fields; ApiError where it is not to be answered."""
        typed = await self.posted(request)
        return self.targets.choose(typed.get("model"), typed.get("version")), typed

    async def posted(self, request: Request, times: int = 1) -> dict[str, str]:
        """Return the fields of a form, which may be so many times as long as another body."""
        limits = self.admission.limits
        record: RequestRecord = request.scope["record"]
        return await read_form(record, request.receive, times * limits.body_bytes, limits.body_seconds)


def example(model: ServedModel, number: str | None) -> dict[str, Any]:
    """Return an example by its number: 0 is the declared one, the others are the made-up probe rows."""
    rows = [model.declaration.example, *(probe.row for probe in model.manifest.probes)]
    if not number:
        return {}
    if not number.isdecimal() or len(number) > 2 or int(number) >= len(rows):  # noqa: PLR2004
        raise ValidationError("There is no such example; choose one of those that the page offers.")
    return rows[int(number)]


def time_range(minutes: str | None) -> int:
    """Return how many minutes a page shows, by default the fewest; ValidationError where it does not."""
    lengths = {str(length): length for length in RANGES}
    if minutes and minutes not in lengths:
        raise ValidationError(f"There is no such time range; choose one of {', '.join(lengths)} minutes.")
    return lengths.get(minutes or "", min(RANGES))


def known_feature(target: Target, feature: str | None) -> str | None:
    """Return the feature that an address names, if any; ValidationError where the model has no such one."""
    if feature and feature not in target.declaration.feature_names:
        raise ValidationError("The model has no such feature; choose one of those that the page offers.")
    return feature or None


def reject_stale_form(target: Target, typed: Mapping[str, str]) -> None:
    """Raise ValidationError for a form of a model whose categories or units have changed since."""
    own = form_state(target.declaration)
    if typed.get("state", own) != own:
        raise ValidationError("The model was replaced since you opened this page; open it again to predict.")


def bearing(token: str) -> HTTPConnection:
    """Return a request with this token, as the check of tokens reads it."""
    header = (b"authorization", f"Bearer {token}".encode())
    return HTTPConnection({"type": "http", "headers": [header]})


def fail(record: RequestRecord, error: ApiError) -> None:
    """Count and log an error that is answered with a page, as any other error."""
    record.error_type = error.error_type
    record.log.add(error=error.error_type, cause=error.cause)
