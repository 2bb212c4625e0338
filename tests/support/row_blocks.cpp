#include "support/row_blocks.hpp"

#include "engines/polynomial/kernels.hpp"

namespace polyattn::test {

template <class T>
void sum_rows(const engines::HeadProblem& problem, const engines::Frame& frame,
              const engines::PreparedMoments<T>& moments, std::int64_t first, std::int64_t count,
              engines::RowBlock<T>& rows) {
  engines::load_row_block(problem, frame, moments.features, first, count, rows);
  engines::polynomial_kernels<T>().evaluate({moments.features.program(), rows.y.data(), rows.block,
                                             moments.scaled.data(), rows.prefixes.data(), rows.monomials.data(),
                                             rows.partial.data(), rows.sums.data()});
}
template void sum_rows<float>(const engines::HeadProblem&, const engines::Frame&,
                              const engines::PreparedMoments<float>&, std::int64_t, std::int64_t,
                              engines::RowBlock<float>&);
template void sum_rows<double>(const engines::HeadProblem&, const engines::Frame&,
                               const engines::PreparedMoments<double>&, std::int64_t, std::int64_t,
                               engines::RowBlock<double>&);

}  // namespace polyattn::test
