"""What is compared: a file a framework, with its programs in a table by the problem's name.

The files are imported in workers only, and import their package when a framework is started.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dlc.bench.problem import Array, Arrays, Case, Program
from dlc.ir.record import dataclass

Builder = Callable[..., Program]


class Framework(Protocol):
    """A framework in its worker; made with the number of threads and a folder for its caches.

    Those that run on GPUs take the device, too, and have `half_array`, which is `array` for an
    input at bfloat16, and `wait`, which returns when all calls are done.
    """

    def settings(self) -> dict[str, str]:
        """The versions and settings that a reader of the results wants to know."""
        ...

    def array(self, array: Array) -> Any:
        """An input as the framework takes it."""
        ...

    def program(self, case: Case, constants: Sequence[Array]) -> Program | None:
        """The function of the inputs; None where the framework does not have it."""
        ...

    def arrays(self, result: Any) -> Arrays:
        """The results of a program as NumPy arrays."""
        ...


@dataclass(frozen=True)
class Kind:
    """A framework as the parent process knows it.

    Args:
        module: Its file here.
        packages: What must be installed.
        environment: Variables that a worker is started with, from the threads and a cache folder.
        asked: Variables that switch on caches on disk which are off by default, from the folder.
        compiles: Whether a process compiles, so that a second one may find something in a cache.
        shared: Whether the workers of a run have one cache folder. They find in it what each of
            their compilations needs and takes seconds to make, and nothing of the case itself.
        suites: The suites that it is for; all others for none.
        also: Suites with frameworks of their own that it is for, too.
        gpus: Whether it runs on GPUs.
    """

    module: str
    packages: tuple[str, ...]
    environment: Callable[[int, str], Mapping[str, str]] = lambda threads, cache: {}
    asked: Callable[[str], Mapping[str, str]] | None = None
    compiles: bool = False
    shared: bool = False
    suites: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    gpus: bool = False


def _dlc(threads: int, cache: str) -> dict[str, str]:
    return {"DLC_CACHE_DIR": cache, "DLC_NUM_THREADS": str(threads)}


def _inductor(threads: int, cache: str) -> dict[str, str]:
    return {"TORCHINDUCTOR_CACHE_DIR": cache}


def _jax(threads: int, cache: str) -> dict[str, str]:
    return {"JAX_PLATFORMS": "cpu"}


def _keras(backend: str) -> Callable[[int, str], Mapping[str, str]]:
    return lambda threads, cache: {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}


def _jax_cache(cache: str) -> dict[str, str]:
    return {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


KINDS: dict[str, Kind] = {
    "dlc": Kind("dlc_compiled", ("llvmlite", "ml_dtypes"), _dlc, compiles=True, gpus=True),
    "numpy": Kind("numpy_arrays", ("numpy",), also=("eager",)),
    "torch": Kind("torch_eager", ("torch",), also=("torch", "networks", "eager"), gpus=True),
    "torch.compile": Kind(
        "torch_compiled",
        ("torch",),
        _inductor,
        compiles=True,
        shared=True,
        also=("networks",),
        gpus=True,
    ),
    "torch.compile unfrozen": Kind(
        "torch_unfrozen", ("torch",), _inductor, compiles=True, shared=True, suites=("torch",)
    ),
    "torch traced": Kind("torch_traced", ("torch",), compiles=True, suites=("torch",)),
    "jax": Kind(
        "jax_compiled", ("jax",), _jax, _jax_cache, compiles=True, also=("networks",), gpus=True
    ),
    "onnxruntime": Kind("onnx_runtime", ("onnx", "onnxruntime")),
    "openvino": Kind("openvino_runtime", ("onnx", "openvino")),
    "keras on jax": Kind(
        "keras_fit", ("keras", "jax"), _keras("jax"), compiles=True, suites=("training",)
    ),
    "keras on torch": Kind("keras_fit", ("keras", "torch"), _keras("torch"), suites=("training",)),
}
OURS = "dlc"


def peers_for(suite: str, device: str = "cpu") -> list[str]:
    """The frameworks that a suite is measured with on a device, besides dlc."""
    if device != "cpu":
        return [name for name, kind in KINDS.items() if kind.gpus and name != OURS]
    own = [name for name, kind in KINDS.items() if suite in (*kind.suites, *kind.also)]
    return own or [name for name, kind in KINDS.items() if name != OURS and not kind.suites]


def environment(
    name: str, threads: int, cache: str, *, asked: bool = False, device: str = "cpu"
) -> dict[str, str]:
    """The variables of a worker: thread counts of all libraries, and the framework's own.

    Args:
        name: The framework.
        threads: How many threads it may use.
        cache: An existing folder for what it caches on disk.
        asked: Whether caches are wanted that are off by default.
        device: Where its programs run.
    """
    kind = KINDS[name]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    made = {**dict.fromkeys(names, str(threads)), **kind.environment(threads, cache)}
    if device != "cpu" and "JAX_PLATFORMS" in made:
        made["JAX_PLATFORMS"] = "cuda"
    if asked and kind.asked is not None:
        made.update(kind.asked(cache))
    return made


def start(name: str, threads: int, cache: str, device: str = "cpu") -> Framework:
    """Imports a framework; raises ImportError where it is not installed."""
    module = importlib.import_module(f"dlc.bench.frameworks.{KINDS[name].module}")
    return (
        module.start(threads, cache, device) if KINDS[name].gpus else module.start(threads, cache)
    )
