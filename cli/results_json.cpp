// The JSON of attend, plan and verify. nlohmann::json writes NaN and infinities as null, as the layout promises.

#include "results.hpp"

#include <cmath>
#include <utility>

namespace polyattn::cli {

namespace {

const VerifiedHead* find(const Verification* verification, std::int64_t batch, std::int64_t head) {
  if (verification == nullptr) return nullptr;
  for (const VerifiedHead& candidate : verification->heads) {
    if (candidate.batch == batch && candidate.head == head) return &candidate;
  }
  return nullptr;
}

const char* name_of_kind(CertificateKind kind) { return kind == CertificateKind::certified ? "certified" : "sampled"; }

Json sample_json(const Certificate& certificate) {
  const SampleEvidence& sample = certificate.sample;
  return {{"rows", sample.rows},       {"population", sample.population},
          {"share", sample.share},     {"confidence", sample.confidence},
          {"largest", sample.largest}, {"attempts", sample.attempts},
          {"seed", sample.seed},       {"statement", confidence_statement(certificate)}};
}

Json head_json(const HeadReport& head, const VerifiedHead* verified) {
  Json json{{"batch", head.batch},
            {"head", head.head},
            {"order", head.order},
            {"engine", name_of(head.engine)},
            {"arithmetic", name_of(head.arithmetic)},
            {"rows",
             {{"total", head.rows_total},
              {"reference", head.rows_reference},
              {"exact", head.rows_exact},
              {"polynomial", head.rows_polynomial},
              {"grid", head.rows_grid},
              {"clustered", head.rows_clustered}}},
            {"degree", head.degree},
            {"rank", head.rank},
            {"radius", head.radius_after},
            {"radius_before", head.radius_before},
            {"bound", head.certificate.bound()},
            {"approximation", head.certificate.approximation},
            {"rounding", head.certificate.rounding},
            {"storage", head.certificate.storage},
            {"relative", head.certificate.relative},
            {"certificate", name_of_kind(head.certificate.kind)},
            {"proved_bound", head.certificate.proved_bound()},
            {"tolerance", head.tolerance},
            {"value_range", head.value_range},
            {"lse_bound", head.lse_bound},
            {"seconds", head.seconds},
            {"predicted_seconds", head.predicted_seconds},
            {"mean_answer_error", head.mean_answer_error},
            {"smallest_denominator", head.smallest_denominator},
            {"why", head.why}};
  if (head.certificate.kind == CertificateKind::sampled) json["sample"] = sample_json(head.certificate);
  if (verified != nullptr) json["measured_error"] = verified->worst;
  return json;
}

Json candidate_json(const Candidate& candidate) {
  return {{"engine", name_of(candidate.engine)},
          {"arithmetic", name_of(candidate.arithmetic)},
          {"degree", candidate.degree},
          {"rank", candidate.rank},
          {"seconds", candidate.seconds},
          {"bytes", candidate.bytes},
          {"predicted_bound", candidate.predicted_bound},
          {"certificate", name_of_kind(candidate.kind)},
          {"fallback_share", candidate.fallback_share},
          {"a_priori_bound", candidate.a_priori_bound},
          {"papers_bound", candidate.papers_bound},
          {"usable", candidate.usable},
          {"chosen", candidate.chosen},
          {"reason", candidate.reason}};
}

Json statistics_json(const InputStatistics& statistics) {
  Json json{{"queries", statistics.queries},           {"keys", statistics.keys},
            {"visible_keys", statistics.visible_keys}, {"dim", statistics.dim},
            {"value_dim", statistics.value_dim},       {"max_abs_query", statistics.max_abs_query},
            {"max_abs_key", statistics.max_abs_key},   {"max_abs_value", statistics.max_abs_value},
            {"value_range", statistics.value_range},   {"radius_before", statistics.radius_before},
            {"radius_after", statistics.radius_after}};
  if (!statistics.keys_per_set.empty()) json["keys_per_set"] = statistics.keys_per_set;
  return json;
}

Json head_plan_json(const HeadPlan& head) {
  Json json{{"batch", head.batch},
            {"head", head.head},
            {"order", head.order},
            {"engine", name_of(head.engine)},
            {"arithmetic", name_of(head.arithmetic)},
            {"degree", head.degree},
            {"rank", head.rank},
            {"tolerance", head.tolerance},
            {"predicted_seconds", head.predicted_seconds},
            {"predicted_bytes", head.predicted_bytes},
            {"predicted_bound", head.predicted_bound},
            {"certificate", name_of_kind(head.kind)},
            {"fallback_share", head.fallback_share},
            {"exact_seconds", head.exact_seconds},
            {"mean_answer_error", head.mean_answer_error},
            {"mean_answer_rows", head.mean_answer_rows},
            {"why", head.why}};
  json["statistics"] = head.statistics_known ? statistics_json(head.statistics) : Json(nullptr);
  json["candidates"] = Json::array();
  for (const Candidate& candidate : head.candidates) json["candidates"].push_back(candidate_json(candidate));
  return json;
}

Json sweep_row_json(const SweepRow& row) {
  return {{"tolerance", row.asked},
          {"absolute", row.tolerance},
          {"reachable", row.reachable},
          {"engine", name_of(row.engine)},
          {"arithmetic", name_of(row.arithmetic)},
          {"degree", row.degree},
          {"rank", row.rank},
          {"predicted_bound", row.predicted_bound},
          {"predicted_seconds", row.predicted_seconds},
          {"predicted_bytes", row.predicted_bytes},
          {"exact_seconds", row.exact_seconds},
          {"fallback_share", row.fallback_share},
          {"certificate", name_of_kind(row.kind)},
          {"why", row.why}};
}

Json verify_summary(const Verification& verification) {
  return {{"rows", verification.rows},
          {"every_row", verification.every_row},
          {"seed", verification.seed},
          {"worst", verification.worst},
          {"outside", verification.outside},
          {"confidence", verification.every_row ? 1.0 : verification_confidence},
          {"unseen_share", verification.unseen_share},
          {"statement", confidence_statement(verification)},
          {"seconds", verification.seconds}};
}

}  // namespace

Json to_json(const Report& report, const Verification* verification) {
  Json json{{"schema", json_schema}, {"heads", Json::array()}};
  for (const HeadReport& head : report.heads) {
    json["heads"].push_back(head_json(head, find(verification, head.batch, head.head)));
  }
  json["instruction_set"] = report.instruction_set;
  json["threads"] = report.threads;
  json["seconds"] = report.seconds;
  json["planning_seconds"] = report.planning_seconds;
  json["peak_bytes"] = report.peak_bytes;
  json["version"] = version();
  if (verification != nullptr) json["verify"] = verify_summary(*verification);
  return json;
}

Json to_json(const PlanReport& plan) {
  Json json{{"schema", json_schema}, {"heads", Json::array()}};
  for (const HeadPlan& head : plan.heads) json["heads"].push_back(head_plan_json(head));
  json["instruction_set"] = plan.instruction_set;
  json["threads"] = plan.threads;
  json["predicted_seconds"] = plan.predicted_seconds;
  json["predicted_bytes"] = plan.predicted_bytes;
  json["version"] = version();
  return json;
}

Json to_json(const SweepReport& sweep) {
  Json json{{"schema", json_schema}, {"heads", Json::array()}};
  for (const HeadSweep& head : sweep.heads) {
    Json rows = Json::array();
    for (const SweepRow& row : head.rows) rows.push_back(sweep_row_json(row));
    json["heads"].push_back({{"batch", head.batch},
                             {"head", head.head},
                             {"order", head.order},
                             {"mean_answer_error", head.mean_answer_error},
                             {"statistics", head.statistics_known ? statistics_json(head.statistics) : Json(nullptr)},
                             {"sweep", std::move(rows)}});
  }
  json["instruction_set"] = sweep.instruction_set;
  json["threads"] = sweep.threads;
  json["planning_seconds"] = sweep.planning_seconds;
  json["version"] = version();
  return json;
}

Json to_json(const Verification& verification) {
  Json json{{"schema", json_schema}, {"heads", Json::array()}};
  for (const VerifiedHead& head : verification.heads) {
    json["heads"].push_back({{"batch", head.batch},
                             {"head", head.head},
                             {"measured_error", head.worst},
                             {"row", head.worst_row},
                             {"column", head.worst_column},
                             {"allowed", head.allowed},
                             {"exact_bound", head.exact_bound},
                             {"outside", head.outside}});
  }
  json["version"] = version();
  json["verify"] = verify_summary(verification);
  return json;
}

std::string json_text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace polyattn::cli
