// A 1×1 convolution with a stride reads every stride-th pixel: the same as a convolution of stride 1 on those pixels.
#pragma once
#include "engine/device/backend.h"

namespace swath::cpu {

/// Whether the geometry is such a convolution.
bool is_subsampling(const ConvGeometry& geometry);
/// The convolution of stride 1 on the pixels that are read.
ConvGeometry dense_geometry(const ConvGeometry& geometry);
/// Copies the pixels that are read. x: geometry.input_shape(), dense: dense_geometry(geometry).input_shape().
void gather_pixels(const ConvGeometry& geometry, const void* x, void* dense);

}  // namespace swath::cpu
