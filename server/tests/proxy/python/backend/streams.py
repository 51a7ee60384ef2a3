"""Subscriptions whose publications the application streams; only over gRPC."""

import json
import threading

from proxy import subscription_pb2 as wire


def publication(value):
    return wire.StreamSubscribeResponse(publication=wire.Publication(data=json.dumps(value).encode()))


class Streams:
    def __init__(self):
        # Set when the server gives a stream up.
        self.cancelled = threading.Event()

    def ticks(self, request, context):
        """Counts to three and ends, or goes on for ever."""
        decision = wire.SubscribeResponse(result=wire.SubscribeResult(data=b'{"from":1}'))
        yield wire.StreamSubscribeResponse(subscribe_response=decision)
        for n in (1, 2, 3):
            yield publication(n)
        if request.get("data") == "for ever":
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait()
            self.cancelled.set()

    def echo(self, requests, context):
        """Gives back what the client publishes, louder."""
        for request in requests:
            if request.HasField("subscribe_request"):
                yield wire.StreamSubscribeResponse(subscribe_response=wire.SubscribeResponse())
            else:
                yield publication(json.loads(request.publication.data).upper())
