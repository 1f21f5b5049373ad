"""A variational autoencoder of digits: its ELBO with a flow as posterior, and with a Gaussian.

    python -m benchmarks.autoencoder --seeds 5

Both have the same encoder, decoder and budget; p(x | z) is binomial, pixel by pixel. The Gaussian
has a mean and a deviation for each latent from the encoder; the flow begins as wide as the prior
and sees the same features in all of its networks (arXiv:1505.05770, 1606.04934). The ELBO is of the
250 test images, the mean over 64 draws of the latents, in nats.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_realnvp as nvp

tfd = tfp.distributions
LATENTS, FEATURES, WIDTH = 8, 32, 128


class Autoencoder(keras.Model):
    """Digits through latents whose posterior is a Gaussian, or a conditional flow.

    Args:
        posterior: `"gaussian"`, or the name of a flow of vectors.
        seed: seed of the initial values.
    """

    def __init__(self, posterior: str, *, seed: int):
        super().__init__()
        keras.utils.set_random_seed(seed)
        dense = keras.layers.Dense
        self.encoder = keras.Sequential([dense(WIDTH, "elu"), dense(WIDTH, "elu"), dense(FEATURES)])
        self.decoder = keras.Sequential([dense(WIDTH, "elu"), dense(WIDTH, "elu"), dense(64)])
        self.prior = tfd.MultivariateNormalDiag(tf.zeros(LATENTS), tf.ones(LATENTS))
        self.flow: nvp.FlowModel | None = None
        if posterior == "gaussian":
            self.moments = dense(2 * LATENTS, kernel_initializer="zeros")
        else:
            dist = nvp.flows.build(posterior, (LATENTS,), condition_shape=(FEATURES,), seed=seed)
            # Held as a Keras model: Keras finds no variables in a distribution.
            self.flow = nvp.FlowModel(dist)
        self.elbo = keras.metrics.Mean(name="elbo")

    def posterior(self, images: tf.Tensor) -> Any:
        """Returns q(z | x), a distribution of batch shape `[N]`."""
        features = self.encoder(tf.reshape(images, [-1, 64]) / 16)
        if self.flow is not None:
            return nvp.given(self.flow.dist, condition=features)
        mean, raw = tf.split(self.moments(tf.nn.elu(features)), 2, axis=-1)
        return tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw + 0.54))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Returns one draw of the ELBO of images `[N, 8, 8, 1]`, in nats `[N]`."""
        z, log_q = self.posterior(images).experimental_sample_and_log_prob()
        pixels = tf.reshape(images, [-1, 64])
        likelihood = tfd.Binomial(16.0, logits=self.decoder(z)).log_prob(pixels)
        return tf.reduce_sum(likelihood, -1) + self.prior.log_prob(z) - log_q

    def train_step(self, images: tf.Tensor) -> dict[str, Any]:
        """Takes a step up the ELBO."""
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self(images))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.elbo.update_state(-loss)
        return {"elbo": self.elbo.result()}

    def test_step(self, images: tf.Tensor) -> dict[str, Any]:
        """Averages over draws of the latents."""
        for _ in range(64):
            self.elbo.update_state(self(images))
        return {"elbo": self.elbo.result()}

    @property
    def metrics(self) -> list[Any]:
        """Reset by Keras at each epoch."""
        return [self.elbo]


def elbo(posterior: str, *, seed: int, epochs: int) -> float:
    """Returns the ELBO of the test images after training."""
    train, test = (
        nvp.datasets.load_arrays("digits", split)[0].astype("float32")
        for split in ("train", "test")
    )
    model = Autoencoder(posterior, seed=seed)
    if model.flow is not None:
        features = model.encoder(train[:512].reshape(-1, 64) / 16).numpy()
        noise = np.random.default_rng(seed).standard_normal([512, LATENTS]).astype("float32")
        model.flow.dist.initialize(noise, condition=features)
    model(train[:2])
    steps = epochs * (len(train) // 64)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=5.0))
    batches = tf.data.Dataset.from_tensor_slices(train).shuffle(2000, seed=seed)
    model.fit(batches.batch(64, drop_remainder=True), epochs=epochs, shuffle=False, verbose=0)
    return float(model.evaluate(test, batch_size=250, verbose=0, return_dict=True)["elbo"])


def main() -> None:
    """Trains all and prints the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--flow", default="iaf", help="a flow of vectors")
    args = parser.parse_args()
    rows: dict[str, list[float]] = {"gaussian": [], args.flow: []}
    for seed in range(args.seeds):
        for name, figures in rows.items():
            begin = time.perf_counter()
            figures.append(elbo(name, seed=seed, epochs=args.epochs))
            seconds = round(time.perf_counter() - begin, 1)
            print(json.dumps({"posterior": name, "seed": seed, "elbo": figures[-1], "s": seconds}))
    gain = np.subtract(rows[args.flow], rows["gaussian"])
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float("nan")
    print(json.dumps({"gain": float(gain.mean()), "standard error": float(error)}))


if __name__ == "__main__":
    main()
