"""A client of pushtunnel: it serves the calls that the server makes.

    client = Client(lambda: insecure_channel("push.example.org:9000"), "kitchen")
    add_NotifierServicer_to_server(Display(), client)
    await client.serve()

A Client takes what a grpc.aio.Server takes: generated servicers with async handlers,
and their context. docs/PROTOCOL.md of the project says what happens on the wire.
"""

from .channel import insecure_channel, secure_channel
from .client import Client
from .errors import Ended, Stopped
from .limits import Limits

__all__ = ["Client", "Ended", "Limits", "Stopped", "insecure_channel", "secure_channel"]
