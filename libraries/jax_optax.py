# /// script
# dependencies = ["jax==0.10.2", "optax==0.2.8"]
# ///
"""A loop of JAX and optax with our `Loop`, and without PyTorch. Nothing can be seen of it without a line."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from compare import MODE, Comparison

from runtimeinfo_adapters.loop import Loop

comparison = Comparison(iterations_per_epoch=5)
numbers = np.random.default_rng(0)
data = [(numbers.normal(size=(4, 3)), numbers.normal(size=4)) for _ in range(5)]
schedule = optax.exponential_decay(0.1, transition_steps=4, decay_rate=0.5, staircase=True)
optimizer = optax.sgd(schedule)
weights = jnp.zeros(3)
state = optimizer.init(weights)


@jax.jit
def step(weights, state, inputs, targets):
    loss, gradients = jax.value_and_grad(lambda each: jnp.mean((inputs @ each - targets) ** 2))(weights)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(weights, updates), state, loss


def train(batches, log):
    global weights, state
    for inputs, targets in batches:
        comparison.ask([float(schedule(comparison.iterations))])
        weights, state, loss = step(weights, state, inputs, targets)
        log(loss=loss)
        comparison.finished(loss)


if MODE == "attached":
    loop = Loop(schedule, data, max_epochs=2)
    with loop.run():
        for _ in loop.epochs():
            train(loop.batches(), loop.log)
else:
    for _ in range(2):
        train(data, lambda **_: None)
