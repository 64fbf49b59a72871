"""The software bill of materials of the server's image, in CycloneDX: packages, the base, and the models."""
