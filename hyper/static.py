"""Static hypernetworks (section 3.1): embeddings in, kernels out.

`StaticHyperNetwork` goes around a network of any kind and generates the
parameters whose paths it is given; its `bake` gives the plain network's own.
Its generator alone is `hyper.tiles.Tiles`.
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
  """A network whose kernels are made from embeddings (section 3.1).

  A `HyperNetwork` whose only generator are its own `Tiles`: see both for what
  they do and for all attributes. Its parameters are `network`, `z`,
  `generator` and, where they are asked for, `embed`, `gain` and `gate`.

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
    main: see HyperNetwork.
    generate: a sequence of patterns of parameter paths.
  """

  def __call__(self, *args: Any, embeddings: Any = None, **kwargs: Any) -> Any:
    """Calls the main network with its generated parameters in place.

    Args:
      *args: as for HyperNetwork.
      embeddings: an older name: [k, e] stands for this `condition`, and
        [b, k, e] for it with `in_axes=0`.
      **kwargs: as for HyperNetwork.
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
    """Returns the generated parameters alone, see HyperNetwork."""
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
    """Returns how many tiles each generated parameter has.

    Embeddings given as a condition lie in this order, and there are as many as
    all together.

    Args:
      *args: arguments of the main network; only their shapes matter.
      **kwargs: keyword arguments of the main network.
    """
    shapes = nn.meta.unbox(self.shapes(*args, **kwargs))
    return {
      '/'.join(path): tile_count(x, self.tile, self.rank)
      for path, x in shapes.items()
    }
