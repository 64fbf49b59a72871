"""Looks into an ONNX model for tensors that lie in other files, before ONNX Runtime would read those.

It would read them from wherever they say, and the bundle's hashes do not cover them. Of each message of ONNX
1.x the fields are declared that lead to tensors; protobuf passes over all others.
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
"""Message -> number of a field -> what it holds."""

LOCATION, ENTRY = 14, 13
"""Fields of a tensor: whether its data lie elsewhere (0: they do not), and an entry of where."""


def has_external_tensors(model: bytes) -> bool:
    """Tell whether any tensor of a model lies in another file; ValueError where it is no model of ONNX."""
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
    """Return the class of a model, in which every field that leads on is repeated.

    Protobuf would put the parts of a field together that stands there twice, and so lose none.
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
