"""Plots about where things are and who has them: the last word follows from one move or from several."""

from . import words
from .scene import a, listed


def hidden_thing(s):
    """A thing is put somewhere, perhaps moved behind its owner's back; she looks where she believes it to be."""
    x, y = s.people(2)
    colour, thing = s.pick(words.COLOURS), s.thing()
    first, second, other = s.sample(words.ROOMS, 3)
    out = [s.pick([f"{x} left {x.his} {colour} {thing} in the {first}.",
                   f"{x} had {a(colour)} {thing}, and {x.he} kept it in the {first}.",
                   f"In the {first}, {x} put down {x.his} {colour} {thing}.",
                   f"{x} hid {a(colour)} {thing} in the {first}."]),
           s.pick([f"Then {x.he} went to the {other} to play.", f"Then {x.he} had some tea in the {other}.",
                   f"After that {x.he} helped {x.his} father in the {other}.", f"Then {x.he} fell asleep in the {other}."])]
    moved = s.chance(0.6)
    if moved:
        out.append(s.pick([f"While {x.he} was away, {y} carried the {thing} to the {second}.",
                           f"{y} found the {thing} and took it to the {second}, and {x} saw nothing of it.",
                           f"Then {y} came along and moved the {thing} to the {second}."]))
    else:
        out.append(s.pick([f"{y} spent the whole day in the {second} and touched nothing.",
                           f"{y} looked for {x} in the {second}.", f"Meanwhile {y} was singing in the {second}."]))
    believes = moved and s.chance(0.5)
    if believes:
        out.append(s.pick([f"{x} knew nothing about that, so when {x.he} wanted the {thing}, {x.he} went to the {first}.",
                           f"When {x} wanted to have the {thing} back, {x.he} looked for it where {x.he} had left it, in the {first}."]))
        if s.chance(0.5):
            out += [s.pick(["It was not there.", "There was nothing there but dust.", "It was gone."]),
                    s.pick([f"\"I am sorry,\" said {y}. \"It is in the {second}.\"",
                            f"At last {x.he} found it in the {second}."])]
        return out
    where = second if moved else first
    return out + [s.pick([f"If you want to see the {colour} {thing} now, you must go to the {where}.",
                          f"\"Where is the {thing}?\" asked the grandmother, and {y} said it was in the {where}.",
                          f"So to this day the {colour} {thing} lies in the {where}.",
                          f"In the evening {y} went to fetch the {thing} from the {where}."])]


def chain_of_hands(s):
    """A thing goes from hand to hand."""
    x, y, z = s.people(3)
    colour, thing = s.pick(words.COLOURS), s.thing()
    out = [s.pick([f"{x} had {a(colour)} {thing}.", f"{x} found {a(colour)} {thing} by the road.",
                   f"For {x.his} birthday {x} got {a(colour)} {thing}."])]
    holder = x
    hands = s.between(1, 3)
    for _ in range(hands):
        to = s.pick([p for p in (x, y, z) if p is not holder])
        out.append(s.pick([f"{holder} gave the {thing} to {to}.", f"{to} asked for it, and {holder} gave it to {to.him}.",
                           f"Then {holder} lent it to {to}.", f"{to} wanted it so much that {holder} handed it over."]))
        holder = to
    rest = [p for p in (x, y, z) if p is not holder]
    if s.chance(0.4):
        out.append(f"{s.pick(rest)} was not sad about it.")
    return out + [s.pick([f"If you need the {thing}, you must ask {holder}.", f"So the {thing} now belongs to {holder}.",
                          f"\"Who has the {thing}?\" asked the teacher, and everybody pointed at {holder}.",
                          f"In the end the {colour} {thing} stayed with {holder}."])]


def swapped_colours(s):
    """Two people with the same thing in two colours swap, once or twice or not at all."""
    x, y = s.people(2)
    thing = s.thing()
    one, two = s.sample(words.COLOURS, 2)
    out = [s.pick([f"{x} had {a(one)} {thing}, and {y} had {a(two)} one.",
                   f"{x}'s {thing} was {one} and {y}'s {thing} was {two}."])]
    swaps = s.between(0, 2)
    if swaps == 0:
        out.append(s.pick([f"They thought about swapping, but in the end each kept the old one.",
                           "They never swapped."]))
    else:
        out.append(s.pick(["One day they swapped.", f"{x} liked the other one better, so they swapped.",
                           f"\"Let us swap,\" said {y}, and they did."]))
        if swaps == 2:
            out.append(s.pick(["A week later they swapped back.", "But soon they were sorry and swapped back again."]))
    who, has = s.pick([(x, two if swaps == 1 else one), (y, one if swaps == 1 else two)])
    return out + [s.pick([f"So the {thing} that {who} has now is {has}.",
                          f"From then on, the {thing} in {who}'s hand was always {has}.",
                          f"And if you ask which {thing} is {who}'s, it is the one that is {has}."])]


def boxes_in_boxes(s):
    """A thing is in a box, the box in a trunk, the trunk in a room."""
    x, y = s.people(2)
    thing = s.thing()
    small, large = s.sample(words.HIDEOUTS, 2)
    room, other = s.sample(words.ROOMS, 2)
    facts = [f"The {thing} was in the {small}.", f"The {small} stood in the {large}.", f"The {large} was in the {room}."]
    if s.chance(0.5):
        s.rng.shuffle(facts)
    out = [s.pick([f"{x} wanted the {thing}.", f"{x} was looking for the {thing}.",
                   f"{y} had put the {thing} away, and {x} needed it."])] + facts
    if s.chance(0.5):
        out.append(f"There was nothing in the {other}.")
    asked = s.pick([f"So {x} had to go to the {room}.", f"That is why {x} ran to the {room}.",
                    f"\"Then,\" said {y}, \"you will find it in the {room}.\""])
    if s.chance(0.35):
        asked = s.pick([f"{x} opened the {large} and took out the {small}.",
                        f"{x} looked into the {small} and there was the {thing}."])
    return out + [asked]


def trades(s):
    """One thing is traded for another, and that for a third."""
    x, y = s.people(2)
    have = s.sample(words.THINGS + words.PETS, s.between(3, 5))
    out = [s.pick([f"{x} went to the market with {a(have[0])}.", f"One morning {x} set out with nothing but {a(have[0])}."])]
    traders = ["a farmer", "an old woman", "a sailor", "a soldier", f"{y}", "a stranger", "the miller"]
    s.rng.shuffle(traders)
    for old, new, trader in zip(have, have[1:], traders):
        out.append(s.pick([f"{x.He} met {trader} and traded the {old} for {a(new)}.",
                           f"{trader[0].upper()}{trader[1:]} wanted the {old} and gave {x.him} {a(new)} for it.",
                           f"Then {x.he} swapped the {old} for {a(new)}."]))
    return out + [s.pick([f"In the evening {x} came home with {a(have[-1])}.",
                          f"So in the end all that {x} had was {a(have[-1])}.",
                          f"\"What have you got there?\" asked {x.his} mother, and {x} showed her {a(have[-1])}."])]


def behind_doors(s):
    """Doors of several colours hide several things."""
    x, y = s.people(2)
    colours, things = s.sample(words.COLOURS, 3), s.sample(words.TREASURES, 3)
    name = s.village
    out = [s.pick([f"In the old house at {name} there were three doors.",
                   f"{x} and {y} stood before three doors."])]
    out += [s.pick([f"Behind the {c} door there was a room full of {t}.", f"The {c} door hid a heap of {t}.",
                    f"The {c} door led to {t}."]) for c, t in zip(colours, things)]
    i = s.between(0, 2)
    if s.chance(0.6):
        return out + [s.pick([f"{x} opened the {colours[i]} door and saw nothing but {things[i]}.",
                              f"{y} chose the {colours[i]} door, and out came {things[i]}.",
                              f"When the {colours[i]} door fell open, the floor was covered with {things[i]}."])]
    return out + [s.pick([f"{x} loved {things[i]}, so {x.he} chose the door that was {colours[i]}.",
                          f"{x} came back with both hands full of {things[i]}, so the door {x.he} had opened was {colours[i]}."])]


def queue(s):
    """People stand in a row, and some leave."""
    row = s.people(4)
    out = [s.pick([f"In front of the bakery stood {listed([str(p) for p in row])}, in this order.",
                   f"First in the queue was {row[0]}, then came {row[1]}, then {row[2]}, and last of all {row[3]}."])]
    gone = s.between(0, 3)
    left = row[:gone] + row[gone + 1:]
    out.append(s.pick([f"{row[gone]} grew tired of waiting and went home.", f"Then {row[gone]} had to leave.",
                       f"{row[gone]} had forgotten the money and ran home."]))
    which = s.between(0, 3)
    if which == 0:
        return out + [f"Now the first in the queue was {left[0]}."]
    if which == 1:
        return out + [f"Now the last in the queue was {left[2]}."]
    at = s.between(0, 1)
    if which == 2:
        return out + [f"Now the one right behind {left[at]} was {left[at + 1]}."]
    return out + [f"Now the one right in front of {left[at + 1]} was {left[at]}."]


def tool_and_place(s):
    """A task needs a tool, and the tool has its place."""
    x, y = s.people(2)
    (task, tool), (_, other) = s.sample(words.TASKS, 2)
    while other == tool:
        _, other = s.pick(words.TASKS)
    here, there = s.sample(words.ROOMS, 2)

    def keeps(what, where):
        verb = "were" if what in ("scissors", "matches", "oars") else "was"
        return s.pick([f"The {what} {verb} in the {where}.", f"In the {where} there {verb} {what if verb == 'were' else a(what)}."])

    facts = [keeps(tool, here), keeps(other, there)]
    s.rng.shuffle(facts)
    want = s.pick([f"{x} wanted to {task}.", f"\"Today I will {task},\" said {x}.", f"{y} asked {x} to {task}."])
    if s.chance(0.5):
        return [want] + facts + [s.pick([f"So {x} went to the {here}.", f"So {x.he} got what {x.he} needed from the {here}."])]
    if s.chance(0.5):
        return facts + [want, s.pick([f"So {x} went to the {here}.", f"{y} told {x.him} to look in the {here}."])]
    end = s.pick([f"To do that, {x.he} took the {tool}.", f"\"For that,\" said {y}, \"you need the {tool}.\""])
    return facts + [want, end]


PLOTS = [(hidden_thing, 9), (chain_of_hands, 5), (swapped_colours, 4), (boxes_in_boxes, 5), (trades, 5),
         (behind_doors, 6), (queue, 4), (tool_and_place, 6)]
