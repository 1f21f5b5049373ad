"""Small flows of images that can be coded."""

import numpy as np

import tfp_realnvp as nvp

SMALL = {
    "flowpp": {
        **{"width": 8, "blocks": 1, "features": 4, "components": 3, "noise_blocks": 1},
        "couplings": (1, 1, 1),
    },
    "glow": {"steps": 1, "width": 4},
    "jet": {"couplings": 5, "depth": 1, "width": 8, "heads": 2},
    "lecture_realnvp": {"width": 4, "blocks": 1},
    "mixture_multiscale": {"couplings": (1, 1, 1, 1), "widths": (4, 4, 8), "components": 3},
    "nsf": {"widths": (4, 4, 4)},
    "realnvp": {"width": 4, "blocks": 1},
    "uva_multiscale": {"widths": (4, 4, 4), "blocks": 1},
    "uva_simple": {"width": 4, "couplings": 2, "blocks": 1},
    "uva_vardeq": {"width": 4, "couplings": 2, "blocks": 1},
}
SHAPE = (8, 8, 1)


def images(count, *, shape=SHAPE, levels=256, seed=0):
    return (
        np.random.default_rng(seed)
        .integers(0, levels, (count, *shape), np.int32)
        .astype("uint8" if levels <= 256 else "int32")
    )


def small(name, *, shape=SHAPE, scale=0.05, **options):
    """A flow whose couplings do something."""
    dist = nvp.flows.build(name, shape, **{**SMALL[name], **options})
    classes = options.get("num_classes")
    labels = None if classes is None else np.arange(16) % classes
    dist.initialize(images(16, shape=shape, levels=options.get("levels", 256)), labels=labels)
    rng = np.random.default_rng(1)
    for variable in dist.trainable_variables:
        variable.assign_add(scale * rng.normal(size=variable.shape).astype("float32"))
    return dist
