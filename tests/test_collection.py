"""Stretches without garbage collection."""

import gc
import sys
import types
import weakref

import pytest

from dlc.ir import collection
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


@pytest.fixture
def load_module(monkeypatch):
    """What loads a module, in appearance."""
    return lambda: monkeypatch.setitem(sys.modules, "loaded_by_a_test", types.ModuleType("m"))


@pytest.mark.usefixtures("collecting")
def test_what_is_made_with_modules_is_old_at_once(load_module):
    with no_collection():
        assert not gc.isenabled()
        passing = Kept()
    assert gc.isenabled()
    assert not is_old(passing)
    with no_collection():
        load_module()
        lasting = Kept()
    assert gc.isenabled()
    assert is_old(lasting)
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("collecting")
def test_what_the_user_froze_stays_frozen(load_module):
    gc.freeze()
    frozen = gc.get_freeze_count()
    with no_collection():
        load_module()
        kept = Kept()
    # What is frozen can still be dropped.
    assert 0 < gc.get_freeze_count() <= frozen
    assert not is_old(kept)


@pytest.mark.usefixtures("collecting")
def test_a_collector_that_is_off_stays_off(load_module):
    gc.disable()
    with no_collection():
        load_module()
    assert not gc.isenabled()


@pytest.mark.usefixtures("collecting")
def test_very_much_that_is_left_is_old_at_once_until_that_is_too_much(monkeypatch):
    monkeypatch.setattr(collection, "_MANY", 500)
    monkeypatch.setattr(collection, "_MOST", 2500)
    gc.collect()
    with no_collection():
        few = [Kept() for _ in range(100)]
    assert not is_old(few)
    with no_collection():
        many = [Kept() for _ in range(1000)]
    assert is_old(many)
    with no_collection():
        more = [Kept() for _ in range(2000)]  # with those before too many
    assert not is_old(more)
    gc.collect()  # has seen them all
    with no_collection():
        again = [Kept() for _ in range(1000)]
    assert is_old(again)


@pytest.mark.usefixtures("collecting")
def test_garbage_is_found_in_the_end(monkeypatch):
    monkeypatch.setattr(collection, "_MANY", 500)

    def ring():
        made = Kept()
        made.itself = made
        return weakref.ref(made)

    with no_collection():
        rings = [ring() for _ in range(1000)]
    assert all(r() is not None for r in rings)
    gc.collect()
    assert all(r() is None for r in rings)
