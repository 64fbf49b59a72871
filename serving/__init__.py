"""The server: settings and parts are wired in app.py; a request goes through http, inference and metrics."""
