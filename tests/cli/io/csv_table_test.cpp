// Tables written byte by byte; what is expected of numbers comes from the decimal expansions themselves.

#include "io/csv_table.hpp"

#include "cli/support/files.hpp"
#include "io/csv_fields.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <bit>
#include <clocale>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Names = std::vector<std::string>;
using Numbers = std::vector<double>;

io::CsvTable read(const std::string& bytes, const Names& columns) {
  const TemporaryDirectory directory;
  return io::read_csv(directory.put("t.csv", bytes), columns);
}

/// The message of the Error that reading must throw, without the path.
std::string refusal(const std::string& bytes, const Names& columns = {"a"}) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("t.csv", bytes);
  try {
    io::read_csv(path, columns);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    return message.substr(std::min(message.size(), path.size() + 2));
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(CsvTable, TakesTheColumnsAskedForInTheirOrder) {
  const io::CsvTable table = read("a,b,c\n1,2,3\n4,5,6\n", {"c", "a"});
  EXPECT_EQ(table.columns, (Names{"c", "a"}));
  EXPECT_EQ(table.rows, 2);
  EXPECT_EQ(table.cells, (Numbers{3, 1, 6, 4}));
  EXPECT_EQ(table.dropped, 0);
  EXPECT_EQ(table.missing, (std::vector<std::int64_t>{0, 0}));
}

TEST(CsvTable, ReadsEveryEndOfLineMarkAndEmptyLine) {
  const Numbers expected{1, 2, 3, 4};
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4",
                           "\xEF\xBB\xBF"
                           "a,b\n1,2\n3,4\n",
                           "a,b\n\n1,2\n3,4\n\n\n", "a,b\r\n1,2\r\n3,4\r\n\r\n", "\na,b\n1,2\n  \n3,4\n",
                           " a , b \n 1 ,2\t\n3, 4 \n", "\"a\",\"b\"\n\"1\",\" 2 \"\n3,\"4\"\n"}) {
    const io::CsvTable table = read(text, {"a", "b"});
    EXPECT_EQ(table.cells, expected) << text;
    EXPECT_EQ(table.rows, 2) << text;
  }
}

TEST(CsvTable, KeepsWhatIsInQuotes) {
  const io::CsvTable table =
      read("\"delay, minutes\",\"a \"\"b\"\"\",note\n1,2,\"one, two\nthree \"\"four\"\"\"\n3,4,\"\"\n",
           {"a \"b\"", "delay, minutes"});
  EXPECT_EQ(table.cells, (Numbers{2, 1, 4, 3}));
}

TEST(CsvTable, RoundsToTheNearest) {
  const io::CsvTable table = read(
      "a\n0.1\n+1.5\n-0\n1e-3\n.5\n5.\n1E5\n123456789012345678901234567890\n"
      "9007199254740993\n"                    // halfway: to even
      "9007199254740993.00000000000000001\n"  // just above
      "4.9406564584124654e-324\n2.2250738585072011e-308\n1.7976931348623157e308\n",
      {"a"});
  const Numbers expected{0.1,
                         1.5,
                         -0.0,
                         0.001,
                         0.5,
                         5.0,
                         1e5,
                         123456789012345678901234567890.0,
                         9007199254740992.0,
                         9007199254740994.0,
                         std::numeric_limits<double>::denorm_min(),
                         std::bit_cast<double>(std::uint64_t{0x000fffffffffffff}),
                         std::numeric_limits<double>::max()};
  ASSERT_EQ(table.cells.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(table.cells[k]), std::bit_cast<std::uint64_t>(expected[k])) << k;
  }
}

TEST(CsvTable, HeedsNoLocale) {
  const char* found = nullptr;
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "C"}) {
    found = std::setlocale(LC_ALL, name);
    if (found != nullptr) break;
  }
  ASSERT_NE(found, nullptr);
  const Numbers cells = read("a\n1.5\n", {"a"}).cells;
  std::setlocale(LC_ALL, "C");
  EXPECT_EQ(cells, (Numbers{1.5}));
}

TEST(CsvTable, DropsRowsWithMissingCellsOfTheChosenColumns) {
  const std::string text =
      "a,b,note\n1,2,x\n,3,x\n4,NA,x\n5,6,\nNaN,null,x\nnan,7,x\n8, ,x\n9,\"\",x\n10,NULL,NA\n11,12,NA\n-nan,1,x\n";
  const io::CsvTable both = read(text, {"a", "b"});
  EXPECT_EQ(both.cells, (Numbers{1, 2, 5, 6, 11, 12}));
  EXPECT_EQ(both.rows, 3);
  EXPECT_EQ(both.dropped, 8);
  EXPECT_EQ(both.missing, (std::vector<std::int64_t>{4, 5}));
  const io::CsvTable one = read(text, {"a"});
  EXPECT_EQ(one.cells, (Numbers{1, 4, 5, 8, 9, 10, 11}));
  EXPECT_EQ(one.dropped, 4);
}

TEST(CsvTable, NamesLineAndColumnOfWhatIsNoNumber) {
  EXPECT_EQ(refusal("a,b\n1,2\nabc,4\n"), "line 3, column 'a': 'abc' is not a number");
  EXPECT_EQ(refusal("b,a\r\n1,2\r\n\r\n1,2x\r\n"), "line 4, column 'a': '2x' is not a number");
  EXPECT_EQ(refusal("b,a\n\"1\n2\n3\",4\n5,1 2\n"), "line 5, column 'a': '1 2' is not a number");
  EXPECT_EQ(refusal("b,a\n1,\"1,5\"\n"), "line 2, column 'a': '1,5' is not a number");
  EXPECT_EQ(refusal("a\ninf\n"), "line 2, column 'a': 'inf' is not a finite number");
  EXPECT_EQ(refusal("a\n-Infinity\n"), "line 2, column 'a': '-Infinity' is not a finite number");
  EXPECT_EQ(refusal("a\n1e999\n"), "line 2, column 'a': '1e999' is beyond the numbers float64 can hold");
  for (const char* text : {"0x10", "1e", "--1", "+-1", "++1", "+", "-", ".", "1_000", "True", "N/A", "1.5.2", "N A"}) {
    EXPECT_EQ(refusal(std::string("a\n") + text + "\n"),
              "line 2, column 'a': '" + std::string(text) + "' is not a number");
  }
  EXPECT_EQ(refusal("a\n" + std::string(100, 'x')),
            "line 2, column 'a': '" + std::string(40, 'x') + "…' is not a number");
  EXPECT_EQ(refusal("a\n\"x\ny\"\n"), "line 2, column 'a': 'x y' is not a number") << "messages have one line";
}

TEST(CsvTable, NamesTheColumnsThereAre) {
  EXPECT_EQ(refusal("b,c\n1,2\n"), "has no column 'a'; it has b, c");
  EXPECT_EQ(refusal("A,b\n1,2\n"), "has no column 'a'; it has A, b") << "capitals count";
  EXPECT_EQ(refusal("a,b,a\n1,2,3\n"), "has two columns called 'a'");
  EXPECT_EQ(read("a,b,b\n1,2,3\n", {"a"}).cells, (Numbers{1})) << "of no concern where they are not asked for";
  EXPECT_EQ(refusal("a;b\n1;2\n"), "has no column 'a'; it has a;b (one column: a comma must separate them)");
  std::string header = "c0";
  for (int k = 1; k < 50; ++k) header += ",c" + std::to_string(k);
  EXPECT_NE(refusal(header + "\n").find("c39, … (50 in all)"), std::string::npos);
}

TEST(CsvTable, NamesTheLineOfOneThatIsTooLongOrShort) {
  EXPECT_EQ(refusal("a,b\n1,2\n3\n"), "line 3 has 1 fields, expected 2 as in the first line");
  EXPECT_EQ(refusal("a,b\n1,2\n3,4,\n5,6\n"), "line 3 has 3 fields, expected 2 as in the first line");
  EXPECT_EQ(refusal("b,a\n\"x\ny\",2\n\n3,4,5"), "line 5 has 3 fields, expected 2 as in the first line");
}

TEST(CsvTable, NamesTheLineOfAMisplacedQuote) {
  EXPECT_TRUE(refusal("a,b\n1,5\"\n").starts_with("line 2: a quote is misplaced or missing"));
  EXPECT_TRUE(refusal("a,b\n1,2\n1,\"x\" y\n").starts_with("line 3: a quote"));
  EXPECT_TRUE(refusal("a,b\n1,2\n\"3,4\n5,6\n").starts_with("line 3: a quote"));
  EXPECT_TRUE(refusal("a,b\n1,2\n3,\"4\n5,6\n").starts_with("line 3: a quote"));
}

TEST(CsvTable, RefusesWhatIsNoTable) {
  EXPECT_EQ(refusal(""), "is empty (0 bytes)");
  EXPECT_EQ(refusal("\n\n"), "has no line of column names");
  EXPECT_EQ(refusal("\xEF\xBB\xBF"), "has no line of column names");
  EXPECT_EQ(refusal(std::string("\xFF\xFE"
                                "a\0\n\0",
                                6)),
            "is UTF-16 text, expected UTF-8");
  EXPECT_THROW(io::read_csv("/nonexistent/t.csv", {"a"}), Error);
  EXPECT_EQ(read("a\n", {"a"}).rows, 0);
}

TEST(CsvTable, ReadsTheSameAcrossItsChunks) {
  // Three chunks of 256 KiB, with fields and line ends at every offset about their borders.
  std::string text = "skipped,a\r\n";
  Numbers expected;
  while (text.size() < std::size_t{800} << 10) {
    const auto k = expected.size();
    expected.push_back(static_cast<double>(k) + 0.25);
    text += "\"x," + std::string(k % 7, 'y') + "\"\"\r\n\"," + std::to_string(k) + ".25\r\n";
  }
  const io::CsvTable table = read(text, {"a"});
  EXPECT_EQ(table.cells, expected);
  EXPECT_EQ(refusal(text + "\"\",z\r\n"),
            "line " + std::to_string(2 * expected.size() + 2) + ", column 'a': 'z' is not a number");
}

TEST(CsvTable, StopsWhenTold) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("t.csv", "a\n" + std::string(std::size_t{1} << 20, '\n'));
  int calls = 0;
  try {
    io::read_csv(path, {"a"}, [&] { return ++calls < 3; });
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
  EXPECT_EQ(calls, 3);
}

TEST(CsvTable, KnowsItsName) {
  EXPECT_TRUE(io::is_csv("a.csv"));
  EXPECT_TRUE(io::is_csv("dir/a.CSV"));
  EXPECT_FALSE(io::is_csv("a.npy"));
  EXPECT_FALSE(io::is_csv(".csv"));
  EXPECT_FALSE(io::is_csv("a.csv.gz"));
}

TEST(CsvFields, SplitsOneLine) {
  EXPECT_EQ(io::csv_fields("a,b"), (Names{"a", "b"}));
  EXPECT_EQ(io::csv_fields("\"a,b\",c"), (Names{"a,b", "c"}));
  EXPECT_EQ(io::csv_fields("a,,b"), (Names{"a", "", "b"}));
  EXPECT_EQ(io::csv_fields(""), Names{});
  EXPECT_THROW(io::csv_fields("a\"b"), std::invalid_argument);
  EXPECT_THROW(io::csv_fields("a\nb"), std::invalid_argument);
}

RC_GTEST_PROP(CsvFields, QuotesSoThatTheyReadTheSame, (const std::string& text)) {
  RC_PRE(text.find('\0') == std::string::npos && !text.empty());
  const TemporaryDirectory directory;
  Names fields;
  io::CsvFields parser([&](std::string_view field, std::int64_t) { fields.emplace_back(field); }, [](std::int64_t) {});
  parser.feed(io::csv_quoted(text) + "," + io::csv_quoted(text) + "\n");
  parser.finish();
  RC_ASSERT(fields == (Names{text, text}));
}

TEST(CsvTable, WritesWhatItReadsBackToTheBit) {
  const TemporaryDirectory directory;
  Numbers x{0.1, -0.0, 1.0 / 3.0, 1e300, 5e-324, 12345.0, 1e22, 123456789.123};
  const Numbers y{3, 1, 4, 1, 5, 9, 2, 6};
  {
    io::StagedFile file(directory.file("t.csv"));
    io::write_csv(file, std::vector<io::CsvColumn>{{"x, in \"m\"", x.data(), 2}, {"y", y.data(), 1}}, 4);
    file.finish();
    file.commit();
  }
  EXPECT_TRUE(directory.get("t.csv").starts_with("\"x, in \"\"m\"\"\",y\n0.1,3\n"));
  const io::CsvTable table = io::read_csv(directory.file("t.csv"), {"y", "x, in \"m\""});
  EXPECT_EQ(table.cells, (Numbers{3, 0.1, 1, 1.0 / 3.0, 4, 5e-324, 1, 1e22}));
}

}  // namespace
}  // namespace polyattn::test
