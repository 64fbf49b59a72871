"""What uvicorn lacks: bounds on connections, on pipelined requests and on slow readers, and two ports."""
