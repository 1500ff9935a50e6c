"""Lists of things as people write them."""

from collections.abc import Callable, Collection, Sequence

_SHORTEST_RUN = 3


def listed(words: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def in_runs(values: Collection[int], name: Callable[[int], str]) -> list[str]:
    """Return the values by name, three and more in a row as `a to c`."""
    words: list[str] = []
    for first, last in _runs(values):
        if last - first + 1 >= _SHORTEST_RUN:
            words.append(f"{name(first)} to {name(last)}")
        else:
            words += [name(value) for value in range(first, last + 1)]
    return words


def _runs(values: Collection[int]) -> list[tuple[int, int]]:
    """Return the first and last of each row of numbers without a gap."""
    found: list[tuple[int, int]] = []
    for value in sorted(values):
        if found and found[-1][1] == value - 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `11th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def counted(number: int, noun: str) -> str:
    """Return `every minute`, `every 15 minutes`."""
    return f"every {noun}" if number == 1 else f"every {number} {noun}s"
