#include "lab/disjointness.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace polyattn::lab {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, "protocol: " + what); }

/// Bits that tell `values` apart.
std::int64_t bits_for(int values) {
  std::int64_t bits = 0;
  while ((std::int64_t{1} << bits) < values) ++bits;
  return bits;
}

int agreement(const Word& one, const Word& other) {
  int same = 0;
  for (std::size_t i = 0; i < one.size(); ++i) same += one[i] == other[i] ? 1 : 0;
  return same;
}

}  // namespace

Disjointness::Disjointness(ProductCodes codes, int universe, int parts)
    : codes_(std::move(codes)), universe_(universe), parts_(parts) {
  if (codes_.order != 3) refuse("expected codes closed under products of 3, got " + std::to_string(codes_.order));
  if (universe < 0 || parts < 1 || static_cast<std::int64_t>(parts) * block() < universe) {
    refuse("expected parts of " + std::to_string(block()) + " elements that hold the universe of " +
           std::to_string(universe) + ", got " + std::to_string(parts));
  }
  if (field().characteristic() <= parts) {
    refuse("expected a field whose characteristic is above the " + std::to_string(parts) + " parts, got " +
           std::to_string(field().characteristic()));
  }
}

double Disjointness::soundness() const noexcept {
  return 1.0 - static_cast<double>(codes_.product.distance()) / static_cast<double>(length());
}

Communication Disjointness::communication() const noexcept {
  const std::int64_t symbol = bits_for(field().size());
  return {length() * symbol, bits_for(length()), parts_ * symbol, parts_ * symbol};
}

Disjointness::Encoded Disjointness::encode(const std::vector<bool>& set) const {
  if (static_cast<int>(set.size()) != universe_) {
    refuse("expected a subset of " + std::to_string(universe_) + " elements, got " + std::to_string(set.size()));
  }
  Encoded encoded;
  const auto block_size = static_cast<std::size_t>(block());
  for (std::size_t part = 0; part < static_cast<std::size_t>(parts_); ++part) {
    Word message(block_size, 0);
    for (std::size_t i = 0; i < block_size; ++i) {
      const std::size_t element = part * block_size + i;
      message[i] = element < set.size() && set[element] ? 1 : 0;
    }
    encoded.push_back(codes_.code.encode(message));
  }
  return encoded;
}

Word Disjointness::message(const Encoded& set, int place) {
  Word symbols;
  symbols.reserve(set.size());
  for (const Word& part : set) symbols.push_back(part[static_cast<std::size_t>(place)]);
  return symbols;
}

Field::Element Disjointness::sum_at(int place, const Encoded& alpha, std::span<const Field::Element> bob,
                                    std::span<const Field::Element> charlie) const noexcept {
  Field::Element sum = 0;
  for (std::size_t t = 0; t < alpha.size(); ++t) {
    const Field::Element own = alpha[t][static_cast<std::size_t>(place)];
    sum = field().add(sum, field().multiply(own, field().multiply(bob[t], charlie[t])));
  }
  return sum;
}

Word Disjointness::honest(const Encoded& alpha, const Encoded& beta, const Encoded& gamma) const {
  Word mu(static_cast<std::size_t>(length()));
  for (int place = 0; place < length(); ++place) {
    mu[static_cast<std::size_t>(place)] = sum_at(place, alpha, message(beta, place), message(gamma, place));
  }
  return mu;
}

bool Disjointness::accepts(const Word& merlin, int place, const Encoded& alpha, const Word& bob,
                           const Word& charlie) const {
  return codes_.product.contains(merlin) &&
         std::all_of(merlin.begin(), merlin.begin() + block(), [](Field::Element symbol) { return symbol == 0; }) &&
         merlin[static_cast<std::size_t>(place)] == sum_at(place, alpha, bob, charlie);
}

int Disjointness::accepting_places(const Word& merlin, const Encoded& alpha, const Encoded& beta,
                                   const Encoded& gamma) const {
  int places = 0;
  for (int place = 0; place < length(); ++place) {
    places += accepts(merlin, place, alpha, message(beta, place), message(gamma, place)) ? 1 : 0;
  }
  return places;
}

Word Disjointness::plausible(std::span<const Field::Element> free) const {
  // The first rho pivots of C' are the places of C's information symbols, because C is part of C'.
  Word symbols(static_cast<std::size_t>(block()), 0);
  symbols.insert(symbols.end(), free.begin(), free.end());
  return codes_.product.encode(symbols);
}

Word Disjointness::cheat(const Word& honest, int tries, std::mt19937_64& random) const {
  const std::vector<Word>& all = codes_.product.rows();
  const std::vector<Word> basis(all.begin() + block(), all.end());
  if (basis.empty()) return Word(static_cast<std::size_t>(length()), 0);
  std::vector<int> places(static_cast<std::size_t>(length()));
  std::iota(places.begin(), places.end(), 0);
  std::vector<int> back(places.size());
  Word best;
  int most = -1;
  for (int attempt = 0; attempt < tries; ++attempt) {
    for (std::size_t i = places.size() - 1; i > 0; --i) std::swap(places[i], places[random() % (i + 1)]);
    for (std::size_t i = 0; i < places.size(); ++i) back[static_cast<std::size_t>(places[i])] = static_cast<int>(i);
    std::vector<Word> rows = basis;
    for (Word& row : rows) row = permuted(row, places);
    const LinearCode shuffled(codes_.product.shared_field(), std::move(rows), 1);
    const Word target = permuted(honest, places);
    Word symbols;
    for (const int pivot : shuffled.pivots()) symbols.push_back(target[static_cast<std::size_t>(pivot)]);
    Word word = permuted(shuffled.encode(symbols), back);
    const int same = agreement(word, honest);
    if (same > most) {
      most = same;
      best = std::move(word);
    }
  }
  return best;
}

}  // namespace polyattn::lab
