// Retrieval metrics and the overlap of distances (methods.md §8), on the host.
#include <fmt/format.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "python/bindings.h"
#include "python/call.h"
#include "retrieval/evaluator.h"
#include "retrieval/overlap.h"

namespace swath::python {

namespace {

/// Embeddings and labels of one set, owned.
struct Rows {
  std::vector<float> embeddings;
  std::vector<std::uint64_t> labels;
  std::int64_t count = 0, cols = 0, classes = 0;

  LabelledEmbeddings view() const { return {{embeddings.data(), count, cols}, {labels.data(), count, classes}}; }
};

Rows read_rows(const std::string& prefix, nb::handle e, nb::handle y) {
  Call call({});
  Rows rows;
  rows.embeddings = call.host_floats(prefix + "e", e, &rows.count, &rows.cols);
  Call labels({});  // labels may lie elsewhere than the embeddings
  rows.labels = labels.host_label_masks(prefix + "y", y, rows.count, &rows.classes);
  return rows;
}

nb::object to_array(const std::vector<double>& values) {
  auto owned = std::make_unique<std::vector<double>>(values);
  std::size_t size = owned->size();
  double* data = owned->data();
  const nb::capsule owner(owned.release(), [](void* p) noexcept { delete static_cast<std::vector<double>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, double, nb::ndim<1>>(data, {size}, owner));
}

nb::dict retrieval_metrics(nb::handle e, nb::handle y, const std::vector<std::int64_t>& ks,
                           const std::optional<std::pair<nb::object, nb::object>>& gallery) {
  if (ks.empty()) refuse("ks is empty; pass the numbers of neighbours, such as (1, 2, 4, 8)");
  const Rows rows = read_rows("", e, y);
  std::optional<Rows> others;
  if (gallery) {
    others = read_rows("gallery ", gallery->first, gallery->second);
    if (others->cols != rows.cols) refuse(fmt::format("gallery has {} columns, but e has {}", others->cols, rows.cols));
    if (others->classes != rows.classes)
      refuse(fmt::format("gallery has {} classes, but y has {}", others->classes, rows.classes));
  }
  const std::int64_t largest = others ? others->count : rows.count - 1;
  for (const std::int64_t k : ks)
    if (k < 1 || k > largest) refuse(fmt::format("ks holds {}, where 1 to {} are possible", k, largest));
  EvaluateOptions options;
  options.ks = ks;
  MetricTable table;
  {
    const nb::gil_scoped_release release;
    table = others ? evaluate(rows.view(), others->view(), options).table : evaluate(rows.view(), options).table;
  }
  nb::dict result;
  for (const auto& [name, values] : table.rows) {
    std::vector<double> in_order;
    for (const std::int64_t k : ks)
      in_order.push_back(values[static_cast<std::size_t>(std::find(table.ks.begin(), table.ks.end(), k) - table.ks.begin())]);
    result[name.c_str()] = to_array(in_order);
  }
  return result;
}

nb::dict overlap(nb::handle e, nb::handle y) {
  const Rows rows = read_rows("", e, y);
  DistanceOverlap found;
  {
    const nb::gil_scoped_release release;
    found = distance_overlap(rows.view().embeddings, rows.view().labels);
  }
  std::vector<double> edges;
  for (int b = 0; b <= kOverlapBins; ++b) edges.push_back(found.min_distance + b * found.bin_width());
  nb::dict result;
  result["overlap"] = found.overlap;
  result["anchor_class"] = found.anchor_class;
  result["intra_pairs"] = found.intra_pairs;
  result["inter_pairs"] = found.inter_pairs;
  result["intra"] = to_array({found.intra.begin(), found.intra.end()});
  result["inter"] = to_array({found.inter.begin(), found.inter.end()});
  result["edges"] = to_array(edges);
  return result;
}

}  // namespace

void bind_retrieval(nb::module_& m) {
  m.def("retrieval_metrics", &retrieval_metrics, nb::arg("e"), nb::arg("y"),
        nb::arg("ks") = std::vector<std::int64_t>{1, 2, 4, 8}, nb::arg("gallery") = nb::none(),
        R"(Multi-label retrieval metrics of the K nearest neighbours, through FAISS (methods.md §8).

e: (N, D) float32, normalised here; y: (N, C) multi-hot of 0 and 1. A row is left out of its own answer; with gallery=(e, y) the
queries search there. Returns a dict of float64 arrays over ks: recall, precision, accuracy, hamming_loss, subset_accuracy, f1,
f1_of_means, micro_f1, macro_f1, map, r_precision, acg, ndcg, wmap, hit_rate.)");
  m.def("distance_overlap", &overlap, nb::arg("e"), nb::arg("y"),
        R"(How far the distances of pairs that share a label overlap those of pairs that share none (methods.md §8).

e: (N, D) float32, normalised here; y: (N, C) multi-hot of 0 and 1. Returns overlap in [0, 1], anchor_class (the most frequent),
intra_pairs, inter_pairs, the shares intra and inter per bin (64,), and the bins' edges (65,).)");
}

}  // namespace swath::python
