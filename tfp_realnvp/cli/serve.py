"""`serve`: exported flows over HTTP."""

from __future__ import annotations

import argparse

DESCRIPTION = "Serve exported flows by TensorFlow Serving's REST interface."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add(
        "bases",
        metavar="BASE",
        nargs="*",
        help="directory with versions of a model, which is called as the directory",
    )
    add("--model_config", metavar="FILE", help="models as in TensorFlow Serving's config file")
    add("--host", default="127.0.0.1", help="address to listen at")
    add("--port", type=int, default=8501, help="port to listen at; 0 for any that is free")
    add("--poll_seconds", type=float, default=1.0, help="how often new versions are looked for")
    group = parser.add_argument_group("several processes")
    add = group.add_argument
    add("--replicas", type=int, default=1, help="processes that answer, by Ray")
    add("--ray", metavar="ADDRESS", help="Ray cluster that they run on; default: this machine")
    group = parser.add_argument_group("limits")
    add = group.add_argument
    add("--max_body_bytes", type=int, default=2**25, help="of a request's body")
    add("--max_rows", type=int, default=1024, help="examples of a request")
    add("--max_num_samples", type=int, default=1024, help="samples of a request")
    add("--max_batch_size", type=int, default=64, help="rows of requests computed together")
    add("--max_queue", type=int, default=256, help="requests that wait for a signature")
    add("--timeout_seconds", type=float, default=60.0, help="for a request, and for its result")
    add("--workers", type=int, default=2, help="batches computed side by side")


def run(args: argparse.Namespace) -> None:
    """Runs the command."""
    from tfp_realnvp.core import arguments

    try:
        from tfp_realnvp.serving.rest import on_ray, running
        from tfp_realnvp.serving.rest.application import application
    except ImportError as error:
        raise ImportError(
            f"serve needs {error.name}: pip install 'tfp_realnvp[serve]' first."
        ) from error
    from tfp_realnvp.serving.rest.limits import LIMITS, Limits
    from tfp_realnvp.serving.rest.model_config import models_of

    arguments.whole("serve", "--port", args.port, least=0, most=2**16 - 1)
    arguments.real("serve", "--poll_seconds", args.poll_seconds, above=0)
    limits = Limits(**{name: getattr(args, name) for name in LIMITS})
    models = models_of(args.bases, args.model_config)
    running.log_as_json()
    where = {"host": args.host, "port": args.port, "limits": limits}
    if args.replicas == 1 and args.ray is None:
        app = application(models, limits=limits, poll_seconds=args.poll_seconds)
        running.run(app, **where)
    else:
        on_ray.run(
            models,
            replicas=args.replicas,
            address=args.ray,
            poll_seconds=args.poll_seconds,
            **where,
        )
