"""How many CPUs this process may use: the affinity mask and the control group's quota."""

from __future__ import annotations

import functools
import os


def available_cpus() -> int:
    """Count the CPUs that this process may keep busy, at least 1.

    The affinity mask is read anew each time; the control group's quota once.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _own_quota()
    return count if quota is None else max(1, min(count, int(quota)))


@functools.cache
def _own_quota() -> float | None:
    return cgroup_quota("/")


def cgroup_quota(root: str | os.PathLike[str]) -> float | None:
    """Read the CPU quota of this process's control group, version 1 or 2.

    Args:
        root: The file system's root.

    Returns:
        CPUs (2.5 is two and a half), the least along the way up to the root group, or None
        without a limit.
    """
    quotas: list[float] = []
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:
            mount, read = os.path.join(root, "sys/fs/cgroup"), _quota_v2
        elif "cpu" in controllers.split(","):
            mount, read = os.path.join(root, "sys/fs/cgroup/cpu"), _quota_v1
        else:
            continue
        # Inside a container the path may be the host's and not exist; its own group is then the
        # mount itself, which is always looked at.
        names = [name for name in group.split("/") if name]
        folders = [os.path.join(mount, *names[:k]) for k in range(len(names), -1, -1)]
        quotas += filter(None, map(read, folders))
    return min(quotas, default=None)


def _quota_v2(folder: str) -> float | None:
    quota, _, period = _read(folder, "cpu.max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: str) -> float | None:
    return _ratio(_read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    try:
        ratio = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or a file that is not there
        return None
    return ratio if ratio > 0 else None  # version 1 writes -1 for no limit


def _read(folder: str | os.PathLike[str], name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
