// Exact neighbours: FAISS's candidates, double-precision distances, wider where rounding leaves a doubt (methods.md §8).
#include "retrieval/exact_search.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <numeric>

#include "kernels/parallel.h"

namespace swath {
namespace {

constexpr std::int64_t kBlock = 4096;          // FAISS's own block of queries
constexpr std::int64_t kMargin = 8;            // candidates beyond k in the first search
constexpr std::int64_t kWiden = 8;             // factor of the next search
constexpr std::int64_t kCandidates = 1 << 21;  // per block of a wider search
constexpr double kLargestSquaredNorm = 1e34;   // float32 squares beyond it overflow in FAISS

/// Fixed order of summation, so that equal rows have equal distances and d(x, y) = d(y, x).
double squared_distance(const float* x, const float* y, std::int64_t dim) {
  double sum[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (int l = 0; l < 8; ++l) {
      const double difference = static_cast<double>(x[i + l]) - static_cast<double>(y[i + l]);
      sum[l] += difference * difference;
    }
  }
  for (; i < dim; ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum[i % 8] += difference * difference;
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

}  // namespace

double candidate_rounding(std::int64_t dim, double norms) {
  constexpr double kUnit = FLT_EPSILON / 2;
  const double d = static_cast<double>(dim);
  return (4 * std::sqrt(d) + 16) * kUnit * norms * norms + (d + 16) * FLT_MIN;
}

ExactSearch::ExactSearch(Retriever& retriever, EmbeddingView gallery)
    : retriever_(retriever), gallery_(gallery), groups_(gallery) {
  fill_index();
}

ExactSearch::~ExactSearch() { retriever_.clear(); }

double ExactSearch::centre(const float* row, float* out) const {
  double sum = 0;
  for (std::int64_t c = 0; c < gallery_.dim; ++c) {
    out[c] = row[c] - mean_[c];
    sum += static_cast<double>(out[c]) * out[c];
  }
  if (!(sum < kLargestSquaredNorm))
    throw UserError("embeddings are too large for single-precision distances; normalise them first");
  return std::sqrt(sum);
}

void ExactSearch::fill_index() {
  const std::int64_t dim = gallery_.dim;
  std::vector<double> sum(dim);
  for (std::int64_t i = 0; i < gallery_.rows; ++i)
    for (std::int64_t c = 0; c < dim; ++c) sum[c] += gallery_.row(i)[c];
  mean_.resize(dim);
  for (std::int64_t c = 0; c < dim; ++c) mean_[c] = static_cast<float>(sum[c] / static_cast<double>(gallery_.rows));

  retriever_.reset(dim);
  retriever_.reserve(groups_.size());
  block_.resize(std::min(kBlock, groups_.size()) * dim);
  for (std::int64_t begin = 0; begin < groups_.size(); begin += kBlock) {
    const std::int64_t count = std::min(kBlock, groups_.size() - begin);
    for (std::int64_t i = 0; i < count; ++i)
      largest_norm_ = std::max(largest_norm_, centre(gallery_.row(groups_.first(begin + i)), block_.data() + i * dim));
    retriever_.add(block_.data(), count);
  }
}

Neighbours ExactSearch::run(EmbeddingView queries, std::int64_t k, SelfMatch self) {
  queries_ = queries;
  k_ = k;
  self_ = self;
  result_ = {.queries = queries_.rows, .k = k_, .ids = {}, .distances = {}};
  result_.ids.resize(queries_.rows * k_);
  result_.distances.resize(queries_.rows * k_);
  std::vector<std::int64_t> pending(queries_.rows);
  std::iota(pending.begin(), pending.end(), 0);
  const std::int64_t needed = k_ + (self_ == SelfMatch::exclude ? 1 : 0);
  for (std::int64_t width = needed + kMargin; !pending.empty(); width *= kWiden) {
    // Beyond a quarter of the gallery, sorting candidates costs more than looking at every row.
    if (width > needed + kMargin && (width > groups_.size() / 4 || width > retriever_.max_k())) {
      kernels::parallel_for(static_cast<std::int64_t>(pending.size()), [&](std::int64_t i) { exhaust(pending[i]); });
      break;
    }
    const std::int64_t fits = std::min({width, groups_.size(), retriever_.max_k()});
    const std::int64_t block = std::clamp(kCandidates / fits, std::int64_t{1}, kBlock);
    std::vector<std::int64_t> unsettled;
    for (std::size_t begin = 0; begin < pending.size(); begin += block)
      search(std::span(pending).subspan(begin, std::min<std::size_t>(block, pending.size() - begin)), fits, unsettled);
    pending = std::move(unsettled);
  }
  return std::move(result_);
}

void ExactSearch::search(std::span<const std::int64_t> queries, std::int64_t width, std::vector<std::int64_t>& unsettled) {
  const std::int64_t count = static_cast<std::int64_t>(queries.size()), dim = gallery_.dim;
  block_.resize(count * dim);
  norms_.resize(count);
  distances_.resize(count * width);
  ids_.resize(count * width);
  for (std::int64_t i = 0; i < count; ++i) norms_[i] = centre(queries_.row(queries[i]), block_.data() + i * dim);
  retriever_.nearest(block_.data(), count, width, distances_.data(), ids_.data());

  std::vector<char> settled(count);
  kernels::parallel_for(count, [&](std::int64_t i) {
    // Rows that are no candidates are at least this far, squared.
    const double beyond = width == groups_.size()
                              ? HUGE_VAL
                              : distances_[(i + 1) * width - 1] - candidate_rounding(dim, norms_[i] + largest_norm_);
    settled[i] = settle(queries[i], {ids_.data() + i * width, static_cast<std::size_t>(width)}, beyond);
  });
  for (std::int64_t i = 0; i < count; ++i)
    if (!settled[i]) unsettled.push_back(queries[i]);
}

bool ExactSearch::settle(std::int64_t query, std::span<const std::int64_t> groups, double beyond) {
  std::vector<Found> found;
  for (const std::int64_t group : groups) {
    if (group < 0) return false;
    append_group(query, group, found);
  }
  if (static_cast<std::int64_t>(found.size()) < k_) return false;
  keep_nearest(found);
  if (!(found.back().squared < beyond)) return false;
  write(query, found);
  return true;
}

void ExactSearch::append_group(std::int64_t query, std::int64_t group, std::vector<Found>& found) const {
  const double squared = squared_distance(queries_.row(query), gallery_.row(groups_.first(group)), gallery_.dim);
  std::int64_t taken = 0;
  for (const std::int64_t row : groups_.members(group)) {
    if (self_ == SelfMatch::exclude && row == query) continue;
    found.push_back({squared, row});
    if (++taken == k_) break;
  }
}

void ExactSearch::exhaust(std::int64_t query) {
  std::vector<Found> found;
  const std::int64_t limit = 2 * k_ + 1024;
  for (std::int64_t group = 0; group < groups_.size(); ++group) {
    append_group(query, group, found);
    if (static_cast<std::int64_t>(found.size()) >= limit) keep_nearest(found);
  }
  keep_nearest(found);
  write(query, found);
}

void ExactSearch::keep_nearest(std::vector<Found>& found) const {
  const auto nearer = [](const Found& a, const Found& b) {
    return a.squared != b.squared ? a.squared < b.squared : a.row < b.row;
  };
  const auto kept = found.begin() + std::min<std::ptrdiff_t>(k_, static_cast<std::ptrdiff_t>(found.size()));
  std::partial_sort(found.begin(), kept, found.end(), nearer);
  found.erase(kept, found.end());
}

void ExactSearch::write(std::int64_t query, const std::vector<Found>& found) {
  for (std::int64_t j = 0; j < k_; ++j) {
    result_.ids[query * k_ + j] = found[j].row;
    result_.distances[query * k_ + j] = static_cast<float>(std::sqrt(found[j].squared));
  }
}

}  // namespace swath
