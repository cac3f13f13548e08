#include "losses/nca.h"

#include <limits>

#include "kernels/label_mask.h"
#include "kernels/memory_bank.h"
#include "kernels/nca_loss.h"
#include "losses/record_loss.h"

namespace swath {

namespace {

constexpr std::int64_t kMaxClasses = 256;

}  // namespace

float bank_momentum(const NcaOptions& options, std::int64_t epoch) {
  const std::vector<std::int64_t>& milestones = options.momentum_milestones;
  if (milestones.size() != options.momentum_values.size())
    throw UserError(fmt::format("nca.momentum_milestones has {} epochs and nca.momentum_values {} values; give one for each",
                                milestones.size(), options.momentum_values.size()));
  float momentum = options.momentum;
  for (std::size_t i = 0; i < milestones.size(); ++i) {
    if (i > 0 && milestones[i] <= milestones[i - 1])
      throw UserError(
          fmt::format("nca.momentum_milestones must ascend, and {} comes after {}", milestones[i], milestones[i - 1]));
    if (milestones[i] <= epoch) momentum = static_cast<float>(options.momentum_values[i]);
  }
  return momentum;
}

NcaLoss::NcaLoss(Device& device, const NcaOptions& options, const std::uint64_t* labels, std::int64_t rows,
                 std::int64_t classes, std::int64_t width, std::uint64_t seed, const std::string& name)
    : options_(options), name_(name), classes_(classes) {
  if (classes > kMaxClasses)
    throw UserError(fmt::format("the nca loss takes up to {} classes, and there are {}", kMaxClasses, classes));
  SWATH_CHECK(rows <= std::numeric_limits<std::int32_t>::max(), "{} rows", rows);
  bank_ = Tensor::empty(device, {rows, width}, options.bank == "bf16" ? DType::bf16 : DType::f32, Tag::bank);
  labels_ = Tensor::from_host(device, {rows, kernels::label_words(classes)}, labels, Tag::bank);
  momentum_ = Tensor::empty(device, {1}, DType::f32, Tag::bank);
  const kernels::BankInitArgs args{.bank = bank_.raw(), .rows = rows, .cols = width, .bank_type = bank_.dtype(), .seed = seed};
  device.run([&](auto exec) { kernels::bank_init(args, exec); });
  begin_epoch(0);
}

void NcaLoss::begin_epoch(std::int64_t epoch) {
  const float momentum = bank_momentum(options_, epoch);
  momentum_.copy_from_host(&momentum);
}

LossOutput NcaLoss::forward(Tape& tape, const LossInput& input) {
  Device& device = tape.device();
  const Tensor& rows = input.rows.value();
  const std::int64_t cols = rows.size(1);
  SWATH_CHECK(cols == bank_.size(1) && input.index.numel() == rows.size(0), "rows {}, index {}, bank {}", rows.shape().str(),
              input.index.shape().str(), bank_.shape().str());
  const Tensor loss = Tensor::empty(device, {1}), d_rows = Tensor::empty(device, rows.shape());
  kernels::NcaLossArgs args{
      .embeddings = rows.data<float>(),
      .index = input.index.data<std::int32_t>(),
      .bank = bank_.raw(),
      .labels = labels_.data<std::uint64_t>(),
      .loss = loss.data<float>(),
      .d_embeddings = d_rows.data<float>(),
      .batch = rows.size(0),
      .rows = bank_.size(0),
      .cols = cols,
      .classes = classes_,
      .embeddings_ld = cols,
      .d_embeddings_ld = cols,
      .bank_type = bank_.dtype(),
      .temperature = options_.temperature,
      .margin = options_.margin,
      .math = options_.math == "tf32" ? kernels::NcaMath::tf32 : kernels::NcaMath::full,
  };
  const Tensor scratch =
      Tensor::empty(device, {static_cast<std::int64_t>(kernels::nca_loss_workspace(args))}, DType::u8, Tag::workspace);
  args.workspace = scratch.raw();
  device.run([&](auto exec) { kernels::nca_loss(args, exec); });
  rows_ = rows;
  index_ = input.index;
  return {record_loss(tape, "nca", loss, {{input.rows, d_rows}}), {}};
}

void NcaLoss::after_step() {
  SWATH_CHECK(rows_.defined(), "after_step without a forward");
  const kernels::BankUpdateArgs args{
      .embeddings = rows_.data<float>(),
      .index = index_.data<std::int32_t>(),
      .momentum = momentum_.data<float>(),
      .bank = bank_.raw(),
      .batch = rows_.size(0),
      .rows = bank_.size(0),
      .cols = bank_.size(1),
      .embeddings_ld = rows_.size(1),
      .bank_type = bank_.dtype(),
  };
  bank_.device().run([&](auto exec) { kernels::bank_update(args, exec); });
  rows_ = index_ = {};
}

void NcaLoss::visit_state(StateVisitor& visitor) { visitor.tensor(name_ + ".bank", bank_); }

}  // namespace swath
