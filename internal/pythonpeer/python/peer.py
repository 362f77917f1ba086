"""A client for the tests of package pythonpeer.

It serves grpc.testing.TestService and the Notifier, and prints what happens, a line each.
A line "stop" on its input makes it leave in order.
"""

import asyncio
import json
import logging
import sys

import grpc
import interop_messages_pb2 as pb
import interop_test_pb2_grpc as service
import notifier_pb2
import notifier_pb2_grpc
import pushtunnel
from interop_empty_pb2 import Empty

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"


def say(*words):
    print(*words, flush=True)


async def echo_metadata(context):
    pairs = dict(context.invocation_metadata())
    if INITIAL in pairs:
        await context.send_initial_metadata(((INITIAL, pairs[INITIAL]),))
    if TRAILING in pairs:
        context.set_trailing_metadata(((TRAILING, pairs[TRAILING]),))


async def echo_status(request, context):
    if request.HasField("response_status"):
        code = next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code)
        await context.abort(code, request.response_status.message)


def payload(size):
    return pb.Payload(body=bytes(size))


class TestService(service.TestServiceServicer):
    """What gRPC's interop cases ask for. UnimplementedCall is left to generated code."""

    async def EmptyCall(self, request, context):
        await echo_metadata(context)
        return Empty()

    async def UnaryCall(self, request, context):
        await echo_metadata(context)
        await echo_status(request, context)
        if request.fill_username:  # the length of what has come
            return pb.SimpleResponse(username=str(len(request.payload.body)), payload=payload(request.response_size))
        return pb.SimpleResponse(payload=payload(request.response_size))

    async def StreamingOutputCall(self, request, context):
        try:
            say("began", context.time_remaining() is not None)
            for parameters in request.response_parameters:
                await asyncio.sleep(parameters.interval_us / 1e6)
                yield pb.StreamingOutputCallResponse(payload=payload(parameters.size))
        except asyncio.CancelledError:
            say("cancelled StreamingOutputCall")
            raise

    async def StreamingInputCall(self, requests, context):
        size = 0
        async for request in requests:
            size += len(request.payload.body)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    async def FullDuplexCall(self, requests, context):
        await echo_metadata(context)
        try:
            async for request in requests:
                await echo_status(request, context)
                for parameters in request.response_parameters:
                    await asyncio.sleep(parameters.interval_us / 1e6)
                    yield pb.StreamingOutputCallResponse(payload=payload(parameters.size))
        except asyncio.CancelledError:
            say("cancelled FullDuplexCall")
            raise

    async def HalfDuplexCall(self, requests, context):
        """Uses read and write, as handlers may."""
        while (request := await context.read()) is not grpc.aio.EOF:
            for parameters in request.response_parameters:
                await context.write(pb.StreamingOutputCallResponse(payload=payload(parameters.size)))


class Display(notifier_pb2_grpc.NotifierServicer):
    """One plain function, one that fails with details."""

    def Notify(self, request, context):
        return notifier_pb2.NotifyResponse(display=request.text)

    async def Install(self, request, context):
        from google.protobuf import any_pb2
        from google.rpc import error_details_pb2, status_pb2

        status = status_pb2.Status(code=grpc.StatusCode.OUT_OF_RANGE.value[0], message=request.version)
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason="DISK"))
        status.details.append(detail)
        pair = ("grpc-status-details-bin", status.SerializeToString())
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, request.version, (pair,))


async def watch_input(client):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.readline()  # or the end of the test
    client.stop()


async def main():
    target, name, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    client = pushtunnel.Client(
        lambda: pushtunnel.insecure_channel(target),
        name,
        namespace=options.get("namespace", ""),
        labels=options.get("labels"),
        limits=pushtunnel.Limits(**options.get("limits", {})),
        on_open=lambda session_id: say("open", session_id),
    )
    service.add_TestServiceServicer_to_server(TestService(), client)
    notifier_pb2_grpc.add_NotifierServicer_to_server(Display(), client)
    watching = asyncio.create_task(watch_input(client))
    try:
        await client.serve()
        say("left")
    except pushtunnel.Stopped as e:
        say("stopped", e)
    finally:
        watching.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(message)s")
    asyncio.run(main())
