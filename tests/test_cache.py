"""The disk cache: faults, races, eviction and archives."""

import errno
import io
import logging
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from pathlib import Path

import pytest

from dlc.ir.config import config
from dlc.ir.errors import CacheError
from dlc.runtime.cache import CacheWarning, DiskCache, default_cache
from dlc.runtime.cache_entry import Key, decode_entry, decode_header, encode_entry

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")


def key(number=0, isa="x86-64-v3"):
    return Key([("kernel", f"kernel f{number}():\n " + "x" * 500), ("isa", isa), ("version", "1")])


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "cache", limit=1 << 20)


def files(cache):
    return [file.path for file in cache._folder.files()]


def only_file(cache):
    (path,) = files(cache)
    return path


def others(cache):
    """Everything under the folder that is not an entry."""
    found = [p for p in cache._folder.root.rglob("*") if p.is_file()]
    return sorted(set(found) - set(files(cache)))


# Keys.


def test_every_part_counts():
    parts = [("a", "1"), ("b", b"2")]
    variants = [
        parts,
        parts[::-1],
        parts[:1],
        [("a", "1"), ("b", "3")],
        [("a", "1"), ("c", "2")],
        [("a", "1b"), ("", b"2")],
        [],
    ]
    assert len({Key(variant).digest for variant in variants}) == len(variants)
    assert Key(parts) == Key([("a", b"1"), ("b", "2")])
    assert hash(Key(parts)) == hash(Key(parts))


def test_a_key_describes_itself():
    shown = key().describe().splitlines()
    assert shown[1:] == ["isa: x86-64-v3", "version: 1"]
    assert shown[0].startswith("kernel: ")
    assert "\n" not in shown[0]


def test_keys_that_are_refused():
    with pytest.raises(ValueError, match="twice"):
        Key([("a", "1"), ("a", "2")])
    with pytest.raises(ValueError, match="too long"):
        Key([("a" * 201, "1")])


@pytest.mark.parametrize("kind", ["", "..", "a/b", "A", "x" * 33, "a.b"])
def test_kinds_are_words(cache, kind):
    for call in (lambda: cache.get(kind, key()), lambda: cache.put(kind, key(), b"")):
        with pytest.raises(ValueError, match="kind of cache entry"):
            call()


# The plain case.


@pytest.mark.parametrize("payload", [b"", b"x", os.urandom(50_000)], ids=["none", "one", "many"])
def test_what_is_put_is_found(cache, payload):
    assert cache.get("cpu", key()) is None
    assert not cache._folder.root.exists()
    cache.put("cpu", key(), payload)
    for reader in (cache, DiskCache(cache._folder.root)):
        assert reader.get("cpu", key()) == payload
        assert reader.get("cpu", key(1)) is None
        assert reader.get("gpu", key()) is None
    info = cache.info()
    assert (info.hits, info.misses, info.writes, info.rejected) == (1, 3, 1, 0)
    assert (info.entries, info.kinds, info.in_memory) == (1, {"cpu": 1}, 0)
    assert info.size == only_file(cache).stat().st_size > len(payload)
    assert others(cache) == []


def test_a_sound_entry_stays_as_it_is(cache):
    cache.put("cpu", key(), b"first")
    before = only_file(cache).stat()
    DiskCache(cache._folder.root).put("cpu", key(), b"second")
    after = only_file(cache).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert cache.get("cpu", key()) == b"first"


def test_clear(cache):
    for number in range(3):
        cache.put("cpu", key(number), b"x")
    assert cache.clear() == 3
    assert cache.get("cpu", key()) is None
    assert cache.info().entries == 0
    cache.put("cpu", key(), b"y")
    assert cache.get("cpu", key()) == b"y"


def test_an_entry_round_trips():
    data = encode_entry("cpu", key(), b"payload")
    entry = decode_entry(data)
    assert entry == ("cpu", key(), b"payload")
    assert entry.key.parts == key().parts
    assert decode_header(data) == ("cpu", key())


def test_the_default_cache_follows_the_setting(tmp_path):
    with config.scope(cache_dir=tmp_path / "one"):
        one = default_cache()
        assert one is default_cache()
        assert one.info().folder == tmp_path / "one"
        with config.scope(cache_size=12345):
            assert one.limit == 12345
    with config.scope(cache_dir=tmp_path / "two"):
        assert default_cache() is not one


# Damaged entries.


def check_rejected(cache, payload, caplog):
    """The entry is a miss, logged, and written again."""
    before = cache.info().rejected
    with caplog.at_level(logging.WARNING, "dlc.cache"):
        caplog.clear()
        assert cache.get("cpu", key()) is None
    assert caplog.records
    assert cache.info().rejected == before + 1
    cache.put("cpu", key(), payload)
    assert cache.get("cpu", key()) == payload
    assert DiskCache(cache._folder.root).get("cpu", key()) == payload


def test_every_flipped_byte_is_noticed(cache):
    cache.put("cpu", key(), b"payload")
    path = only_file(cache)
    data = path.read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert cache.get("cpu", key()) is None, place
    assert cache.info().rejected == len(data)


def test_every_truncation_is_noticed(cache):
    cache.put("cpu", key(), b"payload")
    path = only_file(cache)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert cache.get("cpu", key()) is None, size
    path.write_bytes(data + b"\0")
    assert cache.get("cpu", key()) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign key", "other kind", "folder"])
def test_a_bad_entry_is_rewritten(cache, caplog, damage):
    cache.put("cpu", key(), b"payload")
    path = only_file(cache)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-40] ^= 4
    elif damage == "cut":
        del data[-1:]
    elif damage == "empty":
        data = b""
    elif damage == "foreign key":
        data = encode_entry("cpu", key(1), b"other code")
    elif damage == "other kind":
        data = encode_entry("gpu", key(), b"other code")
    path.write_bytes(data)
    if damage == "folder":
        pytest.importorskip("fcntl")
        path.unlink()
        path.mkdir()
        assert cache.get("cpu", key()) is None
        assert cache.info().rejected == 1
        return
    check_rejected(cache, b"payload", caplog)


# Entries and folders that others could have written.


def can_change_owners():
    return os.name == "posix" and os.geteuid() == 0


@pytest.mark.skipif(not can_change_owners(), reason="only root can change owners")
def test_an_entry_of_another_user_is_not_run(cache, caplog):
    cache.put("cpu", key(), b"payload")
    os.chown(only_file(cache), 12345, 12345)
    check_rejected(cache, b"payload", caplog)
    assert only_file(cache).stat().st_uid == os.geteuid()


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_entry_that_others_can_write_is_not_run(cache, caplog, mode):
    cache.put("cpu", key(), b"payload")
    only_file(cache).chmod(mode)
    check_rejected(cache, b"payload", caplog)
    assert stat.S_IMODE(only_file(cache).stat().st_mode) == 0o600


@posix
def test_links_and_pipes_are_not_followed(cache, tmp_path, caplog):
    cache.put("cpu", key(), b"payload")
    path = only_file(cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    check_rejected(cache, b"payload", caplog)
    assert not path.is_symlink()
    path.unlink()
    os.mkfifo(path, 0o600)
    check_rejected(cache, b"payload", caplog)


@posix
def test_folders_are_private(cache):
    previous = os.umask(0)
    try:
        cache.put("cpu", key(), b"payload")
    finally:
        os.umask(previous)
    path = only_file(cache)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    while path != cache._folder.root:
        path = path.parent
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def check_in_memory(cache, match):
    """One warning, then the cache works without the disk."""
    with pytest.warns(CacheWarning, match=match) as caught:
        cache.put("cpu", key(), b"payload")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.get("cpu", key()) == b"payload"
        cache.put("cpu", key(1), b"more")
        assert cache.get("cpu", key(1)) == b"more"
        assert cache.get("cpu", key(2)) is None
    assert cache.info().in_memory == 2
    assert cache.info().writes == 0


@posix
@pytest.mark.parametrize("spoil", ["owner", "group", "world"])
def test_a_folder_that_others_can_write_is_not_used(cache, spoil):
    root = cache._folder.root
    cache.put("cpu", key(), b"evil")
    if spoil == "owner":
        if not can_change_owners():
            pytest.skip("only root can change owners")
        os.chown(root, 12345, 12345)
    else:
        root.chmod(0o770 if spoil == "group" else 0o707)
    other = DiskCache(root)
    with pytest.warns(CacheWarning, match="cannot be trusted"):
        assert other.get("cpu", key()) is None
    other.put("cpu", key(), b"own")
    assert other.get("cpu", key()) == b"own"
    assert other.export(root.parent / "archive") == 0
    fresh = DiskCache(root)
    check_in_memory(fresh, "cannot be trusted")


# Disks that do not work.


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    check_in_memory(DiskCache(tmp_path / "file" / "cache"), "cannot write to the cache")
    assert DiskCache(tmp_path / "file").get("cpu", key()) is None


@pytest.mark.skipif(os.name != "posix" or can_change_owners(), reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    check_in_memory(DiskCache(tmp_path / "cache"), "cannot write to the cache")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["open", "replace", "mkdir"])
def test_a_disk_that_fails(cache, monkeypatch, call, number):
    cache.clear()

    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        check_in_memory(cache, "cannot write to the cache")
    assert others(cache) == []
    # After `clear` the disk is tried again.
    cache.clear()
    cache.put("cpu", key(), b"payload")
    assert cache.info().writes == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on file sizes")
def test_a_real_write_that_fails(tmp_path):
    program = f"""
import resource, warnings
from dlc.runtime.cache import DiskCache, CacheWarning
from dlc.runtime.cache_entry import Key
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
cache = DiskCache({str(tmp_path / "cache")!r})
key = Key([("a", "b")])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cache.put("cpu", key, bytes(50_000))
    cache.put("cpu", Key([]), bytes(50_000))
assert [w.category for w in caught] == [CacheWarning], caught
assert cache.get("cpu", key) == bytes(50_000)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_memory_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("dlc.runtime.cache._MEMORY_LIMIT", 1000)
    cache = DiskCache(tmp_path, limit=0)
    for number in range(5):
        cache.put("cpu", key(number), bytes(300))
        cache.get("cpu", key(0))
    assert [cache.get("cpu", key(n)) is not None for n in range(5)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert files(cache) == []


# Eviction.


def fill(cache, count, size=1000):
    for number in range(count):
        cache.put("cpu", key(number), bytes(size))
        path = cache._folder.path("cpu", key(number))
        os.utime(path, (1e9 + number, 1e9 + number))


def test_the_least_recently_used_go_first(tmp_path):
    size = len(encode_entry("cpu", key(), bytes(1000)))
    cache = DiskCache(tmp_path / "cache", limit=10 * size)
    fill(cache, 10)
    assert cache.info().entries == 10
    assert cache.get("cpu", key(0)) is not None  # now the most recently used
    cache.put("cpu", key(10), bytes(1000))
    left = [n for n in range(11) if cache._folder.path("cpu", key(n)).exists()]
    assert left == [0, *range(3, 11)]
    assert cache.info().size <= cache.limit


def test_the_size_stays_under_the_limit_across_short_processes(tmp_path):
    limit = 40_000
    for number in range(300):
        cache = DiskCache(tmp_path / "cache", limit=limit)
        cache.put("cpu", key(number), bytes(300))
    assert 0.5 * limit < cache.info().size <= limit * 1.1


def test_the_folder_is_not_walked_at_each_write(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path / "cache", limit=1 << 30)
    monkeypatch.setattr(cache._chance, "random", lambda: 0.5)
    monkeypatch.setattr(cache._folder, "evict", lambda limit: pytest.fail("walked"))
    fill(cache, 20)


def test_an_entry_that_fills_the_cache_is_kept_in_memory(tmp_path):
    cache = DiskCache(tmp_path / "cache", limit=10_000)
    fill(cache, 3)
    cache.put("cpu", key(9), bytes(6_000))
    assert cache.get("cpu", key(9)) == bytes(6_000)
    assert cache.info().entries == 3


def test_what_dead_writers_left_is_removed(tmp_path):
    cache = DiskCache(tmp_path / "cache", limit=20_000)
    fill(cache, 1)
    folder = only_file(cache).parent
    old, new = folder / "x.0.tmp", folder / "x.1.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    cache.put("cpu", key(1), bytes(1000))
    assert others(cache) == [new]
    cache.clear()
    assert others(cache) == []


# Explanations.


def test_a_miss_is_explained(cache):
    reason = cache.explain_miss("cpu", key())
    assert str(reason) == "no cpu entry is cached"
    cache.put("cpu", key(1), b"x")
    cache.put("cpu", key(0, "x86-64-v4"), b"x")
    cache.put("cpu", Key([("other", "x")]), b"x")
    reason = cache.explain_miss("cpu", key())
    assert reason.labels == ("isa",)
    assert "wanted isa: x86-64-v3; cached isa: x86-64-v4" in str(reason)
    assert cache.explain_miss("cpu", key(1)) is None
    more = Key([*[(p.label, "?") for p in key().parts[:1]], ("isa", "x86-64-v4"), ("flags", "f")])
    assert set(cache.explain_miss("cpu", more).labels) == {"kernel", "version", "flags"}


def test_lookups_are_logged(cache, caplog):
    with caplog.at_level(logging.DEBUG, "dlc.cache"):
        cache.get("cpu", key())
        cache.put("cpu", key(), b"x")
        cache.get("cpu", key())
    miss, hit = (record.getMessage() for record in caplog.records)
    assert miss.startswith("miss cpu")
    assert hit.startswith("hit cpu")
    assert "isa: x86-64-v3" in miss


# Archives.


@pytest.fixture
def archive(cache, tmp_path):
    fill(cache, 5)
    path = tmp_path / "entries.tar"
    assert cache.export(path) == 5
    return path


def test_an_archive_carries_all_sound_entries(cache, archive, tmp_path):
    files(cache)[0].write_bytes(b"damaged")
    assert cache.export(archive) == 4
    other = DiskCache(tmp_path / "other")
    assert other.import_(archive) == 4
    assert other.info().kinds == {"cpu": 4}
    assert sum(other.get("cpu", key(n)) == bytes(1000) for n in range(5)) == 4
    assert not list(tmp_path.glob("*.tmp"))


def test_an_archive_that_cannot_be_written(cache, tmp_path):
    with pytest.raises(CacheError, match="cannot write the archive"):
        cache.export(tmp_path / "nowhere" / "entries.tar")


def check_refused(path, tmp_path, match):
    other = DiskCache(tmp_path / "other")
    with pytest.raises(CacheError, match=match):
        other.import_(path)
    assert not other._folder.root.exists()


def test_archives_cut_off_anywhere_are_refused(archive, tmp_path):
    data = archive.read_bytes()
    for size in range(0, len(data) - 11 * 1024, 100):
        archive.write_bytes(data[:size])
        check_refused(archive, tmp_path, "archive|damaged")


def test_archives_with_flipped_bits_do_not_import_other_things(archive, tmp_path):
    data = archive.read_bytes()
    other = DiskCache(tmp_path / "other")
    for place in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[place] ^= 1
        archive.write_bytes(damaged)
        try:
            assert other.import_(archive) == 5  # a bit of padding, or of a name
        except CacheError:
            continue
    assert other.info().entries in (0, 5)


def make_archive(path, *members, mode="w:"):
    with tarfile.open(path, mode) as tar:
        for name, data, changes in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in changes.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)


END = ("end", b"end of 1 dlc cache entries\n", {})


def test_hostile_archives_are_refused(tmp_path):
    path = tmp_path / "hostile.tar"
    good = ("0", encode_entry("cpu", key(), b"x"), {})
    cases = {
        "damaged|not a cache entry": [good, ("1", b"what is this", {}), END],
        "cut off": [good],
        "not a plain file": [good, ("1", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), END],
        "'1' that is not a plain": [good, ("1", b"", {"type": tarfile.DIRTYPE}), END],
        "'/dev/x' that is not": [good, ("/dev/x", b"", {"type": tarfile.CHRTYPE}), END],
        "goes on after": [good, END, good],
    }
    for match, members in cases.items():
        make_archive(path, *members)
        check_refused(path, tmp_path, match)
    make_archive(path, good, END, mode="w:gz")
    check_refused(path, tmp_path, "cannot read")
    path.write_bytes(b"")
    check_refused(path, tmp_path, "cannot read")
    check_refused(tmp_path / "none.tar", tmp_path, "cannot read")


def test_a_huge_member_is_refused(tmp_path):
    path = tmp_path / "huge.tar"
    info = tarfile.TarInfo("huge")
    info.size = 1 << 40
    path.write_bytes(info.tobuf() + bytes(1024))
    check_refused(path, tmp_path, "huge")


def test_names_in_an_archive_mean_nothing(tmp_path):
    path = tmp_path / "names.tar"
    make_archive(path, ("../../evil", encode_entry("cpu", key(), b"x"), {}), END)
    other = DiskCache(tmp_path / "other")
    assert other.import_(path) == 1
    assert other.get("cpu", key()) == b"x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["names.tar", "other"]


def test_a_crafted_kind_does_not_lead_outside(tmp_path):
    data = encode_entry("cpu", key(), b"x").replace(b"cpu", b"../", 1)[:-32]
    import hashlib

    path = tmp_path / "kind.tar"
    make_archive(path, ("0", data + hashlib.sha256(data).digest(), {}), END)
    check_refused(path, tmp_path, "cannot name a kind")


# Many at once.

WORKER = """
import sys, random
from dlc.runtime.cache import DiskCache
from dlc.runtime.cache_entry import Key
seed = int(sys.argv[2])
chance = random.Random(seed)
cache = DiskCache(sys.argv[1], limit=1 << 30)
def payload(number):
    return random.Random(number).randbytes(20_000)
numbers = list(range(40))
print("ready", flush=True)
sys.stdin.readline()
while True:
    chance.shuffle(numbers)
    for number in numbers:
        key = Key([("number", str(number))])
        found = cache.get("cpu", key)
        if found is None:
            cache.put("cpu", key, payload(number))
        elif found != payload(number):
            sys.exit("wrong payload")
        if sys.argv[3] == "endless":
            cache._folder.path("cpu", key).unlink(missing_ok=True)
    if sys.argv[3] != "endless":
        break
info = cache.info()
print(info.rejected, info.writes, info.hits + info.misses)
"""


def start(root, seed, mode):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WORKER, str(root), str(seed), mode],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def expected(number):
    import random

    return random.Random(number).randbytes(20_000)


def test_sixteen_processes_at_once(tmp_path):
    workers = [start(tmp_path / "cache", seed, "once") for seed in range(16)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    writes = 0
    for worker in workers:
        out, err = worker.communicate(timeout=100)
        assert worker.returncode == 0, err
        rejected, written, lookups = map(int, out.split())
        assert rejected == 0
        assert lookups == 40
        writes += written
    cache = DiskCache(tmp_path / "cache")
    assert all(cache.get("cpu", Key([("number", str(n))])) == expected(n) for n in range(40))
    assert cache.info().entries == 40
    assert writes >= 40
    assert others(cache) == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_processes_killed_while_they_write(tmp_path):
    root = tmp_path / "cache"
    for round_ in range(4):
        workers = [start(root, 10 * round_ + seed, "endless") for seed in range(3)]
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
            worker.stdin.write("go\n")
            worker.stdin.flush()
        time.sleep(0.05 + 0.07 * round_)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
        cache = DiskCache(root)
        for number in range(40):
            wanted = Key([("number", str(number))])
            assert cache.get("cpu", wanted) in (None, expected(number))
            cache.put("cpu", wanted, expected(number))
            assert cache.get("cpu", wanted) == expected(number)
        assert cache.info().rejected == 0


def test_threads_share_one_cache(tmp_path):
    cache = DiskCache(tmp_path / "cache", limit=60_000)
    wrong = []

    def work(seed):
        for step in range(60):
            number = (seed * 7 + step) % 30
            found = cache.get("cpu", key(number))
            if found is None:
                cache.put("cpu", key(number), bytes([number]) * 3000)
            elif found != bytes([number]) * 3000:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    info = cache.info()
    assert not wrong
    assert info.hits + info.misses == 480
    assert info.rejected == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_not_stopped_by_its_parents_locks(cache):
    cache.put("cpu", key(), b"payload")
    default_cache()
    with cache._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if cache.get("cpu", key()) == b"payload" and default_cache() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
