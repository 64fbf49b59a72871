"""Our application, for another server than uvicorn to run."""

from serving.main import bare_app

app = bare_app()
