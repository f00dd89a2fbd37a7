"""The vocabulary of the micro-world: who and what there is, and the few facts that hold in every story."""

GIRLS = """Mia Anna Lena Nora Clara Ida Ruth Ella Zoe Maya Rosa Vera Greta Lucy Alice Hanna Olga Tilda Wanda Kira Emma
Judith Paula Sofia Iris Nina Flora Dora Molly Ruby""".split()
BOYS = """Tom Ben Carl Max Leo Finn Oscar Hugo Paul Jack Emil Otto Sam Noah Luke Anton Felix Ravi Omar Pedro Ivan
David Simon Martin Walter Peter Kurt Jonas Theo Arthur""".split()

# Names that no list holds: a village or a creature is put together from parts, so that the last word of a story can be
# a word of several tokens that the model can only have from the story itself.
VILLAGE_HEADS = "Tarro Bel Wim Oak Fenny Mar Lunder Dor Kes Hollo Brin Stone Ash Pim Quill Thorn Wen Elder".split()
VILLAGE_TAILS = "wick ford ham dale brook mere stead combe ton bury water field".split()
CREATURE_HEADS = "Zor Mel Bru Ti Kra Fum Lo Ska Vel Gri No Pum Ra Swi Dro Hex Jin Mo".split()
CREATURE_MIDDLES = ["i", "a", "o", "u", "el", "an"]
CREATURE_TAILS = "mel rix bus lina dor nox pip tana zzle gart bert quin".split()
CREATURES = "dragon giant goblin wizard ghost unicorn troll robot pirate mermaid gnome witch".split()

THINGS = """kite lantern drum whistle compass marble ring coin bell doll ball book map key spoon cup candle feather shell
scarf umbrella flute violin hammer rope teapot mirror clock comb button necklace crown telescope puppet notebook pencil
brush hat cap bottle blanket pillow stamp letter postcard magnet kettle pan ladle fan medal badge trumpet guitar sled
bracelet diary saddle anchor wheel helmet shield sword arrow""".split()
TREASURES = """gold silver pearls diamonds rubies letters cheese honey spiders dust bones feathers pancakes snow smoke
toys books candles mice shoes""".split()
COLOURS = "red blue green yellow white black purple orange brown pink silver golden grey".split()

ROOMS = """attic cellar barn shed kitchen garden tower mill stable library bakery church school cave forest orchard
harbour lighthouse market castle greenhouse pantry chapel cottage boathouse workshop museum theatre bathroom
hallway""".split()
HIDEOUTS = """box chest drawer basket trunk cupboard jar bag sack pot bucket suitcase barrel crate vase pocket boot oven
wardrobe bathtub piano""".split()

# name, what it does with its voice, its young, its home, what it likes best
ANIMALS = [
    ("dog", "barked", "puppy", "kennel", "bones"),
    ("cat", "meowed", "kitten", "basket", "fish"),
    ("cow", "mooed", "calf", "pasture", "grass"),
    ("sheep", "bleated", "lamb", "meadow", "clover"),
    ("horse", "neighed", "foal", "stable", "oats"),
    ("pig", "grunted", "piglet", "sty", "potatoes"),
    ("duck", "quacked", "duckling", "pond", "weeds"),
    ("hen", "clucked", "chick", "coop", "corn"),
    ("owl", "hooted", "owlet", "hollow", "mice"),
    ("bear", "growled", "cub", "den", "honey"),
    ("frog", "croaked", "tadpole", "swamp", "flies"),
    ("goose", "honked", "gosling", "lake", "seeds"),
    ("bee", "buzzed", "grub", "hive", "flowers"),
    ("mouse", "squeaked", "pup", "hole", "cheese"),
    ("crow", "cawed", "nestling", "nest", "cherries"),
]
PETS = "dog cat hen goat pony rabbit parrot hamster turtle donkey goose ferret lizard pigeon crab fox mole snail".split()

# what has to be done, the tool for it
TASKS = [
    ("dig a hole", "spade"), ("sweep the floor", "broom"), ("cut the paper", "scissors"), ("climb onto the roof", "ladder"),
    ("sew on a button", "needle"), ("drive in a nail", "hammer"), ("saw the plank", "saw"), ("paint the fence", "brush"),
    ("light the fire", "matches"), ("catch a fish", "net"), ("row across the lake", "oars"), ("tie up the boat", "rope"),
    ("open the locked door", "key"), ("see in the dark", "lamp"), ("write a letter", "pen"), ("chop the wood", "axe"),
    ("water the roses", "hose"), ("carry the apples", "basket"), ("tell the time", "clock"), ("boil the water", "kettle"),
    ("look at the stars", "telescope"), ("stay dry in the rain", "umbrella"), ("wash the car", "sponge"),
    ("measure the table", "ruler"), ("rake the leaves", "rake"),
]

# a trade, what it makes or brings, what someone who needs it says
JOBS = [
    ("baker", "bread"), ("tailor", "coats"), ("shoemaker", "boots"), ("fisherman", "fish"), ("farmer", "potatoes"),
    ("carpenter", "tables"), ("potter", "bowls"), ("smith", "horseshoes"), ("painter", "pictures"), ("beekeeper", "honey"),
    ("gardener", "flowers"), ("cook", "soup"), ("writer", "stories"), ("musician", "songs"), ("clockmaker", "clocks"),
    ("weaver", "carpets"), ("shepherd", "wool"), ("miller", "flour"), ("postman", "letters"), ("butcher", "sausages"),
    ("candlemaker", "candles"), ("teacher", "lessons"),
]

OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("old", "new"), ("wet", "dry"), ("loud", "quiet"), ("fast", "slow"),
    ("heavy", "light"), ("full", "empty"), ("open", "closed"), ("sweet", "sour"), ("soft", "hard"), ("dark", "bright"),
    ("clean", "dirty"), ("high", "low"), ("long", "short"), ("rich", "poor"), ("happy", "sad"), ("brave", "afraid"),
    ("early", "late"), ("young", "aged"), ("thick", "thin"), ("rough", "smooth"), ("sharp", "blunt"),
    ("deep", "shallow"), ("wide", "narrow"), ("asleep", "awake"), ("right", "wrong"), ("strong", "weak"),
]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November December""".split()
SEASONS = ["spring", "summer", "autumn", "winter"]
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
ORDINALS = "first second third fourth fifth".split()
DIRECTIONS = ["north", "east", "south", "west"]  # clockwise

# one, many: things that are counted
COUNTED = [(w, w + "s") for w in "apple pear plum nut button coin shell egg marble stamp cake pancake carrot lemon "
           "cookie sweet feather pebble ticket balloon".split()] + [("cherry", "cherries"), ("penny", "pennies")]

INGREDIENTS = """flour sugar butter milk eggs salt honey apples carrots onions potatoes pepper cheese beans rice garlic
cinnamon mushrooms parsley lemons nuts raisins cream leeks""".split()
DISHES = ["soup", "cake", "stew", "pie", "salad", "bread", "pudding", "sauce", "omelette"]
FOODS = """bread cheese soup cake honey fish rice porridge jam pudding pancakes noodles potatoes apples cherries
mushrooms cookies sausages carrots plums""".split()
PASSWORDS = """pumpkin thunder butterfly cucumber moonlight elephant pickle rainbow banana dragonfly chimney waffle
hedgehog snowflake trumpet pepper umbrella marmalade octopus tomato""".split()
DEEDS = """dance sing jump whistle bow laugh swim knit juggle whisper run march clap hop yawn bake
kneel pray shout""".split()
SIGNS = ["the frogs croaked", "the swallows flew low", "the old dog sneezed", "the moon was red", "the ants were busy",
         "the cat washed its ears", "the bell rang by itself", "the smoke went straight up", "the geese flew south",
         "the owls were silent", "the well hummed", "the spiders hid"]
OUTCOMES = ["rain", "snow", "sunshine", "fog", "wind", "thunder", "frost", "hail", "visitors", "music", "trouble", "luck"]

FILLERS = """The wind was cold that day.
A door creaked somewhere.
The sky was full of little clouds.
Far away a bell rang.
The grass smelled sweet.
Nobody said a word.
It was very quiet.
A feather floated down from the sky.
The old floor creaked.
Outside, the leaves were dancing.
The clock ticked and ticked.
A warm light fell through the window.
Dust danced in the sunlight.
The stars came out one by one.
There was a smell of fresh paint.
A fly sat on the window and thought.
Somewhere a baby laughed.
The afternoon was long.
The kettle began to sing.
It was the sort of day when things happen.
The shadows grew longer.
Rain tapped on the roof.
The moon looked on.
A train whistled in the distance.
Time passed slowly.
The church clock was wrong, as always.
The river murmured.
All the windows were open.""".split("\n")

MORALS = """They laughed until the moon came up.
And that was that.
After that, there was cake for everyone.
It was a day that nobody forgot.
Then they all went home for supper.
The whole village talked about it for weeks.
Even the moon seemed to smile.
It made a very good story.
That night everybody slept well.
And if they have not stopped, they are laughing still.
The next day it was all forgotten.
Nobody was surprised, except the parrot.
So everything ended well.
It was the best day of the year.
There was nothing more to say.
Then it was time for bed.
Some things are as simple as that.""".split("\n")
