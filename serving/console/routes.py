"""The console's routes."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from serving.console.console import Console
from serving.errors import NotFound


def console_router(console: Console) -> APIRouter:
    """Return the routes of all pages; they are counted and not timed, as the documentation's are."""
    router = APIRouter(prefix="/console", include_in_schema=False)
    router.add_api_route("/predict", console.show_form, methods=["GET"])
    router.add_api_route("/predict", console.predict, methods=["POST"])
    router.add_api_route("/table", console.show_table, methods=["GET"])
    router.add_api_route("/table", console.predict_table, methods=["POST"])
    router.add_api_route("/download", console.download, methods=["POST"])
    router.add_api_route("/models", console.show_models, methods=["GET"])
    router.add_api_route("/live", console.show_live, methods=["GET"])
    if console.feedback:
        router.add_api_route("/outcome", console.report, methods=["POST"])

    @router.get("")
    @router.get("/")
    async def start(request: Request) -> Response:
        return RedirectResponse("predict" if request.url.path.endswith("/") else "console/predict")

    @router.get("/static/{file}")
    async def static_file(file: str) -> Response:
        found = console.renderer.static.get(file)
        if found is None:
            raise NotFound("Nothing is served at this path; GET / lists what is.")
        return found.response()

    return router
