// NCA with a memory bank (methods.md §6).
#include <fmt/format.h>
#include <nanobind/stl/optional.h>

#include "kernels/memory_bank.h"
#include "kernels/nca_loss.h"
#include "python/bindings.h"
#include "python/call.h"

namespace swath::python {

namespace {

nb::dict nca_loss(nb::handle e, nb::handle index, nb::handle labels, nb::handle bank, float temperature, float margin,
                  float momentum, std::optional<std::uintptr_t> stream) {
  Call call(stream);
  require_positive("temperature", temperature);
  require_finite_number("margin", margin);
  if (std::abs(margin / temperature) > 80)
    refuse(fmt::format("margin is {:g}, which is more than 80 times the temperature {:g}", margin, temperature));
  if (!(momentum >= 0 && momentum <= 1)) refuse(fmt::format("momentum is {:g}, where 0 to 1 is needed", momentum));
  const Tensor rows = call.floats("e", e, {kAny, kAny});
  const std::int64_t batch = rows.size(0), cols = rows.size(1);
  const Tensor places = call.ints("index", index, {batch}), held = call.floats("bank", bank, {kAny, cols});
  const std::int64_t count = held.size(0);
  for (const std::int32_t t : places.to_host<std::int32_t>())
    if (t < -1 || t >= count) refuse(fmt::format("index holds {}, but bank has {} rows (−1 for a row of none)", t, count));
  std::int64_t classes = 0;
  const Tensor masks = call.label_masks("labels", labels, count, &classes);
  const Tensor loss = call.empty({1}), d_rows = call.empty(rows.shape()), after = held.clone(), mu = call.scalar(momentum);
  kernels::NcaLossArgs args{.embeddings = rows.data<float>(),
                            .index = places.data<std::int32_t>(),
                            .bank = held.raw(),
                            .labels = masks.data<std::uint64_t>(),
                            .loss = loss.data<float>(),
                            .d_embeddings = d_rows.data<float>(),
                            .batch = batch,
                            .rows = count,
                            .cols = cols,
                            .classes = classes,
                            .embeddings_ld = cols,
                            .d_embeddings_ld = cols,
                            .temperature = temperature,
                            .margin = margin};
  run_with_workspace(call, args, kernels::nca_loss_workspace, [](auto& a, auto exec) { kernels::nca_loss(a, exec); });
  const kernels::BankUpdateArgs update{.embeddings = rows.data<float>(),
                                       .index = places.data<std::int32_t>(),
                                       .momentum = mu.data<float>(),
                                       .bank = after.raw(),
                                       .batch = batch,
                                       .rows = count,
                                       .cols = cols,
                                       .embeddings_ld = cols};
  call.run([&](auto exec) { kernels::bank_update(update, exec); });
  nb::dict result;
  result["loss"] = to_number(loss);
  result["d_e"] = to_python(d_rows);
  result["bank_after"] = to_python(after);
  return result;
}

}  // namespace

void bind_bank_loss(nb::module_& m) {
  m.def(
      "nca_loss", &nca_loss, nb::arg("e"), nb::arg("index"), nb::arg("labels"), nb::arg("bank"), nb::arg("temperature") = 0.05f,
      nb::arg("margin") = 0.0f, nb::arg("momentum") = 0.5f, nb::arg("stream") = nb::none(),
      R"(Neighbourhood component analysis against a memory bank (Z. Wu et al., 2018; J. Kang et al., GRN-SNDL, 2020; methods.md §6).

e: (B, D) float32. index: (B,) integers, each row's place in the bank, −1 for a row that takes no part. labels: (N, C) multi-hot of
the whole bank, C ≤ 256. bank: (N, D) float32. Returns loss, d_e (B, D), and bank_after (N, D): the bank whose rows `index` have
moved to normalise(momentum · bank + (1 − momentum) · e).)");
}

}  // namespace swath::python
