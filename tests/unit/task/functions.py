"""Functions that tests register."""

MODULE_TEXT = """
from chapkit.task import TaskRegistry


@TaskRegistry.register("double")
def double(number: int) -> int:
    return 2 * number
"""


def download(days: int = 1) -> int:
    """Download something."""
    return days


def upload(days: int, hours: int = 2) -> int:
    """Upload something."""
    return days + hours


def train(config: object, data: object, geo: object = None) -> str:
    return "model"


def predict(config: object, model: object, historic: object, future: object, geo: object = None) -> str:
    return "predictions"
