"""Making calls: writing requests, repeating them where that is safe, reading answers."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from .codec import Codec, DecodeContext, FormError, Outcome, OutcomeCodec, Request
from .codec import decode_error, dump, expect_list, expect_object, parse
from .errors import ApiError, ApiErrorFactory, CallTimeout, ConnectionFailed, GyreError
from .errors import RequestError, ResponseError, StatusError, TransportError, UnauthorizedError
from .transport import AsyncTransport, HttpTransport, ThreadTransport, Transport
from .transport import TransportRequest, TransportResponse, Unreachable

Q = TypeVar("Q")
R = TypeVar("R")

_RETRIED = frozenset({429, 502, 503, 504})
# Statuses given before a method runs.
_NOT_RUN = frozenset({400, 401, 403, 404, 405, 411, 413, 415, 429})
_FIRST_BACKOFF = 0.2
_LAST_BACKOFF = 5.0
_KEY_FIELD = "idempotency_key"


@dataclass(frozen=True)
class Method(Generic[Q, R]):
    """A method of the server API."""

    name: str
    """Name in paths and batches."""
    request: Codec[Q]
    result: Codec[R]
    repeatable: Literal["always", "with-key", "never"]
    """Whether a repeated call equals one call: always, with a key, or not at all."""


@dataclass(frozen=True)
class BatchForm:
    """Names of fields that batches use."""

    name: str
    commands: str
    replies: str


@dataclass(frozen=True)
class Seams:
    """What a client takes from its surroundings; tests put their own in place."""

    now: Callable[[], float] = time.monotonic
    """A clock in seconds that never goes back."""
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    """A number from 0 up to 1."""
    key: Callable[[], str] = lambda: str(uuid.uuid4())
    """A new idempotency key."""


@dataclass(frozen=True)
class _Call:
    """A call that is ready to be sent."""

    context: DecodeContext
    body: bytes
    timeout: float | None
    deadline: float | None


class _Client:
    """What clients have in common: all but waiting."""

    _default_prefix: ClassVar[str]
    _api_error: ClassVar[ApiErrorFactory]
    _methods: ClassVar[Mapping[type, Method[Any, Any]]]

    def __init__(
        self,
        address: str,
        *,
        api_key: str = "",
        path_prefix: str | None = None,
        timeout: float | None = 5.0,
        max_retries: int = 2,
        error_mode: Literal["response", "transport"] = "response",
        headers: Mapping[str, str] | None = None,
        seams: Seams | None = None,
    ) -> None:
        prefix = self._default_prefix if path_prefix is None else path_prefix
        self._base = address.rstrip("/") + prefix.rstrip("/")
        self._headers = {**(headers or {}), "content-type": "application/json"}
        if api_key:
            self._headers["x-api-key"] = api_key
        if error_mode == "transport":
            self._headers["x-centrifugo-error-mode"] = "transport"
        self._timeout = timeout
        self._max_retries = max_retries
        self._seams = seams or Seams()

    def _prepare(self, method: Method[Q, R], request: Q, timeout: float | None) -> _Call:
        request = self._with_key(method, request)
        context = self._context(method.name, _is_repeatable(method, request))
        return self._call_of(context, lambda: method.request.encode(request, method.name), timeout)

    def _read(self, method: Method[Q, R], call: _Call, form: Any) -> R:
        codec = OutcomeCodec(method.result)
        return _decode(call.context, lambda: codec.decode(form, method.name, call.context)).result

    def _prepare_batch(
        self,
        form: BatchForm,
        commands: Sequence[Request[R]],
        flags: Mapping[str, object],
        timeout: float | None,
    ) -> tuple[_Call, list[tuple[Method[Any, R], bool]]]:
        parts = []
        for command in commands:
            method = self._methods.get(type(command))
            if method is None:
                raise RequestError(f"{form.name}: {type(command).__name__} is no request of a method")
            parts.append((method, self._with_key(method, command)))
        plan = [(method, _is_repeatable(method, request)) for method, request in parts]
        context = self._context(form.name, all(repeatable for _, repeatable in plan))

        def body() -> dict[str, Any]:
            encoded = [
                {method.name: method.request.encode(request, f"{form.name}[{at}].{method.name}")}
                for at, (method, request) in enumerate(parts)
            ]
            return {form.commands: encoded, **flags}

        return self._call_of(context, body, timeout), plan

    def _read_batch(
        self, form: BatchForm, call: _Call, plan: list[tuple[Method[Any, R], bool]], answer: Any
    ) -> list[Outcome[R]]:
        def outcomes() -> list[Outcome[R]]:
            fields = expect_object(answer, form.name)
            if fields.get("error") is not None:
                raise decode_error(fields["error"], form.name, call.context)
            replies = expect_list(fields.get(form.replies) or [], form.replies)
            if len(replies) != len(plan):
                raise FormError(f"{form.name}: {len(replies)} replies to {len(plan)} commands")
            found = []
            for at, (method, repeatable) in enumerate(plan):
                path = f"{form.replies}[{at}]"
                reply = expect_object(replies[at], path)
                envelope = {"error": reply.get("error"), "result": reply.get(method.name)}
                part = self._context(method.name, repeatable)
                found.append(OutcomeCodec(method.result).decode(envelope, path, part))
            return found

        return _decode(call.context, outcomes)

    def _context(self, method: str, retry_safe: bool) -> DecodeContext:
        return DecodeContext(type(self)._api_error, method, retry_safe)

    def _call_of(self, context: DecodeContext, form: Callable[[], Any], timeout: float | None) -> _Call:
        try:
            body = dump(form())
        except FormError as error:
            raise RequestError(str(error)) from error
        bound = self._timeout if timeout is None else timeout
        return _Call(context, body, bound, None if bound is None else self._seams.now() + bound)

    def _with_key(self, method: Method[Any, Any], request: Q) -> Q:
        """Adds an idempotency key where it makes a call repeatable. It stays over all attempts."""
        if method.repeatable != "with-key" or self._max_retries == 0 or getattr(request, _KEY_FIELD):
            return request
        return dataclasses.replace(request, **{_KEY_FIELD: self._seams.key()})  # type: ignore[type-var]

    def _request(self, call: _Call) -> TransportRequest:
        left = None if call.deadline is None else max(0.001, call.deadline - self._seams.now())
        return TransportRequest(f"{self._base}/{call.context.method}", self._headers, call.body, left)

    def _pause_after_error(self, call: _Call, error: Exception, attempt: int) -> float:
        """How long to wait before the next attempt. Raises the failure if there is none."""
        context = call.context
        failure: TransportError
        if isinstance(error, TimeoutError):
            failure = CallTimeout(f"{context.method}: no answer in {call.timeout} s", retry_safe=context.retry_safe)
            raise failure from error
        safe = context.retry_safe or isinstance(error, Unreachable)
        failure = ConnectionFailed(f"{context.method}: {error}", retry_safe=safe)
        failure.__cause__ = error
        return self._pause(call, failure, attempt, None)

    def _pause_after_status(self, call: _Call, response: TransportResponse, attempt: int) -> float:
        """The same after an answer that is not 200."""
        failure = _refusal(response, call.context)
        if response.status not in _RETRIED:
            raise failure
        return self._pause(call, failure, attempt, _retry_after(response))

    def _pause(self, call: _Call, failure: GyreError, attempt: int, asked: float | None) -> float:
        if not failure.retry_safe or attempt >= self._max_retries:
            raise failure
        bound: float = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2**attempt)
        # Random, so that many clients do not come back together.
        pause = bound / 2 + self._seams.random() * bound / 2 if asked is None else asked
        if call.deadline is not None and self._seams.now() + pause >= call.deadline:
            raise failure
        return pause


class SyncClient(_Client):
    """A client whose calls block their thread. It may be used by several threads."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str = "",
        path_prefix: str | None = None,
        timeout: float | None = 5.0,
        max_retries: int = 2,
        error_mode: Literal["response", "transport"] = "response",
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        seams: Seams | None = None,
    ) -> None:
        """A client of the server at an address such as `http://localhost:8000`. Nothing is sent yet.

        api_key: setting `http_api.key` of the server.
        path_prefix: path before the names of methods, setting `http_api.handler_prefix`.
        timeout: bound of a call with all its attempts, in seconds; none for no bound.
        max_retries: how often a call is repeated after it got no answer or a status that asks to
            try again (429, 502, 503, 504). Only calls that are safe to repeat are. Those that need
            an idempotency key for it get one unless they have theirs; with 0 none is made.
        error_mode: where the server puts errors. With "transport" failed calls have an HTTP status
            of their own, so that what stands between sees them. What is raised is the same.
        headers: sent with all requests, for what stands before the server.
        transport: carries requests; an `HttpTransport` by default.
        seams: sources of time and chance, for tests.
        """
        super().__init__(
            address,
            api_key=api_key,
            path_prefix=path_prefix,
            timeout=timeout,
            max_retries=max_retries,
            error_mode=error_mode,
            headers=headers,
            seams=seams,
        )
        self._transport: Transport = transport or HttpTransport()

    def close(self) -> None:
        """Frees what the client holds. It cannot be used afterwards."""
        self._transport.close()

    def _call(self, method: Method[Q, R], request: Q, timeout: float | None) -> R:
        call = self._prepare(method, request, timeout)
        return self._read(method, call, self._exchange(call))

    def _batch(
        self, form: BatchForm, commands: Sequence[Request[R]], flags: Mapping[str, object], timeout: float | None
    ) -> list[Outcome[R]]:
        call, plan = self._prepare_batch(form, commands, flags, timeout)
        return self._read_batch(form, call, plan, self._exchange(call))

    def _exchange(self, call: _Call) -> Any:
        attempt = 0
        while True:
            try:
                response = self._transport.send(self._request(call))
            except Exception as error:
                pause = self._pause_after_error(call, error, attempt)
            else:
                if response.status == 200:
                    return _decode(call.context, lambda: parse(response.body))
                pause = self._pause_after_status(call, response, attempt)
            self._seams.sleep(pause)
            attempt += 1


class AsyncClient(_Client):
    """A client for asyncio."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str = "",
        path_prefix: str | None = None,
        timeout: float | None = 5.0,
        max_retries: int = 2,
        error_mode: Literal["response", "transport"] = "response",
        headers: Mapping[str, str] | None = None,
        transport: AsyncTransport | None = None,
        seams: Seams | None = None,
    ) -> None:
        """See `SyncClient`. By default requests run in threads of the event loop's executor."""
        super().__init__(
            address,
            api_key=api_key,
            path_prefix=path_prefix,
            timeout=timeout,
            max_retries=max_retries,
            error_mode=error_mode,
            headers=headers,
            seams=seams,
        )
        self._transport: AsyncTransport = transport or ThreadTransport(HttpTransport())

    async def close(self) -> None:
        """Frees what the client holds. It cannot be used afterwards."""
        await self._transport.close()

    async def _call(self, method: Method[Q, R], request: Q, timeout: float | None) -> R:
        call = self._prepare(method, request, timeout)
        return self._read(method, call, await self._exchange(call))

    async def _batch(
        self, form: BatchForm, commands: Sequence[Request[R]], flags: Mapping[str, object], timeout: float | None
    ) -> list[Outcome[R]]:
        call, plan = self._prepare_batch(form, commands, flags, timeout)
        return self._read_batch(form, call, plan, await self._exchange(call))

    async def _exchange(self, call: _Call) -> Any:
        attempt = 0
        while True:
            try:
                response = await self._transport.send(self._request(call))
            except Exception as error:
                pause = self._pause_after_error(call, error, attempt)
            else:
                if response.status == 200:
                    return _decode(call.context, lambda: parse(response.body))
                pause = self._pause_after_status(call, response, attempt)
            await self._seams.sleep_async(pause)
            attempt += 1


def _is_repeatable(method: Method[Any, Any], request: object) -> bool:
    if method.repeatable == "with-key":
        return bool(getattr(request, _KEY_FIELD))
    return method.repeatable == "always"


def _decode(context: DecodeContext, read: Callable[[], R]) -> R:
    try:
        return read()
    except FormError as error:
        raise ResponseError(str(error), retry_safe=context.retry_safe) from error


def _refusal(response: TransportResponse, context: DecodeContext) -> GyreError:
    """The API's own error in transport error mode, or the status."""
    error = _api_error(response, context)
    if error is not None:
        return error
    status = response.status
    safe = context.retry_safe or status in _NOT_RUN
    if status == 401:
        return UnauthorizedError(status, f"{context.method}: api key refused", retry_safe=safe)
    return StatusError(status, f"{context.method}: status {status}", retry_safe=safe)


def _api_error(response: TransportResponse, context: DecodeContext) -> ApiError | None:
    if not response.headers.get("content-type", "").startswith("application/json"):
        return None
    try:
        error = decode_error(parse(response.body), "error", context)
    except FormError:
        return None
    return error if error.code > 0 else None


def _retry_after(response: TransportResponse) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isdecimal() else None
