// Two clusterings of the same images: how much they agree, and the new one renumbered after the old (methods.md §7, D&C).
#pragma once
#include <cstdint>
#include <vector>

namespace swath {

/// Normalised mutual information I(a, b) / ((H(a) + H(b)) / 2), the arithmetic mean as in scikit-learn; 1 when both have one
/// cluster (or no row). Cluster numbers may be any integers ≥ 0. Throws InternalError when the lengths differ.
double normalized_mutual_information(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b);

/// `fresh` with its clusters renumbered, one to one, so that the symmetric differences |old_c Δ new_c| sum to the least: a
/// cluster that kept its images keeps its number. Both hold numbers in [0, clusters).
std::vector<std::int64_t> match_clusters(const std::vector<std::int64_t>& old, const std::vector<std::int64_t>& fresh,
                                         std::int64_t clusters);

}  // namespace swath
