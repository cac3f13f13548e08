// Least-recently-used cache from a key to a prepared plan. Keys are arrays of integers: no padding bytes, so equal keys
// have equal bytes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

namespace swath {

template <std::size_t N>
using PlanKey = std::array<std::int64_t, N>;

template <std::size_t N>
struct PlanKeyHash {
  std::size_t operator()(const PlanKey<N>& key) const {
    std::uint64_t hash = 0x9e3779b97f4a7c15ull;
    for (const std::int64_t value : key) {
      hash = (hash ^ static_cast<std::uint64_t>(value)) * 0xff51afd7ed558ccdull;
      hash ^= hash >> 32;
    }
    return static_cast<std::size_t>(hash);
  }
};

/// Holds up to `capacity` plans. Not thread-safe, like the device it belongs to.
template <std::size_t N, class Plan>
class PlanCache {
 public:
  explicit PlanCache(std::size_t capacity) : capacity_(capacity) {}

  /// The plan of `key`, made by `make()` when there is none. Valid until the next call.
  template <class Make>
  Plan& get(const PlanKey<N>& key, Make&& make) {
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      ++hits_;
      return entries_.front().second;
    }
    entries_.emplace_front(key, make());
    index_.emplace(key, entries_.begin());
    if (entries_.size() > capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

  std::size_t size() const { return entries_.size(); }
  std::size_t hits() const { return hits_; }

 private:
  using Entries = std::list<std::pair<PlanKey<N>, Plan>>;
  std::size_t capacity_;
  Entries entries_;
  std::unordered_map<PlanKey<N>, typename Entries::iterator, PlanKeyHash<N>> index_;
  std::size_t hits_ = 0;
};

}  // namespace swath
