"""Calls the handlers that generated code registers."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

import grpc

from .call import Call, failure
from .context import CallError, Context
from .incoming import TooLarge

log = logging.getLogger("pushtunnel")


async def handle(call: Call, handler: grpc.RpcMethodHandler, context: Context) -> None:
    """Runs the handler of a call, and ends the call with what it returns."""
    try:
        await _handle(call, handler, context)
    except asyncio.CancelledError:
        if call.over:  # by cancel, the deadline or the session's end
            raise
        context.finish(grpc.StatusCode.CANCELLED, "the handler was cancelled")
    except grpc.aio.AbortError:
        context.finish()
    except TooLarge as e:
        code, refused = grpc.StatusCode.RESOURCE_EXHAUSTED, not call.handled
        call.finish(failure(code, f"pushtunnel: {e}", refused=refused, limit="message_size"))
    except CallError as e:
        call.finish(failure(e.code, e.message))
    except Exception as e:
        if context.code() in (None, grpc.StatusCode.OK):
            log.exception("the handler of %s has failed", call.begin.method)
        context.finish(grpc.StatusCode.UNKNOWN, f"{type(e).__name__}: {e}")


async def _handle(call: Call, handler: grpc.RpcMethodHandler, context: Context) -> None:
    if handler.request_streaming:
        request = context.requests()
    else:
        try:
            request = await context.read()
        except TooLarge:
            raise
        except Exception as e:  # of the decompressor or the deserializer
            return _bad(call, f"a bad request: {e}")
        if request is grpc.aio.EOF:
            return _bad(call, "no request")
    call.handled = True
    result = await _call(_behavior(handler), request, context)
    if not handler.response_streaming:
        if context.code() in (None, grpc.StatusCode.OK):
            await context.respond(result)
        else:
            context.finish()
        return
    if hasattr(result, "__aiter__"):
        async for response in result:
            await context.write(response)
    context.finish()


def _bad(call: Call, why: str) -> None:
    call.finish(failure(grpc.StatusCode.INTERNAL, f"pushtunnel: {why}", refused=True))


async def _call(behavior: Callable[..., Any], request: Any, context: Context) -> Any:
    """Calls a handler. One that is a plain function runs in a thread."""
    if inspect.iscoroutinefunction(behavior) or inspect.isasyncgenfunction(behavior):
        result = behavior(request, context)
    else:
        result = await asyncio.to_thread(behavior, request, context)
    return await result if inspect.isawaitable(result) else result


def _behavior(handler: grpc.RpcMethodHandler) -> Callable[..., Any]:
    kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return kinds[2 * handler.request_streaming + handler.response_streaming]
