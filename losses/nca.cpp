#include "losses/nca.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/label_mask.h"
#include "kernels/memory_bank.h"
#include "kernels/nca_loss.h"
#include "losses/record_loss.h"

namespace swath {

namespace {

constexpr std::int64_t kMaxClasses = 256;
constexpr std::size_t kPiece = std::size_t{16} << 20;  // bytes of a bank that travel at once

std::size_t row_bytes(const Tensor& bank) { return static_cast<std::size_t>(bank.size(1)) * kernels::size_of(bank.dtype()); }

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
                 std::int64_t classes, std::int64_t width, std::uint64_t seed, const std::string& name, Communicator& ranks)
    : options_(options),
      name_(name),
      classes_(classes),
      ranks_(ranks),
      sharded_(options.sharded && !ranks.alone()),
      slice_(sharded_ ? ranks.slice(rows) : RowSlice{0, rows}) {
  if (classes > kMaxClasses)
    throw UserError(fmt::format("the nca loss takes up to {} classes, and there are {}", kMaxClasses, classes));
  SWATH_CHECK(rows <= std::numeric_limits<std::int32_t>::max(), "{} rows", rows);
  bank_ = Tensor::empty(device, {slice_.size, width}, options.bank == "bf16" ? DType::bf16 : DType::f32, Tag::bank);
  labels_ = Tensor::from_host(device, {rows, kernels::label_words(classes)}, labels, Tag::bank);
  momentum_ = Tensor::empty(device, {1}, DType::f32, Tag::bank);
  const kernels::BankInitArgs args{
      .bank = bank_.raw(), .rows = slice_.size, .cols = width, .bank_type = bank_.dtype(), .seed = seed, .first = slice_.begin};
  device.run([&](auto exec) { kernels::bank_init(args, exec); });
  if (sharded_) {
    parts_ = Tensor::from_host(device, {1}, std::vector<float>{static_cast<float>(ranks.size())}, Tag::bank);
    host_ = Device::open("cpu");
  }
  begin_epoch(0);
}

void NcaLoss::begin_epoch(std::int64_t epoch) {
  const float momentum = bank_momentum(options_, epoch);
  momentum_.copy_from_host(&momentum);
}

kernels::NcaLossArgs NcaLoss::arguments(const Tensor& rows, const Tensor& index) const {
  const std::int64_t cols = rows.size(1);
  SWATH_CHECK(cols == bank_.size(1) && index.numel() == rows.size(0), "rows {}, index {}, bank {}", rows.shape().str(),
              index.shape().str(), bank_.shape().str());
  return {
      .embeddings = rows.data<float>(),
      .index = index.data<std::int32_t>(),
      .bank = bank_.raw(),
      .labels = labels_.data<std::uint64_t>(),
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
      .part = sharded_ ? kernels::NcaPart::sums : kernels::NcaPart::whole,
      .all_rows = labels_.size(0),
      .first = slice_.begin,
      .slices = ranks_.size(),
      .slice = ranks_.rank(),
  };
}

LossOutput NcaLoss::forward(Tape& tape, const LossInput& input) {
  Device& device = tape.device();
  const Tensor& rows = input.rows.value();
  const Tensor loss = Tensor::empty(device, {1}), d_rows = Tensor::empty(device, rows.shape());
  kernels::NcaLossArgs args = arguments(rows, input.index);
  args.loss = loss.data<float>();
  args.d_embeddings = d_rows.data<float>();
  const Tensor scratch = Tensor::workspace(device, kernels::nca_loss_workspace(args));
  args.workspace = scratch.raw();
  Tensor sums;
  if (sharded_) {
    sums = Tensor::empty(device, {ranks_.size(), 4 * rows.size(0)}, DType::f32, Tag::workspace);
    args.slice_sums = sums.data<float>();
    device.run([&](auto exec) { kernels::nca_loss(args, exec); });
    ranks_.all_gather_rows(sums);
    args.part = kernels::NcaPart::loss;
    // Where ranks share a batch each adds the n-th part of its loss's gradient, and here each has another part of the whole.
    args.loss_scale = parts_.data<float>();
  }
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
      .first = slice_.begin,
  };
  bank_.device().run([&](auto exec) { kernels::bank_update(args, exec); });
  rows_ = index_ = {};
}

const Tensor& NcaLoss::whole_bank() {
  if (!whole_.defined()) whole_ = Tensor::empty(*host_, {labels_.size(0), bank_.size(1)}, bank_.dtype(), Tag::bank);
  return whole_;
}

void NcaLoss::visit_state(StateVisitor& visitor) {
  if (sharded_) whole_bank();
  visitor.tensor(name_ + ".bank", sharded_ ? whole_ : bank_);
}

void NcaLoss::gather_state() {
  if (!sharded_) return;
  std::vector<std::byte> mine(bank_.bytes()), piece;
  if (!mine.empty()) bank_.copy_to_host(mine.data());
  const std::size_t row = row_bytes(bank_);
  for (int r = 0; r < ranks_.size(); ++r) {
    const RowSlice from = slice_of(labels_.size(0), r, ranks_.size());
    const std::size_t bytes = static_cast<std::size_t>(from.size) * row;
    for (std::size_t done = 0; done < bytes; done += kPiece) {
      piece.resize(std::min(kPiece, bytes - done));
      if (ranks_.rank() == r) std::memcpy(piece.data(), mine.data() + done, piece.size());
      ranks_.broadcast(piece.data(), piece.size(), r);
      if (!ranks_.leads()) continue;
      auto* const to = static_cast<std::byte*>(whole_bank().raw()) + static_cast<std::size_t>(from.begin) * row + done;
      std::memcpy(to, piece.data(), piece.size());
    }
  }
}

void NcaLoss::spread_state() {
  if (!sharded_) return;
  SWATH_CHECK(whole_.defined(), "nothing was read");
  if (slice_.size > 0) bank_.copy_from_host(whole_.rows(slice_.begin, slice_.end()).raw());
  drop_gathered();
}

}  // namespace swath
