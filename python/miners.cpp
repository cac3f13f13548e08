// Distances and miners (methods.md §4, §5).
#include <fmt/format.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>

#include "kernels/pairwise_distance.h"
#include "losses/miner.h"
#include "python/bindings.h"
#include "python/call.h"

namespace swath::python {

namespace {

nb::object pairwise_distance(nb::handle e, std::optional<std::uintptr_t> stream) {
  Call call(stream);
  const Tensor x = call.floats("e", e, {kAny, kAny});
  const std::int64_t rows = x.size(0), cols = x.size(1);
  const Tensor distance = call.empty({rows, rows});
  const kernels::PairwiseDistanceArgs args{
      .x = x.data<float>(), .distance = distance.data<float>(), .rows = rows, .cols = cols, .x_ld = cols};
  call.run([&](auto exec) { kernels::pairwise_distance(args, exec); });
  return to_python(distance);
}

Json json_of(const std::string& key, nb::handle value) {
  if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
  if (PyIndex_Check(value.ptr())) return nb::cast<std::int64_t>(nb::int_(value));
  if (double number = 0; nb::try_cast(value, number)) return number;
  refuse(fmt::format("{} must be a number, True or False", key));
}

MinerOptions options_of(const std::string& name, const nb::kwargs& kwargs) {
  const std::vector<std::string> names = MinerOptions::miner_names();
  if (std::find(names.begin(), names.end(), name) == names.end())
    refuse(fmt::format("name is \"{}\", where one of {} is needed", name, fmt::join(names, ", ")));
  std::vector<std::string> known;
  for (const ConfigKey& key : config_keys(MinerOptions{}))
    if (key.path != "name") known.push_back(key.path);
  Json json{{"name", name}};
  for (const auto& [key, value] : kwargs) {
    const std::string option = nb::cast<std::string>(key);
    if (std::find(known.begin(), known.end(), option) == known.end())
      refuse(fmt::format("{} is no option of mine(); there are: {}", option, fmt::join(known, ", ")));
    json[option] = json_of(option, value);
  }
  MinerOptions options;
  config_from_json(options, json);
  return options;
}

nb::object mine(const std::string& name, nb::handle rows, nb::handle labels, std::uint64_t seed, std::uint64_t step,
                std::optional<std::uintptr_t> stream, const nb::kwargs& kwargs) {
  const MinerOptions options = options_of(name, kwargs);
  Call call(stream);
  MineInput input;
  // Densities of distances are those on the unit sphere.
  const bool on_sphere = name == "distance" || name == "random_distance";
  input.rows = on_sphere ? call.unit_rows("rows", rows, {kAny, kAny}) : call.floats("rows", rows, {kAny, kAny});
  const std::int64_t count = input.rows.size(0);
  if (name == "multilabel_semihard") {
    std::int64_t classes = 0;
    input.labels = call.label_masks("labels", labels, count, &classes);
  } else {
    input.row_class = call.ints("labels", labels, {count});
  }
  input.row_count = call.scalar(static_cast<std::int32_t>(count));
  const Tensor step_now = call.scalar(step);
  input.random = {.seed = seed, .step = step_now.data<std::uint64_t>()};
  Triplets triplets;
  {
    const nb::gil_scoped_release release;
    triplets = make_miner(options)->mine(input);
    call.device().synchronize();
  }
  const std::int32_t dropped = triplets.dropped.defined() ? triplets.dropped.to_host<std::int32_t>()[0] : 0;
  if (dropped > 0) {
    const std::string sentence = fmt::format("mine: {} triplets found no room; raise capacity", dropped);
    if (PyErr_WarnEx(PyExc_RuntimeWarning, sentence.c_str(), 1) != 0) throw nb::python_error();
  }
  return to_python(triplets.indices.rows(0, triplets.count.to_host<std::int32_t>()[0]));
}

}  // namespace

void bind_miners(nb::module_& m) {
  m.def("pairwise_distance", &pairwise_distance, nb::arg("e"), nb::arg("stream") = nb::none(),
        R"(Euclidean distances between all rows of e, in full float32 with one fixed order of sums (methods.md §4).

e: (B, D) float32. Returns (B, B) float32 with zeros on the diagonal.)");
  m.def("mine", &mine, nb::arg("name"), nb::arg("rows"), nb::arg("labels"), nb::arg("seed") = 0, nb::arg("step") = 0,
        nb::arg("stream") = nb::none(), nb::arg("options"),
        R"(Triplets (anchor, positive, negative) of rows, fixed by seed and step on every device (methods.md §5).

name: semihard (F. Schroff et al., FaceNet, 2015), distance (C.-Y. Wu et al., Sampling Matters, 2017), random_distance and
intra_random (T. Milbich et al., DiVA, 2020), or multilabel_semihard. rows: (B, D) float32, unit rows where distances are
weighted. labels: (B,) integers, −1 for a row that takes no part; for multilabel_semihard (B, C) multi-hot of 0 and 1, C ≤ 256.
Options are the keys of `swath config explain miner`, such as lower_cutoff=0.5 or max_negatives_per_pos=3. Returns (T, 3) int32.)");
}

}  // namespace swath::python
