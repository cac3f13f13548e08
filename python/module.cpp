// The Python module: every kernel as a function on arrays.
#include <nanobind/nanobind.h>

#include "engine/core/error.h"
#include "python/bindings.h"
#include "recipes/version.h"

namespace nb = nanobind;

NB_MODULE(_swath, m) {
  using namespace swath::python;
  m.attr("__version__") = swath::kVersion;
  // What the caller can mend is a ValueError; a device that fails, or an error of the library, a RuntimeError.
  nb::register_exception_translator([](const std::exception_ptr& problem, void*) {
    try {
      std::rethrow_exception(problem);
    } catch (const swath::UserError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const swath::DataError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const swath::NanError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const swath::Error& e) {
      PyErr_SetString(PyExc_RuntimeError, e.what());
    }
  });
  bind_miners(m);
  bind_bank_loss(m);
  bind_row_losses(m);
  bind_parameter_losses(m);
  bind_retrieval(m);
}
