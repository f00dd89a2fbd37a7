"""Plots about rules, words and what everybody in the micro-world knows."""

from . import words
from .scene import a, listed

RELATIONS = [  # the first person's .. is the second, the second's .. is the third; what the third is to the first
    ("mother", "mother", "grandmother"), ("mother", "father", "grandfather"), ("father", "mother", "grandmother"),
    ("father", "father", "grandfather"), ("mother", "sister", "aunt"), ("father", "sister", "aunt"),
    ("mother", "brother", "uncle"), ("father", "brother", "uncle"), ("sister", "brother", "brother"),
    ("brother", "sister", "sister"), ("sister", "mother", "mother"), ("brother", "father", "father"),
    ("aunt", "son", "cousin"), ("uncle", "daughter", "cousin"), ("son", "son", "grandson"),
    ("daughter", "daughter", "granddaughter"),
]
FEMALE = {"mother", "sister", "aunt", "daughter"}


def family(s):
    first, second, result = s.pick(RELATIONS)
    cast = s.people(6)
    x = cast[0]
    mid = [p for p in cast[1:] if p.girl == (first in FEMALE)]
    last = [p for p in cast[1:] if p.girl == (second in FEMALE) and p not in mid[:1]]
    if not mid or not last:
        return family(s)
    y, z = mid[0], last[0]
    facts = [s.pick([f"{x}'s {first} was called {y}.", f"{y} was {x}'s {first}."]),
             s.pick([f"{y}'s {second} was called {z}.", f"{z} was {y}'s {second}."])]
    s.rng.shuffle(facts)
    return [s.pick([f"{z} came to visit {x}.", f"One day {x} got a letter from {z}.", f"{x} and {z} were baking a cake."])] + facts + [
        s.pick([f"So {z} was {x}'s {result}.", f"\"Hello, {z},\" said {x}, and everybody knew that {z} was {x.his} {result}."])]


def opposites(s):
    x, y = s.people(2)
    pairs = [pair if s.chance(0.5) else pair[::-1] for pair in s.sample(words.OPPOSITES, 3)]
    style = s.between(0, 2)
    if style == 0:
        out = [s.pick([f"{x} and {y} never agreed.", f"Whatever {x} said, {y} said the opposite."])]
        out += [f"When {x} said {one}, {y} said {two}." for one, two in pairs[:2]]
        return out + [s.pick([f"{x} said {pairs[2][0]}, so of course {y} said {pairs[2][1]}.",
                              f"And so, when {x} said {pairs[2][0]}, {y} shouted {pairs[2][1]}."])]
    thing = s.thing()
    one, two = pairs[0]
    if style == 1:
        return [s.pick([f"{x} thought that the {thing} was {one}.", f"\"This {thing} is {one},\" said {x}."]),
                s.pick([f"But {x} was wrong, and it was just the opposite.", f"\"Quite the opposite,\" said {y}."]),
                s.pick([f"The {thing} was not {one} at all, it was {two}.", f"In truth the {thing} was {two}."])]
    name = s.strange_name()
    return [f"There was a wizard called {name} who could turn everything into its opposite.",
            s.pick([f"{name} waved a wand, and what was {pairs[1][0]} became {pairs[1][1]}.",
                    f"If a thing was {pairs[1][0]}, {name} made it {pairs[1][1]}."]),
            f"{x} brought {a(thing)} that was {one}.", s.pick([f"One wave of the wand, and it was {two}.",
                                                             f"{x} got it back, and it was {two}."])]


def voices(s):
    x, y = s.people(2)
    name, voice, young, home, likes = s.pick(words.ANIMALS)
    room = s.pick(words.ROOMS)
    style = s.between(0, 3)
    if style == 0:
        return [s.pick([f"{x} heard something behind the {room}.", f"It was dark in the {room}, and {x} was not alone."]),
                s.pick([f"Something {voice}.", f"There it was again, something {voice}."]),
                s.pick([f"\"Do not be afraid,\" said {y}. \"It is only the {name}.\"", f"It was nothing but {a(name)}."])]
    if style == 1:
        return [s.pick([f"{x} found {a(young)} in the {room}.", f"A little {young} sat in the {room}, all alone."]),
                s.pick([f"\"It wants its mother,\" said {y}.", "It cried for its mother."]),
                s.pick([f"So they looked for the big {name}.", f"In the evening its mother came, a beautiful {name}."])]
    if style == 2:
        return [s.pick([f"{x} had found {a(name)} in the {room}.", f"A lost {name} stood in the {room}."]),
                s.pick([f"\"It must go home,\" said {y}.", f"\"Where does it live?\" asked {y}."]),
                s.pick([f"So {x} carried it back to its {home}.", f"They brought it home to its {home}."])]
    return [s.pick([f"{x}'s {name} was hungry.", f"{x} had {a(name)} that would not eat."]),
            s.pick([f"{y} tried many things.", f"\"I know what it likes,\" said {y}."]),
            s.pick([f"Every {name} loves {likes}.", f"So {y} brought it some {likes}."])]


def trade_of(s):
    x, y = s.people(2)
    (job, makes), (job2, makes2) = s.sample(words.JOBS, 2)
    style = s.between(0, 3)
    if style == 0:
        return [s.pick([f"{x}'s father was a {job}.", f"{x} lived with {x.his} uncle, who was a {job}."]),
                s.pick(["He was known far and wide.", "He worked from morning till night.", "He was proud of his work."]),
                f"So {x}'s house was always full of {makes}."]
    out = [s.pick([f"{x} was a {job}, and {y} was a {job2}.", f"{x} worked as a {job} and {y} as a {job2}."])]
    if style == 1:
        who, what = s.pick([(x, makes), (y, makes2)])
        return out + [f"Their neighbour needed {what}.", s.pick([f"So the neighbour went to {who}.", f"The one who could help was {who}."])]
    if style == 2:
        who, what = s.pick([(x, makes), (y, makes2)])
        return out + [s.pick(["They often gave each other presents.", "At the market they stood side by side."]),
                      s.pick([f"What {who} brought was always {what}.", f"On {who}'s table there lay {what}."])]
    who, their = s.pick([(x, job), (y, job2)])
    return out + [s.pick(["They were the best of friends.", "They lived in the same street."]),
                  f"Whenever people spoke of {who}, they said that there was no better {their}."]


def thief(s):
    """Who did it? All but one have been somewhere else, or the clue fits one."""
    x, y, z = s.people(3)
    thing = s.thing()
    cast = [x, y, z]
    guilty = s.pick(cast)
    others = [p for p in cast if p is not guilty]
    out = [s.pick([f"Somebody had taken the {thing}, and it was {x}, {y} or {z}.",
                   f"The {thing} was gone. There were only {x}, {y} and {z} in the house."])]
    if s.chance(0.5):
        rooms = s.sample(words.ROOMS, 2)
        s.rng.shuffle(others)
        out += [s.pick([f"But {p} had been in the {room} all day.", f"{p} had slept in the {room}, so it was not {p.him}."])
                for p, room in zip(others, rooms)]
    else:
        colours = s.sample(words.COLOURS, 3)
        wear = s.pick(["hat", "coat", "scarf", "cap"])
        facts = [f"{p} wore {a(c)} {wear}." for p, c in zip(cast, colours)]
        s.rng.shuffle(facts)
        out += facts + [s.pick([f"The thief had lost {a(colours[cast.index(guilty)])} {wear}.",
                                f"A boy had seen the thief, in {a(colours[cast.index(guilty)])} {wear}."])]
    return out + [s.pick([f"So the thief was {guilty}.", f"\"I am sorry,\" said a small voice, and it was the voice of {guilty}.",
                          f"Then everybody looked at {guilty}."])]


def rule(s):
    """In this place a colour, or a sign, means something; the story says what."""
    x, y = s.people(2)
    colours, deeds = s.sample(words.COLOURS, 2), s.sample(words.DEEDS, 2)
    if s.chance(0.5):
        wear = s.pick(["hat", "coat", "scarf", "pair of gloves"])
        out = [f"There was a strange law in {s.village}."]
        out += [f"Whoever wore {a(c)} {wear} had to {d}." for c, d in zip(colours, deeds)]
        i = s.between(0, 1)
        return out + [s.pick([f"{x} came along in {a(colours[i])} {wear}.", f"{x} knew nothing of that and put on {a(colours[i])} {wear}."]),
                      s.pick([f"So {x} had to {deeds[i]}.", f"\"You know the law,\" said {y}, and {x} began to {deeds[i]}."])]
    signs, outcomes = s.sample(words.SIGNS, 2), s.sample(words.OUTCOMES, 2)
    i = s.between(0, 1)
    out = [s.pick([f"{x}'s grandmother knew all the signs.", f"In {s.village} people knew the signs."])]
    out += [f"When {sign}, there would be {outcome}." for sign, outcome in zip(signs, outcomes)]
    return out + [s.pick([f"That evening {signs[i]}.", f"Then, one night, {signs[i]}."]),
                  s.pick([f"And really, the next day there was {outcomes[i]}.", f"\"Tomorrow,\" said {x}, \"we shall have {outcomes[i]}.\""])]


def liar(s):
    x, y = s.people(2)
    thing = s.thing()
    one, two = s.sample(words.HIDEOUTS, 2)
    lies = s.chance(0.6)
    out = [s.pick([f"{x} always lied.", f"{x} never told the truth."]) if lies else
           s.pick([f"{x} always told the truth.", f"{x} never lied."]),
           s.pick([f"{y} wanted the {thing}. It was in the {one} or in the {two}.", f"The {thing} was in the {one} or in the {two}, but {y} did not know where."])]
    said = s.pick([one, two])
    unsaid = two if said == one else one
    return out + [s.pick([f"\"It is in the {said},\" said {x}.", f"{x} said that it was in the {said}."]),
                  s.pick([f"So {y} looked in the {unsaid if lies else said}.", f"{y} knew {x} well and went straight to the {unsaid if lies else said}."])]


def recipe(s):
    x, y = s.people(2)
    dish = s.pick(words.DISHES)
    need = s.sample(words.INGREDIENTS, 3)
    missing = s.between(0, 2)
    have = [n for i, n in enumerate(need) if i != missing]
    s.rng.shuffle(have)
    return [s.pick([f"{x} and {y} wanted to make {a(dish)}.", f"\"Let us make {a(dish)},\" said {x}."]),
            s.pick([f"For the {dish} they needed {listed(need)}.", f"In it there had to be {listed(need)}."]),
            s.pick([f"In the kitchen they found {listed(have)}.", f"{y} came back with {listed(have)}.", f"They already had {listed(have)}."]),
            s.pick([f"So {x} ran to the shop to buy {need[missing]}.", f"\"But,\" said {y}, \"we still need {need[missing]}.\""])]


def password(s):
    x, y = s.people(2)
    word, wrong = s.sample(words.PASSWORDS, 2)
    out = [s.pick([f"The password was \"{word}\".", f"\"Remember,\" whispered {y}, \"the password is {word}.\"",
                   f"Only those who knew the word {word} were let in."])]
    if s.chance(0.5):
        out.append(f"{y} tried {wrong}, but the gate stayed closed.")
    return out + [s.pick([f"{x} came to the gate in the middle of the night.", f"\"What is the password?\" asked a deep voice."]),
                  s.pick([f"The gate opened when {x} said {word}.", f"{x} thought for a moment and whispered {word}."])]


def stranger(s):
    """Somebody with a name that no list holds."""
    x, y = s.people(2)
    name, kind = s.strange_name(), s.pick(words.CREATURES)
    trait = s.pick(["who lived under the bridge", "with one green eye", "who was afraid of mice", "who could not swim",
                    "with a very long beard", "who loved pancakes", "who lost everything"])
    out = [s.pick([f"Near {s.village} there lived a {kind} called {name}, {trait}.",
                   f"{x} once met a {kind} {trait}, and the {kind}'s name was {name}."])]
    if s.chance(0.35):
        place = s.village
        return [f"{x} came from {place}.", out[0].replace(f"Near {place} there lived", f"One day {x} met"),
                s.pick([f"\"Where is your home?\" asked the {kind}.", f"The {kind} wanted to see where {x} lived."]),
                s.pick([f"So they travelled together to {place}.", f"\"My home,\" said {x}, \"is {place}.\""])]
    if s.chance(0.5):
        out.append(s.pick([f"Nobody was afraid of the {kind}.", f"Everybody laughed about the {kind}."]))
    return out + [s.pick([f"\"Who are you?\" asked {y}, and the {kind} said: \"I am {name}.\"",
                          f"\"Help!\" cried {y}, \"where are you, {name}?\"",
                          f"{y} wanted to know the {kind}'s name, and {x} told {y.him} that it was {name}."])]


def promise(s):
    x, y = s.people(2)
    gift = s.pick(words.THINGS + words.PETS)
    food = s.pick(words.FOODS)
    if s.chance(0.6):
        return [s.pick([f"\"If you help me, you will get {a(gift)},\" said {x} to {y}.", f"{x} had promised {y} {a(gift)}."]),
                s.pick([f"{y} worked hard and ate nothing but {food}.", f"{y} waited, and there was {food} for supper."]),
                s.pick([f"And because a promise is a promise, {x} gave {y.him} the {gift}.", f"In the end {x} kept {x.his} word, and {y} got the {gift}."])]
    foods = s.sample(words.FOODS, 2)
    return [f"{x} loved {foods[0]}, and {y} loved {foods[1]}.",
            s.pick(["Their aunt knew that well.", "Every child in the village knew that."]),
            s.pick([f"So on {x}'s birthday they all ate {foods[0]}.", f"So when {y} came to visit, they always ate {foods[1]}."])]


def does_not_fit(s):
    x, y = s.people(2)
    thing, box = s.thing(), s.pick(words.HIDEOUTS)
    why, opposite, which, other = s.pick([("big", "small", thing, box), ("small", "big", box, thing)])
    out = [s.pick([f"{x} tried to put the {thing} into the {box}, but it did not fit.", f"The {thing} did not fit into the {box}."])]
    if s.chance(0.5):
        out.append(s.pick([f"{y} pushed and pulled.", f"\"Try again,\" said {y}."]))
    style = s.between(0, 2)
    if style == 0:
        return out + [f"The {which} was much too {why}."]
    if style == 1:
        return out + [f"{x} said: \"If only the {which} were not so {why}!\""]
    return out + [f"\"It is too {why},\" said {y}, and they looked for another {which}."]


PLOTS = [(family, 5), (opposites, 5), (voices, 6), (trade_of, 5), (thief, 6), (rule, 6), (liar, 4), (recipe, 5), (password, 4),
         (stranger, 5), (promise, 4), (does_not_fit, 2)]
