"""Plain text tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None


def shown(cell: Cell) -> str:
    """Return a cell as text, numbers with as many digits as they deserve."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


@dataclass
class Table:
    """A title, the heads of the columns and the rows."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        texts = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(text[column]) for text in texts) for column in range(len(self.columns))]
        lines = ["  ".join(self._aligned(text, widths)).rstrip() for text in texts]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(["", self.title, "", *lines, *([self.note] if self.note else [])])

    def _aligned(self, text: list[str], widths: list[int]) -> list[str]:
        first, *others = zip(text, widths, strict=True)
        return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
