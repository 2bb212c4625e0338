// The JSON of attend, plan and verify. nlohmann::json writes NaN and infinities as null, as the layout promises.

#include "results.hpp"

#include <cmath>

namespace polyattn::cli {

namespace {

const VerifiedHead* find(const Verification* verification, std::int64_t batch, std::int64_t head) {
  if (verification == nullptr) return nullptr;
  for (const VerifiedHead& candidate : verification->heads) {
    if (candidate.batch == batch && candidate.head == head) return &candidate;
  }
  return nullptr;
}

Json head_json(const HeadReport& head, const VerifiedHead* verified) {
  Json json{{"batch", head.batch},
            {"head", head.head},
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
            {"certificate", head.certificate.kind == CertificateKind::certified ? "certified" : "sampled"},
            {"tolerance", head.tolerance},
            {"value_range", head.value_range},
            {"lse_bound", head.lse_bound},
            {"seconds", head.seconds},
            {"predicted_seconds", head.predicted_seconds},
            {"mean_answer_error", head.mean_answer_error},
            {"smallest_denominator", head.smallest_denominator},
            {"why", head.why}};
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
          {"fallback_share", candidate.fallback_share},
          {"a_priori_bound", candidate.a_priori_bound},
          {"papers_bound", candidate.papers_bound},
          {"usable", candidate.usable},
          {"chosen", candidate.chosen},
          {"reason", candidate.reason}};
}

Json statistics_json(const InputStatistics& statistics) {
  return {{"queries", statistics.queries},           {"keys", statistics.keys},
          {"visible_keys", statistics.visible_keys}, {"dim", statistics.dim},
          {"value_dim", statistics.value_dim},       {"max_abs_query", statistics.max_abs_query},
          {"max_abs_key", statistics.max_abs_key},   {"max_abs_value", statistics.max_abs_value},
          {"value_range", statistics.value_range},   {"radius_before", statistics.radius_before},
          {"radius_after", statistics.radius_after}};
}

Json head_plan_json(const HeadPlan& head) {
  Json json{{"batch", head.batch},
            {"head", head.head},
            {"engine", name_of(head.engine)},
            {"arithmetic", name_of(head.arithmetic)},
            {"degree", head.degree},
            {"rank", head.rank},
            {"tolerance", head.tolerance},
            {"predicted_seconds", head.predicted_seconds},
            {"predicted_bytes", head.predicted_bytes},
            {"predicted_bound", head.predicted_bound},
            {"exact_seconds", head.exact_seconds},
            {"mean_answer_error", head.mean_answer_error},
            {"mean_answer_rows", head.mean_answer_rows},
            {"why", head.why}};
  json["statistics"] = head.statistics_known ? statistics_json(head.statistics) : Json(nullptr);
  json["candidates"] = Json::array();
  for (const Candidate& candidate : head.candidates) json["candidates"].push_back(candidate_json(candidate));
  return json;
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
