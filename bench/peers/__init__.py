"""Other servers of the same model, each with what it needs in a folder of its own."""
