// Losses of rows with one label: margin, binomial deviance, Fast MoCo (methods.md §6).
#include <fmt/format.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "kernels/binomial_loss.h"
#include "kernels/margin_loss.h"
#include "kernels/moco_loss.h"
#include "python/bindings.h"
#include "python/call.h"

namespace swath::python {

namespace {

using Stream = std::optional<std::uintptr_t>;

/// Every index is a row.
void require_rows(const Tensor& triplets, std::int64_t rows) {
  for (const std::int32_t i : triplets.to_host<std::int32_t>())
    if (i < 0 || i >= rows) refuse(fmt::format("triplets names the row {}, but rows has {}", i, rows));
}

/// A number of Python or NumPy (whose scalars have an empty shape), as against an array.
bool is_number(nb::handle value) {
  double number = 0;
  return nb::try_cast(value, number);
}

nb::dict margin_loss(nb::handle rows, nb::handle triplets, nb::handle beta, nb::handle labels, float margin, float nu,
                     bool beta_fixed, Stream stream) {
  Call call(stream);
  require_finite_number("margin", margin);
  require_finite_number("nu", nu);
  const Tensor x = call.floats("rows", rows, {kAny, kAny});
  const Tensor indices = call.ints("triplets", triplets, {kAny, 3});
  require_rows(indices, x.size(0));
  const bool scalar = is_number(beta);
  if (scalar) require_finite_number("beta", nb::cast<float>(beta));
  const Tensor b = scalar ? call.scalar(nb::cast<float>(beta)) : call.floats("beta", beta, {kAny});
  const bool per_class = !scalar && b.numel() != 1;
  Tensor row_class;
  if (per_class) {
    if (labels.is_none()) refuse("labels is needed for a beta per class");
    row_class = call.ints("labels", labels, {x.size(0)});
    for (const std::int32_t c : row_class.to_host<std::int32_t>())
      if (c < 0 || c >= b.numel()) refuse(fmt::format("labels holds the class {}, but beta has {}", c, b.numel()));
  }
  const Tensor loss = call.empty({1}), active = call.empty({1}), d_x = call.empty(x.shape()), d_beta = call.empty(b.shape());
  kernels::MarginLossArgs args{
      .x = x.data<float>(),
      .row_class = per_class ? row_class.data<std::int32_t>() : nullptr,
      .triplets = indices.data<std::int32_t>(),
      .beta = b.data<float>(),
      .loss = loss.data<float>(),
      .active = active.data<float>(),
      .d_x = d_x.data<float>(),
      .d_beta = d_beta.data<float>(),
      .rows = x.size(0),
      .cols = x.size(1),
      .x_ld = x.size(1),
      .d_x_ld = x.size(1),
      .capacity = indices.size(0),
      .classes = b.numel(),
      .margin = margin,
      .nu = nu,
      .beta_kind = per_class ? kernels::MarginBeta::per_class : kernels::MarginBeta::scalar,
      .beta_update = beta_fixed ? kernels::MarginBetaUpdate::fixed : kernels::MarginBetaUpdate::trained};
  run_with_workspace(call, args, kernels::margin_loss_workspace, [](auto& a, auto exec) { kernels::margin_loss(a, exec); });
  nb::dict result;
  result["loss"] = to_number(loss);
  result["active"] = static_cast<std::int64_t>(to_number(active));
  result["d_rows"] = to_python(d_x);
  result["d_beta"] = scalar ? nb::cast(to_number(d_beta)) : to_python(d_beta);
  return result;
}

nb::dict binomial_loss(nb::handle rows, const std::vector<std::int64_t>& dims, nb::handle labels, float alpha, float beta,
                       float cost, float nu, bool eta_style, bool beta_fixed, Stream stream) {
  Call call(stream);
  for (const auto& [name, value] : {std::pair{"alpha", alpha}, {"beta", beta}, {"cost", cost}, {"nu", nu}})
    require_finite_number(name, value);
  if (dims.empty() || static_cast<std::int64_t>(dims.size()) > kernels::kMaxLearners)
    refuse(fmt::format("dims names {} learners, where 1 to {} are needed", dims.size(), kernels::kMaxLearners));
  const Tensor x = call.floats("rows", rows, {kAny, kAny});
  const std::int64_t n = x.size(0), cols = x.size(1);
  std::int64_t sum = 0;
  for (const std::int64_t d : dims) {
    if (d < 1) refuse(fmt::format("dims holds {}, where every learner has a column at least", d));
    sum += d;
  }
  if (sum != cols) refuse(fmt::format("dims sums to {}, but rows has {} columns", sum, cols));
  const std::vector<float> host = x.to_host<float>();
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t begin = 0;
    for (const std::int64_t d : dims) {
      double squares = 0;
      for (std::int64_t k = begin; k < begin + d; ++k)
        squares +=
            static_cast<double>(host[static_cast<std::size_t>(i * cols + k)]) * host[static_cast<std::size_t>(i * cols + k)];
      if (std::abs(std::sqrt(squares) - 1) > 1e-3)
        refuse(
            fmt::format("columns {} to {} of row {} of rows have the length {:g}, where each learner's part must have length 1",
                        begin, begin + d - 1, i, std::sqrt(squares)));
      begin += d;
    }
  }
  const Tensor row_class = call.ints("labels", labels, {n}), b = call.scalar(beta);
  const Tensor loss = call.empty({1}), d_x = call.empty(x.shape()), d_beta = call.empty({1});
  kernels::BinomialLossArgs args{
      .x = x.data<float>(),
      .row_class = row_class.data<std::int32_t>(),
      .beta = b.data<float>(),
      .loss = loss.data<float>(),
      .d_x = d_x.data<float>(),
      .d_beta = d_beta.data<float>(),
      .learners = static_cast<std::int64_t>(dims.size()),
      .rows = n,
      .x_ld = cols,
      .d_x_ld = cols,
      .alpha = alpha,
      .cost = cost,
      .nu = nu,
      .boosting = eta_style ? kernels::Boosting::eta : kernels::Boosting::additive,
      .beta_update = beta_fixed ? kernels::BinomialBetaUpdate::fixed : kernels::BinomialBetaUpdate::trained};
  std::copy(dims.begin(), dims.end(), args.widths);
  run_with_workspace(call, args, kernels::binomial_loss_workspace, [](auto& a, auto exec) { kernels::binomial_loss(a, exec); });
  nb::dict result;
  result["loss"] = to_number(loss);
  result["d_rows"] = to_python(d_x);
  result["d_beta"] = to_number(d_beta);
  return result;
}

/// The queue, oldest key first, after the keys have replaced the oldest.
Tensor push_keys(Call& call, const Tensor& queue, const Tensor& keys) {
  const std::int64_t capacity = queue.size(0), taken = std::min(capacity, keys.size(0)), kept = capacity - taken;
  const Tensor after = call.empty(queue.shape());
  after.rows(0, kept).copy_from(queue.rows(taken, capacity));
  after.rows(kept, capacity).copy_from(keys.rows(keys.size(0) - taken, keys.size(0)));
  call.device().synchronize();
  return after;
}

nb::dict moco_loss(nb::handle q, nb::handle k, nb::handle queue, float tau, float lower_cutoff, float upper_cutoff,
                   Stream stream) {
  Call call(stream);
  require_positive("tau", tau);
  require_positive("lower_cutoff", lower_cutoff);
  require_finite_number("upper_cutoff", upper_cutoff);
  const Tensor queries = call.unit_rows("q", q, {kAny, kAny});
  const std::int64_t rows = queries.size(0), cols = queries.size(1);
  const Tensor keys = call.unit_rows("k", k, {rows, cols}), held = call.unit_rows("queue", queue, {kAny, cols});
  const Tensor loss = call.empty({1}), d_queries = call.empty(queries.shape());
  kernels::MocoLossArgs args{.queries = queries.data<float>(),
                             .keys = keys.data<float>(),
                             .queue = held.data<float>(),
                             .loss = loss.data<float>(),
                             .d_queries = d_queries.data<float>(),
                             .rows = rows,
                             .cols = cols,
                             .capacity = held.size(0),
                             .queries_ld = cols,
                             .keys_ld = cols,
                             .d_queries_ld = cols,
                             .tau = tau,
                             .lower_cutoff = lower_cutoff,
                             .upper_cutoff = upper_cutoff};
  run_with_workspace(call, args, kernels::moco_loss_workspace, [](auto& a, auto exec) { kernels::moco_loss(a, exec); });
  nb::dict result;
  result["loss"] = to_number(loss);
  result["d_q"] = to_python(d_queries);
  result["queue_after"] = to_python(push_keys(call, held, keys));
  return result;
}

}  // namespace

void bind_row_losses(nb::module_& m) {
  m.def("margin_loss", &margin_loss, nb::arg("rows"), nb::arg("triplets"), nb::arg("beta"), nb::arg("labels") = nb::none(),
        nb::arg("margin") = 0.2f, nb::arg("nu") = 0.1f, nb::arg("beta_fixed") = false, nb::arg("stream") = nb::none(),
        R"(Margin loss over triplets (C.-Y. Wu et al., Sampling Matters, 2017; methods.md §6).

rows: (B, D) float32. triplets: (T, 3) integers, as mine() returns them. beta: a number, or (C,) float32, one per class of the
anchor; then labels: (B,) integers. Returns loss, active (triplets that contribute), d_rows (B, D), d_beta (as beta).)");
  m.def("binomial_loss", &binomial_loss, nb::arg("rows"), nb::arg("dims"), nb::arg("labels"), nb::arg("alpha") = 2.0f,
        nb::arg("beta") = 0.5f, nb::arg("cost") = 25.0f, nb::arg("nu") = 0.1f, nb::arg("eta_style") = true,
        nb::arg("beta_fixed") = false, nb::arg("stream") = nb::none(),
        R"(Boosted binomial deviance of an ensemble of learners (M. Opitz et al., BIER, 2018; methods.md §6).

rows: (B, sum(dims)) float32, the learners' embeddings side by side, each of unit length. dims: the learners' widths. labels: (B,)
integers, −1 for a row that takes no part. Returns loss, d_rows (B, sum(dims)), d_beta.)");
  m.def("moco_loss", &moco_loss, nb::arg("q"), nb::arg("k"), nb::arg("queue"), nb::arg("tau") = 0.07f,
        nb::arg("lower_cutoff") = 0.5f, nb::arg("upper_cutoff") = 1.4f, nb::arg("stream") = nb::none(),
        R"(Fast MoCo: cross-entropy of queries against their keys and a queue of distance-weighted keys (K. He et al., 2020;
T. Milbich et al., DiVA, 2020; methods.md §6).

q, k: (B, D) float32 unit rows; queue: (Q, D) unit rows, the oldest key first. Returns loss, d_q (B, D), and queue_after (Q, D): the
queue without its B oldest keys, then k.)");
}

}  // namespace swath::python
