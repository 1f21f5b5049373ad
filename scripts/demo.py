"""Samples of a flow that comes with the package, and another from data to serving; see `--help`."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import Parser, add_debug, guarded

CHECK = Path(__file__).with_name("check_saved_model.py")


def main() -> int:
    """Parses the arguments and runs the demonstration."""
    parser = Parser(
        description="Draw samples of a flow that comes with the package; then train another on the "
        "embedded digits, evaluate, sample, export and reload it.",
    )
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="directory of results")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training data")
    add_debug(parser)
    return guarded(demonstrate, parser.parse())


def demonstrate(args: argparse.Namespace) -> int:
    """Goes through all steps; the status is that of the served flow's check."""
    import tfp_realnvp as nvp
    from tfp_realnvp import baselines, pictures

    out = Path(args.out)
    dist = nvp.pretrained("mnist")
    # Not `nvp.sample`: its graph takes longer to make than one call of it saves.
    pictures.write_samples(out / "mnist.png", dist.sample(64, seed=0), levels=dist.levels)
    card = Path(nvp.__file__).with_name("zoo") / "mnist" / "README.md"
    (bits,) = re.findall(r"\| test, all .* \| (.*) \|", card.read_text())
    print(f"Digits by nvp.pretrained('mnist'), {bits} bits per dimension of MNIST's test images")
    print(f"  {out / 'mnist.png'}")

    config = nvp.runs.RunConfig(
        flow="uva_multiscale",
        dataset="digits",
        epochs=args.epochs,
        batch_size=64,
        learning_rate=3e-3,
        schedule="cosine",
        options={"widths": [16, 24, 32]},
    )

    print("\nTraining a small flow on 8x8 digits", flush=True)
    results = nvp.runs.train(config, out / "run", resume=True, result_examples=None)

    dist = nvp.load(out / "run")
    train, _ = nvp.datasets.load_arrays("digits", "train")
    test, _ = nvp.datasets.load_arrays("digits", "test")
    baseline = baselines.histogram_bits(train, test, levels=dist.levels)
    flow = results["bits_per_dim_8"], results["bits_per_dim_8_standard_error"]
    print(f"\nBits per dimension of {len(test)} test images, with the standard error")
    print(f"  {'a histogram per pixel':<22} {baseline:.3f}")
    print(f"  {results['flow']:<22} {flow[0]:.3f} ± {flow[1]:.3f}")

    pictures.write_samples(
        out / "samples.png", nvp.sample(dist, 64, temperature=0.8, seed=0), levels=dist.levels
    )
    print(f"\nSamples\n  {out / 'samples.png'}")

    exported = out / "saved_model"
    shutil.rmtree(exported, ignore_errors=True)  # of a demonstration before this one
    nvp.export(dist, exported)
    print(f"\nSavedModel\n  {exported}, in a process of its own:", flush=True)
    return subprocess.run([sys.executable, str(CHECK), str(exported)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
