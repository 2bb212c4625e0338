"""The order-2 side of docs/higher-order.md: one layer of ordinary attention, trained.

The tokens of an instance are numbers modulo M, given as cosines and sines at 32 random frequencies (d = 64). Queries,
keys and values are learned linear maps of them, values have 64 columns, and two hidden layers read the token and its output.
The scores start at what would detect pairs. Every step has fresh instances, so what is learned is no memory of them.

As a check of the training itself the same layer is trained on Match-2 (is there a j with x_i + x_j = 0 mod M?), which is
a matter of pairs.
"""

import math

import numpy

FREQUENCIES = 32
DIM = 2 * FREQUENCIES
HIDDEN = 128
INSTANCES = 2  # of a step
RATE = 2e-3


def prime_from(m):
    while any(m % k == 0 for k in range(2, math.isqrt(m) + 1)):
        m += 1
    return m


class Task:
    """Instances of n numbers of which about half match: modulus n^2 / 2 log 2 for triples, n / log 2 for pairs."""

    def __init__(self, n, triples, random):
        self.n, self.triples, self.random = n, triples, random
        self.modulus = prime_from(int(n * n / (2 * math.log(2)) if triples else n / math.log(2)))
        self.frequencies = random.integers(1, self.modulus, FREQUENCIES)

    def draw(self):
        x = self.random.integers(0, self.modulus, self.n)
        present = numpy.zeros(self.modulus, bool)
        present[x] = True
        if self.triples:
            truth = numpy.array([present[(2 * self.modulus - one - x) % self.modulus].any() for one in x])
        else:
            truth = present[(self.modulus - x) % self.modulus]
        angles = 2 * numpy.pi * (x[:, None] * self.frequencies % self.modulus) / self.modulus
        return numpy.concatenate([numpy.cos(angles), numpy.sin(angles)], 1).astype(numpy.float32), truth


class Layer:
    def __init__(self, n, random):
        def normal(*shape):
            return (random.standard_normal(shape) / math.sqrt(shape[0])).astype(numpy.float32)

        # cos(a + b) = cos a cos b - sin a sin b
        signs = numpy.repeat([1.0, -1.0], FREQUENCIES) * 4 * math.log(n) / FREQUENCIES
        self.weights = {
            "query": numpy.diag(signs).astype(numpy.float32), "key": numpy.eye(DIM, dtype=numpy.float32),
            "value": normal(DIM, DIM), "first": normal(2 * DIM, HIDDEN), "first_bias": numpy.zeros(HIDDEN, numpy.float32),
            "second": normal(HIDDEN, HIDDEN), "second_bias": numpy.zeros(HIDDEN, numpy.float32),
            "last": normal(HIDDEN, 1), "last_bias": numpy.zeros(1, numpy.float32)}
        self.mean = {name: numpy.zeros_like(value) for name, value in self.weights.items()}
        self.square = {name: numpy.zeros_like(value) for name, value in self.weights.items()}
        self.steps = 0

    def forward(self, tokens):
        w = self.weights
        queries, keys, values = tokens @ w["query"], tokens @ w["key"], tokens @ w["value"]
        scores = queries @ keys.T
        shares = numpy.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        read = numpy.concatenate([tokens, shares @ values], 1)
        first = numpy.maximum(read @ w["first"] + w["first_bias"], 0)
        second = numpy.maximum(first @ w["second"] + w["second_bias"], 0)
        return queries, keys, values, shares, read, first, second, (second @ w["last"] + w["last_bias"])[:, 0]

    def gradient(self, tokens, truth):
        """Of the mean cross-entropy; the rows that are right beside it."""
        w = self.weights
        queries, keys, values, shares, read, first, second, logit = self.forward(tokens)
        g = {}
        out = ((1 / (1 + numpy.exp(-logit)) - truth) / len(truth))[:, None].astype(numpy.float32)
        g["last"], g["last_bias"] = second.T @ out, out.sum(0)
        to_second = (out @ w["last"].T) * (second > 0)
        g["second"], g["second_bias"] = first.T @ to_second, to_second.sum(0)
        to_first = (to_second @ w["second"].T) * (first > 0)
        g["first"], g["first_bias"] = read.T @ to_first, to_first.sum(0)
        to_output = (to_first @ w["first"].T)[:, DIM:]
        g["value"] = tokens.T @ (shares.T @ to_output)
        to_shares = to_output @ values.T
        to_scores = shares * (to_shares - (to_shares * shares).sum(1, keepdims=True))
        g["query"], g["key"] = tokens.T @ (to_scores @ keys), tokens.T @ (to_scores.T @ queries)
        return g, numpy.mean((logit > 0) == truth)

    def step(self, gradients, rate):
        """Adam (Kingma and Ba 2015)."""
        self.steps += 1
        for name, value in self.weights.items():
            gradient = sum(one[name] for one in gradients) / len(gradients)
            self.mean[name] = 0.9 * self.mean[name] + 0.1 * gradient
            self.square[name] = 0.99 * self.square[name] + 0.01 * gradient**2
            mean = self.mean[name] / (1 - 0.9**self.steps)
            square = self.square[name] / (1 - 0.99**self.steps)
            value -= (rate * mean / (numpy.sqrt(square) + 1e-10)).astype(numpy.float32)


def trained_accuracy(n, triples, steps, seed=0):
    """The share of the rows of 10 fresh instances that the trained layer has right, and that of the true rows."""
    random = numpy.random.default_rng(seed)
    task, layer = Task(n, triples, random), Layer(n, random)
    for step in range(1, steps + 1):
        drawn = [layer.gradient(*task.draw()) for _ in range(INSTANCES)]
        layer.step([gradient for gradient, _ in drawn],
                   RATE * min(1, step / 50) * (1 + math.cos(math.pi * step / steps)) / 2)
        if step % max(1, steps // 5) == 0:
            print(f"    step {step}: {100 * numpy.mean([right for _, right in drawn]):.1f} % right", flush=True)
    tests = [task.draw() for _ in range(10)]
    right = [numpy.mean((layer.forward(tokens)[-1] > 0) == truth) for tokens, truth in tests]
    return float(numpy.mean(right)), float(numpy.mean([truth.mean() for _, truth in tests]))
