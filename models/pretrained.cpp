#include "models/pretrained.h"

#include <map>

#include "engine/core/error.h"
#include "engine/io/safetensors.h"

namespace swath {

namespace {

bool starts_with(const std::string& text, const std::string& head) { return text.rfind(head, 0) == 0; }
bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

void refuse_pickle(const std::string& file) {
  if (!ends_with(file, ".pth") && !ends_with(file, ".pt") && !ends_with(file, ".bin")) return;
  throw DataError(fmt::format(
      "{0} is a PyTorch pickle, which swath does not read; convert it: python3 pth_to_safetensors.py {0} weights.safetensors "
      "(the script is in python/ of the sources and in share/swath of an installation)",
      file));
}

/// torch's O×I×H×W → O×H×W×I with `in` input channels; channels the file lacks copy `copied`.
std::vector<float> to_own_layout(const std::vector<float>& from, const Shape& own, std::int64_t file_in, std::int64_t copied) {
  std::vector<float> to(static_cast<std::size_t>(own.numel()));
  const std::int64_t out = own[0], rows = own[1], columns = own[2], in = own[3];
  std::size_t at = 0;
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t p = 0; p < rows * columns; ++p) {
      for (std::int64_t i = 0; i < in; ++i, ++at) {
        const std::int64_t source = i < file_in ? i : copied;
        to[at] = from[static_cast<std::size_t>((o * file_in + source) * rows * columns + p)];
      }
    }
  }
  return to;
}

/// Whether the first convolution of the file can be widened to `in` channels.
bool widens(const std::string& file, std::int64_t file_in, std::int64_t in, std::int64_t copied) {
  if (file_in >= in) return false;
  if (copied < 0 || copied >= file_in)
    throw DataError(
        fmt::format("copy_weights is {}, but conv1.weight of {} has {} channels; choose one of them", copied, file, file_in));
  return true;
}

struct Target {
  Shape shape;
  Tensor* value;
};

}  // namespace

PretrainedReport load_pretrained(ParameterBlock& block, const std::string& file, const PretrainedOptions& options) {
  refuse_pickle(file);
  std::map<std::string, Target> targets;
  const auto want = [&](const std::string& name, const Shape& shape, Tensor& value) {
    if (starts_with(name, options.prefix)) targets[name.substr(options.prefix.size())] = {shape, &value};
  };
  for (Parameter& p : block.parameters()) want(p.name, p.shape, p.value);
  for (Buffer& b : block.buffers()) want(b.name, b.shape, b.value);

  const SafetensorsFile weights = SafetensorsFile::open(file);
  PretrainedReport report;
  std::vector<std::string> surplus, missing, misshapen;
  std::map<std::string, std::vector<float>> values;
  for (const std::string& name : weights.names()) {
    const auto target = targets.find(name);
    if (target == targets.end()) {
      const bool expected = starts_with(name, "fc.") || starts_with(name, "head.") || ends_with(name, "num_batches_tracked");
      (expected ? report.ignored : surplus).push_back(name);
      continue;
    }
    const Shape& own = target->second.shape;
    const std::vector<std::int64_t> got = weights.shape(name);
    std::vector<std::int64_t> wanted;
    for (int i = 0; i < own.rank(); ++i) wanted.push_back(own[i]);
    bool fits = got == wanted;
    std::int64_t file_in = 0;
    if (own.rank() == 4) {
      wanted = {own[0], own[3], own[1], own[2]};
      fits = got == wanted;
      file_in = got.size() == 4 ? got[1] : 0;
      if (!fits && name == "conv1.weight" && got.size() == 4 && got[0] == own[0] && got[2] == own[1] && got[3] == own[2])
        fits = widens(file, file_in, own[3], options.copy_weights);
    }
    if (!fits) {
      misshapen.push_back(fmt::format("{} is {} instead of {}", name, fmt::join(got, "x"), fmt::join(wanted, "x")));
      continue;
    }
    std::vector<float> read = weights.to_float(name);
    values[name] = own.rank() == 4 ? to_own_layout(read, own, file_in, options.copy_weights) : std::move(read);
  }
  for (const auto& [name, target] : targets) {
    if (!weights.contains(name)) missing.push_back(name);
  }
  if (!missing.empty() || !surplus.empty() || !misshapen.empty()) {
    std::string what;
    const auto list = [&](const char* label, const std::vector<std::string>& names) {
      if (!names.empty()) what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", label, fmt::join(names, ", "));
    };
    list("missing", missing);
    list("surplus", surplus);
    list("of another shape", misshapen);
    throw DataError(
        fmt::format("{} does not hold the weights of this backbone ({}); choose the file of model.backbone", file, what));
  }
  for (const auto& [name, read] : values) targets.at(name).value->copy_from_host(read.data());
  return report;
}

}  // namespace swath
