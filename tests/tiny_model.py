"""A model of YOLOX's layout that always says the same, written as ONNX by hand: no weights are needed to try a runtime.

The bytes are Protocol Buffers of ONNX's ModelProto: one node, Constant → output. The runtime also wants the declared
input, which nothing reads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _value_info(name: bytes, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_bytes(1, _number(1, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dims)))  # element type 1: float


def tiny_model(output: npt.NDArray[np.float32], input_shape: tuple[int, ...]) -> bytes:
    """An ONNX file whose every run gives `output`."""
    dims = b"".join(_number(1, n) for n in output.shape)
    tensor = dims + _number(2, 1) + _bytes(9, output.astype("<f4").tobytes())
    value = _bytes(1, b"value") + _bytes(5, tensor) + _number(20, 4)  # attribute of type TENSOR
    node = _bytes(2, b"output") + _bytes(4, b"Constant") + _bytes(5, value)
    graph = _bytes(1, node) + _bytes(2, b"tiny")
    graph += _bytes(11, _value_info(b"images", input_shape)) + _bytes(12, _value_info(b"output", output.shape))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13))
