"""What Alertmanager notifies: a real SMTP server, and a web server for webhooks and for Slack's payload.

`python -m tests.cluster.receivers ADDRESS FILE` writes each notification into FILE as a line of JSON.
"""

import asyncio
import email
import email.policy
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

SMTP_PORT = 8025
HTTP_PORT = 8080


def main() -> None:
    address, file = sys.argv[1], Path(sys.argv[2])

    def write(way: str, content: Any) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"way": way, "content": content}) + "\n")

    class Mailbox:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
            message = email.message_from_bytes(
                bytes(envelope.original_content or b""), policy=email.policy.default
            )
            write("email", {"to": envelope.rcpt_tos, "subject": message["subject"]})
            return "250 OK"

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            write(self.path.strip("/"), json.loads(body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Log nothing: the file has it all."""

    Controller(Mailbox(), hostname=address, port=SMTP_PORT).start()
    ThreadingHTTPServer((address, HTTP_PORT), Web).serve_forever()


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    main()
