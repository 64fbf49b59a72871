"""The HTTP side: what surrounds each request, what it may say, and the routes that answer it."""
