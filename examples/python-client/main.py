"""A display in Python: it serves the Notifier of the quick start to a pushtunnel server."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "generated"))

import grpc
import notifier_pb2 as pb
import notifier_pb2_grpc
import pushtunnel


class Display(notifier_pb2_grpc.NotifierServicer):
    """An ordinary servicer: nothing in it knows of tunnels."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def Notify(self, request: pb.NotifyRequest, context: grpc.aio.ServicerContext) -> pb.NotifyResponse:
        print(f"the display shows: {request.text}", flush=True)
        return pb.NotifyResponse(display=self._name)

    async def Install(
        self, request: pb.InstallRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.InstallResponse]:
        for percent in (0, 50, 100):
            print(f"installing {request.version}: {percent} %", flush=True)
            yield pb.InstallResponse(percent=percent)
            await asyncio.sleep(0.1)


async def serve(target: str, name: str) -> None:
    client = pushtunnel.Client(lambda: pushtunnel.insecure_channel(target), name)
    notifier_pb2_grpc.add_NotifierServicer_to_server(Display(name), client)
    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, client.stop)
    await client.serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="the address of the server, such as localhost:9000")
    parser.add_argument("name", help="the name to serve under")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        asyncio.run(serve(args.target, args.name))
    except pushtunnel.Stopped as e:
        sys.exit(f"the server refuses this client: {e}")
