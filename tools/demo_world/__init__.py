"""A micro-world of little stories whose last word follows from the story.

`story(seed)` tells one: an opening, one or two plots that share their cast, sentences of mood in between, and an end.
A plot (tracking.py, reckoning.py, knowing.py) is a function of a Scene that returns sentences, and the last word of the
last sentence follows from those before it. The text up to such a word, without that word's stop, is a line of the
last-word set.
"""

import random
import zlib

from . import knowing, reckoning, tracking, words
from .scene import Scene

PLOTS = tracking.PLOTS + reckoning.PLOTS + knowing.PLOTS
_FUNCTIONS = [plot for plot, _ in PLOTS]
_WEIGHTS = [weight for _, weight in PLOTS]

# One in HELD_OUT stories, by a hash of its text up to the last word, never trains: the last-word set is drawn from those.
HELD_OUT = 64


class Story:
    def __init__(self, text, question, plot):
        self.text = text  # all of it
        self.question = question  # up to and with the last word of the last plot, as LAMBADA's lines are
        self.plot = plot
        self.held_out = zlib.crc32(question.encode()) % HELD_OUT == 0


def _opening(s):
    x = s.people(1)[0]
    season = s.pick(["spring", "summer", "autumn", "winter"])
    return s.pick([
        f"Once upon a time there was a village called {s.village}.",
        f"This is a story about {x}.",
        f"It was a cold {season} evening in {s.village}.",
        f"{x} lived in a small house in {s.village}.",
        f"One fine {season} morning {x} woke up early.",
        f"{x} was a {s.pick(['clever', 'quiet', 'brave', 'lazy', 'curious', 'cheerful'])} {'girl' if x.girl else 'boy'}.",
        f"Many years ago, in {s.village}, something funny happened.",
        f"Nobody in {s.village} knew how it had all begun.",
        f"{x} liked nothing better than a riddle.",
    ])


def story(seed):
    rng = random.Random(seed)
    s = Scene(rng)
    sentences = [_opening(s)] if s.chance(0.6) else []
    plots = rng.choices(_FUNCTIONS, _WEIGHTS, k=rng.choices((1, 2, 3), (55, 35, 10))[0])
    for i, plot in enumerate(plots):
        if i:
            sentences.append(s.pick(["But that was not all.", "Later that day something else happened.", "The next day was different.",
                                     "And there is more to tell.", "Then there was the other thing."]))
        told = plot(s)
        for j, sentence in enumerate(told):
            # Mood never splits a plot's last sentence from what it may refer to by "it".
            if 0 < j < len(told) - 1 and s.chance(0.12):
                sentences.append(s.pick(words.FILLERS))
            sentences.append(sentence)
    question = " ".join(sentences).rstrip(".!?\"")
    if s.chance(0.6):
        sentences.append(s.pick(words.MORALS))
    return Story(" ".join(sentences), question, plots[-1].__name__)
