"""`dlc cache`: the disk cache of compiled code."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from dlc.ir.errors import ArgumentError
from dlc.runtime.cache import default_cache

DESCRIPTION = """\
The disk cache holds compiled code, so that what one process has compiled, the next one only reads.
It may be cleared at any time. Its folder is the setting `cache_dir` (DLC_CACHE_DIR).

  info    where it is and what it holds
  clear   remove all entries
  export  write all entries to an archive
  import  take the entries of an archive; they are machine code that will run, so import only
          archives that you trust
"""
EXAMPLES = """\
examples:
  $ dlc cache info
  folder   ...
  entries  ... (... of 2.0 GiB)
  ...

  $ dlc cache export kernels.cache
  exported ... entries to kernels.cache
"""
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("action", choices=tuple(_ACTIONS), help="what to do")
    parser.add_argument("path", nargs="?", help="the archive of export and import")


def run(options: argparse.Namespace) -> int:
    """Does one of the actions."""
    needs_path = options.action in ("export", "import")
    if needs_path and options.path is None:
        raise ArgumentError(
            f"dlc cache {options.action} needs the archive",
            hint=f"as in `dlc cache {options.action} kernels.cache`",
        )
    if options.path is not None and not needs_path:
        raise ArgumentError(f"dlc cache {options.action} takes no path")
    _ACTIONS[options.action](options.path)
    return 0


def size_text(size: int) -> str:
    """Bytes with a unit, as in `1.5 MiB`."""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1024**power:.1f} {_UNITS[power - 1]}"


def _info(_: str | None) -> None:
    info = default_cache().info()
    print(f"folder   {info.folder}")
    print(f"entries  {info.entries} ({size_text(info.size)} of {size_text(info.limit)})")
    for kind, count in sorted(info.kinds.items()):
        print(f"  {kind:8} {count}")


def _clear(_: str | None) -> None:
    count = default_cache().clear()
    print(f"removed {_entries(count)}")


def _export(path: str | None) -> None:
    assert path is not None
    print(f"exported {_entries(default_cache().export(path))} to {path}")


def _import(path: str | None) -> None:
    assert path is not None
    print(f"imported {_entries(default_cache().import_(path))} from {path}")


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


_ACTIONS: dict[str, Callable[[str | None], None]] = {
    "info": _info,
    "clear": _clear,
    "export": _export,
    "import": _import,
}
