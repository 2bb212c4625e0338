// Fields and codes: axioms, systematicity, closure under products, distances, all words where they are few.

#include "lab/linear_code.hpp"

#include "lab/field.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <random>

namespace polyattn::lab {
namespace {

using Element = Field::Element;

Word random_word(std::size_t length, const Field& field, std::mt19937_64& random) {
  Word word(length);
  for (Element& symbol : word) symbol = static_cast<Element>(random() % static_cast<std::uint64_t>(field.size()));
  return word;
}

Word product(const std::vector<Word>& words, const Field& field) {
  Word result(words.front().size(), 1);
  for (const Word& word : words) {
    for (std::size_t i = 0; i < word.size(); ++i) result[i] = field.multiply(result[i], word[i]);
  }
  return result;
}

int weight(const Word& word) {
  return static_cast<int>(std::ranges::count_if(word, [](Element symbol) { return symbol != 0; }));
}

/// The least weight of a word other than 0, of all words.
int true_distance(const LinearCode& code) {
  const int q = code.field().size();
  Word message(static_cast<std::size_t>(code.dimension()), 0);
  int least = code.length() + 1;
  while (true) {
    std::size_t i = 0;
    while (i < message.size() && message[i] == q - 1) message[i++] = 0;
    if (i == message.size()) return least;
    ++message[i];
    least = std::min(least, weight(code.encode(message)));
  }
}

TEST(Field, IsOne) {
  for (const auto& [p, degree] : {std::pair{2, 1}, {7, 1}, {101, 1}, {2, 2}, {3, 2}, {5, 2}, {7, 2}}) {
    const Field field(p, degree);
    ASSERT_EQ(field.size(), degree == 1 ? p : p * p);
    for (int a = 0; a < field.size(); ++a) {
      const auto x = static_cast<Element>(a);
      EXPECT_EQ(field.add(x, field.negative(x)), 0);
      EXPECT_EQ(field.add(x, 0), x);
      EXPECT_EQ(field.multiply(x, 1), x);
      EXPECT_EQ(field.multiply(x, 0), 0);
      EXPECT_TRUE(a == 0 || field.multiply(x, field.inverse(x)) == 1) << a;
      EXPECT_EQ(field.power(x, field.size()), x);
      Element multiple = 0;
      for (int i = 0; i < p; ++i) multiple = field.add(multiple, x);
      EXPECT_EQ(multiple, 0) << "characteristic";
    }
    std::mt19937_64 random(1);
    for (int round = 0; round < 2000; ++round) {
      const Word w = random_word(3, field, random);
      const Element sum = field.add(w[1], w[2]);
      EXPECT_EQ(field.multiply(w[0], sum), field.add(field.multiply(w[0], w[1]), field.multiply(w[0], w[2])));
      EXPECT_EQ(field.multiply(w[0], field.multiply(w[1], w[2])), field.multiply(field.multiply(w[0], w[1]), w[2]));
      EXPECT_EQ(field.subtract(sum, w[2]), w[1]);
    }
  }
}

TEST(Field, NumbersBelowPAreThePrimeField) {
  const Field field(5, 2);
  for (Element a = 0; a < 5; ++a) {
    for (Element b = 0; b < 5; ++b) {
      EXPECT_EQ(field.add(a, b), (a + b) % 5);
      EXPECT_EQ(field.multiply(a, b), (a * b) % 5);
    }
  }
}

TEST(Field, RefusesWhatIsNone) {
  for (const auto& [p, degree] : {std::pair{1, 1}, {9, 1}, {1031, 1}, {37, 2}, {3, 3}, {-3, 1}, {3, 0}}) {
    EXPECT_TRUE(test::fails_with(ErrorCode::invalid_argument, {"field", std::to_string(p) + "^"},
                                 [p = p, degree = degree] { Field(p, degree); }));
  }
}

std::vector<ProductCodes> codes() {
  std::vector<ProductCodes> all;
  all.push_back(reed_solomon(7, 1, 7, 2));
  all.push_back(reed_solomon(5, 1, 5, 2));
  all.push_back(reed_solomon(19, 1, 19, 4));
  all.push_back(reed_solomon(5, 2, 25, 3));
  all.push_back(reed_solomon(13, 1, 13, 3, 2));
  all.push_back(reed_solomon(11, 1, 9, 1));
  all.push_back(hermitian(2, 2));
  all.push_back(hermitian(3, 2));
  all.push_back(hermitian(3, 3));
  all.push_back(hermitian(5, 12));
  all.push_back(hermitian(5, 20, 2));
  return all;
}

TEST(Codes, AreSystematic) {
  std::mt19937_64 random(2);
  for (const ProductCodes& pair : codes()) {
    const LinearCode& code = pair.code;
    for (int i = 0; i < code.dimension(); ++i) EXPECT_EQ(code.pivots()[static_cast<std::size_t>(i)], i) << pair.name;
    for (int round = 0; round < 50; ++round) {
      const Word message = random_word(static_cast<std::size_t>(code.dimension()), code.field(), random);
      const Word word = code.encode(message);
      EXPECT_TRUE(std::equal(message.begin(), message.end(), word.begin()));
      EXPECT_TRUE(code.contains(word));
    }
  }
}

TEST(Codes, ProductsOfCodewordsAreInTheProductCode) {
  std::mt19937_64 random(3);
  for (const ProductCodes& pair : codes()) {
    const Field& field = pair.code.field();
    for (int round = 0; round < 200; ++round) {
      std::vector<Word> words;
      for (int i = 0; i < pair.order; ++i) {
        words.push_back(pair.code.encode(random_word(static_cast<std::size_t>(pair.code.dimension()), field, random)));
      }
      EXPECT_TRUE(pair.product.contains(product(words, field))) << pair.name;
    }
    for (const Word& row : pair.code.rows()) EXPECT_TRUE(pair.product.contains(row)) << "C is part of C'";
  }
}

TEST(Codes, KnowTheirOwnWordsOnly) {
  std::mt19937_64 random(4);
  for (const ProductCodes& pair : codes()) {
    for (const LinearCode* code : {&pair.code, &pair.product}) {
      if (code->distance() < 2) continue;
      Word word = code->encode(random_word(static_cast<std::size_t>(code->dimension()), code->field(), random));
      for (std::size_t i = 0; i < word.size(); ++i) {
        Word changed = word;
        changed[i] = code->field().add(changed[i], 1);
        EXPECT_FALSE(code->contains(changed)) << "words that differ in one place are too close";
      }
      word.push_back(0);
      EXPECT_FALSE(code->contains(word));
    }
  }
}

TEST(Codes, DistancesAreAtLeastWhatIsSaid) {
  std::mt19937_64 random(5);
  int exact = 0;
  for (const ProductCodes& pair : codes()) {
    for (const LinearCode* code : {&pair.code, &pair.product}) {
      if (std::pow(code->field().size(), code->dimension()) < 1e6) {
        const int truth = true_distance(*code);
        EXPECT_GE(truth, code->distance()) << pair.name;
        EXPECT_TRUE(pair.name != "Reed-Solomon" || truth == code->distance());
        ++exact;
      }
      for (int round = 0; round < 300; ++round) {
        const Word message = random_word(static_cast<std::size_t>(code->dimension()), code->field(), random);
        EXPECT_TRUE(weight(message) == 0 || weight(code->encode(message)) >= code->distance());
      }
    }
  }
  EXPECT_GE(exact, 8);
}

TEST(Codes, HermitianCurvesHaveTheirPointsAndDimensions) {
  for (const int q : {2, 3, 5, 7}) {
    const int genus = q * (q - 1) / 2;
    const ProductCodes pair = hermitian(q, 1 + genus, 1);  // m = 2g: the first with dimension m + 1 - g
    EXPECT_EQ(pair.code.length(), q * q * q);
    EXPECT_EQ(pair.code.distance(), q * q * q - 2 * genus);
    EXPECT_EQ(pair.code.dimension(), 1 + genus);
    // From there on every pole order occurs.
    const ProductCodes longer = hermitian(q, 4 + genus, 1);
    EXPECT_EQ(longer.code.distance(), q * q * q - 2 * genus - 3);
  }
}

TEST(Codes, RefuseWhatTheyCannotBe) {
  const auto refuses = [](auto&& call) { return test::fails_with(ErrorCode::invalid_argument, {"code"}, call); };
  EXPECT_TRUE(refuses([] { reed_solomon(7, 1, 8, 2); }));
  EXPECT_TRUE(refuses([] { reed_solomon(7, 1, 7, 4); }));
  EXPECT_TRUE(refuses([] { reed_solomon(7, 1, 7, 0); }));
  EXPECT_TRUE(refuses([] { hermitian(2, 3); }));
  EXPECT_TRUE(refuses([] { hermitian(3, 0); }));
  EXPECT_TRUE(test::fails_with(ErrorCode::invalid_argument, {"message", "2", "3"}, [] {
    const Word three{1, 2, 3};
    static_cast<void>(reed_solomon(7, 1, 7, 2).code.encode(three));
  }));
}

}  // namespace
}  // namespace polyattn::lab
