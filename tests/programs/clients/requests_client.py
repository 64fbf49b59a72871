"""METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body."""

import sys
from pathlib import Path

import requests

method, url, *file = sys.argv[1:]
body = Path(file[0]).read_bytes() if file else None
headers = {"Content-Type": "application/json"} if file else {}
response = requests.request(method, url, data=body, headers=headers, timeout=30)
print(response.status_code)
print(response.headers.get("Content-Type", ""))
print(response.headers.get("Content-Length", ""))
print(response.text)
