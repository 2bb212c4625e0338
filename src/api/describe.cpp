#include "api/words.hpp"
#include "polyattn/report.hpp"

#include <cmath>
#include <string>
#include <utility>

namespace polyattn {

namespace {

using api::bytes;
using api::duration;
using api::number;

std::string head_name(std::int64_t batch, std::int64_t head) {
  return "batch " + std::to_string(batch) + ", head " + std::to_string(head);
}

std::string engine_name(Engine engine, Arithmetic arithmetic, int degree, std::int64_t rank) {
  std::string name = std::string(name_of(engine)) + " " + name_of(arithmetic);
  if (engine == Engine::polynomial && degree >= 0) {
    name += ", degree " + std::to_string(degree) + ", rank " + std::to_string(rank);
  }
  return name;
}

/// "512", or "512 x 32" of two key sets.
std::string keys_of(const InputStatistics& statistics) {
  std::string text;
  for (const std::int64_t keys : statistics.keys_per_set) {
    text += (text.empty() ? "" : " x ") + std::to_string(keys);
  }
  return text.empty() ? std::to_string(statistics.keys) : text;
}

std::string order_note(int order) { return order == 2 ? "" : ", order " + std::to_string(order); }

/// What the radius was measured after.
const char* radius_note(int order) { return order == 2 ? " after centring" : " after scaling the axes"; }

void describe_candidate(const Candidate& candidate, int order, std::string& out) {
  out += std::string(candidate.chosen ? "    * " : "      ") +
         engine_name(candidate.engine, candidate.arithmetic, candidate.degree, candidate.rank);
  if (std::isfinite(candidate.seconds)) {
    out += ": " + duration(candidate.seconds) + ", " + bytes(candidate.bytes);
  }
  if (std::isfinite(candidate.predicted_bound)) {
    out += (candidate.kind == CertificateKind::sampled ? ", error about " : ", bound about ") +
           number(candidate.predicted_bound);
  }
  if (candidate.engine == Engine::polynomial && candidate.degree >= 0 && candidate.kind == CertificateKind::certified) {
    out += " (a priori " + number(candidate.a_priori_bound) +
           (order == 2 ? ", the papers' " + number(candidate.papers_bound) : "") + ")";
  }
  out += "; " + candidate.reason + "\n";
}

}  // namespace

std::string describe(const PlanReport& plan) {
  std::string out = "plan: " + std::to_string(plan.heads.size()) + (plan.heads.size() == 1 ? " head, " : " heads, ") +
                    std::to_string(plan.threads) + (plan.threads == 1 ? " thread, " : " threads, ") +
                    plan.instruction_set + ", about " + duration(plan.predicted_seconds) + " and " +
                    bytes(plan.predicted_bytes) + "\n";
  for (const HeadPlan& head : plan.heads) {
    const InputStatistics& s = head.statistics;
    out += head_name(head.batch, head.head) + ": " + std::to_string(s.queries) + " queries x " + keys_of(s) +
           " keys, dim " + std::to_string(s.dim) + ", value dim " + std::to_string(s.value_dim) +
           order_note(head.order) + "\n";
    out += "  chosen: " + engine_name(head.engine, head.arithmetic, head.degree, head.rank) +
           (head.kind == CertificateKind::sampled ? ", sampled" : "") + ", about " + duration(head.predicted_seconds) +
           "; " + head.why + "\n";
    out += "  exact would take about " + duration(head.exact_seconds) + "; tolerance " + number(head.tolerance) + "\n";
    if (head.statistics_known) {
      out += "  inputs: max |q| " + number(s.max_abs_query) + ", max |k| " + number(s.max_abs_key) + ", max |v| " +
             number(s.max_abs_value) + ", value range " + number(s.value_range) + ", visible keys " +
             std::to_string(s.visible_keys) + "\n  score radius " + number(s.radius_before) + " as given, " +
             number(s.radius_after) + radius_note(head.order) + "\n";
    }
    if (!std::isnan(head.mean_answer_error)) {
      out += "  the constant answer mean(V) would err by about " + number(head.mean_answer_error) + " (from " +
             std::to_string(head.mean_answer_rows) + " exact rows)\n";
    }
    for (const Candidate& candidate : head.candidates) {
      describe_candidate(candidate, head.order, out);
    }
  }
  return out;
}

std::string confidence_statement(const Certificate& certificate) {
  if (certificate.kind == CertificateKind::certified) {
    return {};
  }
  const SampleEvidence& sample = certificate.sample;
  return "with confidence " + number(100.0 * sample.confidence, 6) + " % at most " + number(100.0 * sample.share) +
         " % of the rows err by more than " + number(certificate.bound());
}

std::string describe(const Report& report) {
  std::string out;
  for (const HeadReport& head : report.heads) {
    const Certificate& c = head.certificate;
    out += head_name(head.batch, head.head) + order_note(head.order) + ": " +
           engine_name(head.engine, head.arithmetic, head.degree, head.rank) + "; " + head.why + "\n";
    if (c.kind == CertificateKind::sampled) {
      out += "  sampled, not certified: " + confidence_statement(c) + " (largest error of " +
             std::to_string(c.sample.rows) + " random rows of " + std::to_string(c.sample.population) + ", seed " +
             std::to_string(c.sample.seed) + ")\n";
    }
    out += (c.kind == CertificateKind::sampled ? "  proved |error| <= " : "  certified |error| <= ") +
           number(c.proved_bound()) + " (approximation " + number(c.approximation) + ", rounding " +
           number(c.rounding) + (c.storage > 0.0 ? ", 16-bit storage " + number(c.storage) : "") + "), tolerance " +
           number(head.tolerance) + ", value range " + number(head.value_range) + "\n";
    out += "  rows: " + std::to_string(head.rows_total);
    const std::pair<const char*, std::int64_t> parts[] = {{"polynomial", head.rows_polynomial},
                                                          {"grid", head.rows_grid},
                                                          {"exact", head.rows_exact},
                                                          {"reference", head.rows_reference}};
    for (const auto& [name, count] : parts) {
      if (count > 0) {
        out += ", " + std::string(name) + " " + std::to_string(count);
      }
    }
    if (!std::isnan(head.radius_after)) {
      out += "; score radius " + number(head.radius_before) + " as given, " + number(head.radius_after) +
             radius_note(head.order);
    }
    out += "\n  the constant answer mean(V) would have erred by " + number(head.mean_answer_error) + "; " +
           duration(head.seconds) + ", predicted " + duration(head.predicted_seconds) + "\n";
  }
  out += "total " + duration(report.seconds) + " after " + duration(report.planning_seconds) + " of planning, " +
         std::to_string(report.threads) + (report.threads == 1 ? " thread, " : " threads, ") + report.instruction_set +
         ", peak memory " + bytes(static_cast<double>(report.peak_bytes)) + "\n";
  return out;
}

}  // namespace polyattn
