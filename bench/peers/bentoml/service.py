"""The model as a BentoML service: a class with an API method, typed by pydantic."""

import os

import bentoml
import joblib
import pandas as pd
from pydantic import BaseModel


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


@bentoml.service(workers=1)
class Heart:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(route="/predict")
    def predict(self, patient: Patient) -> dict[str, object]:
        rows = pd.DataFrame([patient.model_dump()])
        probability = float(self.model.predict_proba(rows.to_numpy(dtype=float))[0, 1])
        label = "disease" if probability >= 0.5 else "no_disease"
        return {"prediction": int(probability >= 0.5), "label": label, "probability": probability}
