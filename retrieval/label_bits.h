// Counts over label sets stored as words of bits (methods.md §8).
#pragma once
#include <bit>
#include <cstdint>

namespace swath::label_bits {

inline std::int64_t count(const std::uint64_t* a, std::int64_t words) {
  std::int64_t n = 0;
  for (std::int64_t w = 0; w < words; ++w) n += std::popcount(a[w]);
  return n;
}

inline std::int64_t shared(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words) {
  std::int64_t n = 0;
  for (std::int64_t w = 0; w < words; ++w) n += std::popcount(a[w] & b[w]);
  return n;
}

inline bool share_any(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words) {
  for (std::int64_t w = 0; w < words; ++w)
    if (a[w] & b[w]) return true;
  return false;
}

/// Whether every label of a is one of b.
inline bool subset(const std::uint64_t* a, const std::uint64_t* b, std::int64_t words) {
  for (std::int64_t w = 0; w < words; ++w)
    if (a[w] & ~b[w]) return false;
  return true;
}

/// Calls f(class) for every label of a.
template <class F>
void for_each(const std::uint64_t* a, std::int64_t words, const F& f) {
  for (std::int64_t w = 0; w < words; ++w)
    for (std::uint64_t bits = a[w]; bits; bits &= bits - 1) f(w * 64 + std::countr_zero(bits));
}

}  // namespace swath::label_bits
