"""Blocks put into and taken out of settings: comments stay, and what a parser reads is what was meant."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.settings_edit import CannotEditError, with_member, without_member

REPOSITORY = Path(__file__).parents[2]

TWO = """\
# perpguard of the flat

[guard]
name = "g"   # ours

# the old one
[[bots]]     # keep
name = "a"
symbols = [
  "X", # first
  # [[bots]] is no header here
  "Y",
]
# end of a

# the new one
[[bots]]
name = "b"

# logs
[log]
level = "info"
"""


def test_what_is_put_in_and_taken_out_again_leaves_the_text_as_it_was() -> None:
    for text in (TWO, (REPOSITORY / "settings.toml").read_text(), "", "[log]\n", TWO.replace("\n", "\r\n")):
        count = len(tomllib.loads(text).get("bots", []))
        longer = with_member(text, "bots", {"name": "c", "symbols": ("A/B:B",)})
        assert tomllib.loads(longer)["bots"][-1] == {"name": "c", "symbols": ["A/B:B"]}
        assert without_member(longer, "bots", count) == text


def test_every_comment_but_those_inside_the_block_survives_its_end() -> None:
    text = without_member(TWO, "bots", 0)
    assert tomllib.loads(text)["bots"] == [{"name": "b"}]
    for comment in (
        "# perpguard of the flat",
        "# ours",
        "# the old one",
        "# end of a",
        "# the new one",
        "# logs",
    ):
        assert comment in text


@pytest.mark.parametrize("text", ['bots = [{name = "a"}]\n', '[guard]\nx = 1\n[bots]\nname = "a"\n'])
def test_a_list_that_is_not_written_as_blocks_is_left_to_people(text: str) -> None:
    with pytest.raises(CannotEditError, match=r"\[\[bots\]\]"):
        with_member(text, "bots", {"name": "c"})


@given(name=st.text(st.characters(exclude_categories=["Cs"])), account=st.text(max_size=8))
def test_no_value_breaks_out_of_its_quotes(name: str, account: str) -> None:
    try:
        text = with_member(TWO, "bots", {"name": name, "account": account})
    except CannotEditError:
        return  # said, and nothing was written
    assert tomllib.loads(text) == {
        **tomllib.loads(TWO),
        "bots": [*tomllib.loads(TWO)["bots"], {"name": name, "account": account}],
    }
