// Assignment at the least total cost (H. Kuhn 1955; as shortest augmenting paths, R. Jonker and A. Volgenant 1987).
#pragma once
#include <cstdint>
#include <vector>

namespace swath {

/// cost: n × n, row-major, finite. The column of every row, each column once, at the least total cost. Time n³, memory n.
std::vector<std::int64_t> hungarian(const std::vector<double>& cost, std::int64_t n);

}  // namespace swath
