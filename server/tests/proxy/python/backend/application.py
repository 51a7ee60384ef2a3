"""What the application decides. How it is asked is none of its business: payloads are values here."""

import time
from collections import Counter

USERS = {"session-alice": "alice", "session-bob": "bob", "session-brief": "brief"}


def in_seconds(seconds):
    return int(time.time()) + seconds


class Application:
    def __init__(self, publish):
        """``publish`` publishes through the server API: ``(channel, data)``."""
        self._publish = publish
        # How often each event was asked about.
        self.asked = Counter()

    def answer(self, event, request, headers):
        """Answers a question about ``event``; ``headers`` are those the server passed on."""
        self.asked[event] += 1
        return getattr(self, event)(request, headers)

    def connect(self, request, _):
        user = USERS.get((request.get("data") or {}).get("session"))
        if user is None:
            return {"disconnect": {"code": 4501, "reason": "unknown session"}}
        return {
            "result": {
                "user": user,
                "data": {"hello": user},
                "info": {"name": user.upper()},
                "meta": {"role": "admin" if user == "alice" else "guest"},
                "channels": [f"lobby:{user}"],
                "expire_at": in_seconds(2) if user == "brief" else 0,
            }
        }

    def refresh(self, request, _):
        if request["user"] != "brief" or request["meta"]["role"] != "guest":
            return {"result": {"expired": True}}
        return {"result": {"expire_at": in_seconds(300)}}

    def rpc(self, request, headers):
        data = request.get("data")
        match request["method"]:
            case "who":
                return {"result": {"data": {"user": request["user"], "role": request["meta"]["role"]}}}
            case "sum":
                return {"result": {"data": sum(data)}}
            case "locale":
                return {"result": {"data": headers.get("x-locale")}}
            case "asked":
                return {"result": {"data": self.asked[data]}}
        return {"error": {"code": 1404, "message": "no such method"}}

    def subscribe(self, request, _):
        data = request.get("data")
        if request["user"] == "bob" and request["channel"] != "team:bob":
            return {"error": {"code": 1403, "message": "not your team"}}
        brief = bool(data) and data.get("brief", False)
        return {"result": {"data": {"asked": data}, "expire_at": in_seconds(2) if brief else 0}}

    def publish(self, request, _):
        text = request["data"]["text"]
        if not text:
            return {"error": {"code": 1400, "message": "say something"}}
        return {"result": {"data": {"by": request["user"], "text": text.replace("darn", "****")}}}

    def sub_refresh(self, _request, _headers):
        return {"result": {"expire_at": in_seconds(300)}}

    def cache_empty(self, request, _):
        self._publish(request["channel"], {"from": "database"})
        return {"result": {"populated": True}}
