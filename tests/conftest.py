"""What all tests share: a disk cache of their own, hypothesis without deadlines, the gpu marker."""

import ctypes
import os
import shutil
import signal
import tempfile

import hypothesis
import pytest
from golden import pytest_addoption, pytest_collect_file  # noqa: F401

hypothesis.settings.register_profile("dlc", deadline=None, print_blob=True)
hypothesis.settings.load_profile("dlc")

_own_cache = pytest.StashKey[str]()


def pytest_configure(config):
    # A shell starts what runs in the background with interrupts ignored, and processes that the
    # tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Workers of pytest-xdist inherit the variable, so that all share the first process's folder.
    if "DLC_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="dlc-tests-")
        os.environ["DLC_CACHE_DIR"] = folder
        config.stash[_own_cache] = folder


def pytest_unconfigure(config):
    folder = config.stash.get(_own_cache, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _gpu_is_present():
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except (OSError, AttributeError):
        return False


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _gpu_is_present():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
    # First what takes long, so that processes that share the tests end together.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="module")
def worker():
    """A process in which Triton's interpreter runs kernels."""
    from triton_harness import Worker

    process = Worker()
    yield process
    process.close()


@pytest.fixture
def gpu(worker):
    """A stand-in for the driver of a GPU, on which whole programs run."""
    from stand_in_driver import stand_in

    with stand_in(worker) as driver:
        yield driver
