"""Whether a setting is the kind of number that it should be; what a program hands over may be anything."""

import math


def is_whole(value: object, least: int, most: float = math.inf) -> bool:
    """Tell whether it is a whole number within these bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object, least: float, most: float = math.inf) -> bool:
    """Tell whether it is a number within these bounds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
