"""The concepts that are measured, their names in a model's vocabulary, and their counts."""
