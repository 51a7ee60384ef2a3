"""Server API client for gyre and Centrifugo: publish, presence, history and more."""

from .gen.api import ApiClient, AsyncApiClient
from .gen.errors import *  # noqa: F403
from .gen.types import *  # noqa: F403
from .runtime.client import Seams
from .runtime.codec import Outcome, Payload, Request
from .runtime.errors import (
    ApiError,
    CallTimeout,
    ConnectionFailed,
    GyreError,
    RequestError,
    ResponseError,
    StatusError,
    TransportError,
    UnauthorizedError,
)
from .runtime.transport import (
    AsyncTransport,
    HttpTransport,
    ThreadTransport,
    Transport,
    TransportRequest,
    TransportResponse,
    Unreachable,
)
