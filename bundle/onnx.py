"""Finds tensors of an ONNX model that are stored in other files (external data).

ONNX Runtime would read those from any path, and the bundle's hashes do not cover them. Only the fields of
ONNX 1.x that lead to tensors are declared; protobuf skips all others.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

LEADING = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto", 22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}  # fmt: skip
"""Message -> number of a field -> message in it."""

LOCATION, ENTRY = 14, 13
"""Fields of a tensor: data_location (0: in the model), and an entry of external_data."""


def has_external_tensors(model: bytes) -> bool:
    """Return whether any tensor of a model is in another file; ValueError if it is no ONNX model."""
    try:
        message = MODEL.FromString(model)
    except DecodeError:
        raise ValueError("it is no ONNX model") from None
    if not message.ListFields():
        raise ValueError("it is no ONNX model")
    waiting = [message]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.message_type:
                waiting += value
            elif value:
                return True
    return False


def _model_class() -> Any:
    """Return the message class of a model, with every declared field repeated.

    Of a field that is not repeated, protobuf would merge several occurrences into one.
    """
    file = FileDescriptorProto(name="tensors.proto", package="tensors", syntax="proto2")
    for name, fields in LEADING.items():
        message = file.message_type.add(name=name)
        for number, kind in fields.items():
            message.field.add(
                name=f"field_{number}",
                number=number,
                label=FieldDescriptorProto.LABEL_REPEATED,
                type=FieldDescriptorProto.TYPE_MESSAGE,
                type_name=f".tensors.{kind}",
            )
    tensor = file.message_type.add(name="TensorProto")
    label = FieldDescriptorProto.LABEL_OPTIONAL
    tensor.field.add(name="location", number=LOCATION, label=label, type=FieldDescriptorProto.TYPE_INT64)
    tensor.field.add(name="entry", number=ENTRY, label=label, type=FieldDescriptorProto.TYPE_BYTES)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("tensors.ModelProto"))


MODEL = _model_class()
