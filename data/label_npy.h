// Multi-hot labels as a .npy matrix of 0 and 1, uint8, images × classes.
#pragma once
#include <string>

#include "data/labels.h"
#include "engine/io/npy.h"

namespace swath {

/// Throws DataError when the file cannot be written.
void write_label_npy(const std::string& file, const LabelMasks& labels);
/// Of `npy`, which was read from `file`. Throws DataError that names it for a type other than uint8, and a value other than 0
/// and 1; the shape, of rank 2, is the caller's to check.
LabelMasks read_label_npy(const NpyFile& npy, const std::string& file);

}  // namespace swath
