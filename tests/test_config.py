"""The settings: who wins, what is rejected, threads, logs, and the generated page."""

import contextvars
import importlib.util
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dlc
from dlc.ir import cpus
from dlc.ir.config import Config
from dlc.ir.config import config as process_config
from dlc.ir.cpus import available_cpus, cgroup_quota
from dlc.ir.errors import SettingError
from dlc.ir.log_handler import TopicHandler
from dlc.ir.logs import LOG_TOPICS

ROOT = Path(__file__).parent.parent


def test_defaults():
    config = Config({})
    assert config.cache_dir is None
    assert config.cache_size == 2 * 1024**3
    assert config.logs == frozenset()
    assert config.dump_ir is None
    assert config.verify is False
    assert config.debug_nans is False
    assert config.disable_jit is False
    assert config.num_threads is None
    assert config.device == "cpu"
    assert config.isa is None
    assert config.progress is True


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("DLC_VERIFY", "1", True),
        ("DLC_VERIFY", "TRUE", True),
        ("DLC_VERIFY", "off", False),
        ("DLC_PROGRESS", "no", False),
        ("DLC_NUM_THREADS", " 7 ", 7),
        ("DLC_CACHE_SIZE", "512M", 512 * 1024**2),
        ("DLC_CACHE_SIZE", "2 GiB", 2 * 1024**3),
        ("DLC_CACHE_SIZE", "0", 0),
        ("DLC_CACHE_DIR", "a/b", Path("a/b")),
        ("DLC_CACHE_DIR", "~/x", Path.home() / "x"),
        ("DLC_LOGS", "compile, cache", frozenset({"compile", "cache"})),
        ("DLC_LOGS", ",", frozenset()),
        ("DLC_DEVICE", "cuda:1", "cuda:1"),
        ("DLC_ISA", "x86-64-v3", "x86-64-v3"),
        ("DLC_VERIFY", "", False),
        ("DLC_NUM_THREADS", "", None),
    ],
)
def test_environment(variable, text, value):
    config = Config({variable: text})
    try:
        name = variable.removeprefix("DLC_").lower()
        assert getattr(config, name) == value
    finally:
        config.logs = ()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("DLC_VERIFY", "maybe"),
        ("DLC_VERIFY", "2"),
        ("DLC_NUM_THREADS", "0"),
        ("DLC_NUM_THREADS", "-1"),
        ("DLC_NUM_THREADS", "1.5"),
        ("DLC_CACHE_SIZE", "2X"),
        ("DLC_CACHE_SIZE", "-1"),
        ("DLC_DEVICE", "GPU 0"),
        ("DLC_ISA", " "),
    ],
)
def test_bad_variable_is_an_error_when_read(variable, text):
    config = Config({variable: text})
    with pytest.raises(SettingError, match=f"environment variable {variable} is '{text}'"):
        getattr(config, variable.removeprefix("DLC_").lower())
    with pytest.raises(ValueError, match="DLC401"):  # and again: nothing half-read is kept
        getattr(config, variable.removeprefix("DLC_").lower())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verify", 1),
        ("verify", None),
        ("num_threads", 0),
        ("num_threads", True),
        ("num_threads", 2.0),
        ("cache_size", None),
        ("cache_size", True),
        ("cache_dir", 3),
        ("cache_dir", ""),
        ("logs", 3),
        ("logs", ["compile", "nothing"]),
        ("logs", [["compile"]]),
        ("device", None),
    ],
)
def test_bad_assignment(name, value):
    config = Config({})
    before = getattr(config, name)
    with pytest.raises(SettingError, match=f"config.{name} is"):
        setattr(config, name, value)
    with pytest.raises(SettingError, match="scope"), config.scope(**{name: value}):
        pass
    assert getattr(config, name) == before


def test_unknown_names_suggest():
    with pytest.raises(SettingError, match="'DLC_NUM_THREADS'"):
        Config({"DLC_NUM_THREAD": "1"})
    config = Config({"OTHER": "1", "dlc_lower": "1"})
    with pytest.raises(SettingError, match="did you mean 'verify'"):
        config.verfy = True
    with pytest.raises(SettingError, match="did you mean 'verify'"), config.scope(verfy=True):
        pass
    assert not hasattr(config, "verfy")


def test_unknown_variable_stops_the_import():
    done = subprocess.run(
        [sys.executable, "-c", "import dlc.ir.config"],
        cwd=ROOT, env={**os.environ, "DLC_CACHEDIR": "x"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "unknown environment variable DLC_CACHEDIR" in done.stderr
    assert "did you mean 'DLC_CACHE_DIR'?" in done.stderr


def test_environment_is_read_at_first_use():
    environ = {}
    config = Config(environ)
    environ["DLC_VERIFY"] = "1"
    assert config.verify is True
    environ["DLC_VERIFY"] = "0"
    assert config.verify is True


def test_assignment_beats_environment_and_scope_beats_both():
    config = Config({"DLC_NUM_THREADS": "2"})
    config.num_threads = 3
    assert config.num_threads == 3
    with config.scope(num_threads=4, verify=True):
        assert (config.num_threads, config.verify) == (4, True)
        with config.scope(num_threads=5):
            assert (config.num_threads, config.verify) == (5, True)
        assert config.num_threads == 4
    assert (config.num_threads, config.verify) == (3, False)


def test_scope_ends_with_an_exception():
    config = Config({})
    with pytest.raises(KeyError), config.scope(verify=True):
        raise KeyError
    assert config.verify is False


def test_assignment_inside_a_scope():
    config = Config({})
    with config.scope(verify=True):
        config.debug_nans = True
        with pytest.raises(SettingError, match="inside a config.scope"):
            config.verify = False
    assert (config.verify, config.debug_nans) == (False, True)


def test_scopes_belong_to_their_thread():
    config = Config({})
    seen = []
    with config.scope(num_threads=5):
        context = contextvars.copy_context()
        plain = threading.Thread(target=lambda: seen.append(config.num_threads))
        plain.start()
        plain.join()
        inheriting = threading.Thread(
            target=context.run, args=(lambda: seen.append(config.num_threads),)
        )
        inheriting.start()
        inheriting.join()
    assert seen[1] == 5
    # Free-threaded builds let threads inherit the context by default.
    assert seen[0] == (5 if getattr(sys.flags, "thread_inherit_context", 0) else None)


def test_many_threads_nest_scopes():
    config = Config({})
    wrong = []

    def work(number):
        for _ in range(200):
            with config.scope(num_threads=number):
                if config.num_threads != number:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DLC_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"OMP_NUM_THREADS": "0"}, available_cpus()),
        ({"OMP_NUM_THREADS": "many"}, available_cpus()),
        ({}, available_cpus()),
    ],
)
def test_thread_count(environ, expected):
    config = Config(environ)
    assert config.thread_count() == expected
    assert config.thread_count(9) == 9
    with config.scope(num_threads=6):
        assert config.thread_count() == 6
        assert config.thread_count(9) == 9


@pytest.mark.parametrize("requested", [0, -1, 1.5, True, "two"])
def test_bad_thread_count(requested):
    with pytest.raises(SettingError):
        Config({}).thread_count(requested)


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_quota_version_2_is_the_least_on_the_way_up(tmp_path):
    write(tmp_path / "proc/self/cgroup", "0::/a/b\n")
    write(tmp_path / "sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
    assert cgroup_quota(tmp_path) is None
    write(tmp_path / "sys/fs/cgroup/a/cpu.max", "250000 100000\n")
    assert cgroup_quota(tmp_path) == 2.5
    write(tmp_path / "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert cgroup_quota(tmp_path) == 0.5


def test_quota_version_1(tmp_path):
    write(tmp_path / "proc/self/cgroup", "5:memory:/m\n3:cpu,cpuacct:/not/here\n")
    assert cgroup_quota(tmp_path) is None
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert cgroup_quota(tmp_path) is None
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n")
    assert cgroup_quota(tmp_path) == 3.0


@pytest.mark.parametrize("text", ["", "garbage", "0::/../../..\n", "1:cpu:\n0::"])
def test_quota_of_a_strange_system(tmp_path, text):
    write(tmp_path / "proc/self/cgroup", text)
    write(tmp_path / "sys/fs/cgroup/cpu.max", "x 0\n")
    assert cgroup_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (2.9, 2), (0.1, 1), (64.0, 8)])
def test_available_cpus(monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cpus, "_own_quota", lambda: quota)
    assert available_cpus() == expected


def test_available_cpus_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(cpus, "_own_quota", lambda: None)
    assert available_cpus() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_affinity_mask_counts():
    code = (
        "import os\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from dlc.ir.config import Config\n"
        "print(Config({}).thread_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_describe():
    config = Config({"DLC_VERIFY": "1"})
    config.num_threads = 2
    with config.scope(device="cuda:0"):
        rows = {row["name"]: row for row in config.describe()}
    assert rows["verify"]["source"] == "environment"
    assert rows["num_threads"]["source"] == "assignment"
    assert rows["device"]["source"] == "scope"
    assert rows["isa"]["source"] == "default"
    assert rows["device"]["value"] == "cuda:0"
    assert rows["device"]["default"] == "cpu"
    assert all(row["doc"] and row["kind"] for row in rows.values())
    assert [row["variable"] for row in rows.values()] == ["DLC_" + name.upper() for name in rows]


def test_logs_go_to_standard_error(capsys):
    log = logging.getLogger("dlc.cache")
    log.debug("before")
    with process_config.scope(logs="cache"):
        log.debug("a miss of %s", "key")
        logging.getLogger("dlc.cache.disk").debug("below")
        logging.getLogger("dlc.compile").warning("another topic")
        with process_config.scope(logs="compile"):
            log.debug("hidden by the inner scope")
        log.debug("again")
    log.debug("after")
    assert capsys.readouterr().err == (
        "dlc.cache: a miss of key\ndlc.cache.disk: below\ndlc.cache: again\n"
    )


def test_every_topic_logs_something(capsys):
    compiled = dlc.compile(lambda x: dlc.tanh(x) * 0.8125)
    with process_config.scope(logs=LOG_TOPICS):
        compiled(dlc.ones(3))
        compiled(dlc.ones((3, 3)))
    lines = capsys.readouterr().err.splitlines()
    assert {x.partition(":")[0] for x in lines} >= {f"dlc.{topic}" for topic in LOG_TOPICS}


def test_log_levels_are_put_back():
    config = Config({"DLC_LOGS": "fusion"})
    log = logging.getLogger("dlc.fusion")
    assert log.level == logging.DEBUG
    with config.scope(logs="fusion,code"):
        pass
    assert log.level == logging.DEBUG
    assert logging.getLogger("dlc.code").level == logging.NOTSET
    config.logs = ["code"]
    assert log.level == logging.NOTSET
    assert logging.getLogger("dlc.code").level == logging.DEBUG
    config.logs = ""
    assert [logging.getLogger(f"dlc.{topic}").level for topic in LOG_TOPICS] == [0] * 5


def test_log_variable():
    code = (
        "from dlc.ir import config\n"
        "import logging\n"
        "logging.getLogger('dlc.compile').debug('shown')\n"
        "logging.getLogger('dlc.cache').critical('dropped')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, "DLC_LOGS": "compile"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr == "dlc.compile: shown\n"


def test_one_handler_only():
    handlers = logging.getLogger("dlc").handlers
    assert [type(handler) for handler in handlers] == [TopicHandler]


def test_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.PAGE.read_text(encoding="utf-8")
    assert page == generate.page_with(generate.settings_sections(), page), (
        "run: python docs/generate.py"
    )
