"""ONNX models: `load` compiles one, `export` writes one."""

from dlc.interop.onnx.backend import PreparedModel as PreparedModel
from dlc.interop.onnx.backend import is_compatible as is_compatible
from dlc.interop.onnx.backend import prepare as prepare
from dlc.interop.onnx.backend import run_model as run_model
from dlc.interop.onnx.backend import run_node as run_node
from dlc.interop.onnx.backend import supports_device as supports_device
from dlc.interop.onnx.exporting import export as export
from dlc.interop.onnx.model import OnnxModel as OnnxModel
from dlc.interop.onnx.model import load as load
