#include "lab/protocol_maxip.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

namespace polyattn::lab {

namespace {

constexpr double most_messages = 0x1p40;
constexpr std::int64_t most_support = std::int64_t{1} << 28;

[[noreturn]] void too_large(const std::string& what) {
  throw Error(ErrorCode::unsupported, "protocol: expected " + what);
}

std::vector<bool> set_of(const BitVectors& vectors, std::int64_t i) {
  std::vector<bool> set(static_cast<std::size_t>(vectors.dimension()));
  for (std::size_t l = 0; l < set.size(); ++l) set[l] = vectors.get(i, static_cast<std::int64_t>(l));
  return set;
}

std::string power_text(double base, double exponent) {
  return "10^" + std::to_string(static_cast<int>(exponent * std::log10(base)));
}

}  // namespace

ProtocolMaxIp::ProtocolMaxIp(const ThreeOv& instance, Disjointness protocol) : protocol_(std::move(protocol)) {
  if (instance.dimension() != protocol_.universe()) {
    throw Error(ErrorCode::invalid_argument, "protocol: expected a universe of " +
                                                 std::to_string(instance.dimension()) + " elements, got " +
                                                 std::to_string(protocol_.universe()));
  }
  const double q = protocol_.field().size();
  if (std::pow(q, protocol_.free_symbols()) > most_messages) {
    too_large("at most 2^40 words that Merlin may send, got " + power_text(q, protocol_.free_symbols()) +
              ": smaller blocks need fewer");
  }
  for (int i = 0; i < protocol_.free_symbols(); ++i) messages_ *= protocol_.field().size();
  for (std::size_t s = 0; s < 3; ++s) {
    const BitVectors& vectors = instance.sets[s];
    for (std::int64_t i = 0; i < vectors.count(); ++i) encoded_[s].push_back(protocol_.encode(set_of(vectors, i)));
    counts_[s] = vectors.count() * (s == 0 ? messages_ : 1);
  }
  for (int place = 0; place < protocol_.length(); ++place) look_at(place);
}

void ProtocolMaxIp::look_at(int place) {
  Place seen;
  seen.offset = support_;
  for (std::size_t s = 0; s < 2; ++s) {
    Side& side = seen.side[s];
    for (const Disjointness::Encoded& set : encoded_[s + 1]) side.messages.push_back(Disjointness::message(set, place));
    std::vector<Word> sent = side.messages;
    std::sort(side.messages.begin(), side.messages.end());
    side.messages.erase(std::unique(side.messages.begin(), side.messages.end()), side.messages.end());
    for (const Word& message : sent) {
      side.sent.push_back(std::lower_bound(side.messages.begin(), side.messages.end(), message) -
                          side.messages.begin());
    }
  }
  support_ += static_cast<std::int64_t>(seen.side[0].messages.size() * seen.side[1].messages.size());
  if (support_ > most_support) too_large("at most 2^28 coordinates that matter, got more");
  places_.push_back(std::move(seen));
}

double ProtocolMaxIp::dimension() const noexcept {
  return protocol_.length() * std::pow(protocol_.field().size(), 2.0 * protocol_.parts());
}

Word ProtocolMaxIp::merlin(std::int64_t row) const {
  Word free(static_cast<std::size_t>(protocol_.free_symbols()));
  std::int64_t rest = row % messages_;
  for (Field::Element& symbol : free) {
    symbol = static_cast<Field::Element>(rest % protocol_.field().size());
    rest /= protocol_.field().size();
  }
  return protocol_.plausible(free);
}

std::int64_t ProtocolMaxIp::inner_product(const Triple& triple) const {
  return protocol_.accepting_places(merlin(triple[0]), encoded_[0][static_cast<std::size_t>(origin(triple[0]))],
                                    encoded_[1][static_cast<std::size_t>(triple[1])],
                                    encoded_[2][static_cast<std::size_t>(triple[2])]);
}

/// For each coordinate that matters, the symbol of Merlin's that Alice accepts.
Word ProtocolMaxIp::accepted_if(const Disjointness::Encoded& alice) const {
  Word symbols;
  symbols.reserve(static_cast<std::size_t>(support_));
  for (int place = 0; place < protocol_.length(); ++place) {
    const auto& [bob, charlie] = places_[static_cast<std::size_t>(place)].side;
    for (const Word& from_bob : bob.messages) {
      for (const Word& from_charlie : charlie.messages) {
        symbols.push_back(protocol_.sum_at(place, alice, from_bob, from_charlie));
      }
    }
  }
  return symbols;
}

void ProtocolMaxIp::write_alice(std::int64_t row, const Word& accepted, std::span<float> out) const {
  const Word word = merlin(row);
  for (std::size_t place = 0; place < places_.size(); ++place) {
    const auto begin = static_cast<std::size_t>(places_[place].offset);
    const std::size_t end =
        place + 1 < places_.size() ? static_cast<std::size_t>(places_[place + 1].offset) : out.size();
    for (std::size_t i = begin; i < end; ++i) out[i] = accepted[i] == word[place] ? 1.0F : 0.0F;
  }
}

void ProtocolMaxIp::write_other(std::size_t side, std::int64_t index, std::span<float> out) const {
  std::ranges::fill(out, 0.0F);
  for (const Place& place : places_) {
    const auto own = static_cast<std::size_t>(place.side[side].sent[static_cast<std::size_t>(index)]);
    const std::size_t bobs = place.side[0].messages.size();
    const std::size_t charlies = place.side[1].messages.size();
    const auto offset = static_cast<std::size_t>(place.offset);
    if (side == 0) {
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(offset + own * charlies), charlies, 1.0F);
    } else {
      for (std::size_t b = 0; b < bobs; ++b) out[offset + b * charlies + own] = 1.0F;
    }
  }
}

GapMaxIp ProtocolMaxIp::on_support() const {
  GapMaxIp instance;
  instance.counts = counts_;
  instance.dimension = support_;
  instance.threshold = threshold();
  instance.gap = gap();
  const auto accepted = std::make_shared<std::vector<Word>>();
  for (const Disjointness::Encoded& alice : encoded_[0]) accepted->push_back(accepted_if(alice));
  instance.vector[0] = [this, accepted](std::int64_t row, std::span<float> out) {
    write_alice(row, (*accepted)[static_cast<std::size_t>(origin(row))], out);
  };
  for (std::size_t s = 0; s < 2; ++s) {
    instance.vector[s + 1] = [this, s](std::int64_t i, std::span<float> out) { write_other(s, i, out); };
  }
  return instance;
}

std::size_t ProtocolMaxIp::number_of(const Word& message) const noexcept {
  std::size_t number = 0;
  for (const Field::Element symbol : message)
    number = number * static_cast<std::size_t>(protocol_.field().size()) + symbol;
  return number;
}

Word ProtocolMaxIp::message_of(std::size_t number) const {
  const auto q = static_cast<std::size_t>(protocol_.field().size());
  Word message(static_cast<std::size_t>(protocol_.parts()));
  for (std::size_t t = message.size(); t > 0; --t) {
    message[t - 1] = static_cast<Field::Element>(number % q);
    number /= q;
  }
  return message;
}

void ProtocolMaxIp::write_alice_in_full(std::int64_t row, std::span<float> out) const {
  const Word word = merlin(row);
  const Disjointness::Encoded& alice = encoded_[0][static_cast<std::size_t>(origin(row))];
  const std::size_t each =
      static_cast<std::size_t>(std::llround(std::pow(protocol_.field().size(), protocol_.parts())));
  for (int place = 0; place < protocol_.length(); ++place) {
    for (std::size_t b = 0; b < each; ++b) {
      const Word bob = message_of(b);
      for (std::size_t c = 0; c < each; ++c) {
        const bool accepted =
            protocol_.sum_at(place, alice, bob, message_of(c)) == word[static_cast<std::size_t>(place)];
        out[(static_cast<std::size_t>(place) * each + b) * each + c] = accepted ? 1.0F : 0.0F;
      }
    }
  }
}

void ProtocolMaxIp::write_other_in_full(std::size_t side, std::int64_t index, std::span<float> out) const {
  std::ranges::fill(out, 0.0F);
  const std::size_t each =
      static_cast<std::size_t>(std::llround(std::pow(protocol_.field().size(), protocol_.parts())));
  for (int place = 0; place < protocol_.length(); ++place) {
    const std::size_t own =
        number_of(Disjointness::message(encoded_[side + 1][static_cast<std::size_t>(index)], place));
    for (std::size_t other = 0; other < each; ++other) {
      const std::size_t pair = side == 0 ? own * each + other : other * each + own;
      out[static_cast<std::size_t>(place) * each * each + pair] = 1.0F;
    }
  }
}

GapMaxIp ProtocolMaxIp::materialised() const {
  if (dimension() > static_cast<double>(most_materialised)) {
    too_large("at most 2^22 dimensions of vectors in full, got " + power_text(dimension(), 1.0));
  }
  GapMaxIp instance;
  instance.counts = counts_;
  instance.threshold = threshold();
  instance.gap = gap();
  instance.dimension = static_cast<std::int64_t>(std::llround(dimension()));
  instance.vector[0] = [this](std::int64_t row, std::span<float> out) { write_alice_in_full(row, out); };
  for (std::size_t s = 0; s < 2; ++s) {
    instance.vector[s + 1] = [this, s](std::int64_t i, std::span<float> out) { write_other_in_full(s, i, out); };
  }
  return instance;
}

}  // namespace polyattn::lab
