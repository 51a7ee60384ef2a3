"""Clients over a transport that gives prepared answers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gyre_api import (
    ApiClient,
    ApiError,
    AsyncApiClient,
    CallTimeout,
    ConnectionFailed,
    HistoryRequest,
    InfoRequest,
    NotAvailableError,
    PublishRequest,
    PublishResult,
    RequestError,
    ResponseError,
    RPCRequest,
    Seams,
    StatusError,
    SubscribeOptionOverride,
    TransportRequest,
    TransportResponse,
    UnauthorizedError,
    UnknownChannelError,
    Unreachable,
)

Answer = str | Exception | TransportResponse


class Script:
    """Gives prepared answers and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[TransportRequest] = []
        self.pauses: list[float] = []

    def send(self, request: TransportRequest) -> TransportResponse:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return TransportResponse(200, {}, answer.encode()) if isinstance(answer, str) else answer

    def close(self) -> None:
        pass

    def client(self, **options: Any) -> ApiClient:
        seams = Seams(sleep=self.pauses.append, random=lambda: 1.0, key=lambda: "made", now=lambda: 0.0)
        return ApiClient("http://host/", transport=self, seams=seams, **options)

    def body(self, at: int = 0) -> Any:
        return json.loads(self.requests[at].body)


class AsyncScript:
    """The same for asyncio."""

    def __init__(self, script: Script) -> None:
        self.script = script

    async def send(self, request: TransportRequest) -> TransportResponse:
        return self.script.send(request)

    async def close(self) -> None:
        pass


def status(code: int, body: str = "", **headers: str) -> TransportResponse:
    return TransportResponse(code, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


class Requests(unittest.TestCase):
    def test_have_the_address_the_key_and_the_form_of_the_api(self) -> None:
        script = Script('{"result":{"offset":3,"epoch":"e"}}')
        api = script.client(api_key="secret", max_retries=0, error_mode="transport")
        result = api.publish("a", {"x": "ü"}, skip_history=True, tags={"k": "v"})
        self.assertEqual((result.offset, result.epoch), (3, "e"))
        request = script.requests[0]
        self.assertEqual(request.url, "http://host/api/publish")
        self.assertEqual(request.headers["x-api-key"], "secret")
        self.assertEqual(request.headers["x-centrifugo-error-mode"], "transport")
        self.assertEqual(request.timeout, 5.0)
        form = {"channel": "a", "data": {"x": "ü"}, "skip_history": True, "tags": {"k": "v"}}
        self.assertEqual(script.body(), form)

    def test_go_below_another_prefix(self) -> None:
        script = Script('{"result":{}}')
        script.client(path_prefix="/v1/").info()
        self.assertEqual(script.requests[0].url, "http://host/v1/info")

    def test_carry_bytes_as_base64(self) -> None:
        script = Script('{"result":{}}')
        script.client(max_retries=0).publish("a", b"\xff\x00")
        self.assertEqual(script.body(), {"channel": "a", "b64data": "/wA="})

    def test_carry_null(self) -> None:
        script = Script('{"result":{}}')
        script.client(max_retries=0).publish("a", None)
        self.assertEqual(script.body(), {"channel": "a", "data": None})

    def test_put_optional_scalars_into_objects(self) -> None:
        script = Script('{"result":{}}')
        script.client().subscribe("a", user="u", override=SubscribeOptionOverride(presence=False))
        self.assertEqual(script.body(), {"channel": "a", "user": "u", "override": {"presence": {"value": False}}})

    def test_that_cannot_be_sent_are_refused(self) -> None:
        script = Script()
        api = script.client()
        with self.assertRaises(RequestError):
            api.rpc("m", params=b"")
        with self.assertRaisesRegex(RequestError, r"publish\.channel: int is no str"):
            api.publish(1, 1)  # type: ignore[arg-type]
        with self.assertRaises(RequestError):
            api.publish("a", {"x": float("nan")})
        with self.assertRaises(RequestError):
            api.publish("a", {"x": [object()]})
        self.assertEqual(script.requests, [])


class Results(unittest.TestCase):
    def test_have_zero_values_for_absent_fields(self) -> None:
        script = Script('{"result":{"publications":[{"data":{"b64data":1}}],"epoch":"e","offset":1}}')
        publication = script.client().history("a", limit=1).publications[0]
        self.assertEqual(publication.data, {"b64data": 1})
        self.assertEqual((publication.offset, publication.info, publication.tags), (0, None, {}))

    def test_of_a_broadcast_answer_for_each_channel(self) -> None:
        body = '{"result":{"responses":[{"result":{"offset":1}},{"error":{"code":102,"message":"unknown channel"}}]}}'
        one, two = Script(body).client().broadcast(["a", "b"], 1).responses
        self.assertTrue(one.ok)
        self.assertEqual(one.result.offset, 1)
        self.assertIsInstance(two.error, UnknownChannelError)
        with self.assertRaises(UnknownChannelError):
            two.result

    def test_of_a_batch_stand_in_the_order_of_commands(self) -> None:
        script = Script('{"replies":[{"publish":{"offset":7}},{"error":{"code":108,"message":"not available"}}]}')
        commands = [PublishRequest("a", 1), HistoryRequest("a")]
        published, history = script.client(max_retries=0).batch(commands, parallel=True)
        self.assertEqual(published.result, PublishResult(offset=7))
        self.assertIsInstance(history.error, NotAvailableError)
        form = [{"publish": {"channel": "a", "data": 1}}, {"history": {"channel": "a"}}]
        self.assertEqual(script.body(), {"commands": form, "parallel": True})

    def test_of_all_pages_come_one_after_another(self) -> None:
        pages = (
            '{"result":{"entries":[{"key":"a"},{"key":"b"}],"cursor":"2"}}',
            '{"result":{"entries":[{"key":"c"}]}}',
        )
        script = Script(*pages)
        keys = [entry.key for entry in script.client().map_read_state_items("m", limit=2)]
        self.assertEqual(keys, ["a", "b", "c"])
        self.assertEqual(script.body(1), {"channel": "m", "limit": 2, "cursor": "2"})

        async def collect() -> list[str]:
            api = AsyncApiClient("http://host", transport=AsyncScript(Script(*pages)))
            return [entry.key async for entry in api.map_read_state_items("m", limit=2)]

        self.assertEqual(asyncio.run(collect()), keys)

    def test_that_are_none_are_refused(self) -> None:
        for body in ("<html>", "[]", '{"result":{"nodes":{}}}', '{"result":{"nodes":[{"uid":1}]}}'):
            with self.subTest(body), self.assertRaises(ResponseError):
                Script(body).client().info()


class Errors(unittest.TestCase):
    def test_have_a_class_for_each_code(self) -> None:
        with self.assertRaises(UnknownChannelError) as raised:
            Script('{"error":{"code":102,"message":"unknown channel"}}').client().publish("a", 1)
        error = raised.exception
        self.assertEqual((error.code, error.name), (UnknownChannelError.CODE, "UnknownChannelError"))
        self.assertEqual((error.message, error.method), ("unknown channel", "publish"))

    def test_of_codes_that_are_not_known_yet_are_plain(self) -> None:
        with self.assertRaises(ApiError) as raised:
            Script('{"error":{"code":999,"message":"new"}}').client().info()
        self.assertIs(type(raised.exception), ApiError)

    def test_are_the_same_as_http_statuses(self) -> None:
        answer = status(404, '{"code":102,"message":"unknown channel"}', content_type="application/json")
        with self.assertRaises(UnknownChannelError):
            Script(answer).client().info()

    def test_of_http_are_told_apart(self) -> None:
        with self.assertRaises(UnauthorizedError):
            Script(status(401)).client().info()
        with self.assertRaises(StatusError) as raised:
            Script(status(404, "404 page not found", content_type="text/plain")).client().rpc("m")
        self.assertEqual((raised.exception.status, raised.exception.retry_safe), (404, True))


class Repeating(unittest.TestCase):
    def test_keeps_one_idempotency_key_over_all_attempts(self) -> None:
        script = Script(OSError("reset"), status(503), '{"result":{}}')
        script.client().publish("a", 1)
        self.assertEqual([script.body(at)["idempotency_key"] for at in range(3)], ["made"] * 3)
        self.assertEqual(script.pauses, [0.2, 0.4])

    def test_leaves_the_key_of_the_caller_alone(self) -> None:
        script = Script('{"result":{}}')
        script.client().publish("a", 1, idempotency_key="mine")
        self.assertEqual(script.body()["idempotency_key"], "mine")

    def test_is_not_done_for_calls_with_an_effect_of_their_own(self) -> None:
        with self.assertRaises(ConnectionFailed) as raised:
            Script(OSError("reset")).client().rpc("m")
        self.assertFalse(raised.exception.retry_safe)

    def test_is_done_for_any_call_that_was_not_sent(self) -> None:
        script = Script(Unreachable("refused"), '{"result":{"data":1}}')
        self.assertEqual(script.client().rpc("m").data, 1)

    def test_of_a_batch_is_done_when_all_of_its_commands_may_be(self) -> None:
        script = Script(status(502), '{"replies":[{"publish":{}},{"info":{}}]}')
        script.client().batch([PublishRequest("a", 1), InfoRequest()])
        self.assertEqual(len(script.requests), 2)
        with self.assertRaises(StatusError):
            Script(status(502)).client().batch([PublishRequest("a", 1), RPCRequest("m")])

    def test_waits_as_long_as_the_server_asks(self) -> None:
        script = Script(status(429, retry_after="3"), '{"result":{}}')
        script.client().info()
        self.assertEqual(script.pauses, [3.0])

    def test_does_not_outlive_the_timeout(self) -> None:
        script = Script(status(429, retry_after="6"))
        with self.assertRaises(StatusError):
            script.client().info()

    def test_ends_after_the_last_attempt(self) -> None:
        script = Script(status(503), status(503))
        with self.assertRaises(StatusError):
            script.client(max_retries=1).info()
        self.assertEqual(len(script.requests), 2)


class OverHttp(unittest.TestCase):
    def test_connections_are_used_again_and_replaced_when_closed(self) -> None:
        peers: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                peers.append(self.client_address)
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "13")
                self.end_headers()
                self.wfile.write(b'{"result":{}}')
                # The second connection answers once and goes away without saying so.
                self.close_connection = len(peers) >= 2

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                with ApiClient(f"http://127.0.0.1:{server.server_port}", max_retries=2) as api:
                    for _ in range(3):
                        api.info()
            finally:
                server.shutdown()
                thread.join()
        self.assertEqual(peers[0], peers[1])
        self.assertNotEqual(peers[1], peers[2])

    def test_a_call_that_takes_too_long_times_out(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            api = ApiClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.03)
            with self.assertRaises(CallTimeout) as raised:
                api.info()
            self.assertTrue(raised.exception.retry_safe)

    def test_an_address_where_nobody_listens_is_not_reached(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        with self.assertRaises(ConnectionFailed) as raised:
            ApiClient(f"http://127.0.0.1:{port}", max_retries=0).rpc("m")
        self.assertTrue(raised.exception.retry_safe)


if __name__ == "__main__":
    unittest.main()
