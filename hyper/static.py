"""Static hypernetworks (section 3.1): embeddings in, kernels out.

`StaticHyperNetwork` wraps any network and generates the parameters whose paths
it is given; its `bake` returns them as variables of the plain network. Its
generator alone is `hyper.tiles.Tiles`.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from hyper.generators.grids import tile_count
from hyper.generators.storage import Params
from hyper.hypernetwork import EXAMPLES as EXAMPLES
from hyper.hypernetwork import HyperNetwork
from hyper.tiles import KernelGenerator as KernelGenerator
from hyper.tiles import Tiles


class StaticHyperNetwork(Tiles, HyperNetwork):
  """Wraps a network and generates its kernels from embeddings (section 3.1).

    K_j = g(z_j)    for each kernel j                                 (eq. 1)

  The embeddings z_j and the generator g are trained. This is a `HyperNetwork`
  and its only generator, a `Tiles`, in one: see both for all attributes. Its
  parameters are `network`, `z`, `generator` and, if these are used, `embed`,
  `gain` and `gate`.

  >>> import jax, jax.numpy as jnp
  >>> from flax import linen as nn
  >>> main = nn.Sequential([nn.Conv(32, (3, 3)), nn.relu, nn.Conv(8, (3, 3))])
  >>> network = StaticHyperNetwork(
  ...   main, ('*/kernel',), tile=(3, 3, 16, 16), embedding_size=4
  ... )
  >>> images = jnp.ones((2, 12, 12, 16))
  >>> variables = network.init(jax.random.key(0), images)
  >>> network.tile_counts(images)
  {'layers_0/kernel': 2, 'layers_2/kernel': 2}
  >>> y = network.apply(variables, images)
  >>> plain = network.bake(variables, images)
  >>> bool(jnp.allclose(main.apply(plain, images), y, atol=1e-5))
  True

  Every example gets a network of its own from embeddings of its own:

  >>> z = jax.random.normal(jax.random.key(1), (2, 4, 4))  # [example, tile, e]
  >>> network.apply(variables, images, condition=z, in_axes=0).shape
  (2, 12, 12, 8)

  Attributes:
    main: the main network, see `HyperNetwork`.
    generate: a sequence of patterns of parameter paths.

  Raises:
    ValueError: as for `Tiles` and `HyperNetwork`.
  """

  def __call__(self, *args: Any, embeddings: Any = None, **kwargs: Any) -> Any:
    """Calls the main network with generated parameters.

    Args:
      *args: as for `HyperNetwork`.
      embeddings: an older name of `condition`: [k, e] for one network, or
        [b, k, e], which implies `in_axes=0`.
      **kwargs: as for `HyperNetwork`.
    """
    if embeddings is not None:
      in_axes = 0 if jnp.ndim(embeddings) == 3 else None
      kwargs |= {'condition': embeddings, 'in_axes': in_axes}
    return super().__call__(*args, **kwargs)

  @nn.nowrap
  def generated(
    self,
    variables: Params,
    *args: Any,
    embeddings: Any = None,
    **given: Any,
  ) -> Params:
    """Returns the generated parameters alone, see `HyperNetwork`.

    Args:
      variables: what `init` returned.
      *args: as for `HyperNetwork`.
      embeddings: an older name of `condition`, [k, e].
      **given: as for `HyperNetwork`.

    Raises:
      ValueError: `embeddings` have another number of axes than two, or as for
        `HyperNetwork`.
    """
    if embeddings is not None:
      if jnp.ndim(embeddings) != 2:
        raise ValueError(
          f'embeddings have the shape {jnp.shape(embeddings)}; one network is '
          'baked at a time, from [tiles, embedding size].'
        )
      given['condition'] = embeddings
    return super().generated(variables, *args, **given)

  @nn.nowrap
  def tile_counts(self, *args: Any, **kwargs: Any) -> dict[str, int]:
    """Returns the number of tiles of each generated parameter, by path.

    Embeddings that are given as a condition are in this order, one for each
    tile.

    Args:
      *args: arguments of the main network; only their shapes matter.
      **kwargs: keyword arguments of the main network.
    """
    shapes = nn.meta.unbox(self.shapes(*args, **kwargs))
    return {
      '/'.join(path): tile_count(x, self.tile, self.rank)
      for path, x in shapes.items()
    }
