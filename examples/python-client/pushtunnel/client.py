"""Keeps a session open: connects, comes back, moves, leaves. Section 7."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import grpc

from . import metadata
from .backoff import Backoff
from .errors import STOPS, Ended, Stopped
from .limits import Limits
from .session import Session

log = logging.getLogger("pushtunnel")


class _CallDetails(NamedTuple):
    method: str
    invocation_metadata: metadata.Pairs


class Client:
    """Serves calls under a name. Register servicers on it as on a grpc.aio.Server.

    It belongs to one event loop. connect makes a channel for each session, which the
    client closes. pairs are sent when it connects, for the server's authentication.
    """

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        name: str,
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        pairs: Sequence[tuple[str, str | bytes]] = (),
        limits: Limits | None = None,
        on_open: Callable[[str], None] = lambda session_id: None,
    ) -> None:
        self._connect = connect
        self._name = name
        self._limits = limits or Limits()
        self._on_open = on_open
        self._claims = [metadata.claim("clientname", name), *pairs]
        if namespace:
            self._claims.append(metadata.claim("clientnamespace", namespace))
        for key, value in (labels or {}).items():
            self._claims.append(metadata.claim("clientlabel", f"{key}={value}"))
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._backoff = Backoff()
        self._open: dict[Session, asyncio.Task[Ended]] = {}
        self._partings: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds services. Generated code calls it."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Does nothing. Generated code calls it with what it has added already."""

    async def serve(self) -> None:
        """Serves until stop is called. It raises Stopped if the server refuses the client.

        Cancelling it ends the session and the calls under way at once.
        """
        keeper = asyncio.create_task(self._keep())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({keeper, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not keeper.done():
                keeper.cancel()
                await asyncio.wait({keeper})
            await asyncio.gather(*(self._part(s) for s in list(self._open)))
            if not keeper.cancelled():
                keeper.result()
        finally:
            tasks = [keeper, stop, *self._partings, *self._open.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Makes serve answer the calls under way and return."""
        self._stop.set()

    async def _keep(self) -> None:
        last: Session | None = None
        while True:
            session = Session(self._connect(), self._name, self._find, self._limits)
            previous = last.hello.session_id if last else ""
            lost = last is not None and last.end is not None
            try:
                await session.open(self._claims, previous, lost)
            except Ended as e:
                log.info("no session: %s", e)
                if last in self._open:
                    await self._part(last)
                await self._pause(e)
                continue
            log.info("session open")
            self._open[session] = asyncio.create_task(session.run())
            self._open[session].add_done_callback(lambda _, s=session: self._open.pop(s))
            if last in self._open:
                parting = asyncio.create_task(self._part(last))
                self._partings.add(parting)
                parting.add_done_callback(self._partings.discard)
            self._on_open(session.hello.session_id)
            last = session
            end = await self._watch(session)
            if end:
                log.info("session ended: %s", end)
                await self._pause(end)

    async def _watch(self, session: Session) -> Ended | None:
        """Waits until another session is needed. It returns None if this one lives still."""
        run = self._open[session]
        await asyncio.wait({run, session.moving}, return_when=asyncio.FIRST_COMPLETED)
        self._backoff.lasted(time.monotonic() - session.began)
        if not run.done():
            log.info("the server asks to move")
            await asyncio.wait({run}, timeout=self._backoff.next(session.moving.result()))
        return run.result() if run.done() else None

    async def _part(self, session: Session) -> None:
        """Parts from a session and waits for its end."""
        run = self._open[session]
        parting = asyncio.create_task(session.part())
        try:
            await asyncio.wait({run})
        finally:
            parting.cancel()

    async def _pause(self, end: Ended) -> None:
        if end.code in STOPS:
            raise Stopped(str(end)) from end
        await asyncio.sleep(self._backoff.next(end.retry_after))

    def _find(self, method: str, pairs: metadata.Pairs) -> grpc.RpcMethodHandler | None:
        for handler in self._handlers:
            if found := handler.service(_CallDetails(method, pairs)):
                return found
        return None
