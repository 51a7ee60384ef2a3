"""The application over HTTP: one path per event."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVENTS = {"connect", "refresh", "rpc", "subscribe", "publish", "sub_refresh", "cache_empty"}


class HttpBackend:
    """Serves until ``stop``; ``endpoint(event)`` is where the server asks."""

    def __init__(self, application):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                event = self.path.removeprefix("/")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if event not in EVENTS:
                    return self.send_error(404)
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = json.dumps(application.answer(event, json.loads(body), headers)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def endpoint(self, event):
        return f"http://127.0.0.1:{self._server.server_port}/{event}"

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
