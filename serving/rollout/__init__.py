"""A candidate beside the served version: a canary's share of requests, or mirrored requests."""
