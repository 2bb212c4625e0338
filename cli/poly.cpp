// polyattn poly: the polynomial close to exp that the polynomial engine rests on.

#include "command.hpp"
#include "exit_codes.hpp"
#include "polyattn/error.hpp"
#include "polyattn/polynomial.hpp"
#include "results.hpp"

#include <fmt/core.h>
#include <cmath>

namespace polyattn::cli {

namespace {

struct PolyFlags {
  std::optional<std::string> radius, tolerance, moment, degree, dim, json;
  bool relative = false;
};

void declare(CLI::App& app, PolyFlags& flags) {
  text_flag(app, "--radius", flags.radius, "R", "The interval is [-R, R]");
  text_flag(app, "--tolerance", flags.tolerance, "EPS", "The lowest degree whose error is at most EPS");
  app.add_flag("--relative", flags.relative, "EPS is relative to exp(x)");
  text_flag(app, "--degree", flags.degree, "G", "This degree, instead of --tolerance");
  text_flag(app, "--moment", flags.moment, "Q", "With --degree: match exp at 0 so that the error is at most c x^(2Q)");
  text_flag(app, "--dim", flags.dim, "D", "Also print the rank for vectors of D coordinates");
  text_flag(app, "--json", flags.json, "FILE", "The same as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn poly --radius 2 --tolerance 1e-3\n"
      "  polyattn poly --radius 2 --tolerance 1e-3 --relative --dim 8\n"
      "  polyattn poly --radius 1 --degree 6 --moment 1 --json -\n");
}

ExpPolynomial polynomial(const PolyFlags& flags) {
  if (!flags.radius) throw UsageError("poly needs --radius R");
  if (flags.tolerance.has_value() == flags.degree.has_value()) {
    throw UsageError("poly needs either --tolerance EPS or --degree G");
  }
  if (flags.moment && !flags.degree) throw UsageError("--moment needs --degree");
  if (flags.relative && !flags.tolerance) throw UsageError("--relative needs --tolerance");
  const double radius = parse_real("--radius", *flags.radius);
  if (radius < 0.0) refuse_flag("--radius", *flags.radius, "a number that is not negative");
  try {
    if (flags.tolerance) {
      const double tolerance = parse_real("--tolerance", *flags.tolerance);
      if (!(tolerance > 0.0)) refuse_flag("--tolerance", *flags.tolerance, "a positive number");
      return exp_polynomial_for(radius, tolerance, flags.relative);
    }
    const auto degree = static_cast<int>(parse_integer("--degree", *flags.degree, 0, 400));
    const auto moment = flags.moment ? static_cast<int>(parse_integer("--moment", *flags.moment, 0, 200)) : 0;
    if (2 * moment > degree) throw UsageError("--moment Q needs --degree of at least 2 Q");
    return exp_polynomial(radius, degree, moment);
  } catch (const Error& error) {
    // All that could be wrong came from a flag.
    if (error.code() == ErrorCode::invalid_argument) throw UsageError(error.what());
    throw;
  }
}

std::string rank_text(std::int64_t rank) { return rank < 0 ? "more than 2^63" : std::to_string(rank); }

int run(int argc, char** argv) {
  PolyFlags flags;
  CLI::App app("A polynomial close to exp on [-R, R], with its proved error.", "polyattn poly");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  std::optional<std::int64_t> dim;
  if (flags.dim) dim = parse_integer("--dim", *flags.dim, 1, 1'000'000);
  io::check_outputs(file_outputs({flags.json}), {});
  const ExpPolynomial p = polynomial(flags);

  // Each operation is off by a unit in the last place or so: rounded up past all of them.
  const double largest = p.moment == 0
                             ? p.error + p.absolute_slack
                             : (p.error * std::pow(p.radius, 2 * p.moment) + p.absolute_slack) * (1.0 + 0x1p-49);
  std::string text = fmt::format("degree {} on [-{}, {}]\n", p.degree, p.radius, p.radius);
  if (p.moment == 0) {
    text += fmt::format("|P(x) - exp(x)| <= {:.17g}\n", largest);
  } else {
    text += fmt::format("|P(x) - exp(x)| <= {:.17g} x^{} + {:.17g}, so at most {:.17g}\n", p.error, 2 * p.moment,
                        p.absolute_slack, largest);
  }
  text += fmt::format("sum |c_t| R^t <= {:.17g}\n", p.absolute_sum);
  for (std::size_t t = 0; t < p.coefficients.size(); ++t) text += fmt::format("c_{} = {:.17g}\n", t, p.coefficients[t]);
  Json json{{"schema", json_schema},
            {"radius", p.radius},
            {"degree", p.degree},
            {"moment", p.moment},
            {"error", p.error},
            {"absolute_slack", p.absolute_slack},
            {"largest_error", largest},
            {"absolute_sum", p.absolute_sum},
            {"coefficients", p.coefficients}};
  if (dim) {
    const std::int64_t rank = feature_rank(*dim, p.degree);
    const std::int64_t papers = papers_rank(*dim, p.degree);
    text += fmt::format("rank for d = {}: {} (Alman and Song 2023, Lemma 3.2: {})\n", *dim, rank_text(rank),
                        rank_text(papers));
    json["dim"] = *dim;
    json["rank"] = rank < 0 ? Json(nullptr) : Json(rank);
    json["papers_rank"] = papers < 0 ? Json(nullptr) : Json(papers);
  }
  publish(flags.json, json, text);
  return exit_done;
}

}  // namespace

constinit const Command poly_command{"poly", "print a polynomial close to exp", run};

}  // namespace polyattn::cli
