#pragma once

/// Comparing answers bit by bit.

#include "engines/heads.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace polyattn::engines::test {

inline void expect_same(const Answer& a, const Answer& b, const std::string& what) {
  EXPECT_EQ(a.output, b.output) << what;
  EXPECT_EQ(a.lse, b.lse) << what;
  EXPECT_EQ(a.row_max, b.row_max) << what;
  EXPECT_EQ(a.rounding, b.rounding) << what;
  EXPECT_EQ(a.relative, b.relative) << what;
  EXPECT_EQ(a.lse_bound, b.lse_bound) << what;
}

/// The rows of the list are those of the answer to all rows.
inline void expect_same_rows(const Answer& some, const RowList& list, const Answer& all) {
  const auto columns = static_cast<std::size_t>(all.columns);
  for (std::size_t i = 0; i < list.rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(list.rows[i]);
    const auto t = static_cast<std::size_t>(list.targets[i]);
    for (std::size_t c = 0; c < columns; ++c) {
      ASSERT_EQ(some.output[t * columns + c], all.output[row * columns + c]) << "row " << row;
    }
    ASSERT_EQ(some.lse[t], all.lse[row]) << "row " << row;
    ASSERT_EQ(some.rounding[t], all.rounding[row]) << "row " << row;
  }
}

/// Every `stride`-th of n_q rows, backwards, into targets of its own; then single rows. `answer(threads, list, rows)`
/// answers a list with so many rows of targets.
template <class Run>
void expect_same_alone_or_in_company(std::int64_t n_q, std::int64_t stride, const Run& answer) {
  const Answer all = answer(1, RowList{}, n_q);
  RowList list;
  list.all = false;
  for (std::int64_t i = n_q - 1; i >= 0; i -= stride) {
    list.rows.push_back(i);
    list.targets.push_back(static_cast<std::int64_t>(list.targets.size()));
  }
  expect_same_rows(answer(2, list, static_cast<std::int64_t>(list.rows.size())), list, all);
  for (const std::int64_t row : {std::int64_t{0}, n_q / 2, n_q - 1}) {
    list.rows = {row};
    list.targets = {0};
    expect_same_rows(answer(1, list, 1), list, all);
  }
}

}  // namespace polyattn::engines::test
