"""Data -> pipeline -> evaluation -> bundle -> model card. Never imported by `serving`."""
