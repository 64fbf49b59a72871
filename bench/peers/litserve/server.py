"""The model as a LitServe API: set up, decode, predict, encode."""

import os

import joblib
import litserve as ls
import pandas as pd


class Heart(ls.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.model = joblib.load(os.environ["MODEL_FILE"])

    def decode_request(self, request: dict[str, float]) -> pd.DataFrame:
        return pd.DataFrame([request])

    def predict(self, rows: pd.DataFrame) -> float:
        return float(self.model.predict_proba(rows.to_numpy(dtype=float))[0, 1])

    def encode_response(self, probability: float) -> dict[str, object]:
        label = "disease" if probability >= 0.5 else "no_disease"
        return {"prediction": int(probability >= 0.5), "label": label, "probability": probability}


if __name__ == "__main__":
    server = ls.LitServer(Heart(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False)
