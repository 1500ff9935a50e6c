"""What an error says, even where its class cannot say it."""


def text_of(error: BaseException) -> str:
    """Return the message of an error; a class of the user may fail to make one."""
    try:
        return str(error)
    except Exception as problem:
        return f"(its text cannot be made: {type(problem).__name__})"


def name_and_text(error: BaseException) -> str:
    """Return the kind of an error and what it says, if it says anything."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
