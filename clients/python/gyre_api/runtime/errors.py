"""What calls raise."""

from __future__ import annotations

from typing import Protocol


class GyreError(Exception):
    """Everything this package raises by itself."""

    def __init__(self, message: str, *, retry_safe: bool) -> None:
        super().__init__(message)
        self.message = message
        #: Whether the same call may be made again without doing its work twice: the method only
        #: reads or writes the same state again, the request has an idempotency key, or it never
        #: reached the method.
        self.retry_safe = retry_safe


class ApiError(GyreError):
    """The server carried the call to its end and says that it failed. Each code has a class."""

    def __init__(self, code: int, message: str, method: str, *, retry_safe: bool) -> None:
        super().__init__(message, retry_safe=retry_safe)
        #: Number of the error.
        self.code = code
        #: Name of the method that failed.
        self.method = method

    @property
    def name(self) -> str:
        """Name of the class of the error."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.method}: {self.message} (code {self.code})"


class ApiErrorFactory(Protocol):
    """Makes the error of the class that belongs to a code."""

    def __call__(self, code: int, message: str, method: str, *, retry_safe: bool) -> ApiError: ...


class TransportError(GyreError):
    """The call has no answer, so it is open what became of it unless `retry_safe` tells."""


class ConnectionFailed(TransportError):
    """The server was not reached, or the connection ended before the answer was complete."""


class CallTimeout(TransportError):
    """The answer did not arrive in time."""


class ResponseError(TransportError):
    """The answer is none of the server API: it is not JSON or lacks what it must have."""


class StatusError(TransportError):
    """The server, or a proxy before it, answered with an HTTP status instead of a response."""

    def __init__(self, status: int, message: str, *, retry_safe: bool) -> None:
        super().__init__(message, retry_safe=retry_safe)
        #: HTTP status.
        self.status = status


class UnauthorizedError(StatusError):
    """The API key is missing or wrong: status 401."""


class RequestError(GyreError):
    """A request holds a value that cannot be sent. Nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_safe=True)
