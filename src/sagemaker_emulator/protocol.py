"""How the service is spoken to: AWS's JSON over HTTP, on loopback."""

import json
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from sagemaker_emulator.cloud import ERRORS
from sagemaker_emulator.limits import INVALID, Refusal

HOST = "127.0.0.1"  # and no other: whoever reaches it can run any command here
TARGET = "SageMaker"
Answer = Callable[[str, Any], dict[str, Any] | None]


def handler(answer: Answer, interrupt: Callable[[str], None]) -> type[BaseHTTPRequestHandler]:
    """`answer`: to an operation and its request; `interrupt`: what is POSTed to /interrupt. Either may raise Refusal."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                self._answer(200, self._ask())
            except ERRORS as error:  # the other services do not answer
                self._answer(500, {"__type": "InternalFailure", "Message": str(error)})
            except Refusal as refused:
                kind = "message" if refused.code == INVALID else "Message"  # as the service spells it
                self._answer(refused.status, {"__type": refused.code, kind: refused.says})

        def _ask(self) -> dict[str, Any] | None:
            # a browser on this machine must not be led here by a page whose name means 127.0.0.1
            if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
                raise Refusal("AccessDeniedException", f"the emulator is at {HOST} and at no other name", 403)
            try:
                request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            except ValueError:
                raise Refusal("SerializationException", "this is not JSON") from None
            if self.path == "/interrupt":
                interrupt(str(request.get("TrainingJobName") if isinstance(request, dict) else request))
                return {}
            service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
            return answer(operation if service == TARGET else "", request)

        def _answer(self, status: int, response: dict[str, Any] | None) -> None:
            body = b"" if response is None else json.dumps(response).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
