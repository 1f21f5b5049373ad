"""The few protocol buffers of TensorFlow Serving that go into files.

What is on the wire and in text depends on the fields' names, numbers and types, not on the
messages' names: these have ours, so that they and `tensorflow-serving-api` can be in one process.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_FILE = "tfp_realnvp/serving.proto"
_PACKAGE = "tfp_realnvp.serving"
_KINDS = {"string": 9, "int64": 3, "uint32": 13}  # of descriptor.proto; all others are messages

# Message -> fields, each a type, with a star where it is repeated, and a number. A map is a
# repeated message of a key and a value.
_MESSAGES: dict[str, dict[str, tuple[str, int]]] = {
    # tensorflow_serving/apis/{prediction_log,predict,model}.proto
    "ModelSpec": {"name": ("string", 1), "signature_name": ("string", 3)},
    "Input": {"key": ("string", 1), "value": ("TensorProto", 2)},
    "PredictRequest": {"model_spec": ("ModelSpec", 1), "inputs": ("Input*", 2)},
    "PredictLog": {"request": ("PredictRequest", 1)},
    "PredictionLog": {"predict_log": ("PredictLog", 6)},
    # tensorflow_serving/config/{model_server_config,file_system_storage_path_source}.proto
    "Latest": {"num_versions": ("uint32", 1)},
    "All": {},
    "Specific": {"versions": ("int64*", 1)},
    "VersionPolicy": {
        "latest": ("Latest", 100),
        "all": ("All", 101),
        "specific": ("Specific", 102),
    },
    "Label": {"key": ("string", 1), "value": ("int64", 2)},
    "ModelConfig": {
        "name": ("string", 1),
        "base_path": ("string", 2),
        "model_platform": ("string", 4),
        "model_version_policy": ("VersionPolicy", 7),
        "version_labels": ("Label*", 8),
    },
    "ModelConfigList": {"config": ("ModelConfig*", 1)},
    "ModelServerConfig": {"model_config_list": ("ModelConfigList", 1)},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=_FILE, package=_PACKAGE, syntax="proto3", dependency=[tensor_pb2.DESCRIPTOR.name]
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for key, (kind, number) in fields.items():
            field = message.field.add(name=key, number=number, label=3 if kind[-1] == "*" else 1)
            kind = kind.rstrip("*")
            field.type = _KINDS.get(kind, 11)
            if kind not in _KINDS:
                package = "tensorflow" if kind == "TensorProto" else _PACKAGE
                field.type_name = f".{package}.{kind}"
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    find = pool.FindMessageTypeByName
    return {n: message_factory.GetMessageClass(find(f"{_PACKAGE}.{n}")) for n in _MESSAGES}


_CLASSES = _classes()
PredictionLog: Any = _CLASSES["PredictionLog"]
ModelServerConfig: Any = _CLASSES["ModelServerConfig"]
