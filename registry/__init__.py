"""Models and rows from an MLflow server."""
