// Loads a SavedModel by TensorFlow's own loader, answers the requests of its warm-up file, and then
// the log-probability of two vectors. By TensorFlow's C API; the few protocol buffers of the file are
// read from the wire.
//
//   serve SAVED_MODEL WARMUP_FILE X...    < NAMES
//
// NAMES has a line for each tensor of a signature: "signature in|out key operation index".

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensorflow/c/c_api.h"

namespace {

using Bytes = std::string_view;

[[noreturn]] void Fail(const std::string& why) {
  std::cerr << why << std::endl;
  std::exit(1);
}

Bytes Take(Bytes& from, size_t count) {
  if (count > from.size()) Fail("the file ends too early");
  Bytes taken = from.substr(0, count);
  from.remove_prefix(count);
  return taken;
}

template <typename T>
T Number(Bytes& from) {
  T value;
  std::memcpy(&value, Take(from, sizeof(T)).data(), sizeof(T));
  return value;
}

uint64_t Varint(Bytes& from) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = Number<unsigned char>(from);
    value |= uint64_t{byte & 127u} << shift;
    if (byte < 128) return value;
  }
}

struct Field {
  uint64_t number, value;
  Bytes content;
};

std::vector<Field> Fields(Bytes message) {
  std::vector<Field> found;
  while (!message.empty()) {
    const uint64_t key = Varint(message);
    Field field{key >> 3, 0, {}};
    if ((key & 7) == 0) {
      field.value = Varint(message);
    } else if ((key & 7) == 2) {
      field.content = Take(message, Varint(message));
    } else {
      Fail("a field that no warm-up request has");
    }
    found.push_back(field);
  }
  return found;
}

// A TensorProto of float32 or int32: its bytes, or numbers of which the last is repeated.
TF_Tensor* Tensor(Bytes proto) {
  TF_DataType dtype = TF_FLOAT;
  std::vector<int64_t> sides;
  Bytes content;
  std::vector<uint32_t> numbers;
  for (const Field& field : Fields(proto)) {
    Bytes packed = field.content;
    if (field.number == 1) dtype = static_cast<TF_DataType>(field.value);
    if (field.number == 2) {
      for (const Field& dim : Fields(field.content)) {
        int64_t side = 0;
        for (const Field& part : Fields(dim.content)) side = part.value;
        sides.push_back(side);
      }
    }
    if (field.number == 4) content = field.content;
    if (field.number == 5) while (!packed.empty()) numbers.push_back(Number<uint32_t>(packed));
    if (field.number == 7) while (!packed.empty()) numbers.push_back(Varint(packed));
  }
  size_t count = 1;
  for (int64_t side : sides) count *= side;
  TF_Tensor* tensor = TF_AllocateTensor(dtype, sides.data(), sides.size(), 4 * count);
  auto* data = static_cast<uint32_t*>(TF_TensorData(tensor));
  if (!content.empty()) std::memcpy(data, content.data(), content.size());
  for (size_t i = 0; content.empty() && i < count; ++i) {
    data[i] = numbers.empty() ? 0 : numbers[std::min(i, numbers.size() - 1)];
  }
  return tensor;
}

struct Names {
  std::map<std::string, TF_Output> inputs, outputs;
};

std::vector<TF_Tensor*> Run(TF_Session* session, const Names& names,
                            const std::map<std::string, TF_Tensor*>& given) {
  std::vector<TF_Output> inputs, outputs;
  std::vector<TF_Tensor*> values;
  for (const auto& [key, value] : given) {
    inputs.push_back(names.inputs.at(key));
    values.push_back(value);
  }
  for (const auto& [key, output] : names.outputs) outputs.push_back(output);
  std::vector<TF_Tensor*> results(outputs.size());
  TF_Status* status = TF_NewStatus();
  TF_SessionRun(session, nullptr, inputs.data(), values.data(), inputs.size(), outputs.data(),
                results.data(), outputs.size(), nullptr, 0, nullptr, status);
  if (TF_GetCode(status) != TF_OK) Fail(TF_Message(status));
  return results;
}

}  // namespace

int main(int argc, char** argv) {
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options, nullptr, argv[1], tags, 1, graph,
                                                     nullptr, status);
  if (TF_GetCode(status) != TF_OK) Fail(TF_Message(status));

  std::map<std::string, Names> signatures;
  std::string signature, side, key, operation;
  for (int index; std::cin >> signature >> side >> key >> operation >> index;) {
    Names& names = signatures[signature];
    TF_Output output{TF_GraphOperationByName(graph, operation.c_str()), index};
    if (output.oper == nullptr) Fail("no operation " + operation);
    (side == "in" ? names.inputs : names.outputs)[key] = output;
  }

  std::ifstream stream(argv[2], std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(stream), {}};
  int answered = 0;
  for (Bytes rest = file; !rest.empty(); ++answered) {  // TFRecord: a length, data, and sums of both
    const auto length = Number<uint64_t>(rest);
    Take(rest, 4);
    const Bytes log = Take(rest, length);
    Take(rest, 4);
    std::string name;
    std::map<std::string, TF_Tensor*> given;
    for (const Field& predict_log : Fields(log)) {
      for (const Field& request : Fields(predict_log.content)) {
        for (const Field& field : Fields(request.content)) {
          const std::vector<Field> parts = Fields(field.content);
          if (field.number == 1) name = parts.at(0).content;
          if (field.number == 2) given[std::string(parts.at(0).content)] = Tensor(parts.at(1).content);
        }
      }
    }
    Run(session, signatures.at(name), given);
  }
  std::printf("%d\n", answered);

  const int64_t sides[] = {(argc - 3) / 2, 2};
  TF_Tensor* x = TF_AllocateTensor(TF_FLOAT, sides, 2, 4 * (argc - 3));
  for (int i = 3; i < argc; ++i) static_cast<float*>(TF_TensorData(x))[i - 3] = std::atof(argv[i]);
  TF_Tensor* log_prob = Run(session, signatures.at("serving_default"), {{"x", x}}).at(0);
  for (int64_t i = 0; i < TF_TensorElementCount(log_prob); ++i) {
    std::printf("%.9g\n", static_cast<float*>(TF_TensorData(log_prob))[i]);
  }
}
