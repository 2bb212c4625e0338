// polyattn poly: the polynomial close to exp that the polynomial engine rests on.

#include "command.hpp"
#include "exit_codes.hpp"
#include "lab/exponential/rational_polynomial.hpp"
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
  bool rational = false;
};

void declare(CLI::App& app, PolyFlags& flags) {
  text_flag(app, "--radius", flags.radius, "R", "The interval is [-R, R]");
  text_flag(app, "--tolerance", flags.tolerance, "EPS", "The lowest degree whose error is at most EPS");
  app.add_flag("--relative", flags.relative, "EPS is relative to exp(x)");
  text_flag(app, "--degree", flags.degree, "G", "This degree, instead of --tolerance");
  text_flag(app, "--moment", flags.moment, "Q", "With --degree: match exp at 0 so that the error is at most c x^(2Q)");
  app.add_flag(
      "--rational", flags.rational,
      "Coefficients as exact fractions, as simple as the error allows; the largest error enclosed from both sides");
  text_flag(app, "--dim", flags.dim, "D", "Also print the rank for vectors of D coordinates");
  text_flag(app, "--json", flags.json, "FILE", "The same as JSON; - for standard output");
  app.footer(
      "Examples:\n"
      "  polyattn poly --radius 2 --tolerance 1e-3\n"
      "  polyattn poly --radius 2 --tolerance 1e-3 --relative --dim 8\n"
      "  polyattn poly --radius 1 --degree 6 --moment 1 --json -\n"
      "  polyattn poly --radius 2 --tolerance 1e-3 --rational\n");
}

void check_flags(const PolyFlags& flags) {
  if (!flags.radius) throw UsageError("poly needs --radius R");
  if (flags.tolerance.has_value() == flags.degree.has_value()) {
    throw UsageError("poly needs either --tolerance EPS or --degree G");
  }
  if (flags.moment && !flags.degree) throw UsageError("--moment needs --degree");
  if (flags.relative && !flags.tolerance) throw UsageError("--relative needs --tolerance");
  if (flags.rational && flags.moment) {
    throw UsageError("--rational is of the truncated Chebyshev series, so it goes without --moment");
  }
}

/// What the flags ask for: the polynomial of a degree and moment order, or that for a tolerance.
template <class OfDegree, class OfTolerance>
auto asked_for(const PolyFlags& flags, const OfDegree& of_degree, const OfTolerance& of_tolerance) {
  const double radius = parse_real("--radius", *flags.radius);
  if (radius < 0.0) refuse_flag("--radius", *flags.radius, "a number that is not negative");
  try {
    if (flags.tolerance) {
      const double tolerance = parse_real("--tolerance", *flags.tolerance);
      if (!(tolerance > 0.0)) refuse_flag("--tolerance", *flags.tolerance, "a positive number");
      return of_tolerance(radius, tolerance);
    }
    const auto degree = static_cast<int>(parse_integer("--degree", *flags.degree, 0, 400));
    const auto moment = flags.moment ? static_cast<int>(parse_integer("--moment", *flags.moment, 0, 200)) : 0;
    if (2 * moment > degree) throw UsageError("--moment Q needs --degree of at least 2 Q");
    return of_degree(radius, degree, moment);
  } catch (const Error& error) {
    // All that could be wrong came from a flag.
    if (error.code() == ErrorCode::invalid_argument) throw UsageError(error.what());
    throw;
  }
}

std::string rank_text(std::int64_t rank) { return rank < 0 ? "more than 2^63" : std::to_string(rank); }

/// A polynomial in words and as JSON.
struct Description {
  int degree = 0;
  std::string text;
  Json json;
};

Description describe_floating(const PolyFlags& flags) {
  const ExpPolynomial p = asked_for(
      flags, [](double radius, int degree, int moment) { return exp_polynomial(radius, degree, moment); },
      [&](double radius, double tolerance) { return exp_polynomial_for(radius, tolerance, flags.relative); });
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
  return {p.degree,
          text,
          {{"schema", json_schema},
           {"radius", p.radius},
           {"degree", p.degree},
           {"moment", p.moment},
           {"error", p.error},
           {"absolute_slack", p.absolute_slack},
           {"largest_error", largest},
           {"absolute_sum", p.absolute_sum},
           {"coefficients", p.coefficients}}};
}

Description describe_rational(const PolyFlags& flags) {
  const lab::RationalPolynomial p = asked_for(
      flags, [](double radius, int degree, int /*moment*/) { return lab::rational_exp_polynomial(radius, degree); },
      [&](double radius, double tolerance) {
        return lab::rational_exp_polynomial_for(radius, tolerance, flags.relative);
      });
  std::string text = fmt::format(
      "degree {} on [-{}, {}], rational coefficients of at most {} bits\n"
      "{:.17g} <= max |P(x) - exp(x)| <= {:.17g}\n{:.17g} <= max |P(x)/exp(x) - 1| <= {:.17g}\n",
      p.degree, p.radius, p.radius, p.bits, p.absolute.low, p.absolute.high, p.relative.low, p.relative.high);
  for (std::size_t t = 0; t < p.coefficients.size(); ++t) text += fmt::format("c_{} = {}\n", t, p.coefficients[t]);
  return {p.degree,
          text,
          {{"schema", json_schema},
           {"radius", p.radius},
           {"degree", p.degree},
           {"bits", p.bits},
           {"largest_error", {{"low", p.absolute.low}, {"high", p.absolute.high}}},
           {"largest_relative_error", {{"low", p.relative.low}, {"high", p.relative.high}}},
           {"rational_coefficients", p.coefficients}}};
}

int run(int argc, char** argv) {
  PolyFlags flags;
  CLI::App app("A polynomial close to exp on [-R, R], with its proved error.", "polyattn poly");
  declare(app, flags);
  if (const auto code = parse(app, argc, argv)) return *code;
  std::optional<std::int64_t> dim;
  if (flags.dim) dim = parse_integer("--dim", *flags.dim, 1, 1'000'000);
  io::check_outputs(file_outputs({flags.json}), {});
  check_flags(flags);
  Description p = flags.rational ? describe_rational(flags) : describe_floating(flags);
  if (dim) {
    const std::int64_t rank = feature_rank(*dim, p.degree);
    const std::int64_t papers = papers_rank(*dim, p.degree);
    p.text += fmt::format("rank for d = {}: {} (Alman and Song 2023, Lemma 3.2: {})\n", *dim, rank_text(rank),
                          rank_text(papers));
    p.json["dim"] = *dim;
    p.json["rank"] = rank < 0 ? Json(nullptr) : Json(rank);
    p.json["papers_rank"] = papers < 0 ? Json(nullptr) : Json(papers);
  }
  publish(flags.json, p.json, p.text);
  return exit_done;
}

}  // namespace

constinit const Command poly_command{"poly", "print a polynomial close to exp", run};

}  // namespace polyattn::cli
