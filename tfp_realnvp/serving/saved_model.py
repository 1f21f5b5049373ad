"""Export: a flow as a SavedModel that needs TensorFlow alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfp_realnvp.core import arguments
from tfp_realnvp.core.files import folder_beside
from tfp_realnvp.flow import Flow
from tfp_realnvp.serving.about import checked_reference, write_about
from tfp_realnvp.serving.card import write_card
from tfp_realnvp.serving.signatures import signatures
from tfp_realnvp.serving.versions import keep_latest, new_version, write_batching
from tfp_realnvp.serving.warmup import write_warmup


def export(
    dist: Flow,
    directory: str | os.PathLike[str],
    *,
    num_importance_samples: int = 1,
    batch_size: int | None = None,
    version: int | str | None = None,
    keep: int | None = None,
    facts: Mapping[str, Any] | None = None,
    reference: Any = None,
) -> Path:
    """Writes a SavedModel; it loads and runs with TensorFlow alone.

    Signatures (vectors: `x` float `[N, D]` where images are named, and no `bits_per_dim`;
    class-conditional flows take `labels` int32 `[N]` as well, one for each example, and flows with
    a condition `condition` float `[N, *condition_shape]`; `sample` takes one for each of
    `num_samples`):

    * `serving_default`: `images` uint8 `[N, H, W, C]` to `log_prob` `[N]` in nats and
      `bits_per_dim` `[N]`; deterministic, with each example's own fixed noise;
    * `log_prob`: `images`, `seed` int32 `[2]` to `log_prob`;
    * `sample`: `num_samples` int32 `[]`, `temperature` float32 `[]`, `seed` to `images`; at most
      2^27 / D samples in a call;
    * `encode`: `images` to `latents` `[N, D]`; `decode`: back, every pixel;
    * `log_prob_rows` and `sample_rows`: what `log_prob` and `sample` give the row of number `row`
      int32 `[N]` in a call with its `seed`, int32 `[N, 2]`; `sample_rows` takes `temperature`
      float32 `[N]`. By these a server merges calls of several clients.

    All of it computes in the flow's own dtype, conditioners too, whatever their dtype policy: in
    bfloat16 numbers would depend on the CPU, and a row's on the rows beside it. Shapes, counts and
    values that do not fit are refused by a `tf.errors.InvalidArgumentError`.

    With the graphs go warm-up requests for each, which TensorFlow Serving runs before it is ready,
    and a model card, `README.md`. With `version`, the SavedModel is published as
    `directory/<version>/`, where TensorFlow Serving looks for it: written beside and renamed, so
    that a reader never sees half of it, and with `batching_parameters.txt` beside the versions.

    Args:
        dist: a flow.
        directory: where to; must not exist or be empty. With `version`, the model's base directory.
        num_importance_samples: samples of the noise in `serving_default`.
        batch_size: a fixed N, for converters to other formats, which want to know every shape;
            `sample` still takes any number, and the signatures by rows are left out. None for any
            N.
        version: its number, or "next" for one more than the highest there; None for no versions.
        keep: how many versions stay; lower ones are removed once this one is there. None for all.
        facts: rows of the card that the flow itself does not know, such as its data and figures.
        reference: what test examples cost, `[N]` in bits per dimension, of vectors in nats, as
            `nvp.anomaly_scores(dist, test)` has them: the playground compares with these.

    Returns:
        The directory of the SavedModel.

    Raises:
        TypeError: not a flow.
        ValueError: the directory holds something, or is a file; a number below 1; a version that is
            there, or `keep` without a version; a reference of other than finite numbers.
        OSError: it cannot be written; nothing half-written is left.

    Example:
        >>> import tempfile, tensorflow as tf, tfp_realnvp as nvp
        >>> path = nvp.export(nvp.flows.build("realnvp", (2,)), tempfile.mkdtemp())
        >>> sorted(tf.saved_model.load(str(path)).signatures)
        ['decode', 'encode', 'log_prob', 'log_prob_rows', 'sample', 'sample_rows',
         'serving_default']
    """
    arguments.instance("export", "dist", dist, Flow)
    arguments.whole("export", "num_importance_samples", num_importance_samples)
    if batch_size is not None:
        arguments.whole("export", "batch_size", batch_size)
    if keep is not None:
        arguments.whole("export", "keep", keep)
        if version is None:
            raise ValueError("export needs a version where keep is given.")
    reference = checked_reference(reference)
    base = directory = Path(directory)
    if version is not None:
        directory = base / str(new_version(base, version))
    try:
        target = _empty(directory)
        # Beside the first folder that is missing: if writing fails, none has been made.
        existing = next(folder for folder in target.parents if folder.exists())
        with folder_beside(existing / target.name) as folder:
            temporary = folder / target.name
            graphs = signatures(
                dist, num_importance_samples=num_importance_samples, batch_size=batch_size
            )
            tf.saved_model.save(
                _Servable(dist),
                str(temporary),
                signatures=graphs,
                # With gradients, TensorFlow would keep every function of each loading for ever.
                options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
            )
            _drop_names_of_gradients(temporary)
            write_warmup(temporary, graphs)
            write_about(temporary, dist, reference=reference, facts=facts or {})
            write_card(temporary, dist, graphs, facts or {})
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, target)
        if version is not None:
            write_batching(base)
        if keep is not None:
            keep_latest(base, keep)
    except (OSError, tf.errors.OpError) as error:
        raise _cannot_write(directory, error) from error
    return directory


def _empty(directory: Path) -> Path:
    """Returns where to write, past any links, once it is known that nothing is there."""
    target = directory.resolve()
    if target.exists() and not target.is_dir():
        raise ValueError(f"{directory} is a file: give a directory.")
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{directory} exists and is not empty: give another directory.")
    return target


def _cannot_write(directory: Path, error: Exception) -> OSError:
    # TensorFlow says "{{node}} temporary file; No space left on device [Op:SaveV2]".
    reason = getattr(error, "strerror", None) or re.sub(r" \[Op:\w+\]", "", str(error))
    return OSError(f"Cannot write {directory}: {reason.rpartition('; ')[2].rstrip('.')}.")


def _drop_names_of_gradients(directory: Path) -> None:
    """Has loading not warn of each custom gradient that was left out; TensorFlow takes its own."""
    path = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.attr.pop("_gradient_op_type", None)
    path.write_bytes(model.SerializeToString())
    (directory / "fingerprint.pb").unlink()  # that of the file before


class _Servable(tf.Module):
    """Holds the flow's variables, each once.

    The flow itself stays out of sight of the saver: it would store Keras' view as well.
    """

    def __init__(self, dist: Flow):
        super().__init__(name="flow")
        self.weights = list(dist.variables)
