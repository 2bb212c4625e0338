#include "problem.hpp"

#include "io/tensor_file.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace polyattn::cli {

namespace {

std::string label(const char* letter, std::size_t index, std::size_t count, const io::StoredTensor& tensor) {
  const std::string number = count == 1 ? "" : std::to_string(index + 1);
  return fmt::format("{}{} ({}, {})", letter, number, tensor.name, io::dims_text(tensor.dims));
}

[[noreturn]] void misfit(const std::string& one, const std::string& other, const std::string& how) {
  throw Error(ErrorCode::invalid_argument, fmt::format("{} and {} do not fit: {}", one, other, how));
}

/// Throws unless [batch, heads, n, d] of Q, one set of keys and one of values fit together.
void check_set(const Problem& problem, std::size_t set) {
  const std::size_t count = problem.keys.size();
  const std::string q = label("Q", 0, 1, problem.q);
  const std::string k = label("K", set, count, problem.keys[set]);
  const std::string v = label("V", set, count, problem.values[set]);
  if (problem.keys[set].dims.size() != problem.rank()) misfit(q, k, "they have different numbers of dimensions");
  if (problem.values[set].dims.size() != problem.rank()) misfit(q, v, "they have different numbers of dimensions");
  const Shape& qs = problem.q_view.shape;
  const Shape& ks = problem.key_views[set].shape;
  const Shape& vs = problem.value_views[set].shape;
  const auto differ = [](const char* what, std::int64_t a, std::int64_t b) {
    return fmt::format("{} are {} and {}", what, a, b);
  };
  if (qs[3] != ks[3]) misfit(q, k, differ("their last dimensions d", qs[3], ks[3]));
  if (qs[0] != ks[0]) misfit(q, k, differ("their batch sizes", qs[0], ks[0]));
  if (ks[2] != vs[2]) misfit(k, v, differ("their lengths n", ks[2], vs[2]));
  if (ks[0] != vs[0]) misfit(k, v, differ("their batch sizes", ks[0], vs[0]));
  if (ks[1] != vs[1]) misfit(k, v, differ("their heads", ks[1], vs[1]));
  const Shape& first = problem.value_views.front().shape;
  if (vs[3] != first[3]) {
    misfit(label("V", 0, count, problem.values.front()), v, differ("their last dimensions d_v", first[3], vs[3]));
  }
  if (ks[1] == 0 ? qs[1] != 0 : qs[1] % ks[1] != 0) {
    misfit(q, k, fmt::format("{} query heads are not a multiple of {} key heads", qs[1], ks[1]));
  }
}

void check_bias(const Problem& problem, std::size_t set) {
  const Shape& bias = problem.options.mask.key_bias[set].shape;
  const std::string b = label("the key bias", set, problem.keys.size(), *problem.bias[set]);
  const std::string q = label("Q", 0, 1, problem.q);
  const std::string k = label("K", set, problem.keys.size(), problem.keys[set]);
  const std::int64_t keys = problem.key_views[set].shape[2];
  if (bias[2] != keys) misfit(b, k, fmt::format("its last dimension is {} for {} keys", bias[2], keys));
  for (const auto& [axis, what] : {std::pair<std::size_t, const char*>{1, "heads"}, {0, "batch size"}}) {
    if (bias[axis] != 1 && bias[axis] != problem.q_view.shape[axis]) {
      misfit(b, q, fmt::format("its {} is {}, Q's {}", what, bias[axis], problem.q_view.shape[axis]));
    }
  }
}

/// A bias of 0 for each of `keys` keys.
ConstView no_bias(std::int64_t keys) {
  static const double zero = 0.0;
  return {&zero, DType::float64, {1, 1, keys, 1}, {0, 0, 0, 0}};
}

void load_biases(const Request& request, Problem& problem) {
  problem.bias.resize(request.key_bias.size());
  for (std::size_t set = 0; set < request.key_bias.size(); ++set) {
    const std::string& name = request.key_bias[set];
    if (name.empty()) {
      problem.options.mask.key_bias.push_back(no_bias(problem.key_views[set].shape[2]));
      continue;
    }
    problem.bias[set] = io::read_tensor(name, io::Role::bias);
    problem.options.mask.key_bias.push_back(io::bias_view(*problem.bias[set]));
    check_bias(problem, set);
  }
}

/// A mask over pairs of [batch|1, heads|1, n_q|1, n_kv].
void check_pairs(const Problem& problem, const std::string& mask, const Shape& shape) {
  const std::string q = label("Q", 0, 1, problem.q);
  const std::string k = label("K", 0, problem.keys.size(), problem.keys.front());
  const std::int64_t keys = problem.key_views.front().shape[2];
  if (shape[3] != keys) misfit(mask, k, fmt::format("its last dimension is {} for {} keys", shape[3], keys));
  for (const auto& [axis, what] :
       {std::pair<std::size_t, const char*>{2, "number of rows"}, {1, "heads"}, {0, "batch size"}}) {
    if (shape[axis] != 1 && shape[axis] != problem.q_view.shape[axis]) {
      misfit(mask, q, fmt::format("its {} is {}, Q's {}", what, shape[axis], problem.q_view.shape[axis]));
    }
  }
}

void load_masks(const Request& request, Problem& problem) {
  Mask& mask = problem.options.mask;
  load_biases(request, problem);
  if (request.additive) {
    problem.additive = io::read_tensor(*request.additive, io::Role::mask);
    mask.additive = io::tensor_view(*problem.additive);
    check_pairs(problem, label("the additive mask", 0, 1, *problem.additive), mask.additive->shape);
  }
  if (request.boolean) {
    problem.boolean = io::read_booleans(*request.boolean);
    mask.boolean = io::boolean_view(*problem.boolean);
    check_pairs(problem,
                fmt::format("the boolean mask ({}, {})", problem.boolean->name, io::dims_text(problem.boolean->dims)),
                mask.boolean->shape);
  }
  if (request.segments) {
    problem.query_segments = *request.segments;
    problem.key_segments = request.key_segments.value_or(*request.segments);
    mask.visibility.segments =
        Segments{io::read_offsets(problem.query_segments), io::read_offsets(problem.key_segments)};
  }
}

/// What depends on the dimension of the queries.
void resolve_score(const Request& request, const Problem& problem, Options& options) {
  const std::int64_t dim = problem.q_view.shape[3];
  if (const auto* gaussian = std::get_if<Gaussian>(&options.score)) {
    if (gaussian->bandwidth.size() != 1 && std::cmp_not_equal(gaussian->bandwidth.size(), dim)) {
      throw UsageError(fmt::format("--bandwidth has {} numbers; {} has {} axes, so 1 or {} are expected",
                                   gaussian->bandwidth.size(), problem.q.name, dim, dim));
    }
  } else if (request.scale_rule && dim > 0) {
    const auto d = static_cast<double>(dim);
    options.score = Dot{*request.scale_rule == "inverse-dim" ? 1.0 / d : 1.0 / std::sqrt(d)};
  }
}

}  // namespace

Problem load(const Request& request) {
  Problem problem;
  problem.options = request.options;
  problem.q = io::read_tensor(request.q, io::Role::tensor);
  problem.q_view = io::tensor_view(problem.q);
  for (const std::string& name : request.keys) problem.keys.push_back(io::read_tensor(name, io::Role::tensor));
  for (const std::string& name : request.values) problem.values.push_back(io::read_tensor(name, io::Role::tensor));
  for (const io::StoredTensor& keys : problem.keys) problem.key_views.push_back(io::tensor_view(keys));
  for (const io::StoredTensor& values : problem.values) problem.value_views.push_back(io::tensor_view(values));
  for (std::size_t set = 0; set < problem.keys.size(); ++set) check_set(problem, set);
  load_masks(request, problem);
  resolve_score(request, problem, problem.options);
  stop_if_interrupted();
  return problem;
}

namespace {

/// "keys[1]" as "keys" and 1; 0 where there is no number.
std::pair<std::string, std::size_t> split_index(const std::string& argument) {
  const std::size_t bracket = argument.find('[');
  if (bracket == std::string::npos || argument.back() != ']') return {argument, 0};
  return {argument.substr(0, bracket), std::strtoull(argument.c_str() + bracket + 1, nullptr, 10)};
}

}  // namespace

Error with_file_name(const Error& error, const Problem& problem) {
  const std::string message = error.what();
  const std::string argument = message.substr(0, message.find(':'));
  const auto [list, set] = split_index(argument);
  std::string file;
  if (error.code() == ErrorCode::non_finite) {
    if (argument == "q") file = problem.q.name;
    if (list == "keys") file = problem.keys.at(set).name;
    if (list == "values") file = problem.values.at(set).name;
    if ((list == "key_bias" || list == "key bias") && set < problem.bias.size() && problem.bias[set]) {
      file = problem.bias[set]->name;
    }
    if (argument == "additive" && problem.additive) file = problem.additive->name;
  } else if (error.code() == ErrorCode::invalid_argument) {
    if (argument == "segments.query_offsets") file = problem.query_segments;
    if (argument == "segments.key_offsets") file = problem.key_segments;
  }
  return file.empty() ? error : Error(error.code(), file + message.substr(argument.size()));
}

}  // namespace polyattn::cli
