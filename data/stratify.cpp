// Iterative stratification, K. Sechidis, G. Tsoumakas, I. Vlahavas, 2011 (methods.md §1): the rarest class first, each of its
// images to the part that still wants most of that class.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/split.h"
#include "engine/core/error.h"
#include "kernels/philox.h"

namespace swath {

namespace {

std::uint64_t random64(std::uint64_t seed, std::uint64_t step, std::int64_t index) {
  const auto r = kernels::philox(seed, step, kernels::RandomStream::split, static_cast<std::uint64_t>(index));
  return (static_cast<std::uint64_t>(r.v[0]) << 32) | r.v[1];
}

class Stratifier {
 public:
  Stratifier(const LabelMasks& labels, const std::array<double, 3>& shares, std::uint64_t seed)
      : labels_(labels),
        seed_(seed),
        part_of_(static_cast<std::size_t>(labels.rows()), -1),
        remaining_(labels.images_per_class()) {
    for (std::size_t p = 0; p < 3; ++p) {
      wanted_[p] = shares[p] * static_cast<double>(labels.rows());
      for (const std::int64_t n : remaining_) wanted_of_[p].push_back(shares[p] * static_cast<double>(n));
      open_[p] = shares[p] > 0;
    }
    shuffle();
  }

  Splits run() {
    for (std::int64_t c; (c = rarest()) >= 0;)
      for (const std::int64_t i : images_[static_cast<std::size_t>(c)])
        if (part_of_[static_cast<std::size_t>(i)] < 0) give(i, choose(i, wanted_of_, static_cast<std::size_t>(c)));
    for (const std::int64_t i : order_)
      if (part_of_[static_cast<std::size_t>(i)] < 0) give(i, choose_by_size(i));
    Splits splits;
    for (std::int64_t i = 0; i < labels_.rows(); ++i)
      splits.rows[static_cast<std::size_t>(part_of_[static_cast<std::size_t>(i)])].push_back(i);
    return splits;
  }

 private:
  /// A random order of the images, and in that order the images of each class.
  void shuffle() {
    std::vector<std::pair<std::uint64_t, std::int64_t>> keys;
    for (std::int64_t i = 0; i < labels_.rows(); ++i) keys.emplace_back(random64(seed_, 0, i), i);
    std::sort(keys.begin(), keys.end());
    images_.resize(remaining_.size());
    for (const auto& [key, i] : keys) {
      order_.push_back(i);
      for (std::int64_t c = 0; c < labels_.classes(); ++c)
        if (labels_.has(i, c)) images_[static_cast<std::size_t>(c)].push_back(i);
    }
  }

  /// The class with the fewest images left to give (more than none); the lower index on a tie.
  std::int64_t rarest() const {
    std::int64_t best = -1;
    for (std::size_t c = 0; c < remaining_.size(); ++c)
      if (remaining_[c] > 0 && (best < 0 || remaining_[c] < remaining_[static_cast<std::size_t>(best)]))
        best = static_cast<std::int64_t>(c);
    return best;
  }

  int choose(std::int64_t i, const std::array<std::vector<double>, 3>& wanted, std::size_t c) const {
    return best_part(i, {wanted[0][c], wanted[1][c], wanted[2][c]});
  }
  int choose_by_size(std::int64_t i) const { return best_part(i, wanted_); }

  /// The part that wants most; on a tie the one that wants most images in all; on a tie again a random one.
  int best_part(std::int64_t i, const std::array<double, 3>& want) const {
    std::vector<int> tied;
    for (int p = 0; p < 3; ++p) {
      const auto u = static_cast<std::size_t>(p);
      if (!open_[u]) continue;
      const int order = tied.empty() ? 1 : compare(want, u, static_cast<std::size_t>(tied[0]));
      if (order > 0) tied.clear();
      if (order >= 0) tied.push_back(p);
    }
    return tied[static_cast<std::size_t>(random64(seed_, 1, i) % tied.size())];
  }

  int compare(const std::array<double, 3>& want, std::size_t a, std::size_t b) const {
    // Sums of decrements by one from share × count: equal up to rounding means equal.
    constexpr double kSame = 1e-9;
    if (std::abs(want[a] - want[b]) > kSame) return want[a] > want[b] ? 1 : -1;
    if (std::abs(wanted_[a] - wanted_[b]) > kSame) return wanted_[a] > wanted_[b] ? 1 : -1;
    return 0;
  }

  void give(std::int64_t i, int part) {
    part_of_[static_cast<std::size_t>(i)] = part;
    wanted_[static_cast<std::size_t>(part)] -= 1;
    for (std::int64_t c = 0; c < labels_.classes(); ++c) {
      if (!labels_.has(i, c)) continue;
      wanted_of_[static_cast<std::size_t>(part)][static_cast<std::size_t>(c)] -= 1;
      --remaining_[static_cast<std::size_t>(c)];
    }
  }

  const LabelMasks& labels_;
  std::uint64_t seed_;
  std::vector<int> part_of_;
  std::vector<std::int64_t> remaining_, order_;
  std::vector<std::vector<std::int64_t>> images_;
  std::array<double, 3> wanted_{};
  std::array<std::vector<double>, 3> wanted_of_;
  std::array<bool, 3> open_{};
};

}  // namespace

Splits make_splits(const LabelMasks& labels, const std::array<double, 3>& shares, std::uint64_t seed) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (!(std::abs(sum - 1) < 1e-6) || !std::all_of(shares.begin(), shares.end(), [](double s) { return s >= 0; }))
    throw UserError(fmt::format("data.split.train + val + test must be 1, not {} + {} + {}", shares[0], shares[1], shares[2]));
  return Stratifier(labels, shares, seed).run();
}

}  // namespace swath
