"""Publishes into a channel, reads its history, and deals with what can go wrong.

GYRE_API_KEY=key python examples/publish.py http://localhost:8000
"""

from __future__ import annotations

import os
import sys

from gyre_api import ApiClient, HistoryRequest, NotAvailableError, PublishRequest, TransportError, UnknownChannelError


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
    with ApiClient(address, api_key=os.environ.get("GYRE_API_KEY", "")) as api:
        try:
            published = api.publish("news", {"title": "Hello"})
            print(f"published at {published.offset}" if published.offset else "published, not kept")

            outcomes = api.batch([PublishRequest("news", b'"as bytes"'), HistoryRequest("news", limit=10)])
            for outcome in outcomes:
                if isinstance(outcome.error, NotAvailableError):
                    print("the channel keeps no history")
                else:
                    print(outcome.result)
        except UnknownChannelError:
            print("no such namespace")
        except TransportError as error:
            print(f"no answer: {error}")


if __name__ == "__main__":
    main()
