"""The ASGI application: HTTP around a `Server`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.model import LOG
from tfp_realnvp.serving.rest.model_config import ModelConfig
from tfp_realnvp.serving.rest.playground import playground
from tfp_realnvp.serving.rest.refusal import HTTP, Refusal
from tfp_realnvp.serving.rest.server import Server

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def application(
    models: Sequence[ModelConfig], *, limits: Limits | None = None, poll_seconds: float = 1.0
) -> Starlette:
    """Makes an application that serves models; others can mount it under a path of theirs.

    It answers `/v1/...` as TensorFlow Serving does, `/v2/health/live` and `/v2/health/ready`, and
    `/monitoring/prometheus/metrics`; `/` is the playground. Models are loaded when it starts;
    mounted, where it is not told of the start, at its first request.

    Args:
        models: what to serve.
        limits: what is taken at once.
        poll_seconds: how often the base directories are looked at for new versions.

    Returns:
        The application; its `state.server` is the `Server`.
    """
    server = Server(models, limits=limits or Limits(), poll_seconds=poll_seconds)

    async def v1(request: Request) -> Response:
        server.start()
        with server.metrics.in_flight.track_inprogress():
            return await _answered(server, request)

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        server.start()
        is_ready = server.is_ready()
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        return Response(server.metrics.page(), media_type="text/plain; version=0.0.4")

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server.start()
        yield
        server.stop()

    app = Starlette(
        routes=[
            Route("/v1/{path:path}", v1, methods=_METHODS),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", ready),
            Route("/monitoring/prometheus/metrics", metrics),
            *playground(server),
        ],
        exception_handlers={HTTPException: _no_route},
        lifespan=lifespan,
    )
    app.state.server = server
    return app


async def _answered(server: Server, request: Request) -> Response:
    began = time.perf_counter()
    path = request.path_params["path"]
    seen: dict[str, Any] = {}
    size = 0
    try:
        if request.method == "POST":
            body = await _body(request, server.limits)
            size = len(body)
            content = await server.call(path, body, seen)
        elif request.method == "GET":
            content = json.dumps(server.inspect(path, seen)).encode()
        else:
            raise Refusal(f"Malformed request: {request.method} /v1/{path}")
        code = 200
    except Refusal as refusal:
        code, content = refusal.status, _error(refusal.sentence)
        seen["error"] = refusal.sentence
    except ClientDisconnect:
        code, content = 499, b""  # nobody reads it
    except Exception:
        LOG.exception("internal error")
        code, content = 500, _error("Internal error.")
    seconds = time.perf_counter() - began
    model = seen.get("model", "")  # only of models that there are: anything may be asked for
    server.metrics.requests.labels(model, str(code)).inc()
    server.metrics.seconds.labels(model).observe(seconds)
    fields = {
        "event": "request",
        "method": request.method,
        "path": request.url.path,
        "code": code,
        "ms": round(1000 * seconds, 2),
        "bytes": size,
        **seen,
    }
    LOG.log(logging.ERROR if code == 500 else logging.INFO, "request", extra={"fields": fields})
    return Response(content, code, media_type="application/json")


async def _body(request: Request, limits: Limits) -> bytes:
    too_large = Refusal(
        f"The body of a request has at most {limits.max_body_bytes} bytes.", "PAYLOAD_TOO_LARGE"
    )
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > limits.max_body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_body_bytes:
                    raise too_large
    except TimeoutError:
        raise Refusal("The request did not arrive in time.", "REQUEST_TIMEOUT") from None
    return bytes(body)


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTP["INTERNAL"]
    return Response(
        _error(f"Malformed request: {request.method} {request.url.path}"),
        status,
        media_type="application/json",
    )


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode()
