"""The equations of HyperNetworks (arXiv 1609.09106) in NumPy float64.

It is written with loops, to compare with: nothing here is fast, and nothing
comes from the package. What the paper leaves open (the epsilon of layer norm,
the forget bias, the biases that its parameter counts imply) is as in the
author's code. Translation is as in descriptions of GNMT. Names are the paper's
letters with the hat spelled `hyper`. A matrix is held as the paper holds it,
W [out, in] with y = W x, one array for each gate.

A step is `step(weights, carry, x, **options) -> (new carry, output h)` with
x [b, N_x]; `unroll` repeats it over time. Default options follow the author's
code; `forget_bias=0.0, new_hyper_state=False` gives the equations as printed.

Letters: b batch, t time, n units (N_h), n_hat hyper units, N_x inputs, N_z
embedding, M mixture components, v vocabulary.
"""

import numpy as np

GATES = ('i', 'g', 'f', 'o')


def to_float64(tree):
  """Converts arrays, in any nesting of dicts and tuples, to NumPy float64."""
  if isinstance(tree, dict):
    return {key: to_float64(value) for key, value in tree.items()}
  if isinstance(tree, tuple):
    return tuple(to_float64(value) for value in tree)
  return np.asarray(tree, np.float64)


def unroll(
  step, weights, carry, xs, *, masks=None, hyper_masks=None, **options
):
  """Repeats a step over xs [t, b, N_x]; returns (carry, outputs [t, b, n]).

  masks [t, b, n] and hyper_masks [t, b, n_hat] hold one recurrent dropout mask
  for each step, which gets them as `mask` and `hyper_mask`.
  """
  outputs = []
  for t in range(len(xs)):
    options_t = dict(options)
    if masks is not None:
      options_t['mask'] = masks[t]
    if hyper_masks is not None:
      options_t['hyper_mask'] = hyper_masks[t]
    carry, h = step(weights, carry, xs[t], **options_t)
    outputs.append(h)
  return carry, np.stack(outputs)


def sigmoid(x):
  """Returns the logistic function of x."""
  return 1 / (1 + np.exp(-x))


def linear(W, x):
  """Returns W x for each example: W [m, n], x [b, n], result [b, m]."""
  return np.stack([W @ example for example in x])


# Recurrent cells.


def rnn_step(weights, carry, x):
  """Takes a step of an RNN (equation 4): h_t = tanh(W_h h_{t-1} + W_x x_t + b).

  carry: h [b, n]. weights: W_h [n, n], W_x [n, N_x], b [n].
  """
  weights, h, x = to_float64((weights, carry, x))
  W_h, W_x, b = weights['W_h'], weights['W_x'], weights['b']
  h = np.tanh(linear(W_h, h) + linear(W_x, x) + b)
  return h, h


def lstm_step(
  weights, carry, x, *, forget_bias=1.0, mask=None, keep_probability=1.0
):
  """Takes a step of an LSTM (equation 9), with forget bias and dropout.

  carry: (c, h), each [b, n]. For each gate y: weights['W_h'][y] [n, n],
  weights['W_x'][y] [n, N_x], weights['b'][y] [n]. mask [b, n] holds 0 and 1.
  """
  weights, (c, h), x = to_float64((weights, carry, x))
  pre = {}
  for y in GATES:
    W_h, W_x, b = weights['W_h'][y], weights['W_x'][y], weights['b'][y]
    pre[y] = linear(W_h, h) + linear(W_x, x) + b
  c = _next_c(pre, c, forget_bias, mask, keep_probability)
  h = sigmoid(pre['o']) * np.tanh(c)
  return (c, h), h


def _next_c(pre, c, forget_bias, mask, keep_probability):
  """Returns c_t = s(f) c_{t-1} + s(i) Dropout(tanh(g)) (equation 13)."""
  candidate = np.tanh(pre['g'])
  if mask is not None:
    candidate = candidate * to_float64(mask) / keep_probability
  forget = sigmoid(pre['f'] + forget_bias)
  return forget * c + sigmoid(pre['i']) * candidate


def layer_norm(x, gamma, beta, epsilon=1e-3):
  """Normalises each example of x [b, n] by its mean and variance (A.2).

  gamma and beta are [n]. epsilon is added to the variance, as in the author's
  code, so it stands inside the square root.
  """
  x, gamma, beta = to_float64((x, gamma, beta))
  rows = []
  for example in x:
    mean = np.sum(example) / len(example)
    variance = np.sum((example - mean) ** 2) / len(example)
    rows.append(gamma * (example - mean) / np.sqrt(variance + epsilon) + beta)
  return np.stack(rows)


def layer_norm_lstm_step(
  weights, carry, x, *, forget_bias=1.0, mask=None, keep_probability=1.0
):
  """Takes a step of an LSTM with layer norm on each gate and c_t (equation 10).

  The carried c is not normalised, and the forget bias follows the norm.
  Equation 10 prints a bias inside the norm. The paper's parameter counts leave
  no room for it, so beta is the only offset of a gate.

  carry: (c, h), each [b, n]. For each gate y: weights['W_h'][y] [n, n],
  weights['W_x'][y] [n, N_x], weights['gamma'][y], weights['beta'][y] [n];
  weights['gamma_c'], weights['beta_c'] [n]. mask [b, n] holds 0 and 1.
  """
  weights, (c, h), x = to_float64((weights, carry, x))
  pre = {}
  for y in GATES:
    W_h, W_x = weights['W_h'][y], weights['W_x'][y]
    total = linear(W_h, h) + linear(W_x, x)
    pre[y] = layer_norm(total, weights['gamma'][y], weights['beta'][y])
  c = _next_c(pre, c, forget_bias, mask, keep_probability)
  c_normed = layer_norm(c, weights['gamma_c'], weights['beta_c'])
  h = sigmoid(pre['o']) * np.tanh(c_normed)
  return (c, h), h


# Recurrent cells with a hypernetwork.


def _hyper_input(h, x):
  """Returns [h_{t-1}; x_t], in this order (equation 6)."""
  return np.concatenate([h, x], axis=1)


def _rnn_embeddings(weights, h_hyper):
  """Returns z_h, z_x and z_b, each [b, N_z]; z_b has no bias (equation 6)."""
  z_h = linear(weights['W_hh'], h_hyper) + weights['b_hh']
  z_x = linear(weights['W_hx'], h_hyper) + weights['b_hx']
  z_b = linear(weights['W_hb'], h_hyper)
  return z_h, z_x, z_b


def hyperrnn_full_step(weights, carry, x, *, new_hyper_state=True):
  """Takes a step of a HyperRNN that generates whole matrices (eqs 5 and 6).

  Equation 5 is printed without its factor x_t. The embeddings come from
  h_hyper_t, or from h_hyper_{t-1} (as printed) if not `new_hyper_state`.

  carry: (h [b, n], h_hyper [b, n_hat]). weights: hyper, as for `rnn_step` with
  n_hat units and n + N_x inputs; W_hh, W_hx, W_hb [N_z, n_hat]; b_hh, b_hx
  [N_z]; W_hz [n, n, N_z]; W_xz [n, N_x, N_z]; W_bz [n, N_z]; b_0 [n].
  """
  weights, (h, h_hyper), x = to_float64((weights, carry, x))
  h_hyper_new, _ = rnn_step(weights['hyper'], h_hyper, _hyper_input(h, x))
  source = h_hyper_new if new_hyper_state else h_hyper
  z_h, z_x, z_b = _rnn_embeddings(weights, source)
  h_new = np.zeros_like(h)
  for example in range(len(x)):
    W_h = np.zeros(weights['W_hz'].shape[:2])
    W_x = np.zeros(weights['W_xz'].shape[:2])
    for k in range(z_h.shape[1]):
      W_h += weights['W_hz'][:, :, k] * z_h[example, k]
      W_x += weights['W_xz'][:, :, k] * z_x[example, k]
    b = weights['W_bz'] @ z_b[example] + weights['b_0']
    h_new[example] = np.tanh(W_h @ h[example] + W_x @ x[example] + b)
  return (h_new, h_hyper_new), h_new


def hyperrnn_step(weights, carry, x, *, new_hyper_state=True):
  """Takes a step of a HyperRNN that scales rows of W_h and W_x (eqs 6 to 8).

  carry and weights are those of `hyperrnn_full_step`, except that W_hz and W_xz
  are [n, N_z]. W_h [n, n] and W_x [n, N_x] are added.
  """
  weights, (h, h_hyper), x = to_float64((weights, carry, x))
  h_hyper_new, _ = rnn_step(weights['hyper'], h_hyper, _hyper_input(h, x))
  source = h_hyper_new if new_hyper_state else h_hyper
  z_h, z_x, z_b = _rnn_embeddings(weights, source)
  d_h = linear(weights['W_hz'], z_h)
  d_x = linear(weights['W_xz'], z_x)
  b = linear(weights['W_bz'], z_b) + weights['b_0']
  h = np.tanh(
    d_h * linear(weights['W_h'], h) + d_x * linear(weights['W_x'], x) + b
  )
  return (h, h_hyper_new), h


def _hyperlstm_gate(weights, y, h, x, h_hyper):
  """Returns gate y before its layer norm, [b, n] (equations 11 and 12)."""
  z_h = linear(weights['W_hh'][y], h_hyper) + weights['b_hh'][y]
  z_x = linear(weights['W_hx'][y], h_hyper) + weights['b_hx'][y]
  z_b = linear(weights['W_hb'][y], h_hyper)
  d_h = linear(weights['W_hz'][y], z_h)
  d_x = linear(weights['W_xz'][y], z_x)
  b = linear(weights['W_bz'][y], z_b) + weights['b_0'][y]
  h_term = d_h * linear(weights['W_h'][y], h)
  x_term = d_x * linear(weights['W_x'][y], x)
  return h_term + x_term + b


# `layer_norm` names an option of `hyperlstm_step`.
_norm = layer_norm


def hyperlstm_step(
  weights,
  carry,
  x,
  *,
  layer_norm=False,
  hyper_layer_norm=False,
  forget_bias=1.0,
  new_hyper_state=True,
  mask=None,
  keep_probability=1.0,
  hyper_mask=None,
  hyper_keep_probability=1.0,
):
  """Takes a step of a HyperLSTM (eqs 10 to 13); both cells have `forget_bias`.

  The embeddings come from h_hyper_t, or from h_hyper_{t-1} (as printed) if not
  `new_hyper_state`. b_0 stays inside the layer norm, next to its beta.

  carry: (c, h, c_hyper, h_hyper), [b, n] twice, then [b, n_hat] twice.
  weights['hyper']: as for `lstm_step` or, if `hyper_layer_norm`, for
  `layer_norm_lstm_step`, with n_hat units and n + N_x inputs. For each gate y,
  as weights[name][y]: W_h [n, n]; W_x [n, N_x]; W_hh, W_hx, W_hb [N_z, n_hat];
  b_hh, b_hx [N_z]; W_hz, W_xz, W_bz [n, N_z]; b_0 [n]. If `layer_norm`, also
  gamma, beta for each gate, and weights['gamma_c'], weights['beta_c']; all [n].
  mask [b, n] and hyper_mask [b, n_hat] hold 0 and 1.
  """
  weights, carry, x = to_float64((weights, carry, x))
  c, h, c_hyper, h_hyper = carry
  hyper_step = layer_norm_lstm_step if hyper_layer_norm else lstm_step
  (c_hyper_new, h_hyper_new), _ = hyper_step(
    weights['hyper'],
    (c_hyper, h_hyper),
    _hyper_input(h, x),
    forget_bias=forget_bias,
    mask=hyper_mask,
    keep_probability=hyper_keep_probability,
  )
  source = h_hyper_new if new_hyper_state else h_hyper
  pre = {}
  for y in GATES:
    pre[y] = _hyperlstm_gate(weights, y, h, x, source)
    if layer_norm:
      pre[y] = _norm(pre[y], weights['gamma'][y], weights['beta'][y])
  c = _next_c(pre, c, forget_bias, mask, keep_probability)
  readout = c
  if layer_norm:
    readout = _norm(c, weights['gamma_c'], weights['beta_c'])
  h = sigmoid(pre['o']) * np.tanh(readout)
  return (c, h, c_hyper_new, h_hyper_new), h


# Generated convolution kernels.


def static_kernel(z, W_in, B_in, W_out, B_out):
  """Returns one basic kernel from its embedding z [N_z] (section 3.1).

    a_i = W_i z + B_i,  K_i = <W_out, a_i> + B_out,  K = concat_i K_i

  W_in [N_in, d, N_z] and B_in [N_in, d] hold W_i and B_i for each input channel
  i; W_out [f, N_out f, d] and B_out [f, N_out f] are common to all channels.
  Row i f + p, column o f + q of K [N_in f, N_out f] is height p, width q of the
  filter from input channel i to output channel o: the paper gives K's shape
  but not how its axes split, and here each filter is one f by f block.

  Returns the kernel as [height f, width f, N_in, N_out].
  """
  z, W_in, B_in, W_out, B_out = to_float64((z, W_in, B_in, W_out, B_out))
  N_in, f, N_out = len(W_in), W_out.shape[0], W_out.shape[1] // len(W_out)
  slices = []
  for i in range(N_in):
    a_i = W_in[i] @ z + B_in[i]
    slices.append(W_out @ a_i + B_out)
  K = np.concatenate(slices)
  kernel = np.zeros((f, f, N_in, N_out))
  for i in range(N_in):
    for o in range(N_out):
      kernel[:, :, i, o] = K[i * f : (i + 1) * f, o * f : (o + 1) * f]
  return kernel


def static_kernel_grid(zs, W_in, B_in, W_out, B_out, *, rows, columns):
  """Returns a larger kernel, a grid of basic ones (equation 3).

  zs [rows columns, N_z], row by row; a row is a block of input channels and a
  column a block of output channels. The other arrays are `static_kernel`'s.
  Returns [f, f, rows N_in, columns N_out].
  """
  lines = []
  for row in range(rows):
    blocks = []
    for column in range(columns):
      z = zs[row * columns + column]
      blocks.append(static_kernel(z, W_in, B_in, W_out, B_out))
    lines.append(np.concatenate(blocks, axis=3))
  return np.concatenate(lines, axis=2)


def coordinate_network(weights, image_shape, hidden_shape, scale):
  """Returns every weight of a layer from the coordinates of its ends (A.1).

  A ReLU network, 4-25-25-1 with a linear output in the paper, is fed (x, y) of
  the input pixel, then (x, y) of the hidden unit, x being the column. The paper
  does not say how coordinates are scaled: `scale(index, size)` decides it, for
  an index in 0 .. size - 1.

  weights: W_1 [25, 4], b_1 [25], W_2 [25, 25], b_2 [25], W_3 [1, 25], b_3 [1].
  image_shape and hidden_shape are (height, width), (28, 28) and (16, 16) in the
  paper. Returns [pixels, hidden units], both numbered row by row.
  """
  weights = to_float64(weights)
  matrix = np.zeros((np.prod(image_shape), np.prod(hidden_shape)))
  for pixel, (y_in, x_in) in enumerate(np.ndindex(*image_shape)):
    for unit, (y_out, x_out) in enumerate(np.ndindex(*hidden_shape)):
      coordinates = np.array(
        [
          scale(x_in, image_shape[1]),
          scale(y_in, image_shape[0]),
          scale(x_out, hidden_shape[1]),
          scale(y_out, hidden_shape[0]),
        ]
      )
      a = np.maximum(weights['W_1'] @ coordinates + weights['b_1'], 0)
      a = np.maximum(weights['W_2'] @ a + weights['b_2'], 0)
      matrix[pixel, unit] = (weights['W_3'] @ a + weights['b_3'])[0]
  return matrix


# Wide residual networks.


def convolution(x, kernel, bias, stride):
  """Returns a 3x3 convolution of one image [h, w, c], padded by one zero.

  kernel [3, 3, c, o], bias [o]. The kernel's centre lies on every stride-th
  pixel. The kernel is not flipped, as usual in neural networks.
  """
  h, w, _ = x.shape
  padded = np.zeros((h + 2, w + 2, x.shape[2]))
  padded[1:-1, 1:-1] = x
  y = np.zeros((-(-h // stride), -(-w // stride), kernel.shape[3]))
  for row, column in np.ndindex(y.shape[:2]):
    top, left = row * stride, column * stride
    for o in range(kernel.shape[3]):
      window = padded[top : top + 3, left : left + 3]
      y[row, column, o] = np.sum(window * kernel[..., o]) + bias[o]
  return y


def normalised(x, scale, bias, mean, variance, epsilon=1e-5):
  """Returns batch norm of x with the given statistics of each channel."""
  return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def wide_resnet(image, conv1, norm1, blocks, norm, softmax):
  """Returns the logits of one image (section 4.2), with plain shortcuts.

  conv1 is (kernel, bias), norm1 and norm (scale, bias, mean, variance),
  softmax (W [10, c], b); blocks is a list of dicts of norm1, conv1, norm2,
  conv2 and stride.
  """
  x = normalised(convolution(image, *conv1, 1), *norm1)
  for block in blocks:
    stride = block['stride']
    y = np.maximum(normalised(x, *block['norm1']), 0)
    y = convolution(y, *block['conv1'], stride)
    y = np.maximum(normalised(y, *block['norm2']), 0)
    y = convolution(y, *block['conv2'], 1)
    shortcut = np.zeros_like(y)
    shortcut[..., : x.shape[2]] = x[::stride, ::stride]
    x = y + shortcut
  x = np.maximum(normalised(x, *norm), 0)
  W, b = softmax
  return W @ x.mean((0, 1)) + b


# Translation: GNMT (arXiv 1609.08144), as descriptions of it have it. A layer
# is (step, weights, options); sentences come one at a time, without padding.


def additive_attention(weights, query, values):
  """Returns (context, weights) of one query [n] over values [s, n].

  weights: W_q, W_k [n, n], b, v [n]. The score of value x is
  v . tanh(W_q query + b + W_k x).
  """
  weights, query, values = to_float64((weights, query, values))
  scores = []
  for x in values:
    hidden = np.tanh(weights['W_q'] @ query + weights['b'] + weights['W_k'] @ x)
    scores.append(np.sum(weights['v'] * hidden))
  p = np.exp(np.array(scores) - np.max(scores))
  p = p / np.sum(p)
  return sum(p_j * x for p_j, x in zip(p, values, strict=True)), p


def _layer_over(layer, carry, xs):
  step, weights, options = layer
  outputs = unroll(step, weights, carry, xs[:, None], **options)[1]
  return outputs[:, 0]


def gnmt_encode(layers, carry, xs):
  """Returns outputs [s, n] of the top layer for xs [s, N_x].

  layers: the bottom layer's forward and backward cell, then the other layers.
  Each starts from `carry`. From the third layer on, input is added to output.
  """
  xs = to_float64(xs)
  forward = _layer_over(layers[0], carry, xs)
  backward = _layer_over(layers[1], carry, xs[::-1])[::-1]
  xs = np.concatenate([forward, backward], axis=1)
  for number, layer in enumerate(layers[2:], 2):
    ys = _layer_over(layer, carry, xs)
    xs = xs + ys if number >= 3 else ys
  return xs


def gnmt_decode(layers, carry, attention, values, ys, bottom_context=False):
  """Returns outputs [t, n] of the top layer for ys [t, N_x], attention [t, s].

  At each step the output of the bottom layer is the query for a context, which
  is a second input of every layer above. With `bottom_context`, the bottom
  layer reads it at the next step. From the third layer on, the first input is
  added to the output.
  """
  carries = [carry] * len(layers)
  outputs, looks = [], []
  context = np.zeros(values.shape[1])
  for y in to_float64(ys):
    x = y[None]
    for number, (step, weights, options) in enumerate(layers, 1):
      x_in = x
      if number > 1 or bottom_context:
        x_in = np.concatenate([x, context[None]], axis=1)
      carries[number - 1], h = step(
        weights, carries[number - 1], x_in, **options
      )
      if number == 1:
        context, p = additive_attention(attention, h[0], values)
        looks.append(p)
      x = x + h if number >= 3 else h
    outputs.append(x[0])
  return np.stack(outputs), np.stack(looks)


def gnmt_score(log_probability, attention, alpha, beta):
  """Returns GNMT's score of a finished hypothesis with attention [t, s].

  log P / lp + cp, lp = (5 + t)^alpha / (5 + 1)^alpha, and cp = beta times the
  sum over source pieces j of log min(sum over i of attention_ij, 1).
  """
  length = len(attention)
  penalty = (5 + length) ** alpha / (5 + 1) ** alpha
  coverage = sum(np.log(min(np.sum(p_j), 1.0)) for p_j in attention.T)
  return log_probability / penalty + beta * coverage


# Losses.


def target_log_probabilities(logits, targets):
  """Returns log-softmax at the targets [...], in nats, for logits [..., v]."""
  logits, targets = to_float64(logits), np.asarray(targets)
  result = np.zeros(logits.shape[:-1])
  for place in np.ndindex(result.shape):
    shifted = logits[place] - np.max(logits[place])
    log_probabilities = shifted - np.log(np.sum(np.exp(shifted)))
    result[place] = log_probabilities[targets[place]]
  return result


def cross_entropy(logits, targets):
  """Returns mean nats per target: logits [..., v], targets [...]."""
  return -np.mean(target_log_probabilities(logits, targets))


def bits_per_character(log_probabilities):
  """Returns mean bits per target, from their log probabilities in nats."""
  return -np.mean(to_float64(log_probabilities)) / np.log(2)


def mixture_density_nats(pi_hat, mu_hat, sigma_hat, rho_hat, e_hat, x):
  """Returns the nats of each move of the pen (Graves, arXiv 1308.0850).

  -log sum_j pi_j N(x_1, x_2 | mu_j, sigma_j, rho_j) - log Bernoulli(x_3 | e)

  Raw outputs: pi_hat [..., M], mu_hat [..., M, 2], sigma_hat [..., M, 2],
  rho_hat [..., M], e_hat [...]; pi = softmax(pi_hat), mu = mu_hat,
  sigma = exp(sigma_hat), rho = tanh(rho_hat), and e = sigmoid(e_hat) is the
  probability of x_3 = 1, a stroke that ends. x [..., 3]; returns [...].
  """
  pi_hat, mu, x = to_float64((pi_hat, mu_hat, x))
  sigma = np.exp(to_float64(sigma_hat))
  rho = np.tanh(to_float64(rho_hat))
  e = sigmoid(to_float64(e_hat))
  nats = np.zeros(x.shape[:-1])
  for place in np.ndindex(nats.shape):
    pi = np.exp(pi_hat[place]) / np.sum(np.exp(pi_hat[place]))
    density = 0.0
    for j in range(len(pi)):
      r = rho[place][j]
      s_1, s_2 = sigma[place][j]
      u_1, u_2 = (x[place][:2] - mu[place][j]) / sigma[place][j]
      Z = u_1**2 + u_2**2 - 2 * r * u_1 * u_2
      scale = 2 * np.pi * s_1 * s_2 * np.sqrt(1 - r**2)
      density += pi[j] * np.exp(-Z / (2 * (1 - r**2))) / scale
    bernoulli = e[place] if x[place][2] == 1 else 1 - e[place]
    nats[place] = -np.log(density) - np.log(bernoulli)
  return nats


# The GRU, and the HyperGRU, which the paper does not have.

GRU_GATES = ('r', 'u', 'g')


def gru_step(weights, carry, x, *, mask=None, keep_probability=1.0):
  """Takes a step of a GRU whose reset gate acts after the product, as in Flax.

    r, u = sigmoid(LN(W_h h_{t-1} + W_x x_t + b))
    g = tanh(LN(W_x x_t + b_x + r (W_h h_{t-1} + b_h)))
    h_t = u h_{t-1} + (1 - u) Dropout(g)

  carry: h [b, n]. For each gate y: weights['W_h'][y] [n, n], weights['W_x'][y]
  [n, N_x]; weights['b_h'] [n]; for each gate weights['b'][y] [n] (of g it is
  b_x) or, with layer norm, weights['gamma'][y], weights['beta'][y] [n]. mask
  [b, n] holds 0 and 1.
  """
  weights, h, x = to_float64((weights, carry, x))
  h_terms, x_terms = {}, {}
  for y in GRU_GATES:
    h_terms[y] = linear(weights['W_h'][y], h)
    x_terms[y] = linear(weights['W_x'][y], x)
    if 'b' in weights:
      x_terms[y] = x_terms[y] + weights['b'][y]
  h = _next_h(weights, h_terms, x_terms, h, mask, keep_probability)
  return h, h


def _next_h(weights, h_terms, x_terms, h, mask, keep_probability):
  """Returns the new h of a GRU, given the terms of its gates."""

  def norm(y, pre):
    if 'gamma' not in weights:
      return pre
    return _norm(pre, weights['gamma'][y], weights['beta'][y])

  r = sigmoid(norm('r', h_terms['r'] + x_terms['r']))
  u = sigmoid(norm('u', h_terms['u'] + x_terms['u']))
  g = np.tanh(norm('g', x_terms['g'] + r * (h_terms['g'] + weights['b_h'])))
  if mask is not None:
    g = g * to_float64(mask) / keep_probability
  return u * h + (1 - u) * g


def hypergru_step(
  weights,
  carry,
  x,
  *,
  new_hyper_state=True,
  mask=None,
  keep_probability=1.0,
  hyper_mask=None,
  hyper_keep_probability=1.0,
):
  """Takes a step of a GRU with rows of W_h and W_x scaled as in eqs 11 and 12.

    r, u = sigmoid(LN(d_h (W_h h_{t-1}) + d_x (W_x x_t) + b))
    g = tanh(LN(d_x (W_x x_t) + b_x + r (d_h (W_h h_{t-1}) + b_h)))

  where b, which is b_x for g, is W_bz z_b + b_0.

  carry: (h [b, n], h_hyper [b, n_hat]).
  weights['hyper']: as for `gru_step`, with n_hat units and n + N_x inputs. For
  each gate y, as weights[name][y]: W_h [n, n]; W_x [n, N_x]; W_hh, W_hx, W_hb
  [N_z, n_hat]; b_hh, b_hx [N_z]; W_hz, W_xz, W_bz [n, N_z]; b_0 [n]; with layer
  norm also gamma and beta [n]. weights['b_h'] [n].
  """
  weights, (h, h_hyper), x = to_float64((weights, carry, x))
  h_hyper_new, _ = gru_step(
    weights['hyper'],
    h_hyper,
    _hyper_input(h, x),
    mask=hyper_mask,
    keep_probability=hyper_keep_probability,
  )
  source = h_hyper_new if new_hyper_state else h_hyper
  h_terms, x_terms = {}, {}
  for y in GRU_GATES:
    z_h = linear(weights['W_hh'][y], source) + weights['b_hh'][y]
    z_x = linear(weights['W_hx'][y], source) + weights['b_hx'][y]
    z_b = linear(weights['W_hb'][y], source)
    d_h = linear(weights['W_hz'][y], z_h)
    d_x = linear(weights['W_xz'][y], z_x)
    b = linear(weights['W_bz'][y], z_b) + weights['b_0'][y]
    h_terms[y] = d_h * linear(weights['W_h'][y], h)
    x_terms[y] = d_x * linear(weights['W_x'][y], x) + b
  h = _next_h(weights, h_terms, x_terms, h, mask, keep_probability)
  return (h, h_hyper_new), h
