"""METHOD URL [BODY_FILE]: prints the status, and the response's body in the next line."""

import sys
from pathlib import Path

import requests

method, url, *file = sys.argv[1:]
body = Path(file[0]).read_bytes() if file else None
headers = {"Content-Type": "application/json"} if file else {}
response = requests.request(method, url, data=body, headers=headers, timeout=30)
print(response.status_code)
print(response.text)
