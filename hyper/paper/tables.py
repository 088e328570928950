"""Every row of the paper's tables, cited ones too, in the paper's order."""

from hyper.paper.rows import Measure, Row, Table


def cited(name: str, *printed: str, count: str = '', config: str = '') -> Row:
  """Returns a row whose figures the paper quotes from others."""
  return Row(name, printed, count, config, is_cited=True)


MNIST = Table(
  'Table 7',
  'mnist',
  'MNIST',
  (Measure('test', 'error', '% error'),),
  (
    Row('Convnet', ('0.72',), '12,544', 'mnist_cnn', 21_210, 12_544),
    Row('Hyper Convnet', ('0.76',), '4,244', 'mnist_hyper', 12_910, 4_244),
  ),
  'parameters of the second kernel',
)
COORDINATES = Table(  # printed as accuracies of 98.5 and 93.5 %
  'appendix A.1',
  'mnist',
  'MNIST, perceptron',
  (Measure('test', 'error', '% error'),),
  (
    Row('Perceptron', ('1.5',), '200,704', 'mnist_mlp', 203_530, 200_704),
    Row(
      'Coordinate hypernetwork',
      ('6.5',),
      '801',
      'mnist_coordinate',
      *(3_627, 801),
    ),
  ),
  'parameters of the hidden layer',
)
CIFAR10 = Table(
  'Table 2',
  'cifar10',
  'CIFAR-10',
  (Measure('test', 'error', '% error'),),
  (
    cited('Network in Network', '8.81'),
    cited('FitNet', '8.39'),
    cited('Deeply Supervised Nets', '8.22'),
    cited('Highway Networks', '7.72'),
    cited('ELU', '6.55'),
    cited('Original ResNet-110', '6.43', count='1.7M'),
    cited('Stochastic Depth ResNet-110', '5.23', count='1.7M'),
    cited('WRN 40-1 (Zagoruyko & Komodakis)', '6.85', count='0.6M'),
    cited('WRN 40-2 (Zagoruyko & Komodakis)', '5.33', count='2.2M'),
    cited('WRN 28-10 (Zagoruyko & Komodakis)', '4.17', count='36.5M'),
    cited('ResNet of ResNet 58-4', '3.77', count='13.3M'),
    cited('DenseNet', '3.74', count='27.2M'),
    Row('WRN 40-1', ('6.73',), '0.563M', 'cifar10_wrn', 562_762),
    Row('Hyper ResNet 40-1', ('8.02',), '0.097M', 'cifar10_hyper_wrn', 96_602),
    Row('WRN 40-2', ('5.66',), '2.236M', 'cifar10_wrn:40_2', 2_235_530),
    Row(
      'Hyper ResNet 40-2',
      *(('7.23',), '0.148M', 'cifar10_hyper_wrn:40_2', 147_610),
    ),
  ),
)
PTB = Table(
  'Table 3',
  'ptb',
  'Penn Treebank, characters',
  (Measure('test', 'bpc', 'bpc'), Measure('validation', 'bpc', 'bpc')),
  (
    cited('ME n-gram', '1.37', ''),
    cited('Batch Norm LSTM', '1.32', ''),
    cited('Recurrent Dropout LSTM', '1.301', '1.338'),
    cited('Zoneout RNN', '1.27', ''),
    cited('HM-LSTM', '1.27', ''),
    Row('LSTM 1000', ('1.312', '1.347'), '4.25M', 'ptb_lstm', 4_254_050),
    Row('LSTM 1250', ('1.306', '1.340'), '6.57M', 'ptb_lstm:1250', 6_567_550),
    Row(
      '2-layer LSTM 1000',
      *(('1.281', '1.312'), '12.26M', 'ptb_lstm:two_layer', 12_258_050),
    ),
    Row(
      'LN LSTM 1000',
      *(('1.267', '1.300'), '4.26M', 'ptb_lstm:layer_norm', 4_260_050),
    ),
    Row(
      'HyperLSTM 1000',
      *(('1.265', '1.296'), '4.91M', 'ptb_hyperlstm:no_layer_norm', 4_911_874),
    ),
    Row(
      'LN HyperLSTM 1000',
      *(('1.250', '1.281'), '4.92M', 'ptb_hyperlstm', 4_922_642),
    ),
    Row(
      'LN HyperLSTM 1000, large embedding',
      ('1.233', '1.263'),
      *('5.06M', 'ptb_hyperlstm:large_embedding', 5_085_170),
    ),
    Row(
      '2-layer LN HyperLSTM 1000',
      *(('1.219', '1.245'), '14.41M', 'ptb_hyperlstm:two_layer', 14_406_690),
    ),
  ),
)
ENWIK8 = Table(
  'Table 4',
  'enwik8',
  'enwik8',
  (Measure('test', 'bpc', 'bpc'),),
  (
    cited('Stacked LSTM (Graves)', '1.67', count='27.0M'),
    cited('MRNN', '1.60'),
    cited('GF-RNN', '1.58', count='20.0M'),
    cited('Grid-LSTM', '1.47', count='16.8M'),
    cited('LSTM (Rocki)', '1.45'),
    cited('MI-LSTM', '1.44'),
    cited('Recurrent Highway Networks', '1.42', count='8.0M'),
    cited('Recurrent Memory Array Structures', '1.40'),
    cited('HM-LSTM', '1.40'),
    cited('Surprisal Feedback LSTM', '1.37'),
    Row('LSTM 1800', ('1.470',), '14.81M', 'enwik8_lstm', 14_812_405),
    Row('LSTM 2000', ('1.461',), '18.06M', 'enwik8_lstm:2000', 18_058_205),
    Row(
      'LN LSTM 1800',
      *(('1.402',), '14.82M', 'enwik8_lstm:layer_norm', 14_823_205),
    ),
    Row(
      'HyperLSTM 1800',
      *(('1.391',), '18.71M', 'enwik8_hyperlstm:no_layer_norm', 18_708_213),
    ),
    Row(
      'LN HyperLSTM 1800',
      *(('1.353',), '18.78M', 'enwik8_hyperlstm', 18_727_749),
    ),
    Row(
      'LN HyperLSTM 2048',
      *(('1.340',), '26.54M', 'enwik8_hyperlstm:2048', 26_539_725),
    ),
  ),
)
HANDWRITING = Table(
  'Table 5',
  'iam',
  'IAM-OnDB handwriting',
  (Measure('validation', 'nats', 'nats'),),
  (
    cited('LSTM 900 (Graves)', '-1,026'),
    cited('3-layer LSTM 400 (Graves)', '-1,041'),
    cited('3-layer LSTM 400, adaptive weight noise (Graves)', '-1,058'),
    Row(
      'LSTM 900, no dropout, no augmentation',
      *(('-1,026',), '3.36M', 'iam_lstm:unregularised', 3_363_421),
    ),
    Row(
      '3-layer LSTM 400, no dropout, no augmentation',
      *(('-1,039',), '3.26M', 'iam_lstm:layers_3_unregularised', 3_258_121),
    ),
    Row('LSTM 900', ('-1,055',), '3.36M', 'iam_lstm', 3_363_421),
    Row('LSTM 1000', ('-1,048',), '4.14M', 'iam_lstm:units_1000', 4_137_121),
    Row(
      '3-layer LSTM 400',
      *(('-1,068',), '3.26M', 'iam_lstm:layers_3', 3_258_121),
    ),
    Row(
      '2-layer LSTM 650',
      *(('-1,135',), '5.16M', 'iam_lstm:layers_2', 5_161_771),
    ),
    Row('LN LSTM 900', ('-1,096',), '3.37M', 'iam_lstm:layer_norm', 3_368_821),
    Row(
      'LN LSTM 1000',
      *(('-1,106',), '4.14M', 'iam_lstm:layer_norm_1000', 4_143_121),
    ),
    Row(
      'LN HyperLSTM 900',
      *(('-1,067',), '3.95M', 'iam_hyperlstm:layer_norm', 3_950_949),
    ),
    Row('HyperLSTM 900', ('-1,162',), '3.94M', 'iam_hyperlstm', 3_941_181),
  ),
)
TRANSLATION = Table(
  'Table 6',
  'wmt14',
  "WMT'14 English to French",
  (
    Measure('test', 'bleu', 'BLEU'),
    Measure('test', 'log_perplexity', 'log perplexity'),
  ),
  (
    cited('Deep-Att + PosUnk', '39.2', ''),
    Row(
      'GNMT WPM-32K, LSTM',
      *(('38.95', '1.027'), '', 'nmt_lstm', 276_665_600),
      is_cited=True,
    ),
    cited('GNMT WPM-32K, ensemble of 8 LSTMs', '40.35', ''),
    Row(
      'GNMT WPM-32K, HyperLSTM',
      *(('40.03', '0.993'), '', 'nmt_hyperlstm', 307_520_256),
    ),
  ),
)
TABLES = (MNIST, COORDINATES, CIFAR10, PTB, ENWIK8, HANDWRITING, TRANSLATION)
