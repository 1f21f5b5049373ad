"""An exported flow in a program of C++, by TensorFlow's own loader."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tensorflow.core.protobuf import saved_model_pb2
from tolerances import FLOAT32

import tfp_realnvp as nvp
from tfp_realnvp.serving.warmup import FILE, read_warmup

COMPILER = shutil.which("g++") or shutil.which("clang++")
SOURCE = Path(__file__).parent / "cpp" / "serve.cc"
X = np.array([[0.5, -1.0], [0.25, 2.0]], "float32")


def compiled(folder):
    """Returns the program, linked to the libraries of TensorFlow's wheel."""
    libraries = Path(tf.sysconfig.get_lib())
    program = folder / "serve"
    names = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
    subprocess.run(
        [
            *(COMPILER, "-o", program, SOURCE, *tf.sysconfig.get_compile_flags()),
            *(f"-L{libraries}", *(f"-l:{name}" for name in names), f"-Wl,-rpath,{libraries}"),
        ],
        check=True,
    )
    return program


def names_of(path):
    """Yields a line for each tensor of each signature; see serve.cc."""
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    definitions = model.meta_graphs[0].signature_def
    for signature in definitions.keys() - {"__saved_model_init_op"}:  # that has no tensors
        definition = definitions[signature]
        for side, tensors in (("in", definition.inputs), ("out", definition.outputs)):
            for key, info in tensors.items():
                yield f"{signature} {side} {key} {info.name.replace(':', ' ')}\n"


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler: install g++ or clang++")
def test_cpp_answers_the_warm_up_requests_and_gives_our_likelihoods(tmp_path):
    dist = nvp.flows.build("realnvp", (2,), couplings=2, widths=(8,))
    perturb_weights(dist.bijector)
    path = nvp.export(dist, tmp_path / "base", version=1)
    run = subprocess.run(
        [compiled(tmp_path), path, path / FILE, *map(str, X.ravel())],
        input="".join(names_of(path)),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    answered, *log_prob = run.stdout.split()
    assert int(answered) == len(list(read_warmup(path)))
    np.testing.assert_allclose(np.array(log_prob, float), dist.log_prob(X), rtol=FLOAT32)
