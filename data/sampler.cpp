#include "data/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "engine/core/error.h"
#include "kernels/philox.h"

namespace swath {

using kernels::RandomStream;

bool Sampler::next(SampledBatch& out) {
  if (prepared_epoch_ != state_.epoch) set_state(state_);
  if (state_.batch >= batches_per_epoch()) return false;
  out.rows.clear();
  out.tag = 0;
  out.class_mask.clear();
  sample(state_.epoch, state_.batch, out);
  ++state_.batch;
  return true;
}

void Sampler::set_state(SamplerState state) {
  SWATH_CHECK(state.epoch >= 0 && state.batch >= 0, "epoch {} batch {}", state.epoch, state.batch);
  if (prepared_epoch_ != state.epoch) prepare(state.epoch);
  prepared_epoch_ = state.epoch;
  state_ = state;
}

namespace {

/// Random numbers of one (seed, epoch, batch) and purpose, four per Philox call.
class Draws {
 public:
  Draws(std::uint64_t seed, std::int64_t epoch, std::int64_t batch, std::uint64_t index)
      : seed_(seed), step_((static_cast<std::uint64_t>(epoch) << 32) | static_cast<std::uint64_t>(batch)), index_(index) {}
  std::int64_t below(std::int64_t n) {
    if (used_ == 4) {
      block_ = kernels::philox(seed_, step_, RandomStream::sampler, index_, draw_++);
      used_ = 0;
    }
    return kernels::uniform_below(block_.v[used_++], static_cast<std::uint32_t>(n));
  }

 private:
  std::uint64_t seed_, step_, index_;
  std::uint32_t draw_ = 0;
  int used_ = 4;
  kernels::Philox4 block_{};
};

/// k distinct numbers below n, k ≤ n (R. Floyd's algorithm), ascending order not promised.
void distinct(Draws& draws, std::int64_t n, std::int64_t k, std::vector<std::int64_t>& out) {
  out.clear();
  std::unordered_set<std::int64_t> taken;
  for (std::int64_t j = n - k; j < n; ++j) {
    const std::int64_t t = draws.below(j + 1);
    const std::int64_t value = taken.contains(t) ? j : t;
    taken.insert(value);
    out.push_back(value);
  }
}

constexpr std::uint64_t kClassDraw = std::uint64_t{1} << 32, kTopUpDraw = kClassDraw + 1;

class BalancedSampler final : public Sampler {
 public:
  BalancedSampler(const SamplerOptions& options, const LabelMasks& labels, std::uint64_t seed, std::vector<std::int64_t> pool)
      : seed_(seed), k_(options.images_per_class), fixed_(options.rows == "fixed"), pool_(std::move(pool)) {
    for (std::int64_t c = 0; c < labels.classes(); ++c) {
      std::vector<std::int64_t> images;
      for (const std::int64_t i : pool_)
        if (labels.has(i, c)) images.push_back(i);
      if (images.empty()) continue;
      class_numbers_.push_back(c);
      images_.push_back(std::move(images));
    }
    if (images_.empty()) throw DataError("no image to sample from carries a class; check the labels of the training split");
    const auto present = static_cast<std::int64_t>(images_.size());
    classes_ = options.classes_per_batch > 0 ? std::min(options.classes_per_batch, present) : present;
    const auto n = static_cast<std::int64_t>(pool_.size());
    if (fixed_ && max_rows() > n)
      throw UserError(
          fmt::format("a batch of {} rows ({} images for each of {} classes) is larger than the split of {} images; "
                      "lower sampler.images_per_class or classes_per_batch, or set sampler.rows=distinct",
                      max_rows(), k_, classes_, n));
    batches_ = std::max<std::int64_t>(1, n / max_rows());
  }
  std::int64_t batches_per_epoch() const override { return batches_; }
  std::int64_t max_rows() const override { return k_ * classes_; }

 protected:
  void prepare(std::int64_t) override {}

  void sample(std::int64_t epoch, std::int64_t batch, SampledBatch& out) const override {
    std::vector<std::int64_t> chosen, picks;
    choose_classes(epoch, batch, chosen);
    std::unordered_set<std::int64_t> in_batch;
    const auto add = [&](std::int64_t row) {
      if (in_batch.insert(row).second) out.rows.push_back(row);
    };
    for (const std::int64_t c : chosen) {
      const auto& images = images_[static_cast<std::size_t>(c)];
      const auto n = static_cast<std::int64_t>(images.size());
      Draws draws(seed_, epoch, batch, static_cast<std::uint64_t>(class_numbers_[static_cast<std::size_t>(c)]));
      if (n >= k_) {
        distinct(draws, n, k_, picks);
      } else {
        picks.clear();
        for (std::int64_t j = 0; j < k_; ++j) picks.push_back(draws.below(n));
      }
      for (const std::int64_t p : picks) add(images[static_cast<std::size_t>(p)]);
    }
    if (fixed_) top_up(epoch, batch, in_batch, out);
  }

 private:
  void choose_classes(std::int64_t epoch, std::int64_t batch, std::vector<std::int64_t>& chosen) const {
    const auto present = static_cast<std::int64_t>(images_.size());
    if (classes_ == present) {
      chosen.resize(static_cast<std::size_t>(present));
      std::iota(chosen.begin(), chosen.end(), std::int64_t{0});
      return;
    }
    Draws draws(seed_, epoch, batch, kClassDraw);
    distinct(draws, present, classes_, chosen);
    std::sort(chosen.begin(), chosen.end());
  }

  /// Uniform draws from the images of the pool that the batch does not hold yet.
  void top_up(std::int64_t epoch, std::int64_t batch, const std::unordered_set<std::int64_t>& in_batch,
              SampledBatch& out) const {
    const auto lacking = max_rows() - static_cast<std::int64_t>(out.rows.size());
    if (lacking == 0) return;
    Draws draws(seed_, epoch, batch, kTopUpDraw);
    const auto n = static_cast<std::int64_t>(pool_.size());
    if (n >= 4 * max_rows()) {  // a draw hits the batch at most once in four: rejection is cheaper than a list of the rest
      std::unordered_set<std::int64_t> taken = in_batch;
      while (static_cast<std::int64_t>(out.rows.size()) < max_rows()) {
        const std::int64_t row = pool_[static_cast<std::size_t>(draws.below(n))];
        if (taken.insert(row).second) out.rows.push_back(row);
      }
      return;
    }
    std::vector<std::int64_t> rest, picks;
    for (const std::int64_t row : pool_)
      if (!in_batch.contains(row)) rest.push_back(row);
    distinct(draws, static_cast<std::int64_t>(rest.size()), lacking, picks);
    for (const std::int64_t p : picks) out.rows.push_back(rest[static_cast<std::size_t>(p)]);
  }

  std::uint64_t seed_;
  std::int64_t k_, classes_ = 0, batches_ = 0;
  bool fixed_;
  std::vector<std::int64_t> pool_, class_numbers_;
  std::vector<std::vector<std::int64_t>> images_;  // per present class
};

class ShuffledSampler final : public Sampler {
 public:
  ShuffledSampler(const SamplerOptions& options, std::uint64_t seed, std::vector<std::int64_t> pool)
      : seed_(seed), size_(options.batch_size), pool_(std::move(pool)), order_(pool_) {
    const auto n = static_cast<std::int64_t>(pool_.size());
    if (size_ > n)
      throw UserError(
          fmt::format("sampler.batch_size {} is larger than the split of {} images; choose at most {}", size_, n, n));
    batches_ = options.last == "drop" ? n / size_ : (n + size_ - 1) / size_;
  }
  std::int64_t batches_per_epoch() const override { return batches_; }
  std::int64_t max_rows() const override { return size_; }

 protected:
  /// Fisher–Yates; position j is fixed by (seed, epoch, j).
  void prepare(std::int64_t epoch) override {
    order_ = pool_;
    for (std::size_t j = order_.size(); j > 1; --j) {
      const auto r = kernels::philox(seed_, static_cast<std::uint64_t>(epoch), RandomStream::shuffle, j);
      std::swap(order_[j - 1], order_[kernels::uniform_below(r.v[0], static_cast<std::uint32_t>(j))]);
    }
  }
  void sample(std::int64_t, std::int64_t batch, SampledBatch& out) const override {
    const auto n = static_cast<std::int64_t>(order_.size());
    out.rows.assign(order_.begin() + batch * size_, order_.begin() + std::min(n, (batch + 1) * size_));
  }

 private:
  std::uint64_t seed_;
  std::int64_t size_, batches_ = 0;
  std::vector<std::int64_t> pool_, order_;
};

class SequentialSampler final : public Sampler {
 public:
  SequentialSampler(std::int64_t rows, std::int64_t size) : rows_(rows), size_(size) {
    if (size < 1) throw UserError(fmt::format("the batch size must be at least 1, not {}", size));
  }
  std::int64_t batches_per_epoch() const override { return (rows_ + size_ - 1) / size_; }
  std::int64_t max_rows() const override { return std::min(rows_, size_); }

 protected:
  void prepare(std::int64_t) override {}
  void sample(std::int64_t, std::int64_t batch, SampledBatch& out) const override {
    for (std::int64_t i = batch * size_; i < std::min(rows_, (batch + 1) * size_); ++i) out.rows.push_back(i);
  }

 private:
  std::int64_t rows_, size_;
};

}  // namespace

std::unique_ptr<Sampler> make_sampler(const SamplerOptions& options, const LabelMasks& labels, std::uint64_t seed,
                                      std::vector<std::int64_t> pool) {
  if (pool.empty()) {
    pool.resize(static_cast<std::size_t>(labels.rows()));
    std::iota(pool.begin(), pool.end(), std::int64_t{0});
  }
  if (pool.empty()) throw DataError("the split to sample from is empty");
  for (const std::int64_t row : pool) SWATH_CHECK(row >= 0 && row < labels.rows(), "row {} of {}", row, labels.rows());
  if (options.kind == "balanced" || options.kind == "auto")
    return std::make_unique<BalancedSampler>(options, labels, seed, std::move(pool));
  if (options.kind == "shuffled") return std::make_unique<ShuffledSampler>(options, seed, std::move(pool));
  throw UserError(fmt::format("sampler.kind must be auto, balanced or shuffled, not {}", options.kind));
}

std::unique_ptr<Sampler> make_sequential_sampler(std::int64_t rows, std::int64_t batch_size) {
  return std::make_unique<SequentialSampler>(rows, batch_size);
}

}  // namespace swath
