"""Writes the rules on requests and models, from a model's declaration and from objectives that are said here once."""
