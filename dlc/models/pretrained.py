"""`load_pretrained`: models and their weights from folders, files and the Hugging Face hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dlc
from dlc import nn
from dlc.frontend import safetensors
from dlc.ir.errors import ArgumentError, ValueRangeError, nearest
from dlc.models import bert, gpt2, mobilenet, resnet, vgg, vit
from dlc.models.settings import FromConfig, Published

_SUFFIX, _INDEX, _CONFIG = ".safetensors", ".safetensors.index.json", "config.json"
_NAMES = ("model.safetensors", "pytorch_model.safetensors", "weights.safetensors")

_FROM_CONFIG: dict[str, type[FromConfig]] = {
    c.__name__: c
    for c in (
        bert.BertForMaskedLM, bert.BertForSequenceClassification, bert.BertModel,
        gpt2.GPT2LMHeadModel, gpt2.GPT2Model, vit.ViTForImageClassification, vit.ViTModel,
    )
}  # fmt: skip
_OF_TYPE = {"bert": bert.BertModel, "gpt2": gpt2.GPT2LMHeadModel, "vit": vit.ViTModel}
_BY_NAME: dict[str, Callable[..., nn.Module]] = {
    f.__name__: f
    for f in (
        mobilenet.mobilenet_v2, resnet.resnet18, resnet.resnet34, resnet.resnet50, resnet.resnet101,
        resnet.resnet152, vgg.vgg11, vgg.vgg11_bn, vgg.vgg13, vgg.vgg13_bn, vgg.vgg16, vgg.vgg16_bn,
        vgg.vgg19, vgg.vgg19_bn,
    )
}  # fmt: skip


def load_pretrained(
    source: str | os.PathLike[str],
    model: nn.Module | None = None,
    strict: bool = True,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Any:
    """A model with published weights, in evaluation mode.

    Args:
        source: A folder with a file config.json and weights in safetensors files (several with an
            index); a safetensors file; or the name of a repository of the Hugging Face hub,
            "openai-community/gpt2", which the package huggingface_hub finds in its cache or
            fetches.
        model: The model that is given the weights. For None it is made from config.json.
        strict: Whether names that are missing or not known are an error.
        revision: A branch, tag or commit of the repository.
        local_files_only: Whether only the cache is asked.

    Returns:
        The model.

    Raises:
        FileNotFoundError: when there is no such file or repository, or no weights in it.
        ArgumentError: without a model, where config.json does not say which; and when the package
            huggingface_hub is needed and not installed.
        ValueRangeError: for names that are missing or not known, and shapes that differ: all of
            them at once. Nothing has been assigned then.
        FileFormatError: for files that are cut off or no safetensors files.

    Example:
        >>> import tempfile
        >>> config = dlc.models.GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=2)
        >>> first, second = (dlc.models.GPT2LMHeadModel(config) for _ in range(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first.save_weights(f"{folder}/model.safetensors")
        ...     _ = dlc.models.load_pretrained(f"{folder}/model.safetensors", second)
        >>> tokens = dlc.asarray([[1, 2]])
        >>> bool((first.eval()(tokens) == second(tokens)).all())
        True
    """
    folder, files = _found(source, revision, local_files_only)
    target = model
    if target is None:
        # Where names may not be missing, each parameter gets a value, or there is an error.
        with nn.initializers.skip_init() if strict else nullcontext():
            target = _model_of(folder)
    state: dict[str, Any] = {}
    for file in files:
        state.update(safetensors.load_tensors(file))
    target.load_state_dict(
        target.adapted(state) if isinstance(target, Published) else state, strict
    )
    return target.eval()


def _found(
    source: str | os.PathLike[str], revision: str | None, local: bool
) -> tuple[Path, list[Path]]:
    """The folder, and the files of weights."""
    path = Path(source)
    if path.is_dir():
        return path, _weights_in(path)
    if path.is_file():
        if path.name.endswith(_INDEX):
            return path.parent, _of_index(path)
        if path.suffix != _SUFFIX:
            raise ValueRangeError(
                f"weights in {str(path)!r}: the name must end in {_SUFFIX}",
                hint=dlc.safetensors.CONVERT_TORCH,
            )
        return path.parent, [path]
    text = os.fspath(source)
    if text.count("/") > 1 or text.startswith((".", "/", "~")) or path.suffix == _SUFFIX:
        raise FileNotFoundError(f"there is no file or folder {text!r}")
    folder = _from_hub(text, revision, local)
    return folder, _weights_in(folder)


def _weights_in(folder: Path) -> list[Path]:
    named = [folder / name for name in _NAMES if (folder / name).is_file()]
    indices = sorted(folder.glob(f"*{_INDEX}"))
    others = sorted(folder.glob(f"*{_SUFFIX}"))
    if named:
        return named[:1]
    if indices:
        return _of_index(indices[0])
    if len(others) == 1:
        return others
    if others:
        names = ", ".join(f.name for f in others)
        raise ArgumentError(
            f"{str(folder)!r} has several files of weights: {names}", hint="name one of them"
        )
    raise FileNotFoundError(
        f"{str(folder)!r} has no weights in safetensors files; {dlc.safetensors.CONVERT_TORCH}"
    )


def _of_index(index: Path) -> list[Path]:
    """The files that an index names, all of its own folder."""
    placed = _json(index).get("weight_map")
    names = sorted(set(placed.values())) if isinstance(placed, dict) else []
    if not names or not all(isinstance(n, str) and Path(n).name == n for n in names):
        raise ValueRangeError(
            f"{str(index)!r} has no weight_map of names of files in its own folder"
        )
    missing = [n for n in names if not (index.parent / n).is_file()]
    if missing:
        raise FileNotFoundError(f"{str(index)!r} names files that are not there: {missing}")
    return [index.parent / n for n in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueRangeError(f"{str(path)!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueRangeError(f"{str(path)!r} holds a {type(found).__name__}, not an object")
    return found


def _model_of(folder: Path) -> nn.Module:
    """A model with random weights, as config.json says."""
    path = folder / _CONFIG
    if not path.is_file():
        raise ArgumentError(
            f"{str(folder)!r} has no {_CONFIG}, so nothing says what model it is",
            hint="give the model: load_pretrained(path, dlc.models.resnet50())",
        )
    config = _json(path)
    listed = config.get("architectures")
    for name in listed if isinstance(listed, list) else ():
        if isinstance(name, str) and name in _FROM_CONFIG:
            return _FROM_CONFIG[name].from_config(config)
    kind, name = config.get("model_type"), config.get("architecture")
    if isinstance(kind, str) and kind in _OF_TYPE:
        return _OF_TYPE[kind].from_config(config)
    if isinstance(name, str) and name in _BY_NAME:
        return _BY_NAME[name](**_classes(config))
    known = [*_OF_TYPE, *_BY_NAME]
    asked = kind or name
    raise ArgumentError(
        f"{str(path)!r} is of a model {asked!r}, which dlc.models does not have",
        hint=nearest(str(asked), known) if asked else f"it has {', '.join(known)}",
    )


def _classes(config: Mapping[str, Any]) -> dict[str, int]:
    count = config.get("num_classes")
    return {"num_classes": count} if isinstance(count, int) and count > 0 else {}


def _from_hub(name: str, revision: str | None, local: bool) -> Path:
    try:
        import huggingface_hub  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise ArgumentError(
            f"there is no file or folder {name!r}, and for a repository of the Hugging Face hub "
            "the package huggingface_hub is needed, which is not installed",
            hint="pip install 'dlc[hub]'",
        ) from None
    patterns = [f"*{_SUFFIX}", _CONFIG, f"*{_INDEX}"]
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, local_files_only=local, allow_patterns=patterns
        )
    except Exception as error:  # noqa: BLE001  the package raises many kinds, also of the network's
        raise FileNotFoundError(
            f"no repository {name!r} from the Hugging Face hub or its cache "
            f"({type(error).__name__}: {error}); offline, load_pretrained takes a folder"
        ) from None
    return Path(folder)
