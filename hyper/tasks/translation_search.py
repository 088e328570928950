"""Beam search with a translation model, and its attention, both compiled.

Shapes: b sentences, s and t word pieces of the source and the translation.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from hyper.data.word_pieces import END, PAD, START
from hyper.decode import beam_search
from hyper.models.translate import Translator
from hyper.tasks.translation_data import Decoding


def make_search(
  model: Translator, decoding: Decoding
) -> Callable[[Any, Array], tuple[Array, Array]]:
  """Returns a function that translates sentences by beam search.

  It maps parameters and sources [b, s] to translations [b, t] and scores [b].
  """
  k = decoding.beam_size

  def search(params: Any, source: Array) -> tuple[Array, Array]:
    mask = source != PAD
    apply = functools.partial(model.apply, {'params': params})
    memory = apply(source, mask, False, method='encode')
    memory = jax.tree.map(lambda x: jnp.repeat(x, k, 0), memory)

    def step(carry: Any, pieces: Array) -> tuple[Any, Array, Array]:
      carry, logits, weights = apply(
        carry, memory, pieces[:, None], method='decode'
      )
      return carry, logits[:, 0], weights[:, 0]

    return beam_search(
      step,
      model.zeros(k * len(source)),
      mask,
      decoding.length_factor * mask.sum(-1) + decoding.length_more,
      decoding.length_factor * source.shape[1] + decoding.length_more,
      k,
      START,
      END,
      decoding.length_penalty,
      decoding.coverage_penalty,
    )

  return jax.jit(search)


def make_look(model: Translator) -> Callable[[Any, Array, Array], Array]:
  """Returns a function that computes the attention of given translations.

  It maps parameters, sources [b, s] and inputs of the decoder [b, t] to the
  weights [b, t, s].
  """

  def look(params: Any, source: Array, inputs: Array) -> Array:
    apply = functools.partial(model.apply, {'params': params})
    memory = apply(source, source != PAD, False, method='encode')
    carries = model.zeros(len(source))
    return apply(carries, memory, inputs, method='decode')[2]

  return jax.jit(look)
