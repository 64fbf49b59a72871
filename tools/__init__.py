"""What developing needs and users do not: pinned Go tools, and a real cluster to test on."""
