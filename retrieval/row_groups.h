// Equal rows of a gallery, so that each is searched once and ties between them cost nothing (methods.md §8).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "retrieval/views.h"

namespace swath {

/// Rows that agree in every bit, as groups ordered by their lowest row.
class RowGroups {
 public:
  explicit RowGroups(EmbeddingView rows);
  std::int64_t size() const { return static_cast<std::int64_t>(starts_.size()) - 1; }
  /// Rows of group g, ascending.
  std::span<const std::int64_t> members(std::int64_t g) const {
    return {members_.data() + starts_[g], static_cast<std::size_t>(starts_[g + 1] - starts_[g])};
  }
  std::int64_t first(std::int64_t g) const { return members_[starts_[g]]; }

 private:
  std::vector<std::int64_t> starts_;   // [groups + 1], into members_
  std::vector<std::int64_t> members_;  // [rows]
};

}  // namespace swath
