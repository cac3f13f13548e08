// A multi-label image archive on disk: what it holds, and decoding of one image (methods.md §1).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/labels.h"
#include "engine/core/config.h"
#include "kernels/exec.h"

namespace swath {

/// How the archive is cut into train, val and test.
struct SplitOptions {
  std::string directory{};  // holds train.csv, val.csv, test.csv; empty: made by iterative stratification
  double train = 0.4, val = 0.1, test = 0.5;
  std::uint64_t seed = 0;
  template <class V>
  void fields(V& v) {
    v("directory", directory, "folder with train.csv, val.csv and test.csv; empty to make a stratified split");
    v("train", train, "share of the images for training, of a split that is made", Range{0, 1});
    v("val", val, "share for validation", Range{0, 1});
    v("test", test, "share for the test", Range{0, 1});
    v("seed", seed, "seed of a split that is made");
  }
};

/// Without `root` the packed splits alone are read. Their sidecar must then agree with image_size unless that is 0, with format
/// unless that is auto, and, where the pack is of BigEarthNet, with classes when these are 19 or the format is bigearthnet: the
/// default 43 of an unnamed layout agrees with any pack (open_or_pack throws UserError that names the key).
struct DataOptions {
  std::string root{};
  std::string format = "auto";
  std::string manifest = "manifest.csv";
  std::string packed{};
  int classes = 43;
  int image_size = 0;
  double max_unreadable_share = 0.05;
  SplitOptions split{};
  template <class V>
  void fields(V& v) {
    v("root", root, "folder that holds Images/ and labels/ (MLRSNet layout), patch folders (BigEarthNet) or a manifest");
    v("format", format, "layout of the root", OneOf{{"auto", "mlrsnet", "bigearthnet", "csv"}});
    v("manifest", manifest, "CSV below the root with path,<class>,… (format csv)");
    v("packed", packed, "folder of packed splits; training reads these, and makes them when they are absent");
    v("classes", classes, "BigEarthNet nomenclature: 43 CORINE names or the 19 of the archive's authors", Among{{19, 43}});
    v("image_size", image_size, "side in pixels after resampling; 0: 256, or 120 for BigEarthNet", Range{0, 4096});
    v("max_unreadable_share", max_unreadable_share, "share of files that may be unreadable before it is an error", Range{0, 1});
    v("split", split, "train, val and test");
  }
};

/// Form of every image of a dataset: height × width × channels of `dtype` (u8 or u16), row-major.
struct ImageSpec {
  std::int64_t height = 0, width = 0, channels = 0;
  kernels::DType dtype = kernels::DType::u8;
  std::vector<std::string> bands{};  // one name per channel, in order

  std::size_t bytes() const { return static_cast<std::size_t>(height * width * channels) * kernels::size_of(dtype); }
  bool operator==(const ImageSpec&) const = default;
};

/// What was left out while reading, for the log, the sidecar and `--json`.
struct SkipReport {
  struct Entry {
    std::string file;    // relative to the root where possible
    std::string reason;  // one clause
  };
  std::vector<Entry> unreadable;
  std::int64_t without_class = 0;  // images that carry none of the classes
  std::int64_t unlisted = 0;       // images of the archive that no part of a given split names
};

/// Not copyable. Everything but `read` is fixed when the dataset is opened.
class Dataset {
 public:
  virtual ~Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  /// "mlrsnet", "bigearthnet-43", "bigearthnet-19" or "csv".
  const std::string& name() const { return name_; }
  const std::string& root() const { return root_; }
  const ImageSpec& image() const { return image_; }
  const std::vector<std::string>& class_names() const { return class_names_; }
  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  /// The image's path below the root's image folder ("beach/beach00.jpg") or its patch name; unique, sorted.
  const std::vector<std::string>& ids() const { return ids_; }
  const LabelMasks& labels() const { return labels_; }
  const SkipReport& report() const { return report_; }
  /// XXH3-64 over name, form, classes, ids and labels: equal for equal archives wherever they lie.
  std::uint64_t fingerprint() const;

  /// Decodes image i into `pixels`, image().bytes() bytes, height × width × channels. Thread-safe. Throws DataError that
  /// names the file when it cannot be read.
  virtual void read(std::int64_t i, void* pixels) const = 0;

 protected:
  Dataset() = default;
  std::string name_, root_;
  ImageSpec image_;
  std::vector<std::string> class_names_, ids_;
  LabelMasks labels_;
  SkipReport report_;
};

/// Opens the archive below options.root: reads all labels, decodes nothing. Unreadable label files and rows are skipped and
/// reported. Throws UserError for a wrong option, DataError when the root is missing or empty, its layout is not known, or
/// more than max_unreadable_share is unreadable.
std::unique_ptr<Dataset> open_dataset(const DataOptions& options);

/// The archive's own channel order, which every pack and checkpoint carries: R G B.
const std::vector<std::string>& rgb_bands();
/// The 12 Sentinel-2 bands in the order of methods.md §1: B01 … B12.
const std::vector<std::string>& sentinel2_bands();
/// Throws DataError that names `what` when two lists of names (bands, classes) differ, by the first difference.
void require_same_names(const std::vector<std::string>& wanted, const std::vector<std::string>& got, const std::string& what);

}  // namespace swath
