// Configuration from one list of fields per component. An Options struct has
//     template <class V> void fields(V& v) { v("margin", margin, "margin m of the loss (methods.md §6)", Range{0, 10}); }
// and that list reads JSON, refuses unknown keys, prints help, and writes the resolved configuration.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace swath {

using Json = nlohmann::ordered_json;

/// Closed interval a number must lie in.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};
/// The words a string may be.
struct OneOf {
  std::vector<std::string> words;
};
/// The numbers an integer may be.
struct Among {
  std::vector<std::int64_t> numbers;
};

/// One leaf key, for `swath config explain` and the schema.
struct ConfigKey {
  std::string path;  // "loss.margin"
  std::string type;  // "number", "integer", "true or false", "text", "list of …"
  Json default_value;
  std::string help;
  std::string constraint;  // "0 to 10", "one of a, b"; empty when none
};

namespace config_detail {

struct Probe {
  template <class... A>
  void operator()(A&&...) {}
};
template <class T>
concept HasFields = requires(T& t, Probe& p) {
  t.fields(p);
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
std::string type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "integer";
  else if constexpr (std::is_floating_point_v<T>)
    return "number";
  else if constexpr (IsVector<T>::value)
    return "list of " + type_name<typename T::value_type>();
  else
    return "text";
}

std::string join(const std::string& path, const std::string& name);
[[noreturn]] void wrong_type(const std::string& path, const std::string& wanted, const Json& got);
[[noreturn]] void unknown_key(const std::string& path, const std::string& key, const std::vector<std::string>& known);
std::string describe(const Range& range);
std::string describe(const Among& numbers);
void check(const std::string& path, double value, const Range& range);
void check(const std::string& path, const std::string& value, const OneOf& words);
void check(const std::string& path, std::int64_t value, const Among& numbers);

template <class T>
void read_value(const std::string& path, const Json& json, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) wrong_type(path, type_name<T>(), json);
    out = json.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (!json.is_number_integer()) wrong_type(path, type_name<T>(), json);
    if (json.is_number_unsigned() ? !std::in_range<T>(json.get<std::uint64_t>()) : !std::in_range<T>(json.get<std::int64_t>()))
      wrong_type(path, "integer within its type", json);
    out = json.get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number() || !std::isfinite(json.get<double>())) wrong_type(path, "finite number", json);
    out = json.get<T>();
  } else if constexpr (IsVector<T>::value) {
    if (!json.is_array()) wrong_type(path, type_name<T>(), json);
    T values;
    for (std::size_t i = 0; i < json.size(); ++i) {
      typename T::value_type value{};
      read_value(path + "[" + std::to_string(i) + "]", json[i], value);
      values.push_back(std::move(value));
    }
    out = std::move(values);
  } else {
    if (!json.is_string()) wrong_type(path, type_name<T>(), json);
    out = json.get<std::string>();
  }
}

template <class T>
void check_value(const std::string& path, const T& value, const Range& range) {
  if constexpr (IsVector<T>::value) {
    for (const auto& v : value) check(path, static_cast<double>(v), range);
  } else {
    check(path, static_cast<double>(value), range);
  }
}
template <class T>
void check_value(const std::string& path, const T& value, const OneOf& words) {
  if constexpr (IsVector<T>::value) {
    for (const auto& v : value) check(path, v, words);
  } else {
    check(path, value, words);
  }
}
template <std::signed_integral T>
void check_value(const std::string& path, const T& value, const Among& numbers) {
  check(path, std::int64_t{value}, numbers);
}

class Reader {
 public:
  Reader(const Json& json, std::string path);
  template <class T, class... C>
  void operator()(const char* name, T& member, const char* /*help*/, const C&... constraints) {
    known_.emplace_back(name);
    const auto found = json_.find(name);
    if (found == json_.end()) return;
    const std::string path = join(path_, name);
    if constexpr (HasFields<T>) {
      Reader reader(*found, path);
      member.fields(reader);
      reader.finish();
    } else {
      read_value(path, *found, member);
      (check_value(path, member, constraints), ...);
    }
  }
  /// Refuses keys that no field took.
  void finish() const;

 private:
  const Json& json_;
  std::string path_;
  std::vector<std::string> known_;
};

class Writer {
 public:
  explicit Writer(Json& json) : json_(json) {}
  template <class T, class... C>
  void operator()(const char* name, T& member, const char* /*help*/, const C&...) {
    if constexpr (HasFields<T>) {
      Json child = Json::object();
      Writer writer(child);
      member.fields(writer);
      json_[name] = std::move(child);
    } else if constexpr (std::is_same_v<T, float>) {
      json_[name] = nlohmann::json::parse(fmt::format("{}", member)).template get<double>();  // 0.2, not 0.20000000298
    } else {
      json_[name] = member;
    }
  }

 private:
  Json& json_;
};

class Describer {
 public:
  Describer(std::vector<ConfigKey>& keys, std::string path) : keys_(keys), path_(std::move(path)) {}
  template <class T, class... C>
  void operator()(const char* name, T& member, const char* help, const C&... constraints) {
    const std::string path = join(path_, name);
    if constexpr (HasFields<T>) {
      Describer describer(keys_, path);
      member.fields(describer);
    } else {
      Json holder;
      Writer writer(holder);
      writer(name, member, help);
      std::string constraint;
      ((constraint += describe_constraint(constraints)), ...);
      keys_.push_back({path, type_name<T>(), holder[name], help, constraint});
    }
  }

 private:
  static std::string describe_constraint(const Range& range) { return describe(range); }
  static std::string describe_constraint(const OneOf& words) { return fmt::format("one of {}", fmt::join(words.words, ", ")); }
  static std::string describe_constraint(const Among& numbers) { return describe(numbers); }
  std::vector<ConfigKey>& keys_;
  std::string path_;
};

}  // namespace config_detail

/// Applies the keys of `json` to `options`. Throws UserError that names the key's path: unknown key (with the nearest
/// name), wrong type, out of range. Keys that are absent keep their value.
template <class T>
void config_from_json(T& options, const Json& json, const std::string& path = "") {
  config_detail::Reader reader(json, path);
  options.fields(reader);
  reader.finish();
}

template <class T>
Json config_to_json(T options) {
  Json json = Json::object();
  config_detail::Writer writer(json);
  options.fields(writer);
  return json;
}

/// Every leaf key in the order of the fields.
template <class T>
std::vector<ConfigKey> config_keys(T options) {
  std::vector<ConfigKey> keys;
  config_detail::Describer describer(keys, "");
  options.fields(describer);
  return keys;
}

/// Parses JSON with // and /* */ comments; `origin` names the file in the message of the UserError. Duplicate keys are
/// refused.
Json parse_config(const std::string& text, const std::string& origin);
/// Reads and parses a file. Throws UserError when it cannot be read.
Json load_config(const std::string& file);
/// Applies "a.b=c": c is JSON when it parses as such, text otherwise. Throws UserError when there is no '='.
void set_config(Json& json, const std::string& assignment);
/// The word of `known` with the smallest edit distance; empty when all are far.
std::string nearest_name(const std::string& word, const std::vector<std::string>& known);

}  // namespace swath
