"""Translation from a config to scores, sentences and pictures."""

import importlib
import io
import itertools
import os
import shutil
import sys
import types
import unicodedata

import jax
import numpy as np
import pytest
import reference
import sacrebleu

import evaluate
import train
from hyper import generate, trained
from hyper.data import (
  embedded,
  number_names,
  pair_batches,
  parallel_text,
  word_pieces,
)
from hyper.data.parallel_text import Pairs
from hyper.data.word_pieces import END, PAD, START, UNKNOWN
from hyper.figures import translations
from hyper.runs import folder, metrics, training
from hyper.tasks import translation_search
from hyper.tasks.translate import Translate
from hyper.tasks.translation_data import TranslationData

SMALL = {
  'data.bucket_lengths': (60,),
  'data.batch_size': 8,
  'data.batch_tokens': 480,
  'data.vocabulary_size': 34,
  'model.cell.units': 6,
  'decoding.batch_size': 5,
  'decoding.beam_size': 3,
  'decoding.length_factor': 0,
  'decoding.length_more': 9,
  'train_steps': 4,
  'eval_every_steps': 2,
  'save_every_steps': 2,
  'log_every_steps': 1,
}
HYPER = {'model.cell.hyper_units': 3, 'model.cell.embedding_size': 2}


def shrunk(name, **fields):
  config = importlib.import_module(f'configs.{name}').get_config('embedded')
  config = config.unlock()
  config.update_from_flattened_dict(SMALL)
  if 'hyper' in name:
    config.update_from_flattened_dict(HYPER)
  config.update_from_flattened_dict(fields)
  return config.lock()


@pytest.fixture(scope='module', autouse=True)
def few():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      embedded, 'NUMBERS', {'train': 60, 'validation': 9, 'test': 7}
    )
    yield


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  workdir = str(tmp_path_factory.mktemp('nmt') / 'lstm')
  assert train.train(shrunk('nmt_lstm'), workdir, '') == 0
  return workdir


@pytest.fixture(scope='module')
def loaded(run):
  found = trained.load(run, 'latest', '')
  return found.task, found


@pytest.fixture(scope='module')
def params(loaded):
  """Returns parameters far from zero, so that translations differ."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: 1.5 * rng.normal(size=x.shape).astype('f'), loaded[1].params
  )


def test_an_experiment_from_training_to_its_score(run):
  lines = metrics.read(run)
  assert [x['step'] for x in lines if x['split'] == 'train'] == [1, 2, 3, 4]
  validation = {
    x['step']: x['log_perplexity'] for x in lines if x['split'] == 'validation'
  }
  assert list(validation) == [2, 4]
  scores = evaluate.evaluate(run, 'best', '', 'validation')
  assert scores['checkpoint'] == min(validation, key=validation.__getitem__)
  np.testing.assert_allclose(
    scores['log_perplexity'], min(validation.values()), rtol=1e-5
  )
  assert 0 <= scores['bleu'] <= 100 and 0 <= scores['exact_percent'] <= 100
  assert 'tok:13a' in scores['bleu_signature']
  assert f'version:{sacrebleu.__version__}' in scores['bleu_signature']


@pytest.mark.slow
def test_hyperlstms_are_trained_and_scored(tmp_path):
  config = shrunk('nmt_hyperlstm', train_steps=2)
  assert train.train(config, str(tmp_path), '') == 0
  lines = metrics.read(tmp_path)
  assert [x['split'] for x in lines] == ['train', 'train', 'validation']
  scores = [x['log_perplexity'] for x in lines]
  np.testing.assert_allclose(scores, np.log(34), rtol=0.1)  # knows nothing yet


def test_rates_are_arguments_of_the_step(loaded):
  task = loaded[0]
  batch = jax.device_put(next(task.batches('train', 0, 0)))
  loss = jax.jit(
    lambda numbers: task.loss(
      loaded[1].params, {}, batch, jax.random.key(1), True, numbers
    )
  )
  assert set(task.numbers) == {'model.dropout_rate'}
  value = float(loss(task.numbers)[0])
  np.testing.assert_allclose(value, float(loss({})[0]), rtol=1e-5)
  for name in task.numbers:
    changed, _ = loss(task.numbers | {name: 0.3})
    assert float(changed) != value, name


def test_the_loss_is_the_mean_over_all_pieces_of_the_targets(loaded, params):
  task, _ = loaded
  nats = count = 0
  score = training.make_eval_step(task.loss)
  apply = jax.jit(lambda *x: task.model.apply({'params': params}, *x))
  for batch in task.batches('test', 0, 0):
    _, sums = score(params, {}, batch)
    logits = apply(batch['source'], batch['source'] != PAD, batch['inputs'])
    real = batch['targets'] != PAD
    log_p = reference.target_log_probabilities(
      np.asarray(logits, np.float64)[real], batch['targets'][real]
    )
    np.testing.assert_allclose(sums['nats'], -log_p.sum(), rtol=1e-4)
    nats, count = nats + sums['nats'], count + sums['count']
  pairs = embedded.load_number_names('', 'test').take(range(7))
  assert count == sum(map(len, task.pieces.encode([y for _, y in pairs])))
  means = task.summarize({'nats': float(nats), 'count': float(count)})
  assert means == {'log_perplexity': pytest.approx(float(nats / count))}


def test_any_start_gives_the_same_batches(loaded):
  task, _ = loaded
  whole = list(itertools.islice(task.batches('train', 3, 0), 20))
  for start in (1, 7, 8, 15):
    again = next(task.batches('train', 3, start))
    for key, x in whole[start].items():
      np.testing.assert_array_equal(again[key], x)
  first, second = (np.sort(x['targets'].sum(1)) for x in (whole[0], whole[8]))
  assert (first != second).any()  # 8 batches an epoch; the next is shuffled


def test_pieces_are_of_the_training_side_only(tmp_path):
  for split, text in (('train', 'ab ba'), ('valid', 'c'), ('test', 'd')):
    (tmp_path / split).write_text(f'{text}\n' * 3)
  files = {
    'data.source': 'files',
    'data.train': ('train', 'train'),
    'data.validation': ('valid', 'valid'),
    'data.test': ('test', 'test'),
  }
  config = shrunk('nmt_lstm', **files)
  task = Translate(config, str(tmp_path), str(tmp_path / 'run'))
  for split, unknown in (('train', 0), ('validation', 3), ('test', 3)):
    batch = next(task.batches(split, 0, 0))
    assert (batch['source'] == UNKNOWN).sum() == unknown
  text = (tmp_path / 'run' / folder.WORD_PIECES).read_text()
  kept = word_pieces.WordPieces(text)
  assert kept.pieces == task.pieces.pieces
  assert 'sentence pairs' in task.describe()[0]


class Stored(Pairs):
  """Holds pairs in memory, and says that they are in a folder."""

  def __init__(self, records, folder):
    super().__init__(records)
    self.folder, self.reads = folder, 0

  def take(self, numbers):
    self.reads += 1
    return [self._records[number] for number in numbers]


def translation_data(**fields):
  sizes = {'vocabulary_size': 20, 'vocabulary_pairs': 9, 'batch_size': 2}
  shapes = {'bucket_lengths': (8,), 'batch_tokens': 16}
  return TranslationData('embedded', **sizes | shapes | fields)


def test_pieces_are_learned_once_for_each_set_of_their_fields(tmp_path):
  pairs, data = Stored([('aa bb', 'cc')] * 9, str(tmp_path)), translation_data()
  pieces = data.learn_pieces(pairs)
  reads = pairs.reads
  assert data.learn_pieces(pairs).to_text() == pieces.to_text()
  assert pairs.reads == reads
  for field in (
    *({'vocabulary_size': 12}, {'vocabulary_pairs': 3}),
    {'character_coverage': 0.9},
  ):
    reads = pairs.reads
    translation_data(**field).learn_pieces(pairs)
    assert pairs.reads > reads
  pairs.folder = str(next(tmp_path.iterdir()))  # a file: they cannot be kept
  assert data.learn_pieces(pairs).to_text() == pieces.to_text()


@pytest.mark.parametrize('damage', ['empty', 'letter', 'cut', 'bytes'])
def test_stored_pieces_that_are_damaged_are_named(tmp_path, damage):
  pairs, data = Stored([('aa bb', 'cc')] * 9, str(tmp_path)), translation_data()
  data.learn_pieces(pairs)
  (path,) = tmp_path.iterdir()
  content = bytearray(path.read_bytes())
  content[content.index(b'bb')] ^= {'letter': 1, 'bytes': 128}.get(damage, 0)
  end = {'empty': 0, 'cut': len(content) - 1}.get(damage, len(content))
  path.write_bytes(content[:end])
  with pytest.raises(ValueError, match=r'\.json is damaged .* Delete it'):
    data.learn_pieces(pairs)


def test_perfect_translations_score_100_and_others_as_by_sacrebleu(
  loaded, monkeypatch
):
  task, state = loaded
  pairs = embedded.load_number_names('', 'test').take(range(7))
  names = [y for _, y in pairs]
  monkeypatch.setattr(task, 'translate', lambda params, sources: names)
  report = task.report(state, 'test')
  assert report['bleu'] == pytest.approx(100)
  assert report['exact_percent'] == 100
  turned = [names[0], *names[:0:-1]]
  monkeypatch.setattr(task, 'translate', lambda params, sources: turned)
  report = task.report(state, 'test')
  wanted = sacrebleu.corpus_bleu(turned, [names]).score
  assert report['bleu'] == pytest.approx(wanted) and wanted < 90
  same = np.mean([x == y for x, y in zip(turned, names, strict=True)])
  assert report['exact_percent'] == pytest.approx(100 * same)


def test_a_letter_with_a_combining_accent_scores_as_one_character(
  loaded, monkeypatch
):
  task, state = loaded
  composed = ['café déjà vu', 'un été à la mer', "l'hôtel et la forêt"]
  decomposed = [unicodedata.normalize('NFD', x) for x in composed]
  pairs = parallel_text.Pairs([('', f' {x}\u00a0') for x in decomposed])
  monkeypatch.setattr(task, '_pairs', lambda split: pairs)
  monkeypatch.setattr(task, 'translate', lambda params, sources: composed)
  report = task.report(state, 'test')
  assert report['bleu'] == pytest.approx(100)
  assert report['exact_percent'] == 100
  assert 'NFC' in report['normalisation']


def test_a_large_share_of_unknown_pieces_is_a_warning(
  loaded, monkeypatch, caplog
):
  task, _ = loaded
  assert 'unknown pieces: 0.00% of train' in task.describe()[-1]
  assert not caplog.records
  pairs = parallel_text.Pairs([('one 漢', 'un')])
  known = task._pairs('train')
  monkeypatch.setattr(
    task, '_pairs', lambda split: pairs if split == 'validation' else known
  )
  task.describe()
  (record,) = caplog.records
  assert 'character_coverage' in record.getMessage()


def test_translations_do_not_depend_on_their_neighbours(loaded, params):
  task, _ = loaded
  names = [
    number_names.english(n) for n in (7, 77, 777_777, 100, 20_000, 81, 5)
  ]
  together = task.translate(params, [names[0], '', *names[1:], ' '])
  assert together[1] == together[-1] == ''
  del together[1], together[-1]
  apart = [task.translate(params, [name])[0] for name in names]
  assert together == apart and len(set(apart)) > 1


def test_a_wide_beam_finds_the_best_of_all_translations(run, params):
  limit = 3
  decoding = {'batch_size': 1, 'beam_size': 1200, 'length_more': limit}
  changes = [f'decoding.{name}={value}' for name, value in decoding.items()]
  task = trained.load(run, 'latest', '', changes=changes).task
  v = len(task.pieces)
  assert (v - 1) * v <= 1200  # all hypotheses that may continue, and more
  others = [k for k in range(v) if k != END]
  every = [
    [*start, END]
    for length in range(limit)
    for start in itertools.product(others, repeat=length)
  ]
  rows = np.full((len(every), limit), PAD)
  for row, pieces in zip(rows, every, strict=True):
    row[: len(pieces)] = pieces
  inputs = np.concatenate([np.full((len(every), 1), START), rows[:, :-1]], 1)
  model = task.model

  @jax.jit
  def apply(source, inputs):
    variables, mask = {'params': params}, source != PAD
    memory = model.apply(variables, source, mask, False, method='encode')
    carries = model.zeros(len(inputs))
    return model.apply(variables, carries, memory, inputs, method='decode')[1:]

  for sentence in ('ten', 'eighty-one'):
    source = pair_batches.fill(task.pieces.encode([sentence]), [rows[0]], 20, 1)
    source = source['source']
    tiled = np.repeat(source, len(every), 0)
    logits, weights = map(np.asarray, apply(tiled, inputs))
    scores = []
    for k, pieces in enumerate(every):
      n, real = len(pieces), source[0] != PAD
      log_p = reference.target_log_probabilities(
        np.asarray(logits[k, :n], np.float64), np.array(pieces)
      )
      looks = weights[k, :n, real].T
      scores.append(reference.gnmt_score(log_p.sum(), looks, 0.2, 0.2))
    found, score = task._search(params, source)
    best = int(np.argmax(scores))
    assert found[0, : len(every[best])].tolist() == every[best]
    np.testing.assert_allclose(score[0], scores[best], rtol=1e-4)


def test_the_translate_command(run, tmp_path, monkeypatch, capsys):
  text = 'forty-two\r\n\none thousand\n'
  (tmp_path / 'in').write_text(text)
  sentences = generate.read_sentences(str(tmp_path / 'in'))
  assert sentences == ['forty-two', '', 'one thousand']
  stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
  monkeypatch.setattr(sys, 'stdin', stdin)
  assert generate.read_sentences('') == sentences
  sizes = []
  search = translation_search.beam_search
  monkeypatch.setattr(
    translation_search,
    'beam_search',
    lambda *args: sizes.append(args[5]) or search(*args),
  )
  lines = generate.translate(run, sentences, 'latest', beam_size=1)
  assert len(lines) == 3 and lines[1] == '' and set(sizes) == {1}
  (tmp_path / 'bad').write_bytes(b'\xef\xbb\xbfa\n\xe9')
  with pytest.raises(ValueError, match='bad, line 2 is not UTF-8'):
    generate.read_sentences(str(tmp_path / 'bad'))
  (tmp_path / 'marked').write_bytes(b'\xef\xbb\xbfa\n')
  assert generate.read_sentences(str(tmp_path / 'marked')) == ['a']


def test_attention_and_examples_of_two_runs(
  loaded, params, tmp_path, monkeypatch
):
  task, name = loaded[0], number_names.english(321)
  source, target, weights = task.align(params, name)
  (found,) = task.search(params, [name])
  assert target == [task.pieces.pieces[k] for k in found]
  assert weights.shape == (len(target), len(source))
  np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
  assert ''.join(source[:-1]).replace(word_pieces.BLANK, ' ').strip() == name
  run = types.SimpleNamespace(task=task, params=params)
  monkeypatch.setattr(trained, 'load', lambda *_, **__: run)
  path = tmp_path / 'attention.png'
  translations.draw_attention(['runs/one', 'runs/two/'], str(path), name)
  assert path.read_bytes().startswith(b'\x89PNG')
  with pytest.raises(ValueError, match='--sentence'):
    translations.draw_attention(['runs/one'], str(path), ' ')
  table = tmp_path / 'examples.md'
  runs = ['runs/one', 'runs/two', 'others/two']
  translations.write_examples(runs, str(table), '', 'test', 3)
  lines = table.read_text().splitlines()
  pairs = embedded.load_number_names('', 'test').take([0, 3, 6])
  wanted = ['| | |', '| --- | --- |']
  for english, french in pairs:
    (found,) = task.translate(params, [english])
    wanted += [f'| source | {english} |', f'| reference | {french} |']
    wanted += [f'| {label} | {found} |' for label in runs]
    wanted.append('| | |')
  assert lines == wanted


def test_loading_a_run_to_translate_with(run, loaded):
  found = trained.load(run, 'latest', '', 'translate')
  assert found.task.pieces.pieces == loaded[0].pieces.pieces
  x, y = (p['softmax']['kernel'] for p in (found.params, loaded[1].params))
  np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
  'field, value, message',
  [
    ('data.vocabulary_pairs', 0, 'vocabulary_pairs is 0'),
    ('data.character_coverage', 1.5, 'character_coverage is 1.5'),
    ('data.batch_tokens', 9, 'batch_tokens is 9'),
    ('data.source', 'tatoeba', "data.source is 'tatoeba'; allowed: wmt14"),
    ('data.train', ('a', 'b'), "'embedded' does not read; set it to"),
    ('data.bucket_lengths', (0, 10), r'bucket_lengths is \(0, 10\)'),
    ('decoding.beam_size', 0, 'beam_size is 0'),
    ('decoding.length_penalty', -0.1, 'length_penalty is -0.1'),
    ('model.layers', 1, 'config.model.layers is 1'),
    ('model.dropout_rate', 1.5, 'dropout_rate is 1.5'),
    ('model.cell.name', 'mgu', "cell.name is 'mgu'"),
  ],
)
def test_impossible_configs_leave_nothing_behind(
  field, value, message, tmp_path
):
  with pytest.raises(ValueError, match=message):
    Translate(shrunk('nmt_lstm', **{field: value}), '', str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('test', 'error', 'message'),
  [
    (('x.en', 'y.fr'), FileNotFoundError, 'y.fr(.|\n)* as config.data.test'),
    (('x.en',), ValueError, r"config.data.test is \('x.en',\); give two names"),
  ],
)
def test_files_of_all_splits_are_checked_before_pieces_are_learned(
  test, error, message, tmp_path
):
  (tmp_path / 'x.en').write_text('one\n')
  both = ('x.en', 'x.en')
  fields = {'train': both, 'validation': both, 'test': test}
  config = shrunk(
    'nmt_lstm',
    **{'data.source': 'files'},
    **{f'data.{name}': value for name, value in fields.items()},
  )
  with pytest.raises(error, match=message):
    Translate(config, str(tmp_path), str(tmp_path / 'run'))
  assert not (tmp_path / 'prepared').exists()


def test_a_run_without_its_pieces_is_not_given_others(run, tmp_path):
  copy = str(tmp_path / 'copy')
  shutil.copytree(run, copy)
  os.remove(os.path.join(copy, folder.WORD_PIECES))
  with pytest.raises(FileNotFoundError, match='no word_pieces.json'):
    generate.translate(copy, ['one'], 'latest')
  assert not os.path.exists(os.path.join(copy, folder.WORD_PIECES))


def test_pieces_of_a_failed_start_are_not_used(tmp_path):
  workdir = str(tmp_path / 'run')
  Translate(shrunk('nmt_lstm'), '', workdir)
  smaller = shrunk('nmt_lstm', **{'data.vocabulary_size': 31})
  task = Translate(smaller, '', workdir)
  assert len(task.pieces) == 31
  folder.save_config(workdir, smaller)
  assert len(Translate(smaller, '', workdir).pieces) == 31


def test_other_tasks_do_not_translate(tmp_path):
  config = importlib.import_module('configs.mnist_cnn').get_config('embedded')
  folder.save_config(str(tmp_path), config)
  with pytest.raises(ValueError, match="a run of 'translate' is needed"):
    trained.load(str(tmp_path), task='translate')
