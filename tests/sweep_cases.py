"""Studies of a small perceptron on the embedded digits."""

import pathlib
import signal

from hyper.sweeping import journal, progress, space
from hyper.sweeping.journal import Study
from hyper.sweeping.search import Search
from hyper.sweeping.worker import Worker
from hyper.tasks import make_task

ROOT = pathlib.Path(__file__).parent.parent


CONFIG = f'{ROOT}/configs/mnist_mlp.py:embedded'


SMALL = ('model.hidden_units=4', 'train_steps=2', 'eval_every_steps=1')
SUGGEST = """
from configs.mnist_mlp import get_config

def suggest(trial):
  return {'schedule.learning_rate': trial.suggest_float('rate', 0.001, 0.1)}
"""


def open_study(place, name='grid', config='', limit=0, prune=False):
  return Study(str(place), Search(name, config, {}, limit), 'min', prune)


def work(study, data_dir, make_task=make_task, together=1, trackers=()):
  given = study, make_task, ('error', 'min'), data_dir
  return Worker(*given, together=together, trackers=trackers).work()


def signalled(*given):
  """Makes a task that sends SIGTERM to its process once training begins."""
  return signalled_at(1, 'train', *given)


def signalled_at_the_end(*given):
  """Makes a task that sends SIGTERM in the evaluation of the last step."""
  return signalled_at(2, 'validation', *given)


def signalled_at(number, split, *given):
  """Makes a task that sends SIGTERM at the nth use of a split in the loop."""
  task, used = make_task(*given), []
  batches = task.batches

  def batches_after_a_signal(name, *args, **options):
    handler = signal.getsignal(signal.SIGTERM)
    if name == split and handler is not signal.SIG_DFL:  # in the loop
      used.append(name)
      if len(used) == number:
        signal.raise_signal(signal.SIGTERM)
    return batches(name, *args, **options)

  task.batches = batches_after_a_signal
  return task


def states(study):
  return {
    journal.folder_of(t): progress.STATES[t.state.name] for t in study.latest()
  }


def seeds(count):
  return space.points([CONFIG], ['seed=' + ','.join('01234'[:count])], SMALL, 0)
