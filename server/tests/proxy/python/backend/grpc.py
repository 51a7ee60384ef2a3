"""The application over gRPC: payloads are JSON in bytes."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.json_format import MessageToDict
from proxy import connection_pb2, proxy_pb2, proxy_pb2_grpc, subscription_pb2

PAYLOADS = ("data", "info", "meta")


def decoded(message):
    """A message with values in place of payloads."""
    values = MessageToDict(message, preserving_proto_field_name=True)
    for name in PAYLOADS:
        if values.pop(name, None):
            values[name] = json.loads(getattr(message, name))
    return values


def encoded(kind, answer):
    """An answer with payloads in place of values."""
    result = answer.get("result")
    if result is not None:
        payloads = {name: json.dumps(result[name]).encode() for name in PAYLOADS if name in result}
        answer = answer | {"result": result | payloads}
    return kind(**answer)


class Servicer(proxy_pb2_grpc.CentrifugoProxyServicer):
    def __init__(self, application, streams):
        self._application = application
        self._streams = streams

    def _answer(self, kind, event, request, context):
        headers = dict(context.invocation_metadata())
        return encoded(kind, self._application.answer(event, decoded(request), headers))

    def Connect(self, request, context):
        return self._answer(connection_pb2.ConnectResponse, "connect", request, context)

    def Refresh(self, request, context):
        return self._answer(connection_pb2.RefreshResponse, "refresh", request, context)

    def RPC(self, request, context):
        return self._answer(connection_pb2.RPCResponse, "rpc", request, context)

    def Subscribe(self, request, context):
        return self._answer(subscription_pb2.SubscribeResponse, "subscribe", request, context)

    def Publish(self, request, context):
        return self._answer(subscription_pb2.PublishResponse, "publish", request, context)

    def SubRefresh(self, request, context):
        return self._answer(subscription_pb2.SubRefreshResponse, "sub_refresh", request, context)

    def NotifyCacheEmpty(self, request, context):
        return self._answer(proxy_pb2.NotifyCacheEmptyResponse, "cache_empty", request, context)

    def SubscribeUnidirectional(self, request, context):
        return self._streams.ticks(decoded(request), context)

    def SubscribeBidirectional(self, requests, context):
        return self._streams.echo(requests, context)


class GrpcBackend:
    """Serves until ``stop``; ``endpoint`` is where the server asks."""

    def __init__(self, application, streams):
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16))
        proxy_pb2_grpc.add_CentrifugoProxyServicer_to_server(Servicer(application, streams), self._server)
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def endpoint(self, _event):
        return f"127.0.0.1:{self._port}"

    def stop(self):
        self._server.stop(None).wait()
