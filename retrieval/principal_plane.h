// The two directions in which rows vary most, and the rows seen along them (methods.md §8, the start of t-SNE).
#pragma once
#include <cstdint>
#include <vector>

#include "retrieval/quadtree.h"
#include "retrieval/views.h"

namespace swath {

/// Coordinates [rows] along the first two principal axes of at most 4,096 evenly spaced rows, centred on their mean: 60 steps
/// of orthogonal iteration from a start drawn by `seed`. Signs are such that each axis has a positive largest entry. The same
/// numbers with any number of threads.
std::vector<Point2> principal_plane(EmbeddingView rows, std::uint64_t seed);

}  // namespace swath
