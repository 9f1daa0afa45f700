"""The rule of appending and sealing, over random histories: it holds, and no part of it can be left out."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest

from tests.tiered.hot_cold_model import Rule, Violation, World

HISTORIES = 2000
LEFT_OUT = {
    "one_bucket_a_group": 600,
    "dead_as_a_whole": 300,
    "buckets_before_head": 100,
    "begins_again": 100,
    "looks_at_sealed": 100,
}
"""A part of the rule → in how many histories its lack has to show; it does in a tenth as many, on average."""


def worlds(rule: Rule, count: int):
    for seed in range(count):
        yield World(random.Random(seed), rule, servers=2 + seed % 2)


def run_all(histories):
    for world in histories:
        world.run()


def test_no_history_breaks_the_rule():
    """Whatever is paused, dies, races or is sent again: no hole, no row twice, nothing acknowledged is lost, and readers see a
    prefix that never changes. The histories are not idle: inserts come too late, races are lost, chunks are sealed."""
    stale = lost = sealings = 0
    for world in worlds(Rule(), HISTORIES):
        world.run()
        stale, lost, sealings = stale + world.stale, lost + world.lost_races, sealings + world.sealings
    assert min(stale, lost, sealings) > HISTORIES // 2


def test_every_part_of_the_rule_is_left_out_once():
    assert sorted(LEFT_OUT) == sorted(part.name for part in fields(Rule))


@pytest.mark.parametrize(("part", "histories"), LEFT_OUT.items())
def test_the_rule_without_one_of_its_parts_is_broken(part, histories):
    """The model sees the loss: it would see it, too, if the rule had it."""
    with pytest.raises(Violation):
        run_all(worlds(Rule(**{part: False}), histories))
