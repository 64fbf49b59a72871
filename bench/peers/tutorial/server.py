"""The way of most tutorials: a DataFrame for each request, joblib, and an @app.middleware that counts."""

import logging
import os
import time
from collections.abc import Awaitable, Callable

import joblib
import pandas as pd
from fastapi import FastAPI, Request, Response
from prometheus_client import Counter, Histogram, generate_latest
from pydantic import BaseModel

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger(__name__)
model = joblib.load(os.environ["MODEL_FILE"])
app = FastAPI()

REQUESTS = Counter("api_requests_total", "Requests", ["method", "endpoint", "status"])
LATENCY = Histogram("api_request_duration_seconds", "Seconds", ["method", "endpoint"])
PREDICTIONS = Counter("predictions_total", "Predictions", ["result"])


class Patient(BaseModel):
    age: float
    sex: int
    cp: int
    trestbps: float
    chol: float
    fbs: int
    restecg: int
    thalach: float
    exang: int
    oldpeak: float
    slope: int
    ca: float
    thal: int


@app.middleware("http")
async def count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    start = time.time()
    response = await call_next(request)
    REQUESTS.labels(request.method, request.url.path, response.status_code).inc()
    LATENCY.labels(request.method, request.url.path).observe(time.time() - start)
    return response


@app.post("/predict")
def predict(patient: Patient) -> dict[str, object]:
    rows = pd.DataFrame([patient.model_dump()])
    probability = float(model.predict_proba(rows.to_numpy(dtype=float))[0, 1])
    label = "disease" if probability >= 0.5 else "no_disease"
    PREDICTIONS.labels(label).inc()
    logger.info("prediction %s with probability %.3f", label, probability)
    return {"prediction": int(probability >= 0.5), "label": label, "probability": probability}


@app.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), media_type="text/plain")
