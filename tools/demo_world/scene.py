"""A scene: the random source of one story, its cast, and small helps to say things in different ways."""

from dataclasses import dataclass

from . import words


@dataclass(frozen=True)
class Person:
    name: str
    girl: bool

    def __str__(self):
        return self.name

    @property
    def he(self):
        return "she" if self.girl else "he"

    @property
    def He(self):  # pylint: disable=invalid-name
        return "She" if self.girl else "He"

    @property
    def him(self):
        return "her" if self.girl else "him"

    @property
    def his(self):
        return "her" if self.girl else "his"


def a(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def listed(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def number(value, singular_plural):
    return f"{words.NUMBERS[value]} {singular_plural[0 if value == 1 else 1]}"


class Scene:
    """One story in the making. `cast` grows as people enter; a later part of the story meets the same people first."""

    def __init__(self, rng):
        self.rng = rng
        self.pick = rng.choice
        self.sample = rng.sample
        self.chance = lambda p: rng.random() < p
        self.cast = []
        self.village = rng.choice(words.VILLAGE_HEADS) + rng.choice(words.VILLAGE_TAILS)

    def people(self, count):
        """`count` people in random order, those already in the story first."""
        while len(self.cast) < count:
            girl = self.chance(0.5)
            name = self.pick(words.GIRLS if girl else words.BOYS)
            if all(person.name != name for person in self.cast):
                self.cast.append(Person(name, girl))
        chosen = self.cast[:count]
        self.rng.shuffle(chosen)
        return chosen

    def strange_name(self):
        pick = self.pick
        middle = pick(words.CREATURE_MIDDLES) if self.chance(0.7) else ""
        return pick(words.CREATURE_HEADS) + middle + pick(words.CREATURE_TAILS)

    def thing(self):
        return self.pick(words.THINGS)

    def between(self, low, high):
        return self.rng.randint(low, high)
