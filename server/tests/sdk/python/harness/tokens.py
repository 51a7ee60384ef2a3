"""Tokens an application's backend would issue."""

import base64
import hashlib
import hmac
import json
import time

SECRET = "sdk-test-secret"


def token(secret=SECRET, **claims):
    """A JWT with these claims, signed with the secret of the server or another."""
    text = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{_base64(signature)}"


def in_seconds(seconds):
    """Unix time in ``seconds`` from now, as token claims have it."""
    return int(time.time()) + seconds


def _encoded(value):
    return _base64(json.dumps(value).encode())


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
