"""Flows for others to call: SavedModels, a server and its client, LiteRT programs, compiled graphs.

`app` is an ASGI application, for `uvicorn tfp_realnvp.serving:app` or to be mounted. What it serves
is named by the environment when it is first used: `TFP_REALNVP_BASE`, base directories with colons
between them, or `TFP_REALNVP_MODEL_CONFIG`, a file. `serving.rest.application` makes one in Python.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfp_realnvp.serving.client import Client

__all__ = ["Client", "app"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from tfp_realnvp.serving.client import Client

        return Client
    if name == "app":
        from tfp_realnvp.serving.rest.application import application
        from tfp_realnvp.serving.rest.model_config import models_of

        bases = [base for base in os.environ.get("TFP_REALNVP_BASE", "").split(":") if base]
        globals()["app"] = application(
            models_of(bases, os.environ.get("TFP_REALNVP_MODEL_CONFIG") or None)
        )
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
