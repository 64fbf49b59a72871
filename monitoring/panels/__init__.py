"""What the panels of dashboards and of the console ask, declared once."""
