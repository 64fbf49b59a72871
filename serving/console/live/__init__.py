"""The console's live page: panels with what Prometheus or this process knows."""
