"""Runs scenarios of `clients/conformance/scenarios`."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import gyre_api
from gyre_api import ApiClient, ApiError, Outcome, Request, StatusError
from gyre_api.gen import codecs

from .connection import Connection
from .server import Server

#: Makes a call of a client: the name of a method, its arguments, and what it returns.
Caller = Callable[..., Any]


def run(scenario: Mapping[str, Any], call: Caller, server: Server, run_id: str) -> None:
    """Raises at the first step that does not come out as it must.

    `call` takes the name of a method and its arguments, so that clients of any kind can be run.
    """
    names = {"run": run_id}
    connections: dict[str, Connection] = {}
    try:
        for at, written in enumerate(scenario["steps"], 1):
            _step(_fill(written, names), call, server, names, connections, f"step {at}")
    finally:
        for connection in connections.values():
            connection.close()


def sync_caller(api: ApiClient) -> Caller:
    """Calls of a blocking client."""
    return lambda name, *args, **kwargs: getattr(api, name)(*args, **kwargs)


def _step(
    step: Mapping[str, Any],
    call: Caller,
    server: Server,
    names: dict[str, str],
    connections: dict[str, Connection],
    where: str,
) -> None:
    if "call" in step:
        _call(step, call, names, where)
    elif "batch" in step:
        commands = [_request(name, form) for item in step["batch"] for name, form in item.items()]
        outcomes = call("batch", commands, parallel=step.get("parallel", False))
        _match(_plain(outcomes), step["outcomes"], where)
    elif "connect" in step:
        connection = Connection(server, step["connect"], step["channels"])
        connections[step["connect"]] = connection
        names[step["connect"]] = connection.client
    elif "receive" in step:
        kind = "push" if "push" in step else "close"
        _match(connections[step["receive"]].receive(kind), step[kind], where)
    elif "disconnect" in step:
        connections[step["disconnect"]].close()
    else:
        raise AssertionError(f"{where} is of no known kind")


def _call(step: Mapping[str, Any], call: Caller, names: dict[str, str], where: str) -> None:
    name = step["call"]
    request: Any = _request(name, step["request"])
    arguments = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    try:
        result = call(name, **arguments)
    except ApiError as error:
        assert "error" in step, f"{where}: {error}"
        assert error.method == name, where
        _match(_plain(error), step["error"], where)
        return
    except StatusError as error:
        assert error.status == step.get("status"), f"{where}: {error}"
        return
    assert "result" in step, f"{where}: no error"
    form = _plain(result)
    _match(form, step["result"], where)
    for saved, path in step.get("save", {}).items():
        value = form
        for key in path:
            value = value[key]
        names[saved] = value


def _fill(value: Any, names: Mapping[str, str]) -> Any:
    """Puts names in place of `${name}`."""
    if isinstance(value, str):
        return re.sub(r"\$\{([^}]+)\}", lambda found: names[found[1]], value)
    if isinstance(value, list):
        return [_fill(item, names) for item in value]
    if isinstance(value, dict):
        return {_fill(key, names): _fill(item, names) for key, item in value.items()}
    return value


def _request(name: str, form: Mapping[str, Any]) -> Request[Any]:
    kind = next(kind for kind, method in codecs.METHODS.items() if method.name == name)
    request: Request[Any] = _record(kind, form)
    return request


def _record(kind: type, form: Mapping[str, Any]) -> Any:
    """A request of its JSON form; fields that hold records have them built too."""
    values = {}
    hints = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    for key, item in form.items():
        record = getattr(gyre_api, hints[key].removesuffix(" | None"), None)
        if isinstance(record, type) and isinstance(item, dict):
            values[key] = _record(record, item)
        elif isinstance(item, dict) and "$base64" in item:
            values[key] = base64.b64decode(item["$base64"])
        else:
            values[key] = item
    return kind(**values)


def _plain(value: Any) -> Any:
    """A result as it looks in scenarios."""
    if isinstance(value, Outcome):
        return {"error": _plain(value.error)} if value.error else {"result": _plain(value.result)}
    if isinstance(value, ApiError):
        return {"code": value.code, "name": value.name, "message": value.message}
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _match(value: Any, expected: Any, where: str) -> None:
    """Checks that a value has all that is expected of it."""
    if isinstance(expected, list):
        assert isinstance(value, list), f"{where}: no list"
        assert len(value) == len(expected), f"{where}: {len(value)} items, not {len(expected)}"
        for at, item in enumerate(expected):
            _match(value[at], item, f"{where}[{at}]")
    elif isinstance(expected, dict):
        assert isinstance(value, dict), f"{where}: no object"
        for key, item in expected.items():
            if key == "$size":
                assert len(value) == item, f"{where}: {len(value)} members, not {item}"
            else:
                _match(value.get(key), item, f"{where}.{key}")
    else:
        assert value == expected, f"{where}: {value!r}, not {expected!r}"
