"""Starting a flow from the weights of another."""

from __future__ import annotations

from tfp_realnvp.flow import Flow


def start_from(dist: Flow, other: Flow) -> None:
    """Gives a flow the weights of another one that is made of the same bijectors.

    What is added for classes and conditions, which is 0 in a new flow, stays as it is where the
    other has none: a flow that is conditional begins as one that is not, and learns the difference.
    Not so of dense networks, which take classes as inputs.

    Args:
        dist: the flow whose weights are set.
        other: where they come from.

    Raises:
        ValueError: the flows are made of other layers, or of other sizes; nothing has changed.

    Example:
        >>> import tfp_realnvp as nvp
        >>> small = {"width": 4, "couplings": 1, "blocks": 1}
        >>> flow = nvp.flows.build("uva_simple", (4, 4, 1), seed=1, **small)
        >>> by_class = nvp.flows.build("uva_simple", (4, 4, 1), seed=2, num_classes=3, **small)
        >>> nvp.start_from(by_class, flow)
    """
    ours, theirs = _weights(dist), _weights(other)
    own = {name for name in ours.keys() - theirs.keys() if name.endswith("class_bias")}
    differences = sorted((ours.keys() ^ theirs.keys()) - own)
    differences += [n for n in ours.keys() & theirs.keys() if ours[n].shape != theirs[n].shape]
    if differences:
        raise ValueError(
            f"{dist.name} cannot start from {other.name}: they differ in {differences[0]}"
            + (f" and {len(differences) - 1} more weights." if differences[1:] else ".")
        )
    for name in ours.keys() - own:
        ours[name].assign(theirs[name].value)


def _weights(dist: Flow) -> dict:
    """Returns the members' weights by the place of their layer and their name in it."""
    layers = dict.fromkeys(k for member in dist.bijector.members for k in member.keras_layers)
    return {
        f"layer {i}: {weight.name}": weight
        for i, layer in enumerate(layers)
        for weight in layer.weights
    }
