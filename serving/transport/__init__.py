"""What uvicorn lacks: limits for connections, pipelined requests and slow clients, and a second port."""
