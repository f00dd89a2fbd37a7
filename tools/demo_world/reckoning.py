"""Plots about days, numbers, order and directions."""

from . import words
from .scene import a, number


def what_day(s):
    x, y = s.people(2)
    today = s.between(0, 6)
    event = s.pick(["the fair", "the wedding", "the big race", "the concert", f"{y}'s birthday", "the feast", "market day",
                    "the school play"])
    day = words.DAYS
    shift, phrase = s.pick([(1, "tomorrow"), (2, "the day after tomorrow"), (2, "in two days"), (3, "in three days"),
                            (-1, "yesterday"), (7, "in a week")])
    then = day[(today + shift) % 7]
    out = [s.pick([f"It was {day[today]}.", f"One {day[today]}, {x} met {y} at the bridge.",
                   f"{x} looked at the calendar, and it was {day[today]}."])]
    if shift < 0:
        return out + [f"\"What a pity,\" said {y}. \"You missed {event}. It was {phrase}.\"",
                      s.pick([f"So {event} had been on {then}.", f"{x} had not known that it was on {then}."])]
    return out + [s.pick([f"\"{event[0].upper()}{event[1:]} is {phrase},\" said {y}.", f"Everybody knew that {event} was {phrase}."]),
                  s.pick([f"So {event} was on {then}.", f"{x} could hardly wait for {then}.",
                          f"{x} made a red mark in the calendar at {then}."])]


def what_month(s):
    x, y = s.people(2)
    if s.chance(0.5):
        now, shift = s.between(0, 11), s.between(1, 3)
        then = words.MONTHS[(now + shift) % 12]
        wait = ["", "a month", "two months", "three months"][shift]
        return [s.pick([f"In {words.MONTHS[now]}, {x} planted a tree.", f"It was {words.MONTHS[now]} when the ship sailed away with {x}.",
                        f"{x} wrote to {y} in {words.MONTHS[now]}."]),
                s.pick([f"\"Be patient,\" said {y}. \"It will take {wait}.\"", f"{y} had to wait {wait}."]),
                s.pick([f"And so it was done in {then}.", f"The waiting was over in {then}."])]
    now = s.between(0, 3)
    season = words.SEASONS
    signs = {"spring": "The first flowers came out.", "summer": "The days were hot and long.",
             "autumn": "The leaves turned yellow and fell.", "winter": "Deep snow lay on the roofs."}
    out = [signs[season[now]], s.pick([f"\"I like this time of year,\" said {x}.", f"{x} and {y} looked out of the window."])]
    if s.chance(0.5):
        return out + [f"It was {season[now]}."]
    if s.chance(0.5):
        return out + [f"\"Soon,\" said {y}, \"it will be {season[(now + 1) % 4]}.\""]
    return out + [f"{y} still remembered the time before, when it was {season[now - 1]}."]


def counting(s):
    x, y = s.people(2)
    what = s.pick(words.COUNTED)
    have = s.between(1, 8)
    out = [s.pick([f"{x} had {number(have, what)}.", f"In {x}'s basket there were {number(have, what)}." if have > 1
                   else f"In {x}'s basket there was one {what[0]}."])]
    for _ in range(s.between(1, 3)):
        if s.chance(0.5) and have > 1:
            n = s.between(1, min(3, have - 1))
            out.append(s.pick([f"{x.He} gave {number(n, what)} to {y}.", f"{x.He} lost {number(n, what)} on the way.",
                               f"{y} took {number(n, what)} away."]))
            have -= n
        else:
            n = s.between(1, min(3, 12 - have))
            more = f"{words.NUMBERS[n]} more {what[0 if n == 1 else 1]}"
            out.append(s.pick([f"Then {x.he} found {more}.", f"{y} gave {x.him} {number(n, what)}.",
                               f"{x.He} bought {more}."]))
            have += n
        if have >= 12:
            break
    now = words.NUMBERS[have]
    return out + [s.pick([f"{x} counted the {what[1]} again, and the answer was {now}.",
                          f"\"How many {what[1]} are there now?\" asked the teacher, and {x} said {now}.",
                          f"So the number of {what[1]} was now {now}."])]


def clock(s):
    x, y = s.people(2)
    start, hours = s.between(1, 9), s.between(1, 3)
    end = words.NUMBERS[start + hours]
    took = ["", "an hour", "two hours", "three hours"][hours]
    at = words.NUMBERS[start]
    task = s.pick(["The boat trip", "The walk to the mill", "The concert", "The climb", "The lesson", "The ride through the forest"])
    if s.chance(0.7):
        return [s.pick([f"{task} began at {at}.", f"{x} looked at the clock. {task} began at {at} sharp."]),
                s.pick([f"It took {took}.", f"\"It takes {took},\" said {y}.", f"It was long, and it lasted {took}."]),
                s.pick([f"When it was over, the clock struck {end}.", f"So {x} was free again at {end}.",
                        f"{y} waited at the gate until {end}."])]
    return [f"{x} came home at {end}.", f"{task} had taken {took}.", f"So it had begun at {at}."]


def race(s):
    """Three run; the order changes on the way."""
    row = s.people(3)
    out = [s.pick([f"{row[0]}, {row[1]} and {row[2]} ran a race.", f"On the day of the race {row[2]}, {row[0]} and {row[1]} stood ready."]),
           s.pick([f"At first {row[0]} was in front, then came {row[1]}, and {row[2]} was last.",
                   f"{row[0]} ran ahead, {row[1]} was second, and {row[2]} came last."])]
    for _ in range(s.between(0, 2)):
        i = s.between(1, 2)
        out.append(s.pick([f"Then {row[i]} passed {row[i - 1]}.", f"At the bend {row[i]} overtook {row[i - 1]}.",
                           f"At the old oak, {row[i - 1]} fell behind {row[i]}."]))
        row[i], row[i - 1] = row[i - 1], row[i]
    if s.chance(0.6):
        return out + [s.pick([f"So the winner was {row[0]}.", f"Everybody cheered for the winner, and that was {row[0]}."])]
    return out + [s.pick([f"The last one to arrive was {row[2]}.", f"The one in the middle, at the end, was {row[1]}."])]


def taller(s):
    """Two comparisons give an order of three."""
    x, y, z = s.people(3)  # x > y > z
    more, most, least = s.pick([("taller", "tallest", "shortest"), ("older", "oldest", "youngest"),
                                ("faster", "fastest", "slowest"), ("stronger", "strongest", "weakest")])
    less = {"taller": "shorter", "older": "younger", "faster": "slower", "stronger": "weaker"}[more]
    facts = [s.pick([f"{x} was {more} than {y}.", f"{y} was {less} than {x}."]),
             s.pick([f"{y} was {more} than {z}.", f"{z} was {less} than {y}."])]
    s.rng.shuffle(facts)
    names = [str(p) for p in (x, y, z)]
    s.rng.shuffle(names)
    out = [s.pick([f"{names[0]}, {names[1]} and {names[2]} were friends.",
                   f"There were three children, {names[0]}, {names[1]} and {names[2]}."])] + facts
    which, who = s.pick([(most, x), (least, z)])
    return out + [s.pick([f"So the {which} of the three was {who}.", f"If you looked for the {which}, you had to look for {who}."])]


def way(s):
    x, y = s.people(2)
    way_there = s.between(0, 3)
    names = words.DIRECTIONS
    if s.chance(0.5):
        here, there = s.sample(words.ROOMS, 2)
        go = names[way_there]
        back = names[(way_there + 2) % 4]
        return [s.pick([f"The {there} lay {go} of the {here}.", f"From the {here} to the {there} you had to walk {go}."]),
                s.pick([f"{x} and {y} had been in the {there} all day.", f"{x} sat in the {there} and was tired."]),
                f"To get back to the {here}, {x} had to walk {back}."]
    turn, step = s.pick([("right", 1), ("left", -1), ("right", 1), ("left", -1), ("all the way around", 2)])
    end = names[(way_there + step) % 4]
    verb = "turned" if step == 2 else "turned to the"
    return [s.pick([f"{x} marched {names[way_there]}.", f"The road led {names[way_there]}, and {x} followed it."]),
            s.pick([f"At the mill {x.he} {verb} {turn}.", f"\"Turn {turn}!\" called {y}, and {x} did."]),
            s.pick([f"Now {x.he} was walking {end}.", f"From there {x.he} went {end}."])]


def left_and_right(s):
    x, y = s.people(2)
    one, two = s.sample(words.THINGS, 2)
    side = s.pick(["left", "right"])
    other = "right" if side == "left" else "left"
    out = [s.pick([f"{x} held {a(one)} in one hand and {a(two)} in the other.", f"{x} had two things, {a(one)} and {a(two)}, one in each hand."]),
           f"The {one} was in {x.his} {side} hand."]
    if s.chance(0.5):
        return out + [f"\"Guess!\" said {x}. {y} wanted the {two}, so {y.he} pointed to the hand on the {other}."]
    which, thing = s.pick([(side, one), (other, two)])
    return out + [f"{y} touched the {which} hand, and {x} gave {y.him} the {thing}."]


PLOTS = [(what_day, 5), (what_month, 4), (counting, 6), (clock, 4), (race, 5), (taller, 5), (way, 5), (left_and_right, 4)]
