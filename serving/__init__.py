"""A request's way through the process: middleware -> routes -> catalogue and engine -> response."""
