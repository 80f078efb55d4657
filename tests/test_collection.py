"""Stretches without garbage collection."""

import gc
import sys
import types

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
