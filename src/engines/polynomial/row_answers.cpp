#include "engines/polynomial/row_answers.hpp"

#include <algorithm>
#include <limits>

namespace polyattn::engines {

using base::usize;

/// With log-sum-exp, row by row.
template <class T>
bool Answering<T>::accept(const PreparedMoments<T>& moments, const RowBlock<T>& rows, std::int64_t place,
                          std::vector<double>& centred) const {
  for (std::size_t l = 0; l < centred.size(); ++l) {
    centred[l] = rows.centred[l * usize(rows.block) + usize(place)];
  }
  const RowCertificate certificate = certificate_of(frame, moments, rows, place);
  return accept_row(problem, frame, scale, acceptance,
                    {target(rows.first + place), rows.approximation[place], rows.rounding[place], rows.largest[place],
                     &certificate, centred.data(), rows.log_scale[place]},
                    out);
}

/// Answers of a run of accepted rows.
template <class T>
void Answering<T>::store(const RowBlock<T>& rows, std::int64_t first, std::int64_t last) const {
  if (targets == nullptr) {
    store_at(rows, first, last, rows.first + first);
    return;
  }
  for (std::int64_t r = first; r < last; ++r) {
    store_at(rows, r, r + 1, target(rows.first + r));
  }
}

template <class T>
void Answering<T>::store_at(const RowBlock<T>& rows, std::int64_t first, std::int64_t last, std::int64_t row) const {
  base::store_columns(out.output, row, last - first, rows.answer.data() + first, rows.block, problem.value_dim());
  std::fill_n(answered.begin() + row, last - first, std::uint8_t{1});
  if (wants_lse) {
    return;  // everything else is written
  }
  const auto put = [&](double* array, const double* from) {
    if (array != nullptr) {
      std::copy(from + first, from + last, array + row);
    }
  };
  put(out.approximation, rows.approximation);
  put(out.rounding, rows.rounding);
  put(out.storage, rows.storage);
  if (out.relative != nullptr) {
    std::fill_n(out.relative + row, last - first, std::numeric_limits<double>::infinity());
  }
}

/// Writes a block whose rows all meet the acceptance, as most do, in one go; nothing and false if one does not.
template <class T>
bool Answering<T>::accept_all(const PreparedMoments<T>& moments, const RowBlock<T>& rows,
                              EvaluationSummary& summary) const {
  bool all = true;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    all = all && rows.refused[usize(r)] == 0 && rows.approximation[r] + rows.rounding[r] <= acceptance.tolerance;
    least = std::min(least, rows.denominator_low[r]);
  }
  if (!all || rows.joined || rows.count == 0) {
    return false;
  }
  summary.answered = rows.count;
  summary.smallest_denominator = std::min(summary.smallest_denominator, least / moments.bounds.weight_high);
  store(rows, 0, rows.count);
  return true;
}

/// Writes the rows of a block that meet the acceptance.
template <class T>
EvaluationSummary Answering<T>::write(const PreparedMoments<T>& moments, RowBlock<T>& rows) const {
  EvaluationSummary summary;
  std::vector<double> centred(usize(wants_lse ? frame.dim() : 0));
  if (!wants_lse) {
    complete_bounds(frame, moments, scale, out.output.dtype, rows);
  }
  if (!wants_lse && accept_all(moments, rows, summary)) {
    return summary;
  }
  std::int64_t first = -1;  // of a run of accepted rows
  for (std::int64_t r = 0; r <= rows.count; ++r) {
    const bool accepted = r < rows.count && rows.refused[usize(r)] == 0 &&
                          (wants_lse ? accept(moments, rows, r, centred)
                                     : rows.approximation[r] + rows.rounding[r] <= acceptance.tolerance);
    if (accepted) {
      ++summary.answered;
      const double whole = rows.joined ? rows.denominator[r] : moments.bounds.weight_high;
      summary.smallest_denominator = std::min(summary.smallest_denominator, rows.denominator_low[r] / whole);
      first = first < 0 ? r : first;
    } else if (first >= 0) {
      store(rows, first, r);
      first = -1;
    }
  }
  return summary;
}

template struct Answering<float>;
template struct Answering<double>;

}  // namespace polyattn::engines
