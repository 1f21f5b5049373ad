"""The same bits whatever a machine is: its instructions, threads, libraries and batches."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from coded_flows import images, small

import tfp_realnvp as nvp

SCRIPT = """
import hashlib, json, sys
import numpy as np
from tfp_realnvp.codec import frames, model_file, rows
rows.ROWS = int(sys.argv[2])
model = model_file.from_bytes(open(sys.argv[1] + "/codec.nvpm", "rb").read())
images = np.load(sys.argv[1] + "/images.npy")
written = frames.encode(model, images, None).to_bytes()
known = open(sys.argv[1] + "/frame", "rb").read()
frame = frames.Frame.from_bytes(known, most_plain=10**7)
back, _ = frames.decode(model, frame)
assert "tensorflow" not in sys.modules
print(json.dumps([written == known, bool((back == images).all())]))
"""
MACHINES = {
    "as it is": {},
    "one thread": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2"},
    "products for AVX2": {"OPENBLAS_CORETYPE": "Haswell"},
    "products for SSE3": {"OPENBLAS_CORETYPE": "Prescott"},
    "NumPy without AVX512": {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    },
}


@pytest.fixture(scope="module", params=["mixture_multiscale", "flowpp", "nsf", "jet", "realnvp"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    codec, x = nvp.Codec.of(small(request.param)), images(9)
    codec.save(folder / "codec.nvpm")
    np.save(folder / "images.npy", x)
    from tfp_realnvp.codec import frames

    (folder / "frame").write_bytes(frames.encode(codec.model, x, None).to_bytes())
    return folder


@pytest.mark.parametrize(
    ("machine", "rows"), [("as it is", 1), *((machine, 4) for machine in MACHINES)]
)
def test_another_process_writes_and_reads_the_same(written, machine, rows):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(written), str(rows)],
        env={**os.environ, **MACHINES[machine]},
        capture_output=True,
        text=True,
        check=False,
    )
    if "CPU features" in result.stderr and result.returncode:
        pytest.skip(result.stderr.splitlines()[-1])
    assert json.loads(result.stdout or "null") == [True, True], result.stderr


def test_the_codec_is_the_same_without_onednn():
    dist = small("uva_multiscale")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from coded_flows import small;"
        "import tfp_realnvp as nvp; print(nvp.Codec.of(small('uva_multiscale')).sha256)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[-1] == nvp.Codec.of(dist).sha256
