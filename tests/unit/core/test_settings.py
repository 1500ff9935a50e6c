import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.core.settings import Environment, ServerSettings


def test_an_empty_environment_means_the_defaults() -> None:
    settings = ServerSettings.from_environment(Environment({}))
    assert settings == ServerSettings("127.0.0.1", 8000, 1, "info")


def test_the_environment_is_used_where_nothing_is_given() -> None:
    environment = Environment({"HOST": "0.0.0.0", "PORT": "9000", "WORKERS": "4", "LOG_LEVEL": "DEBUG"})
    assert ServerSettings.from_environment(environment) == ServerSettings("0.0.0.0", 9000, 4, "debug")
    assert ServerSettings.from_environment(environment, port=1, host=None).port == 1
    assert ServerSettings.from_environment(environment, port=1, host=None).host == "0.0.0.0"


def test_an_empty_variable_counts_as_not_set() -> None:
    environment = Environment({"PORT": "", "A": "", "B": "b"})
    assert environment.integer("PORT", 7) == 7
    assert environment.text("A", "B") == "b"
    assert environment.text("A", default="x") == "x"


@pytest.mark.parametrize("text", ["many", "1.5", "0x10", " "])
def test_a_variable_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PORT") as raised:
        ServerSettings.from_environment(Environment({"PORT": text}))
    assert raised.value.code == "environment-invalid"


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1234")
    assert ServerSettings.from_environment().port == 1234
