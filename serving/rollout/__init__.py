"""A candidate version: it answers a share of the requests (canary), or mirrored requests (shadow)."""
