// CSV of untrusted origin and the one function that joins paths.
#include "data/csv.h"

#include <filesystem>

#include "tests/data/fixtures.h"

namespace swath::test {

namespace {

std::vector<std::vector<std::string>> parse(const std::string& text, CsvLimits limits = {}) {
  const TempFolder folder;
  write_text(folder / "x.csv", text);
  CsvReader reader(folder / "x.csv", limits);
  std::vector<std::vector<std::string>> rows;
  for (std::vector<std::string> row; reader.next(row);) rows.push_back(row);
  return rows;
}

using Rows = std::vector<std::vector<std::string>>;

}  // namespace

TEST(Csv, ReadsQuotesLineEndsAndByteOrderMark) {
  EXPECT_EQ(parse("a,b\n1,2\n"), (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(parse("\xef\xbb\xbf"
                  "a,b\r\n1,2"),
            (Rows{{"a", "b"}, {"1", "2"}}));
  EXPECT_EQ(parse("\"a,\"\"b\"\"\",\n\n\"two\nlines\",x\n"), (Rows{{"a,\"b\"", ""}, {"two\nlines", "x"}}));
  EXPECT_EQ(parse(""), Rows{});
  EXPECT_EQ(parse("\xef"), (Rows{{"\xef"}}));
  EXPECT_EQ(parse(","), (Rows{{"", ""}}));
}

TEST(Csv, RoundTripsThroughItsWriter) {
  const std::vector<std::string> fields{"plain", "", "with,comma", "with \"quote\"", "two\nlines"};
  EXPECT_EQ(parse(csv_line(fields)), (Rows{fields}));
}

TEST(Csv, CrossesItsBufferUnharmed) {
  std::string text;
  Rows expected;
  for (int i = 0; i < 20000; ++i) {
    const std::string word = "\"w" + std::to_string(i) + "\"";
    text += word + ",\"q\"\"" + std::to_string(i) + "\"\r\n";
    expected.push_back({"w" + std::to_string(i), "q\"" + std::to_string(i)});
  }
  EXPECT_EQ(parse(text), expected);
}

TEST(Csv, RefusesWhatCannotBeFollowed) {
  expect_data_error([] { parse("a,b\n\"open,1\n"); }, {"x.csv line 2", "quote that is not closed"});
  expect_data_error([] { parse("\"a\"b,c\n"); }, {"line 1", "after a closing quote"});
  expect_data_error([] { parse(std::string("a,b\n1,\0\n", 8)); }, {"line 2", "NUL"});
  expect_data_error([] { parse("a\n" + std::string(2 << 20, 'x')); }, {"line 2", "longer than 1048576 bytes"});
  expect_data_error([] { parse("\"" + std::string(2 << 20, '\n')); }, {"line 1", "longer than"});
  expect_data_error([] { parse("a,b,c,d", {.line_bytes = 100, .fields = 3}); }, {"more than 3 fields"});
  expect_data_error([] { CsvReader("/nonexistent/x.csv"); }, {"/nonexistent/x.csv"});
  expect_data_error([] { CsvReader("/tmp"); }, {"/tmp"});
}

TEST(Csv, AHugeLineIsRefusedWithoutBeingRead) {
  // A sparse file of 1 GiB: one line that never ends. NULs after the first megabyte must not be reached.
  const TempFolder folder;
  write_text(folder / "huge.csv", "image,a\n" + std::string((1 << 20) + 1, 'x'));
  std::filesystem::resize_file(folder / "huge.csv", std::uintmax_t{1} << 30);
  CsvReader reader(folder / "huge.csv");
  std::vector<std::string> row;
  EXPECT_TRUE(reader.next(row));
  expect_data_error([&] { reader.next(row); }, {"huge.csv line 2", "longer than 1048576 bytes"});
}

TEST(SafeJoin, StaysBelowTheRoot) {
  EXPECT_EQ(safe_join("root", "a/b.jpg", "x"), "root/a/b.jpg");
  EXPECT_EQ(safe_join("root", "a..b/..c.jpg", "x"), "root/a..b/..c.jpg");
  for (const std::string bad : {"", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "/vsicurl/http://x", "a\\b", "a\nb"})
    expect_throw<UnsafePath>([&] { safe_join("root", bad, "list.csv line 7"); }, {"list.csv line 7"}, ExitCode::data);
  expect_data_error([] { safe_join("root", std::string("a\0b", 3), "x"); }, {"control character"});
  expect_data_error([] { safe_join("root", std::string(5000, 'a'), "x"); }, {"too long"});
}

}  // namespace swath::test
