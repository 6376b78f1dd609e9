"""Things that DDL changes while clients query them by prepared statements.

A thing goes from version to version, and what it is in each is known exactly. A
client notes the version that was done before it asked and the one that was begun
when the answer came: the answer must be that of one of those. So an answer of a
plan that is out of date is found out, and so is an error without a reason.
"""

import random

import server

CLIENTS = 30
# Clients go through all texts so often, and on until every thing has changed so
# often, but never more than so often.
ROUNDS = 3
VERSIONS = 15
MOST_ROUNDS = 100
# An error that is allowed must end: by then the query must have had an answer.
TRIES = 100


class Thing:
    """What stays as it is, and what the others are made of."""

    texts = 4
    source = ""

    def __init__(self):
        self.begun = self.done = 0

    def made(self):
        """Makes version 0."""
        return []

    def step(self, k):
        """Leads from version k - 1 to k, in one transaction."""
        raise NotImplementedError

    def columns(self, k):
        """The columns of version k, or None while there is no such thing."""
        raise NotImplementedError

    def type_of(self, k):
        """Two versions of the same type have the same columns of the same types."""
        columns = self.columns(k)
        return columns and [(name, type(value)) for name, value in columns.items()]

    def versions(self, since):
        return range(since, self.begun + 1)


class Still(Thing):
    """Nothing that changes: no error is allowed here."""

    texts = 6

    def __init__(self, count):
        super().__init__()
        self.source = "".join(f", 'c{i}' AS c{i}" for i in range(count))
        self.count = count

    def columns(self, _):
        return {f"c{i}": f"c{i}" for i in range(self.count)}


class Wide(Thing):
    """ADD COLUMN and DROP COLUMN under a `*`."""

    source = ", t.* FROM ddl_wide t"

    def made(self):
        return ["DROP TABLE IF EXISTS ddl_wide", "CREATE TABLE ddl_wide AS SELECT 0 AS version"]

    def step(self, k):
        change = f"ADD COLUMN c{k} text DEFAULT 'c{k}'" if k % 2 else f"DROP COLUMN c{k - 1}"
        return [f"ALTER TABLE ddl_wide {change}", f"UPDATE ddl_wide SET version = {k}"]

    def columns(self, k):
        return {"version": k, **({f"c{k}": f"c{k}"} if k % 2 else {})}


class Typed(Thing):
    """ALTER COLUMN TYPE: names and number of the columns stay."""

    source = ", version, v FROM ddl_typed"

    def made(self):
        return ["DROP TABLE IF EXISTS ddl_typed", "CREATE TABLE ddl_typed AS SELECT 0 AS version, 0 AS v"]

    def step(self, k):
        change = f"TYPE text USING '{k}'" if k % 2 else f"TYPE int USING {k}"
        return [f"ALTER TABLE ddl_typed ALTER COLUMN v {change}, ALTER COLUMN version TYPE int USING {k}"]

    def columns(self, k):
        return {"version": k, "v": str(k) if k % 2 else k}


class Gone(Thing):
    """DROP TABLE, and CREATE TABLE with other columns after a while."""

    source = ", t.* FROM ddl_gone t"

    def made(self):
        return ["DROP TABLE IF EXISTS ddl_gone", *self.step(0)]

    def step(self, k):
        columns = self.columns(k)
        if columns is None:
            return ["DROP TABLE ddl_gone"]
        return ["CREATE TABLE ddl_gone AS SELECT " + ", ".join(f"{v!r} AS {name}" for name, v in columns.items())]

    def columns(self, k):
        if k % 2:
            return None
        return {"version": k} if k % 4 else {"said": f"v{k}", "version": k}


class Looks(Thing):
    """CREATE OR REPLACE VIEW with one column more, DROP and CREATE VIEW with one less."""

    source = ", t.* FROM ddl_looks t"

    def made(self):
        return ["DROP VIEW IF EXISTS ddl_looks", "CREATE VIEW ddl_looks AS SELECT 0 AS version"]

    def step(self, k):
        if k % 2:
            return [f"CREATE OR REPLACE VIEW ddl_looks AS SELECT {k} AS version, 'v{k}'::text AS said"]
        return ["DROP VIEW ddl_looks", f"CREATE VIEW ddl_looks AS SELECT {k} AS version"]

    def columns(self, k):
        return {"version": k, **({"said": f"v{k}"} if k % 2 else {})}


class Steady(Thing):
    """CREATE OR REPLACE VIEW with the same columns: new values and never an error."""

    source = ", t.* FROM ddl_steady t"

    def made(self):
        return ["DROP VIEW IF EXISTS ddl_steady", *self.step(0)]

    def step(self, k):
        return [f"CREATE OR REPLACE VIEW ddl_steady AS SELECT {k} AS version"]

    def columns(self, k):
        return {"version": k}


class Painted(Thing):
    """DROP TYPE and CREATE TYPE: the driver has to ask about each anew."""

    source = ", version, hue FROM ddl_painted"

    def made(self):
        return [
            "DROP TABLE IF EXISTS ddl_painted",
            "DROP TYPE IF EXISTS ddl_hue",
            "CREATE TYPE ddl_hue AS ENUM ('v0')",
            "CREATE TABLE ddl_painted AS SELECT 0 AS version, 'v0'::ddl_hue AS hue",
        ]

    def step(self, k):
        return [
            "ALTER TABLE ddl_painted DROP COLUMN hue",
            "DROP TYPE ddl_hue",
            f"CREATE TYPE ddl_hue AS ENUM ('other', 'v{k}')",
            f"ALTER TABLE ddl_painted ADD COLUMN hue ddl_hue DEFAULT 'v{k}'",
            f"UPDATE ddl_painted SET version = {k}",
        ]

    def columns(self, k):
        return {"version": k, "hue": f"v{k}"}

    def type_of(self, k):
        return k


class Indexed(Thing):
    """CREATE INDEX and DROP INDEX: other plans, the same answer and never an error."""

    source = ", t.* FROM ddl_indexed t WHERE id = 7"

    def made(self):
        create = "CREATE TABLE ddl_indexed AS SELECT id, 'v' || id AS said FROM generate_series(1, 1000) id"
        return ["DROP TABLE IF EXISTS ddl_indexed", create]

    def step(self, k):
        return ["CREATE INDEX ddl_index ON ddl_indexed (id)" if k % 2 else "DROP INDEX ddl_index"]

    def columns(self, _):
        return {"id": 7, "said": "v7"}


CHANGING = [Wide, Typed, Gone, Looks, Steady, Painted, Indexed]


class Text:
    """A query, told apart from the others by its number; $1 comes back as n."""

    def __init__(self, number, thing):
        self.number, self.thing = number, thing
        self.query = f"SELECT {number} AS no, $1::int AS n{thing.source}"


class World:
    """All things, freshly made, and the texts that ask for them."""

    def __init__(self, without=()):
        self.changing = [thing() for thing in CHANGING if thing not in without]
        for thing in self.changing:
            for statement in thing.made():
                server.execute(statement)
        self.things = [*self.changing, *(Still(count) for count in range(5))]
        self.texts = [thing for thing in self.things for _ in range(thing.texts)]
        self.texts = [Text(number, thing) for number, thing in enumerate(self.texts)]
        self.still = [text for text in self.texts if isinstance(text.thing, Still)]

    def steps(self):
        """Without end: a thing, its next version, and the statements that lead there."""
        while True:
            for thing in self.changing:
                # What is gone comes back at once.
                for _ in range(2 if isinstance(thing, Gone) else 1):
                    thing.begun += 1
                    yield thing, thing.begun, thing.step(thing.begun)
                    thing.done = thing.begun

    def rounds(self):
        for n in range(MOST_ROUNDS):
            if n >= ROUNDS and all(thing.done >= VERSIONS for thing in self.changing):
                return
            yield n
        raise AssertionError(f"too little DDL: {[thing.done for thing in self.changing]}")


class Client:
    """What one client does, and what it knows about its statements."""

    def __init__(self, world, number):
        self.world, self.numbers = world, random.Random(number)
        # The type of the last answer, by text: that of the statement, too.
        self.types = {}
        # The version since which a statement without an answer may be there.
        self.since = {}

    def work(self):
        """Texts to ask for, each as often, and how: one time in five in a transaction."""
        for _ in self.world.rounds():
            for text in self.numbers.sample(self.world.texts, len(self.world.texts)):
                yield text, self.numbers.random() < 0.2

    def argument(self):
        # Never so small that psycopg takes it for an int2: another statement.
        return self.numbers.randrange(100_000, 1_000_000)

    def in_transaction(self, text):
        """Texts to ask for in one transaction: what `text` is about stays as it was
        first seen, which the second time finds out; the others never change."""
        first, second = self.numbers.sample(self.world.still, 2)
        return [first, text, second, text]

    def ask(self, text):
        return Attempt(self, text)

    def all_prepared_anew(self):
        """The driver has dropped all statements."""
        self.types.clear()
        self.since.clear()


class Attempt:
    """One query, from the moment before it is sent."""

    def __init__(self, client, text):
        self.client, self.text, self.thing = client, text, text.thing
        self.low = self.thing.done
        client.since.setdefault(text, self.low)

    def answered(self, n, names, values):
        """The whole answer is that of one version which may have been met."""
        got = list(zip(names, values, strict=True))
        right = {}
        for k in self.thing.versions(self.low):
            if (columns := self.thing.columns(k)) is not None:
                right[k] = [("no", self.text.number), ("n", n), *columns.items()]
        matching = [k for k, answer in right.items() if answer == got]
        assert matching, f"{self.text.query!r} with {n} gave {got}, right is one of {list(right.values())}"
        self.client.types[self.text] = self.thing.type_of(matching[0])
        self.client.since.pop(self.text, None)

    def may_be_missing(self):
        """Has 42P01, `relation does not exist`, a reason?"""
        return any(self.thing.columns(k) is None for k in self.thing.versions(self.low))

    def may_have_another_type(self):
        """Has 0A000, `cached plan must not change result type`, a reason: may the
        columns have been others when the statement was prepared?"""
        if self.text in self.client.types:
            prepared_for = [self.client.types[self.text]]
        else:
            prepared_for = self.types_since(self.client.since[self.text])
        return any(a != b for a in prepared_for for b in self.types_since(self.low))

    def type_changed_meanwhile(self):
        """The same for a statement that was prepared in this attempt."""
        types = self.types_since(self.low)
        return any(a != types[0] for a in types)

    def types_since(self, version):
        return [self.thing.type_of(k) for k in self.thing.versions(version) if self.thing.columns(k) is not None]

    def prepared_anew(self):
        """The driver has dropped the statement: the next attempt prepares it."""
        self.client.types.pop(self.text, None)
        self.client.since.pop(self.text, None)
