// Labels of packed images as the evaluation reads them.
#pragma once
#include "data/labels.h"
#include "retrieval/views.h"

namespace swath {

/// Valid as long as the masks.
inline LabelView view_of(const LabelMasks& labels) { return {labels.data(), labels.rows(), labels.classes()}; }

}  // namespace swath
