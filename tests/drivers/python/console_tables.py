"""The tables of the console as tests/drivers/console.json has them: what every
driver must find."""

import json
import os
import re

DRIVERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCS = os.path.join(os.path.dirname(os.path.dirname(DRIVERS)), "docs", "CONSOLE.md")
OIDS = {"int4": 23, "int8": 20, "numeric": 1700, "text": 25}


def tables():
    """(name, [(column, type)]) of each SHOW."""
    with open(os.path.join(DRIVERS, "console.json")) as file:
        found = json.load(file)
    return [(name, [tuple(column.split()) for column in columns.split(", ") if column])
            for name, columns in found.items()]


def documented():
    """The names that docs/CONSOLE.md has under "Looking"."""
    with open(DOCS) as file:
        looking = file.read().split("## Looking")[1].split("Where the columns mean")[0]
    cells = [line.split("|")[1] for line in looking.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)} - {"SHOW"}
