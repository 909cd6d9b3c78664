"""What is told of an error, and what is not."""

import pytest

from notifications.api_keys import make_key
from notifications.discretion import describe, discreet


def failing() -> None:
    raise LookupError("of ada@example.com")


def caught(error: type[Exception]) -> Exception:
    with pytest.raises(error) as found:
        discreet(OSError)(failing)()
    return found.value


def test_an_error_is_told_by_its_kind_and_its_place() -> None:
    error = caught(RuntimeError)
    assert str(error).startswith("LookupError in failing (")
    assert ", from called (" in str(error)
    assert "ada" not in str(error)


def test_a_place_of_ours_is_told_once() -> None:
    with pytest.raises(ValueError, match="environment") as found:
        make_key("No Such")
    assert describe(found.value).count("make_key (") == 1
    assert "from" not in describe(found.value)
    assert describe(ValueError("never raised")) == "ValueError"


def test_nothing_leads_from_it_to_what_was_said() -> None:
    error = caught(RuntimeError)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_what_is_to_pass_passes_as_it_is() -> None:
    with pytest.raises(LookupError, match="ada"):
        discreet(LookupError)(failing)()


def test_what_it_gives_is_given() -> None:
    assert discreet()(lambda number: number + 1)(1) == 2
