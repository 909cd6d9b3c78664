"""The format of the keys, their checksum, and what is kept of them."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.api_keys import make_key, same_digest, split


def test_a_key_has_the_published_format() -> None:
    token = make_key("test").token
    match = re.fullmatch(r"nk_test_([a-z0-9]{8})_([A-Za-z0-9_-]{43})_([A-Za-z0-9]{6})", token)
    assert match
    assert len(base64.urlsafe_b64decode(match[2] + "=")) == 32


def test_a_key_splits_into_what_was_stored_of_it() -> None:
    for _ in range(200):  # secrets with underscores and hyphens among them
        key = make_key()
        assert split(key.token) == (key.public_id, key.digest)
        assert key.digest == hashlib.sha256(key.token.encode()).hexdigest()


def test_keys_differ() -> None:
    keys = [make_key() for _ in range(100)]
    assert len({key.token for key in keys}) == len({key.public_id for key in keys}) == 100


def test_a_key_does_not_show_its_token_when_printed() -> None:
    key = make_key()
    assert key.token not in repr(key)


@pytest.mark.parametrize("environment", ["", "Live", "a_b", "x" * 17, "é"])
def test_an_environment_that_would_not_split_is_refused(environment: str) -> None:
    with pytest.raises(ValueError, match="environment"):
        make_key(environment)


@given(st.integers(min_value=0, max_value=76), st.characters())
def test_a_key_with_one_other_character_is_malformed(place: int, character: str) -> None:
    token = make_key().token
    changed = token[:place] + character + token[place + 1 :]
    if changed != token and place < len(token):
        assert split(changed) is None


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    assert split(text) is None
    assert split(f"nk_live_{text}") is None


def test_digests_are_compared_whatever_they_hold() -> None:
    assert same_digest("é", "é")
    assert not same_digest("é", "e")
