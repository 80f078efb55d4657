"""Stretches without garbage collection."""

import gc

import pytest

from dlc.ir.collection import no_collection


class Kept:
    """Something that the collector looks at."""


@pytest.fixture
def collecting():
    assert gc.isenabled()
    yield
    gc.unfreeze()
    gc.enable()


def is_old(thing):
    return any(x is thing for x in gc.get_objects(generation=2))


@pytest.mark.usefixtures("collecting")
def test_what_lasts_is_old_at_once():
    with no_collection():
        assert not gc.isenabled()
        passing = Kept()
    assert gc.isenabled()
    assert not is_old(passing)
    with no_collection(lasting=True):
        lasting = Kept()
    assert gc.isenabled()
    assert is_old(lasting)
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("collecting")
def test_what_the_user_froze_stays_frozen():
    gc.freeze()
    frozen = gc.get_freeze_count()
    with no_collection(lasting=True):
        kept = Kept()
    # What is frozen can still be dropped.
    assert 0 < gc.get_freeze_count() <= frozen
    assert not is_old(kept)


@pytest.mark.usefixtures("collecting")
def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with no_collection(lasting=True):
        pass
    assert not gc.isenabled()
