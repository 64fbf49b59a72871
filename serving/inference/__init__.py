"""From a verified bundle to answers: no module here knows HTTP."""
