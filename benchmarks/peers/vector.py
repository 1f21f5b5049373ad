"""Times a vector RealNVP in other libraries: 8 affine couplings, MLPs of 2x128, Adam.

    python -m benchmarks.peers.vector --lib zuko --what train --batch 256 --size 2

Each library keeps its own way to bound the scale and to take turns between coordinates; the
networks have the same widths, and the base is a fixed standard normal.
"""

from __future__ import annotations

from benchmarks import timing

TORCH, JAX = ("zuko", "nflows", "normflows"), ("flowjax", "distrax")


def main() -> None:
    """Times one task in one library."""
    parser = timing.parser(__doc__, batch=256)
    parser.add_argument("--lib", choices=[*TORCH, *JAX], required=True)
    parser.add_argument("--size", type=int, default=2, help="dimensions of the vectors")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    args = parser.parse_args()
    if args.lib in TORCH:
        from benchmarks.peers import vector_torch as peers
    else:
        from benchmarks.peers import vector_jax as peers  # type: ignore[no-redef]
    call, facts = peers.task(args)
    seconds = timing.timed(call, timing.vector_batches(args.batch, args.size), args)
    timing.report(seconds, args, unit="samples", lib=args.lib, size=args.size, **facts)


if __name__ == "__main__":
    main()
