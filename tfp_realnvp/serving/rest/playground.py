"""The playground: its page and files, and the list of models that it begins with.

The page asks the REST interface as any other client does. All that it loads comes from here, and
its Content-Security-Policy lets the browser ask nobody else.
"""

from __future__ import annotations

from importlib import resources
from pathlib import PurePath
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tfp_realnvp.serving.rest.model import Model
from tfp_realnvp.serving.rest.refusal import Refusal
from tfp_realnvp.serving.rest.server import Server

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGE = "index.html"


def playground(server: Server) -> list[Route]:
    """Makes the routes of the playground: `/`, and what is below `/playground/`.

    Args:
        server: whose models it shows.
    """
    folder = resources.files("tfp_realnvp.serving") / "playground"
    files = {
        item.name: item.read_bytes()
        for item in folder.iterdir()
        if PurePath(item.name).suffix in _TYPES
    }

    def reply(name: str) -> Response:
        kind = _TYPES[PurePath(name).suffix]
        return Response(files[name], headers=_HEADERS, media_type=kind)

    async def page(request: Request) -> Response:
        server.start()
        return reply(_PAGE)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name == _PAGE or name not in files:
            raise HTTPException(404)
        return reply(name)

    async def models(request: Request) -> Response:
        server.start()
        return JSONResponse(
            {
                "models": [_described(name, model) for name, model in server.models.items()],
                "max_rows": server.limits.max_rows,
            }
        )

    return [
        Route("/", page),
        Route("/playground/models", models),
        Route("/playground/{name}", file),
    ]


def _described(name: str, model: Model) -> dict[str, Any]:
    """Returns a model's latest version, None while there is none, and what its export says."""
    available = model.available
    version = max(available, default=None)
    about = None if version is None else available[version].about
    return {"name": name, "version": version, "about": about, "error": _error(model)}


def _error(model: Model) -> str:
    """Returns why the highest version that was looked at does not load; empty if it does."""
    try:
        return model.status()[0]["status"]["error_message"]
    except Refusal:  # none was looked at yet
        return ""
