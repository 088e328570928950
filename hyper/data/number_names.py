"""Names of numbers in English and in French, by rule."""


def both(n: int) -> tuple[str, str]:
  """Returns the English and the French name of a number from 1 to 999,999."""
  return english(n), french(n)


def english(n: int) -> str:
  """Returns the name of 1 to 999,999, such as 'forty-two thousand seven'."""
  thousands, rest = divmod(n, 1000)
  head = [_english_below_1000(thousands), 'thousand'] if thousands else []
  return ' '.join([*head, *([_english_below_1000(rest)] if rest else [])])


def _english_below_1000(n: int) -> str:
  hundreds, rest = divmod(n, 100)
  words = [_ENGLISH[hundreds], 'hundred'] if hundreds else []
  if rest:
    tens, ones = divmod(rest, 10)
    if rest < 20:
      words.append(_ENGLISH[rest])
    else:
      words.append(
        '-'.join([_ENGLISH_TENS[tens], _ENGLISH[ones]][: 1 + bool(ones)])
      )
  return ' '.join(words)


def french(n: int) -> str:
  """Returns the name of 1 to 999,999, in the spelling before 1990.

  The plural's s of 'cents' and 'quatre-vingts' stands only at the end of the
  whole name, and one thousand is just 'mille'.
  """
  thousands, rest = divmod(n, 1000)
  words = [_french_below_1000(thousands, False)] if thousands > 1 else []
  words += ['mille'] if thousands else []
  words += [_french_below_1000(rest, True)] if rest else []
  return ' '.join(words)


def _french_below_1000(n: int, is_last: bool) -> str:
  hundreds, rest = divmod(n, 100)
  words = [_FRENCH[hundreds]] if hundreds > 1 else []
  if hundreds:
    words.append('cents' if hundreds > 1 and not rest and is_last else 'cent')
  if rest == 80 and is_last:
    words.append('quatre-vingts')
  elif rest:
    words.append(_french_below_100(rest))
  return ' '.join(words)


def _french_below_100(n: int) -> str:
  if n < 17:
    return _FRENCH[n]
  tens, ones = divmod(n, 10)
  if tens in (7, 9):  # counted on from sixty and from eighty
    tens, ones = tens - 1, ones + 10
  name = _FRENCH_TENS[tens]
  if not ones:
    return name
  if ones in (1, 11) and 2 <= tens <= 6:
    return f'{name} et {_FRENCH[ones]}'
  return f'{name}-{_french_below_100(ones)}'


_ENGLISH = (
  *('', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'),
  *('ten', 'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen', 'sixteen'),
  *('seventeen', 'eighteen', 'nineteen'),
)
_ENGLISH_TENS = (
  *('', 'ten', 'twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy'),
  *('eighty', 'ninety'),
)
_FRENCH = (
  *('', 'un', 'deux', 'trois', 'quatre', 'cinq', 'six', 'sept', 'huit', 'neuf'),
  *('dix', 'onze', 'douze', 'treize', 'quatorze', 'quinze', 'seize'),
)
_FRENCH_TENS = {
  **{1: 'dix', 2: 'vingt', 3: 'trente', 4: 'quarante', 5: 'cinquante'},
  **{6: 'soixante', 8: 'quatre-vingt'},
}
