#include "lab/cnf.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

namespace polyattn::lab {

namespace {

constexpr std::string_view blanks = " \t\r\v\f";

/// What a message shows of a word.
std::string quoted(std::string_view word) {
  constexpr std::size_t shown = 40;
  std::string text = "'";
  for (const char c : word.substr(0, shown)) text += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return text + (word.size() > shown ? "...'" : "'");
}

std::optional<std::int64_t> integer(std::string_view word) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return words;
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

/// What has been read so far, line by line.
class Reader {
 public:
  Reader(const std::string& name, std::int64_t most_variables) : name_(name), most_variables_(most_variables) {}

  /// False: nothing after this line counts.
  bool take(std::string_view line) {
    ++line_;
    const std::vector<std::string_view> words = words_of(line);
    if (words.empty() || words.front().front() == 'c') return true;
    if (words.front().front() == '%') return false;
    if (words.front() == "p") {
      header(words);
      return true;
    }
    for (const std::string_view word : words) literal(word);
    return true;
  }

  Cnf finish() {
    if (!declared_) refuse("expected the header 'p cnf VARIABLES CLAUSES', got the end of the text");
    if (!clause_.empty()) refuse("expected 0 at the end of the last clause, got the end of the text");
    const auto got = static_cast<std::int64_t>(formula_.clauses.size());
    if (got != *declared_) {
      refuse("expected " + std::to_string(*declared_) + " clauses, as the header says, got " + std::to_string(got) +
             " before the end of the text");
    }
    return std::move(formula_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::invalid_argument,
                name_ + ", line " + std::to_string(std::max<std::int64_t>(line_, 1)) + ": " + what);
  }

  std::int64_t count(std::string_view word, const char* what, std::int64_t most) const {
    const auto value = integer(word);
    if (!value || *value < 0 || *value > most) {
      refuse(std::string("expected a number of ") + what + " from 0 to " + std::to_string(most) + ", got " +
             quoted(word));
    }
    return *value;
  }

  void header(const std::vector<std::string_view>& words) {
    if (declared_) refuse("expected clauses, got a second header");
    if (words.size() != 4 || words[1] != "cnf") refuse("expected the header 'p cnf VARIABLES CLAUSES'");
    formula_.variables = static_cast<int>(count(words[2], "variables", most_variables_));
    declared_ = count(words[3], "clauses", 1'000'000'000);
  }

  void literal(std::string_view word) {
    if (!declared_) refuse("expected the header 'p cnf VARIABLES CLAUSES' before " + quoted(word));
    const auto value = integer(word);
    if (!value) refuse("expected a literal or 0, got " + quoted(word));
    if (*value < -formula_.variables || *value > formula_.variables) {
      refuse("expected a literal of variables 1 to " + std::to_string(formula_.variables) + ", got " + quoted(word));
    }
    if (static_cast<std::int64_t>(formula_.clauses.size()) == *declared_) {
      refuse("expected the end after " + std::to_string(*declared_) + " clauses, as the header says, got " +
             quoted(word));
    }
    if (*value != 0) {
      clause_.push_back(static_cast<int>(*value));
      return;
    }
    formula_.clauses.push_back(std::move(clause_));
    clause_.clear();
  }

  const std::string& name_;
  std::int64_t most_variables_;
  std::int64_t line_ = 0;
  std::optional<std::int64_t> declared_;
  Clause clause_;
  Cnf formula_;
};

bool holds(int literal, const Assignment& model) {
  return model[static_cast<std::size_t>(std::abs(literal)) - 1] == (literal > 0);
}

}  // namespace

bool satisfies(const Cnf& formula, const Assignment& model) {
  return std::ranges::all_of(formula.clauses, [&](const Clause& clause) {
    return std::ranges::any_of(clause, [&](int literal) { return holds(literal, model); });
  });
}

Cnf read_dimacs(std::string_view text, const std::string& name, std::int64_t most_variables) {
  Reader reader(name, most_variables);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!reader.take(text.substr(0, end))) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.finish();
}

std::string write_dimacs(const Cnf& formula, std::string_view comment) {
  std::string text;
  while (!comment.empty()) {
    const std::size_t end = std::min(comment.find('\n'), comment.size());
    text.append("c ").append(comment.substr(0, end)).append("\n");
    comment.remove_prefix(std::min(end + 1, comment.size()));
  }
  text += "p cnf " + std::to_string(formula.variables) + " " + std::to_string(formula.clauses.size()) + "\n";
  for (const Clause& clause : formula.clauses) {
    for (const int literal : clause) text += std::to_string(literal) + " ";
    text += "0\n";
  }
  return text;
}

Cnf simplified(const Cnf& formula) {
  Cnf result{formula.variables, {}};
  for (Clause clause : formula.clauses) {
    std::ranges::sort(clause, {}, [](int literal) { return std::pair(std::abs(literal), literal < 0); });
    clause.erase(std::unique(clause.begin(), clause.end()), clause.end());
    const bool always = std::ranges::adjacent_find(clause, {}, [](int literal) { return std::abs(literal); }) !=
                        clause.end();  // a variable and its negation
    if (!always) result.clauses.push_back(std::move(clause));
  }
  std::ranges::sort(result.clauses);
  result.clauses.erase(std::unique(result.clauses.begin(), result.clauses.end()), result.clauses.end());
  return result;
}

}  // namespace polyattn::lab
