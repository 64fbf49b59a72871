"""METHOD URL [BODY_FILE]: prints the status, type and length of the response in a line each, and its body."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import aiohttp


async def main(method: str, url: str, body: bytes | None) -> None:
    headers = {"Content-Type": "application/json"} if body else {}
    trust = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body, headers=headers, ssl=trust) as response,
    ):
        print(response.status)
        print(response.headers.get("Content-Type", ""))
        print(response.headers.get("Content-Length", ""))
        print(await response.text())


sent = Path(sys.argv[3]).read_bytes() if sys.argv[3:] else None
asyncio.run(main(sys.argv[1], sys.argv[2], sent))
