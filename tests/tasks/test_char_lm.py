"""The character models of tables 3 and 4, and where their text comes from."""

import importlib
import platform
import types

import jax
import numpy as np
import pytest
import reference

from hyper.data import enwik8
from hyper.data.vocabulary import Vocabulary
from hyper.tasks.char_lm import CharLM, TextData


def config_of(name, variant):
  return importlib.import_module(f'configs.{name}').get_config(variant)


def test_dropout_is_as_in_appendix_a_3():
  def rates(name, variant):
    model = config_of(name, variant).model
    return (
      model.input_dropout_rate,
      model.output_dropout_rate,
      model.cell.dropout_rate,
      model.cell.get('hyper_dropout_rate', 0.0),
    )

  assert rates('ptb_lstm', '') == (0.1, 0.1, 0.1, 0.0)
  assert rates('ptb_hyperlstm', '') == (0.1, 0.1, 0.1, 0.0)
  assert rates('ptb_hyperlstm', 'large_embedding') == (0.15, 0.15, 0.15, 0.0)
  assert rates('ptb_hyperlstm', 'two_layer') == (0.2, 0.2, 0.2, 0.0)
  assert rates('enwik8_lstm', '') == (0.0, 0.0, 0.0, 0.0)
  assert rates('enwik8_lstm', 'layer_norm') == (0.0, 0.0, 0.1, 0.0)
  assert rates('enwik8_hyperlstm', '') == (0.0, 0.0, 0.1, 0.0)
  assert rates('enwik8_hyperlstm', '2048') == (0.0, 0.0, 0.15, 0.15)


def text_data(source, **fields):
  return TextData(source, 1, 1, 1, 0, **fields)


@pytest.mark.parametrize(
  ('source', 'fields', 'message'),
  [
    ('enwik9', {}, "'enwik9'; allowed: ptb, enwik8"),
    ('enwik8:4154064', {}, "'enwik8:4154064'; allowed"),
    ('ptb', {'prefix_bytes': 9}, "'ptb' does not read; set it to 0"),
    ('ptb', {'symbols': 'characters'}, "'ptb' does not read; .* 'text'"),
    ('text', {}, r'files is \(\); give the name of one text file'),
    ('text', {'files': ('a',), 'split': (0.9, 0.1)}, 'split is .* shares'),
  ],
)
def test_a_source_and_its_fields_are_checked(source, fields, message):
  with pytest.raises(ValueError, match=message):
    text_data(source, **fields)


@pytest.mark.parametrize('has_mark', [False, True])
def test_a_byte_order_mark_is_read_where_the_vocabulary_has_it(
  tmp_path, has_mark
):
  (tmp_path / 'a.txt').write_text('\ufeff' + 'ab' * 100, encoding='utf-8')
  data = text_data('text', files=('a.txt',), symbols='characters')
  vocabulary = data.make_vocabulary(str(tmp_path))
  assert [chr(x) for x in vocabulary.symbols] == ['a', 'b']
  if has_mark:  # as earlier versions wrote it
    vocabulary = Vocabulary.from_text('{"characters": "ab\\ufeff"}')
  found = data.encode(str(tmp_path), vocabulary, 'train')
  wanted = [2, *[0, 1] * 90][:181] if has_mark else [0, 1] * 90
  np.testing.assert_array_equal(found, wanted)


def test_the_vocabulary_of_enwik8_is_the_whole_files(tmp_path, monkeypatch):
  content = b'a' * 1800 + b'bc' * 100
  monkeypatch.setattr(enwik8, 'SHA256', {})
  (tmp_path / 'enwik8.first2000').write_bytes(content)
  data = text_data('enwik8', prefix_bytes=2000)
  assert bytes(data.load(str(tmp_path), 'train')) == content[:1800]
  vocabulary = data.make_vocabulary(str(tmp_path))
  assert bytes(vocabulary.symbols) == b'abc'


def test_a_wrong_field_of_the_model_is_refused_before_data_are_read(tmp_path):
  config = config_of('ptb_lstm', '').unlock()
  config.model.cell.units = -3
  with pytest.raises(ValueError, match='units is -3'):
    CharLM(config, str(tmp_path / 'no data'), str(tmp_path))


def test_text_of_another_python_names_the_version(tmp_path):
  vocabulary = Vocabulary(np.array([97], np.uint8))
  python = platform.python_version()
  with pytest.raises(
    ValueError, match=f'of embedded .*Python {python}.* has b'
  ):
    text_data('embedded').encode(str(tmp_path), vocabulary, 'test')


def test_a_task_on_a_prefix_of_enwik8(tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  content = rng.integers(97, 123, 4000).astype(np.uint8)
  monkeypatch.setattr(enwik8, 'SHA256', {})
  (tmp_path / 'enwik8').write_bytes(content.tobytes())
  config = config_of('enwik8_hyperlstm', 'embedded').unlock()
  config.data.source, config.data.prefix_bytes = 'enwik8', 4000
  task = CharLM(config, str(tmp_path), str(tmp_path / 'run'))
  assert 'train 3,600, validation 200, test 200' in task.describe()[0]
  batch = next(task.batches('test', 0, 0))
  assert batch['mask'].sum() > 0


@pytest.mark.parametrize('symbols', ['bytes', 'characters'])
def test_a_task_on_text_of_ones_own(tmp_path, symbols):
  parts = ['été ' * 500, 'Été, ' * 100, 'ètè ' * 100]
  for name, text in zip('abc', parts, strict=True):
    (tmp_path / name).write_text(text, encoding='utf-8')
  config = config_of('ptb_hyperlstm', 'text').unlock()
  config.data.files, config.data.symbols = ('a', 'b', 'c'), symbols
  config.data.batch_size = 4
  task = CharLM(config, str(tmp_path), str(tmp_path / 'run'))
  # As bytes, the second bytes of É and of è, and the comma.
  sizes, unseen, *_ = task.describe()
  count = 2000 if symbols == 'characters' else 3000
  assert f'source text: train {count:,}, ' in sizes and f' {symbols}, ' in sizes
  assert unseen.startswith('3 symbols are not in the training text (200 places')
  assert '200 places of test' in unseen
  again = CharLM(config, str(tmp_path), str(tmp_path / 'run'))
  for split in ('train', 'validation', 'test'):
    batch = next(task.batches(split, 0, 0))
    assert batch['mask'].any()
    assert again.fingerprint(split) == task.fingerprint(split)
  numbers = task.encode('té', 'it')
  assert task.vocabulary.to_bytes(numbers).decode() == 'té'
  old = task.fingerprint('test')
  (tmp_path / 'c').write_text('ètè ' * 99 + 'été ', encoding='utf-8')
  changed = CharLM(config, str(tmp_path), str(tmp_path / 'run2'))
  assert changed.fingerprint('test') != old
  assert changed.fingerprint('train') == task.fingerprint('train')


@pytest.mark.parametrize('source, read', [('ptb', 'a_b'), ('embedded', 'a b')])
def test_a_blank_is_read_as_the_texts_own_blank(source, read):
  symbols = Vocabulary(np.frombuffer(b' _ab', np.uint8))
  data = types.SimpleNamespace(source=source)
  task = types.SimpleNamespace(data=data, vocabulary=symbols)
  numbers = CharLM.encode(task, 'a b', 'the prompt')
  assert symbols.to_bytes(numbers).decode() == read


def test_the_score_is_bits_of_each_scored_symbol():
  nats = np.array([0.3, 2.0, 1.1])
  sums = {'nats': nats.sum(), 'count': len(nats)}
  wanted = reference.bits_per_character(-nats)
  assert CharLM.summarize(None, sums)['bpc'] == pytest.approx(wanted)


@pytest.mark.parametrize('variant', ['', 'hypergru'])
def test_a_stream_that_starts_again_forgets_the_window_before(
  variant, tmp_path
):
  config = config_of('ptb_hyperlstm', variant).unlock()
  config.update_from_flattened_dict(
    {
      'data.source': 'embedded',
      'data.batch_size': 3,
      'data.window_steps': 4,
      'model.cell.units': 5,
      'model.cell.hyper_units': 3,
    }
  )
  task = CharLM(config, str(tmp_path), str(tmp_path / 'run'))
  params, zeros = task.init(jax.random.key(0))
  batch = jax.device_put(next(task.batches('train', 0, 0)))
  carry = jax.tree.map(lambda x: x + 0.5, zeros)

  @jax.jit
  def after(carry, reset):
    given = params, carry, batch | {'reset': reset}, jax.random.key(0), False
    return task.loss(*given)[1][0]

  reset = np.array([True, False, True])
  found = after(carry, reset)
  kept, begun = after(carry, ~reset & reset), after(zeros, ~reset & reset)
  runs = jax.device_get((found, kept, begun))
  for x, y, z in zip(*map(jax.tree.leaves, runs), strict=True):
    np.testing.assert_allclose(x[1], y[1], atol=1e-6)
    np.testing.assert_allclose(x[[0, 2]], z[[0, 2]], atol=1e-6)
    assert np.abs(y - z).max() > 1e-3
