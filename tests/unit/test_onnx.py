"""A model with tensors in external files is rejected, wherever they are: no hash covers those files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, onnx_ml_pb2

from bundle.onnx import ENTRY, LEADING, LOCATION, has_external_tensors
from serving.inference.engine import EngineError, OnnxEngine


def external(name: str = "secret") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1, 2], data_location="EXTERNAL")
    tensor.external_data.add(key="location", value="key")
    return tensor


def model(change: Callable[[onnx.ModelProto], object] = lambda _: None) -> bytes:
    """Return a model that answers any input with the initializer `secret`."""
    secret = helper.make_tensor("secret", TensorProto.FLOAT, [1, 2], [0.25, 0.75])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["secret"], ["probabilities"])], "g", [rows], [answer]
    )
    graph.initializer.append(secret)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    change(whole)
    return bytes(whole.SerializeToString())


def attribute(value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=value)


def subgraph() -> onnx.GraphProto:
    return helper.make_graph([attribute(external())], "inner", [], [])


def sparse() -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=external(), dims=[2])


PLACES: dict[str, Callable[[onnx.ModelProto], object]] = {
    "initializer": lambda m: m.graph.initializer[0].CopyFrom(external()),
    "only said to be": lambda m: setattr(m.graph.initializer[0], "data_location", 1),
    "only where": lambda m: m.graph.initializer[0].external_data.add(key="location", value="key"),
    "memory": lambda m: m.graph.initializer[0].external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*"),
    "sparse initializer": lambda m: m.graph.sparse_initializer.append(sparse()),
    "constant": lambda m: m.graph.node.append(attribute(external())),
    "list of tensors": lambda m: m.graph.node.append(helper.make_node("X", [], ["c"], v=[external()])),
    "sparse constant": lambda m: m.graph.node.append(helper.make_node("X", [], ["c"], v=sparse())),
    "subgraph": lambda m: m.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=subgraph())),
    "subgraphs": lambda m: m.graph.node.append(helper.make_node("X", ["c"], ["d"], v=[subgraph()])),
    "function": lambda m: m.functions.append(
        helper.make_function("d", "f", [], ["c"], [attribute(external())], [helper.make_opsetid("", 17)])
    ),
    "training": lambda m: m.training_info.add().algorithm.CopyFrom(subgraph()),
}


@pytest.mark.parametrize("place", PLACES)
def test_tensors_in_external_files_are_rejected(place: str) -> None:
    with pytest.raises(EngineError, match="keeps tensors in other files"):
        OnnxEngine(model(PLACES[place]))


def test_a_formerly_external_tensor_is_served() -> None:
    content = model(lambda m: setattr(m.graph.initializer[0], "data_location", 0))
    assert OnnxEngine(content).row([0.0, 0.0]) == [0.25, 0.75]


def test_a_repeated_field_hides_nothing() -> None:
    again = onnx.ModelProto(graph=onnx.GraphProto(initializer=[external("another")]))
    assert has_external_tensors(model() + again.SerializeToString())
    assert has_external_tensors(again.SerializeToString() + model())


def test_an_external_file_is_not_read_even_next_to_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_bytes(bytes(8))
    with pytest.raises(EngineError, match="keeps tensors in other files"):
        OnnxEngine(model(PLACES["initializer"]))


def ways(message: Any, known: set[str]) -> dict[int, str]:
    """Return the fields of a message that hold one of these."""
    fields = [field for field in message.fields if field.message_type and field.message_type.name in known]
    return {field.number: field.message_type.name for field in fields}


def test_every_path_to_a_tensor_is_known() -> None:
    messages = onnx_ml_pb2.DESCRIPTOR.message_types_by_name
    known = {"TensorProto"}
    while True:
        leading = {name: ways(message, known) for name, message in messages.items() if ways(message, known)}
        if known == {"TensorProto", *leading}:
            break
        known |= set(leading)
    assert leading == LEADING
    tensor = messages["TensorProto"].fields_by_name
    assert (tensor["data_location"].number, tensor["external_data"].number) == (LOCATION, ENTRY)
