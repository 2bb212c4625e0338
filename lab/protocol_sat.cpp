#include "lab/protocol_sat.hpp"

#include "polyattn/error.hpp"

#include <flint/flint.h>

#include <flint/ulong_extras.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace polyattn::lab {

namespace {

constexpr int largest_field = 1021;

[[noreturn]] void too_large(const std::string& what) { throw Error(ErrorCode::unsupported, "protocol: " + what); }

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

int least_prime_from(int low) {
  for (int p = std::max(low, 2); p <= largest_field; ++p) {
    if (n_is_prime(static_cast<ulong>(p)) != 0) return p;
  }
  too_large("expected a field of at most 1024 elements, got one of at least " + std::to_string(low) +
            ": its characteristic must be above the number of parts and its size at least the code's length");
}

/// 3 (block - 1) of the places may agree: twice as many and one more.
ProductCodes reed_solomon_for(int parts, int block) {
  const int length = 6 * (block - 1) + 1;
  const int p = least_prime_from(std::max(parts + 1, length));
  return reed_solomon(p, 1, length, block);
}

ProductCodes hermitian_for(int parts, int block) {
  for (const int q : {3, 5, 7, 11, 13, 17, 19, 23, 29, 31}) {
    if (q <= parts || block > q * q) continue;
    try {
      ProductCodes codes = hermitian(q, block);
      if (2 * codes.product.distance() >= codes.code.length()) return codes;
    } catch (const Error&) {
      continue;  // the poles are too many for this curve
    }
  }
  too_large("expected at most 30 parts for a Hermitian code, got " + std::to_string(parts));
}

void check_work(const ProtocolMaxIp& instance, const ProtocolOptions& options) {
  const double coordinates = options.in_full ? instance.dimension() : static_cast<double>(instance.support());
  const bool paper = options.shape == Shape::paper;
  const double dim = coordinates + (paper ? coordinates : static_cast<double>(instance.threshold()));
  double work = static_cast<double>(instance.counts()[0]) * dim;
  for (const std::size_t s : {1U, 2U}) {
    const auto keys = static_cast<double>(instance.counts()[s]);
    work *= paper ? 2.0 * keys : keys + 1.0;
  }
  if (work <= options.most_work) return;
  too_large("expected at most " + number(options.most_work) + " multiply-adds, got " + number(work) + ": " +
            std::to_string(instance.counts()[0]) + " queries, which are " + std::to_string(instance.messages()) +
            " words of Merlin's for each assignment of the first part, " + std::to_string(instance.counts()[1]) +
            " and " + std::to_string(instance.counts()[2]) + " keys, " + number(dim) + " coordinates");
}

ProtocolReport report_of(const ProtocolMaxIp& instance, const GapMaxIp& vectors, const ProtocolOptions& options) {
  const Disjointness& protocol = instance.protocol();
  ProtocolReport report;
  report.code = protocol.codes().name;
  report.field = protocol.field().size();
  report.parts = protocol.parts();
  report.block = protocol.block();
  report.length = protocol.length();
  report.messages = instance.messages();
  report.dimension = instance.dimension();
  report.coordinates = vectors.dimension;
  report.in_full = options.in_full;
  report.gap = instance.gap();
  report.shape = options.shape;
  report.entry = std::cbrt(least_beta(vectors, options.shape));
  report.communication = protocol.communication();
  return report;
}

}  // namespace

Disjointness protocol_for(int clauses, const ProtocolOptions& options) {
  if (options.block < 1 || options.block > 100) {
    throw Error(ErrorCode::invalid_argument,
                "protocol: expected blocks of 1 to 100 clauses, got " + std::to_string(options.block));
  }
  const int parts = std::max(1, (clauses + options.block - 1) / options.block);
  ProductCodes codes = options.family == CodeFamily::reed_solomon ? reed_solomon_for(parts, options.block)
                                                                  : hermitian_for(parts, options.block);
  return {std::move(codes), clauses, parts};
}

ProtocolAnswer solve_sat_via_protocol(const Cnf& formula, const Oracle& oracle, const ProtocolOptions& options,
                                      const Progress& progress) {
  const Cnf simple = simplified(formula);
  const Parts parts = split(simple);
  const ThreeOv lists = list(simple, parts);
  const ProtocolMaxIp instance(lists, protocol_for(static_cast<int>(lists.dimension()), options));
  check_work(instance, options);
  const GapMaxIp vectors = options.in_full ? instance.materialised() : instance.on_support();
  const TripleAttention problem = maxip_attention(vectors, options.shape);
  const Search found = search(problem, oracle, progress);
  ProtocolAnswer answer;
  answer.protocol = report_of(instance, vectors, options);
  answer.sat.lists = {lists.sets[0].count(), lists.sets[1].count(), lists.sets[2].count()};
  answer.sat.clauses = lists.dimension();
  answer.sat.search = found.report;
  if (found.found) {
    const Triple triple{instance.origin((*found.found)[0]), (*found.found)[1], (*found.found)[2]};
    answer.sat.model = assignment(formula, parts, triple);
    if (!satisfies(formula, *answer.sat.model)) {
      throw std::logic_error("the oracle said yes to a triple that is not orthogonal: its error is not what it claims");
    }
  }
  return answer;
}

}  // namespace polyattn::lab
