"""Memory of a translation model's training step, by the compiler's analysis.

  python -m benchmarks.translation_memory --config=configs/nmt_lstm.py

The step is compiled for this device and not run, so that neither data nor the
memory is needed. Any field of the config can be given, for example
`--config.model.remat=True`. One line of JSON is printed for each length.

On a CPU, XLA orders a step's operations for speed, and recomputes early what
remat would have it recompute late. To see what remat saves, set XLA_FLAGS to
--xla_cpu_enable_concurrency_optimized_scheduler=false.
"""

import json
import time
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from ml_collections import ConfigDict, config_flags

from hyper.data.pair_batches import Buckets
from hyper.runs import commands, optimization, training
from hyper.tasks.translate import make_model, mean_nats


def analyse(config: ConfigDict, length: int) -> dict[str, float | int | str]:
  """Returns the memory of a training step on a batch of this length, in GiB.

  `state` is parameters and optimizer, which the step updates in place;
  `temporary` is all that lives only within it; `kept` is the part of that which
  the forward pass keeps for the gradient, by JAX's own account.
  """
  began = time.monotonic()
  data = config.data
  model = make_model(
    **config.model.to_dict(), vocabulary_size=data.vocabulary_size
  )
  buckets = Buckets(data.bucket_lengths, data.batch_size, data.batch_tokens)
  optimizer, schedule = optimization.make_optimization(config)

  def loss(params, model_state, batch, key, train, numbers):
    value, sums = mean_nats(model, params, batch, key, train)
    return value, (model_state, sums)

  step = training.make_train_step(loss, lambda numbers: (optimizer, schedule))
  state = jax.eval_shape(
    lambda: training.make_init(lambda key: (model.start(key), {}), optimizer)(
      config.seed
    )
  )
  rows = buckets.rows(length)
  pieces = jax.ShapeDtypeStruct((rows, length), jnp.int32)
  batch = dict.fromkeys(('source', 'inputs', 'targets'), pieces)
  residuals = jax.eval_shape(
    lambda params, batch: jax.vjp(
      lambda x: loss(x, {}, batch, jax.random.key(0), True, {})[0], params
    )[1],
    *(state.params, batch),
  )
  kept = size(residuals) - size(state.params)
  analysis = step.lower(state, batch, {}).compile().memory_analysis()
  held, within = analysis.argument_size_in_bytes, analysis.temp_size_in_bytes
  return {
    'cell': config.model.cell.name,
    'remat': config.model.remat,
    'parameters': training.count_parameters(state.params),
    'rows': rows,
    'length': length,
    'state_gib': round(held / 2**30, 2),
    'kept_gib': round(kept / 2**30, 2),
    'temporary_gib': round(within / 2**30, 2),
    'total_gib': round((held + within) / 2**30, 2),
    'device': jax.devices()[0].device_kind,
    'compilation_seconds': round(time.monotonic() - began),
  }


def size(tree: Any) -> int:
  """Returns the bytes of all arrays in a tree except random keys."""
  arrays = [x for x in jax.tree.leaves(tree) if hasattr(x, 'dtype')]
  return sum(
    x.size * x.dtype.itemsize
    for x in arrays
    if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
  )


def main() -> None:
  """Compiles the step for each length, and prints the memory."""
  config = flags.FLAGS.config
  for length in flags.FLAGS.length or config.data.bucket_lengths[-1:]:
    print(json.dumps(analyse(config, int(length))), flush=True)


def define_flags() -> None:
  """Declares the flags; only a command does so."""
  config_flags.DEFINE_config_file('config', 'configs/nmt_hyperlstm.py')
  flags.DEFINE_multi_integer(
    'length',
    None,
    'Of a bucket, in pieces; by default the longest.',
    lower_bound=1,
  )


if __name__ == '__main__':
  commands.start(main, define_flags)
