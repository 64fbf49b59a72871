"""Grafana's dashboards in Python; `make dashboards` writes them as the JSON that Grafana reads."""
