#pragma once

/// From the sums of a tile to outputs and certificates.

#include "base/memory.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/exact/tile.hpp"
#include "engines/problem.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// What is known of the queries of one tile, lane by lane.
struct QueryFacts {
  std::array<double, simd::kTile> norm{};        ///< |q|
  std::array<double, simd::kTile> hoelder{};     ///< sum |q_l| max_j |k_jl|
  std::array<double, simd::kTile> box{};         ///< gaussian: max_j |s_ij| by the keys' bounding box, log2 units
  std::array<double, simd::kTile> conversion{};  ///< gaussian: RowMeasures::conversion
  std::array<bool, simd::kTile> finite{};
};

/// Everything the rows of one head share once its keys have been seen.
template <class T>
struct RowContext {
  RowContext(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out, const TileScoring<T>& scoring,
             const KeyStatistics& keys, double shift, double value_scale);
  const HeadProblem& problem;
  const RowList& rows;
  const HeadOutputs& out;
  const TileScoring<T>& scoring;
  const KeyStatistics& keys;
  double shift;
  double value_scale;
  RowCertifier<T> certifier;
  base::Buffer<double> max_key;  ///< [d padded] max_j |k_jl|
  std::vector<double> rate;      ///< [d] gaussian: a_l^2
  bool converts;                 ///< gaussian: T does not hold every coordinate
  std::int64_t stride;           ///< d padded
  std::int64_t more_keys = 0;    ///< that bounds count beside the visible ones: superblocks that end early
};

/// Rows [first, first + lanes) of the list into [lanes][stride], zeros beyond the dim stay.
void stage_queries(const HeadProblem& problem, const RowList& rows, std::int64_t first, std::int64_t lanes,
                   std::int64_t stride, double* staged);
/// Staged queries into a tile that was reset: packed, with what each lane may see.
template <class T>
void load_tile(const HeadProblem& problem, const RowList& rows, std::int64_t first, const double* staged,
               std::int64_t stride, Tile<T>& tile);
/// Facts about staged queries. Where the problem says so, throws Error (non_finite) for a query that is not finite.
template <class T>
void note_queries(const RowContext<T>& context, std::int64_t first, std::int64_t lanes, const double* staged,
                  QueryFacts& facts);

/// Outputs and certificates of a tile whose first lane is row `first` of the list.
template <class T>
void write_rows(const RowContext<T>& context, Tile<T>& tile, const QueryFacts& facts, std::int64_t first,
                std::vector<double>& row);

}  // namespace polyattn::engines
