"""What stops a bill of materials from being written."""


class SbomError(Exception):
    """Why it would be incomplete or wrong, as one sentence."""
