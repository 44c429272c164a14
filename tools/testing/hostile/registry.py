# SPDX-License-Identifier: GPL-2.0-only
"""The list of cases: a name, and what makes its files in a directory of its own."""

CASES = {}


def case(name):
    """Decorator: the function makes the files of @name; it is given the case's directory."""
    def add(make):
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = make
        return make
    return add


def simple(name, make):
    case(name)(make)
