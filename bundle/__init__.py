"""What training writes and serving reads: a model's declaration, its encoder and its manifest.

`serving` and `training` both import this package and never each other.
"""
