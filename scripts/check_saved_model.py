"""Tries an exported flow with TensorFlow alone, as a server would; see `--help`."""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> int:
    """Samples, scores, encodes and decodes; the exit status is 1 if a value comes back wrong."""
    parser = argparse.ArgumentParser(description="Try an exported flow with TensorFlow alone.")
    parser.add_argument("directory", metavar="OUT", help="directory of the SavedModel")
    parser.add_argument("--num", type=int, default=16, help="number of samples")
    args = parser.parse_args()
    if not os.path.exists(os.path.join(args.directory, "saved_model.pb")):
        print(f"error: {args.directory} holds no SavedModel.", file=sys.stderr)
        return 2
    if args.num < 1:
        print(f"error: --num is a whole number of at least 1, got {args.num}.", file=sys.stderr)
        return 2

    # TensorFlow's start-up chatter is written past Python's streams.
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    import numpy as np
    import tensorflow as tf

    tf.config.list_logical_devices()
    os.dup2(stderr, 2)
    signatures = tf.saved_model.load(args.directory).signatures
    spec = signatures["decode"].structured_input_signature[1]
    num = spec["latents"].shape[0] or args.num  # an export may be for one number of examples
    seed, count = tf.constant([0, 1]), tf.constant(num)
    given = {}
    if "labels" in spec:
        given["labels"] = tf.zeros([num], tf.int32)
    if "condition" in spec:
        sides = [side or 1 for side in spec["condition"].shape[1:]]
        given["condition"] = tf.zeros([num, *sides], spec["condition"].dtype)
    sample = signatures["sample"](
        num_samples=count, temperature=tf.constant(1.0), seed=seed, **given
    )
    (name, values), *_ = sample.items()
    scores = signatures["serving_default"](**sample, **given)
    latents = signatures["encode"](**sample, **given)["latents"]
    back = signatures["decode"](latents=latents, **given)[name]
    error = np.abs(back.numpy().astype("float64") - values.numpy().astype("float64"))
    exact = values.dtype.is_integer
    wrong = int((error > (0 if exact else 1e-3)).sum())
    print(f"sample            {name} {values.dtype.name} {tuple(values.shape)}")
    for key, value in sorted(scores.items()):
        print(f"serving_default   {key} {value.numpy().mean():.4f} on average")
    print(f"encode, decode    {wrong} of {values.numpy().size} values come back wrong")
    alien = {"tfp_realnvp", "tensorflow_probability"} & set(sys.modules)
    print(f"imported          TensorFlow{' and ' + ', '.join(alien) if alien else ' alone'}")
    return 1 if wrong or alien else 0


if __name__ == "__main__":
    sys.exit(main())
