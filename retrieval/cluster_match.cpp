#include "retrieval/cluster_match.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "retrieval/hungarian.h"

namespace swath {
namespace {

double entropy(const std::map<std::int64_t, double>& counts, double total) {
  double sum = 0;
  for (const auto& [cluster, count] : counts) sum -= count / total * std::log(count / total);
  return sum;
}

}  // namespace

double normalized_mutual_information(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  SWATH_CHECK(a.size() == b.size(), "{} and {} rows", a.size(), b.size());
  std::map<std::int64_t, double> of_a, of_b;
  std::map<std::pair<std::int64_t, std::int64_t>, double> of_both;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ++of_a[a[i]];
    ++of_b[b[i]];
    ++of_both[{a[i], b[i]}];
  }
  if (of_a.size() <= 1 && of_b.size() <= 1) return 1;
  const double n = static_cast<double>(a.size());
  double information = 0;
  for (const auto& [pair, count] : of_both)
    information += count / n * std::log(n * count / (of_a[pair.first] * of_b[pair.second]));
  return std::clamp(information / ((entropy(of_a, n) + entropy(of_b, n)) / 2), 0.0, 1.0);
}

std::vector<std::int64_t> match_clusters(const std::vector<std::int64_t>& old, const std::vector<std::int64_t>& fresh,
                                         std::int64_t clusters) {
  SWATH_CHECK(old.size() == fresh.size(), "{} and {} rows", old.size(), fresh.size());
  const auto k = static_cast<std::size_t>(clusters);
  std::vector<double> old_size(k, 0), fresh_size(k, 0), shared(k * k, 0);
  for (std::size_t i = 0; i < old.size(); ++i) {
    SWATH_CHECK(old[i] >= 0 && old[i] < clusters && fresh[i] >= 0 && fresh[i] < clusters, "row {}: clusters {} and {} of {}", i,
                old[i], fresh[i], clusters);
    ++old_size[old[i]];
    ++fresh_size[fresh[i]];
    ++shared[fresh[i] * clusters + old[i]];
  }
  std::vector<double> difference(k * k);
  for (std::size_t f = 0; f < k; ++f)
    for (std::size_t o = 0; o < k; ++o) difference[f * k + o] = fresh_size[f] + old_size[o] - 2 * shared[f * k + o];
  const std::vector<std::int64_t> number = hungarian(difference, clusters);
  std::vector<std::int64_t> renumbered;
  for (const std::int64_t cluster : fresh) renumbered.push_back(number[cluster]);
  return renumbered;
}

}  // namespace swath
