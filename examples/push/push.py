"""Pushes to a client of a pushtunnel server, with stock grpcio.

    python push.py SERVER CLIENT TEXT
"""

import sys

import grpc

import notifier_pb2
import notifier_pb2_grpc

server, client, text = sys.argv[1:]
to = (("pushtunnel-client", client),)  # this is all that is not plain gRPC
with grpc.insecure_channel(server) as channel:
    notifier = notifier_pb2_grpc.NotifierStub(channel)
    try:
        answer = notifier.Notify(notifier_pb2.NotifyRequest(text=text), metadata=to, timeout=10)
        print("shown by", answer.display)
        for step in notifier.Install(notifier_pb2.InstallRequest(version=text), metadata=to, timeout=10):
            print(f"{step.percent}%")
    except grpc.RpcError as e:
        outcome = dict(e.trailing_metadata() or ()).get("pushtunnel-outcome")
        sys.exit(f"{e.code().name}: {e.details()} (outcome: {outcome})")
