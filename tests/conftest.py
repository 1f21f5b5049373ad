"""Fixtures, and a quiet TensorFlow."""

import os
from pathlib import Path

import numpy as np
import pytest

from tfp_realnvp.cli.main import quiet

with quiet():
    import keras
    import tensorflow as tf

# Two logical CPU devices, so that distribution strategies can be tested; set before first use.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

# Workers share the cores.
if os.environ.get("PYTEST_XDIST_WORKER"):
    tf.config.threading.set_intra_op_parallelism_threads(1)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="module")
def _seeded_module():
    """For what a module's fixtures build: these come before ``_seeded``."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _seeded():
    """Weights come from Keras's seed, which TensorFlow's alone does not set."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the reference data beside the repository are not here")
    return SHARED


@pytest.fixture(scope="session")
def strategy():
    """Two replicas; one strategy for all tests: the collectives of two get in each other's way."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
