// The parts of the module.
#pragma once
#include <nanobind/nanobind.h>

namespace swath::python {

void bind_miners(nanobind::module_& m);
void bind_bank_loss(nanobind::module_& m);
void bind_row_losses(nanobind::module_& m);
void bind_parameter_losses(nanobind::module_& m);
void bind_retrieval(nanobind::module_& m);

}  // namespace swath::python
