"""The endpoint that starts retraining: a component of its own, with one right in the cluster."""
