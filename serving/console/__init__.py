"""The console: pages to predict on in a browser, which the server renders from a model's declaration."""
