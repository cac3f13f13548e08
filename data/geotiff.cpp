#include "data/geotiff.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <fmt/format.h>
#include <gdal.h>
#include <gdal_frmts.h>

#include <memory>
#include <mutex>

#include "data/file.h"
#include "data/rgb_file.h"
#include "engine/core/error.h"

namespace swath {

namespace {

/// For its lifetime, on this thread: errors go into `message`, and GDAL neither lists the folder nor looks for side files.
class Quiet {
 public:
  Quiet() {
    static std::once_flag once;
    std::call_once(once, GDALRegister_GTiff);
    const char* before = CPLGetThreadLocalConfigOption(kOption, nullptr);
    if (before) before_ = std::make_unique<std::string>(before);
    CPLSetThreadLocalConfigOption(kOption, "EMPTY_DIR");
    CPLPushErrorHandlerEx(&Quiet::record, this);
  }
  ~Quiet() {
    CPLPopErrorHandler();
    CPLSetThreadLocalConfigOption(kOption, before_ ? before_->c_str() : nullptr);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  std::string message;

 private:
  static constexpr const char* kOption = "GDAL_DISABLE_READDIR_ON_OPEN";
  static void CPL_STDCALL record(CPLErr severity, CPLErrorNum, const char* text) {
    auto* self = static_cast<Quiet*>(CPLGetErrorHandlerUserData());
    if (severity >= CE_Failure && self->message.empty()) self->message = text;
  }
  std::unique_ptr<std::string> before_;
};

using DatasetHandle = std::unique_ptr<void, void (*)(void*)>;
void close(void* dataset) { GDALClose(dataset); }

[[noreturn]] void corrupt(const std::string& path, const Quiet& quiet) {
  throw DataError(
      fmt::format("{} is not a readable GeoTIFF: {}", path, quiet.message.empty() ? "no reason given" : quiet.message));
}

DatasetHandle open(const std::string& path, const Quiet& quiet) {
  // GDAL takes names such as /vsicurl/… and GTIFF_DIR:…; only what the file system knows as a file gets that far.
  if (path.rfind("/vsi", 0) == 0 || !is_file(path)) throw DataError(fmt::format("{} is missing or not a regular file", path));
  const char* const drivers[] = {"GTiff", nullptr};
  DatasetHandle dataset(
      GDALOpenEx(path.c_str(), GDAL_OF_RASTER | GDAL_OF_READONLY | GDAL_OF_INTERNAL, drivers, nullptr, nullptr), close);
  if (!dataset) corrupt(path, quiet);
  return dataset;
}

GeoTiffInfo describe(const std::string& path, void* dataset) {
  GeoTiffInfo info{.height = GDALGetRasterYSize(dataset),
                   .width = GDALGetRasterXSize(dataset),
                   .bands = GDALGetRasterCount(dataset),
                   .dtype = kernels::DType::u8,
                   .descriptions = {}};
  if (info.bands < 1 || info.bands > 1024) throw DataError(fmt::format("{} has {} bands", path, info.bands));
  if (info.width < 1 || info.height < 1 || info.width > kMaxPixels / info.height)
    throw DataError(fmt::format("{} claims {} x {} pixels, more than the limit of 64 Mpixel", path, info.width, info.height));
  for (int b = 1; b <= info.bands; ++b) {
    const GDALDataType type = GDALGetRasterDataType(GDALGetRasterBand(dataset, b));
    if (type != GDT_Byte && type != GDT_UInt16)
      throw DataError(fmt::format("{} has pixels of type {}; only Byte and UInt16 are read", path, GDALGetDataTypeName(type)));
    const kernels::DType dtype = type == GDT_Byte ? kernels::DType::u8 : kernels::DType::u16;
    if (b > 1 && dtype != info.dtype) throw DataError(fmt::format("{} has bands of different types", path));
    info.dtype = dtype;
  }
  return info;
}

void require_form(const std::string& path, const GeoTiffInfo& expected, const GeoTiffInfo& got) {
  const auto form = [](const GeoTiffInfo& i) {
    return fmt::format("{} band{} of {} x {} {}", i.bands, i.bands == 1 ? "" : "s", i.width, i.height,
                       kernels::name_of(i.dtype));
  };
  const bool fits = (expected.height == 0 || expected.height == got.height) &&
                    (expected.width == 0 || expected.width == got.width) && expected.bands == got.bands &&
                    expected.dtype == got.dtype;
  if (!fits) throw DataError(fmt::format("{} holds {}, where {} are expected", path, form(got), form(expected)));
}

}  // namespace

bool geotiff_supported() { return true; }
void require_geotiff(const std::string&) {}

GeoTiffInfo geotiff_info(const std::string& path) {
  const Quiet quiet;
  const DatasetHandle dataset = open(path, quiet);
  GeoTiffInfo info = describe(path, dataset.get());
  for (int b = 1; b <= info.bands; ++b) info.descriptions.emplace_back(GDALGetDescription(GDALGetRasterBand(dataset.get(), b)));
  return info;
}

void read_geotiff(const std::string& path, const GeoTiffInfo& expected, const GeoTiffTarget& target) {
  const Quiet quiet;
  const DatasetHandle dataset = open(path, quiet);
  const GeoTiffInfo info = describe(path, dataset.get());
  require_form(path, expected, info);
  const auto element = static_cast<GSpacing>(kernels::size_of(info.dtype));
  const GDALDataType type = info.dtype == kernels::DType::u8 ? GDT_Byte : GDT_UInt16;
  GDALRasterIOExtraArg extra;
  INIT_RASTERIO_EXTRA_ARG(extra);
  extra.eResampleAlg = GRIORA_Bilinear;
  for (int b = 0; b < info.bands; ++b) {
    char* first = static_cast<char*>(target.pixels) + (target.first_channel + b) * element;
    if (GDALRasterIOEx(GDALGetRasterBand(dataset.get(), b + 1), GF_Read, 0, 0, static_cast<int>(info.width),
                       static_cast<int>(info.height), first, static_cast<int>(target.width), static_cast<int>(target.height),
                       type, target.channels * element, target.width * target.channels * element, &extra) != CE_None ||
        !quiet.message.empty())
      corrupt(path, quiet);
  }
}

void write_geotiff(const std::string& path, const std::uint16_t* pixels, std::int64_t height, std::int64_t width) {
  Quiet quiet;
  const GDALDriverH driver = GDALGetDriverByName("GTiff");
  DatasetHandle dataset(
      GDALCreate(driver, path.c_str(), static_cast<int>(width), static_cast<int>(height), 1, GDT_UInt16, nullptr), close);
  const bool written = dataset && GDALRasterIO(GDALGetRasterBand(dataset.get(), 1), GF_Write, 0, 0, static_cast<int>(width),
                                               static_cast<int>(height), const_cast<std::uint16_t*>(pixels),
                                               static_cast<int>(width), static_cast<int>(height), GDT_UInt16, 0, 0) == CE_None;
  dataset.reset();
  if (!written || !quiet.message.empty()) throw DataError(fmt::format("{} cannot be written: {}", path, quiet.message));
}

}  // namespace swath
