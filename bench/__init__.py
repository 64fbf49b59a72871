"""What a request costs, against a bare uvicorn echo in the same run."""
